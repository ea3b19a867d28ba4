# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · Ensembles and averages: how early must members part?
#
# A kick makes two networks out of one. If their mistakes differ, their mean is better than either. Altıntaş, Kwok, Raffel and
# Rolnick (*The Butterfly Effect*, ICML 2025, [arXiv 2506.13234](https://arxiv.org/abs/2506.13234)) find that the further apart
# the representations of twins are, the more an ensemble of them gains. And where twins did *not* part, their weights can be
# averaged (Frankle et al. 2020, [arXiv 1912.05671](https://arxiv.org/abs/1912.05671)).
#
# **In plain words, the claims tested here**
#
# - The further apart the representations (B20), and the more two members disagree (B20b), the more an ensemble gains.
# - Ours: twins kicked at the start make as good an ensemble as networks of different seeds (X22), and so do members that part
#   at the second kick time (X23); the ensemble is better calibrated than its members (X24); averaging probabilities
#   gives a lower loss than averaging logits (X25); averaging the *weights* of early twins destroys them, even after
#   alignment (X26), of late twins it costs nothing (X27).
#
# **How it is measured**
#
# - An ensemble is a parent and its twins, all kicked at one time with kicks of one size in different directions; beside it,
#   as many networks of different seeds. Gain: loss or accuracy of the ensemble (mean of probabilities) against the mean of
#   its members.
# - *Expected calibration error*: the mean gap between how sure a network is and how often it is right, in 15 bins of
#   confidence (Guo et al. 2017, [arXiv 1706.04599](https://arxiv.org/abs/1706.04599)).
# - *Angular CKA* and alignment by weight matching as in notebook 02. Members have the same accuracy whenever they part (B16
#   in notebook 01), so the correlation of B20 does not come from better members.

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import ensembles as experiment
from butterfly.figures import ensembles as figures

# %% [markdown]
# ## Parameters
#
# The smallest honest values; `params/<profile>/` holds the larger grids. `members` counts the parent.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
setting = "mnist1d"
steps = 200
seeds = 3
seeds_per_shard = 3
members = 3
kick_times = [0.0, 10.0, 50.0]
size = 0.01
examples = 300
restarts = 1

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %%
groups = tables["groups"]
groups.groupby("time").size().rename("ensembles").to_frame()  # -1: networks of different seeds

# %% [markdown]
# ## (a) Members and ensembles
#
# Accuracy, loss and calibration against the time at which members part.

# %%
plots.save(*figures.ensembles(tables), "07_a_ensembles", params.profile)

# %% [markdown]
# ![Accuracy, loss and calibration of members and ensembles, reference run](../figures/reference/laptop/07_a_ensembles.png)
#
# **Figure (a), reference run on a laptop.** Test accuracy, loss and calibration error of single members and of ensembles of 4,
# against the time at which members part. MNIST-1D, kicks of 0.01; means over n = 8 seeds with 95 % bootstrap bands; dashed
# lines are ensembles of different seeds.
#
# Members are equally good whenever they part; what an ensemble adds shrinks from 7 points of accuracy to none. The mean of
# probabilities is far better calibrated than the mean of logits, which is as sure of itself as its members.

# %% [markdown]
# ## (b) What predicts the gain

# %%
plots.save(*figures.diversity(tables), "07_b_diversity", params.profile)

# %% [markdown]
# ![Gain against Angular CKA and disagreement, reference run](../figures/reference/laptop/07_b_diversity.png)
#
# **Figure (b), reference run.** Gain of the ensemble in test loss against Angular CKA between members (left) and their
# disagreement (right), a point an ensemble; n = 8 seeds, black are different seeds.
#
# Both tell the gain almost alone. Between ensembles whose members part early the order is noise.

# %% [markdown]
# ## (c) One network instead of four
#
# The mean of the weights costs no more than one network to run. It works only where no barrier lies between the members.

# %%
plots.save(*figures.averages(tables), "07_c_averages", params.profile)

# %% [markdown]
# ![Accuracy of averaged weights, reference run](../figures/reference/laptop/07_c_averages.png)
#
# **Figure (c), reference run.** Test accuracy of one network whose weights are the mean over 4 members, plain and after
# alignment to the parent; MNIST-1D, means over n = 8 seeds with 95 % bootstrap bands.
#
# The two ways are complementary. Members that part before 10 % make good ensembles and useless averages; after 25 % they make
# averages as good as a member, and soon poor ensembles. Alignment changes nothing: twins are not permuted (notebook 02).

# %% [markdown]
# ## (d) What does sharing the beginning save?
#
# Members that part at a quarter of training share that quarter. The line shows what of the gain is left for what is paid.

# %%
plots.save(*figures.savings(tables), "07_d_savings", params.profile)

# %% [markdown]
# ![Share of the gain against share of the cost, reference run](../figures/reference/laptop/07_d_savings.png)
#
# **Figure (d), reference run.** Gain of an ensemble of twins, as a share of that of 4 networks of different seeds, against
# the updates that training it takes; means over n = 8 seeds with 95 % bootstrap bands.
#
# There is no free lunch in sharing: parting at 25 % saves a fifth of the updates and loses a fifth of the gain in loss, and two
# fifths of the gain in accuracy.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies
# outside. At the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
plots.save_table(groups, "07_groups", params.profile)
claims.write(paths.FIGURES / params.profile / "07_ensembles.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# **Advice.** For an ensemble, members must part within the first few percent of training, and a kick there is as good as
# another seed: it needs no other initialisation or order. For a merged network, let them part after the chaotic phase.
# There is hardly a time at which both work.
#
# What holds on every machine, even at these defaults:

# %%
early, late = (groups[groups.time == time].set_index("seed") for time in (0, 50))
print("control twins that differ from their parent:", (tables["controls"].largest_difference > 0).sum())
print("early members disagree more than late ones:", bool((early.disagreement > late.disagreement).all()))
