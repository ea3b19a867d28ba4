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
# # 21 · Weak and strong connectivity
#
# For two networks, some permutation of the units removes most of the barrier. For three, that leaves a question open: is
# there *one* permutation for each network that removes the barriers between all of them?
#
# > **The claim** (Sharma, Kwok, Denton, Roy, Rolnick, Dziugaite: *Simultaneous Linear Connectivity of Neural Networks
# > Modulo Permutation*, [arXiv 2404.06498](https://arxiv.org/abs/2404.06498)). Pairs are *weakly* connected, by
# > permutations made for the pair. *Strong* connectivity, one permutation a network for all, is further away; it comes
# > nearer as networks get wider.
#
# **In plain words, the claims tested here**
#
# - Networks that are each aligned to a third are further from connected than those aligned directly (P09), less so the
#   wider they are (P09b). One more network in between makes it worse (P10).
# - Width alone lowers the barrier, without any alignment (P11).
# - Ours: aligned *jointly*, the widest networks are as well connected as pairs aligned each for itself (X12).
#
# **How it is measured**
#
# - Groups of networks; a group is one unit for the statistics, since its pairs share networks.
# - *Directly*: weight matching of the one to the other. *Through a third*: both are matched to a third network, and compared
#   there. *Through two others*: the permutations of three such steps in turn. *Jointly*: each network is matched to the mean
#   of the others, again and again, until nothing moves (best of several orders).
# - As controls, no permutation and a random one, at every width.

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import connectivity as experiment
from butterfly.figures import connectivity as figures

# %% [markdown]
# ## Parameters
#
# The smallest honest values; `params/<profile>/` holds the larger ones. At the `tiny` width all permutations are tried.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
setting = "digits"
steps = 200
depth = 2
widths = [8, 32]
tiny = 3
groups = 3
groups_per_shard = 3
networks = 4
points = 5
restarts = 1

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train and align

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %%
barriers = tables["barriers"]
barriers.groupby("way", sort=False).size().rename("barriers measured").to_frame()

# %% [markdown]
# ## (a) Pairs
#
# The barrier between pairs of networks, aligned in every way, against their width.

# %%
plots.save(*figures.by_width(tables), "21_a_by_width", params.profile)

# %% [markdown]
# ![Barrier between pairs of networks by width, reference run](../figures/reference/laptop/21_a_by_width.png)
#
# **Figure (a), reference run on a laptop.** Barrier of the training error (left) and loss (right) between pairs of networks,
# aligned in every way; logarithmic. Handwritten digits, MLPs with 2 hidden layers; n = 8 groups of 4 networks; bands are
# 95 % bootstrap intervals of the mean over groups.
#
# With alignment, of whatever kind, the barrier falls with width, and a third network in between costs about a factor of
# two at nearly every width. Aligned jointly, networks are almost as close as aligned directly. Without alignment the
# barrier does not fall up to a width of 128. (At width 32 a single group with high barriers makes the bands wide.)

# %% [markdown]
# ## (b) Between three, and the mean of all
#
# No barriers between pairs does not mean none between three: the triangle inside has to be measured, too. And if networks
# are connected, their average is a good network.

# %%
plots.save(*figures.in_the_middle(tables), "21_b_in_the_middle", params.profile)

# %% [markdown]
# ![Error between three networks, and of averages, reference run](../figures/reference/laptop/21_b_in_the_middle.png)
#
# **Figure (b), reference run.** Left: largest excess of the training error over that of the corners, at 20 points between
# three networks. Right: test error of the average of k networks of the largest width. n = 8 groups; bands are 95 %
# bootstrap intervals of the mean over groups.
#
# Joint alignment leaves little between three wide networks, and their averages lose little; aligned to a third, they lose
# more, and unaligned everything.

# %% [markdown]
# ## (c) Is there no better permutation, or was it not found?
#
# For tiny networks all permutations can be tried.

# %%
plots.save(*figures.tiny(tables), "21_c_tiny", params.profile)

# %% [markdown]
# ![Brute force over all permutations of tiny networks, reference run](../figures/reference/laptop/21_c_tiny.png)
#
# **Figure (c), reference run.** Two hidden layers of 4: error barrier as they are, after weight matching, under the
# permutation that matches the weights best of all 576, and the lowest barrier that any of them reaches. A grey line a pair;
# black: mean.
#
# Weight matching finds the best match in every pair. But the best match of the weights is not the permutation with the
# lowest barrier, and even that one leaves a barrier: for networks this narrow, no good permutation exists.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval over groups lies in the region fixed beforehand, *contradicted* when it lies
# outside. Three groups trained for 200 updates decide little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
claims.write(paths.FIGURES / params.profile / "21_connectivity.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run, with n = 8 groups:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# P11 is about a slope over all widths, and the barrier of unaligned networks first rises and then falls.
#
# What holds on every machine, even at these defaults:

# %%
means = barriers[(barriers.metric == "error") & (barriers.width == max(widths))].groupby("way").value.mean()
print("aligned directly, the barrier is less than half:", bool(means.direct < 0.5 * means["none"]))
print("through a third, it is higher than that:", bool(means["through one"] > means.direct))
print("no permutation is better than the best of all:", bool((tables["tiny"].lowest <= tables["tiny"].matched).all()))
