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
# # 20 · One permutation for a whole trajectory
#
# The hidden units of a network have no order of their own: permute them, with the weights that lead in and out, and the
# function is the same. Two networks trained from different seeds are separated by a barrier; for the right permutation of
# one of them, most of it is gone. Is that permutation an accident of the end of training, or a property of the two runs?
#
# > **The claim** (Sharma, Kwok, Denton, Roy, Rolnick, Dziugaite: *Simultaneous Linear Connectivity of Neural Networks
# > Modulo Permutation*, [arXiv 2404.06498](https://arxiv.org/abs/2404.06498)). One permutation connects two whole
# > training runs, checkpoint by checkpoint, and it connects the networks pruned from them as well.
#
# **In plain words, the claims tested here**
#
# - Aligning the units removes most of the barrier between independent networks (P01), and the permutation fitted at the
#   end does so all along their training (P02).
# - Fitted earlier, it aligns the end less well (P03); yet permutations keep changing after they do (P04), those of the
#   first layer less than those of the last (P05).
# - The dense networks' permutation aligns networks pruned from them, down to a tenth of the weights (P06), although one
#   fitted to the pruned networks is another one (P07).
# - A pruning mask carried over by the permutation trains better than the same mask as it is (P08).
#
# **How it is measured**
#
# - Pairs of networks of different seeds; no network is in two pairs. The **error barrier** is the largest excess of the
#   training error on the straight line between two networks over the line between their errors.
# - *Weight matching* and *activation matching* as in notebook 02. As controls, no permutation and a random one.
# - **Pruning**: at every level the smallest weights in the whole network are set to zero for good (biases stay), the rest
#   goes back to the values it had early in training (the rewind point) and trains on to the end from there.

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import trajectory as experiment
from butterfly.figures import trajectory as figures

# %% [markdown]
# ## Parameters
#
# The smallest honest values; `params/<profile>/` holds the larger ones. Every level of pruning removes a `fraction` of the
# weights that are left. Checkpoints and the rewind point are percentages of the training steps.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
setting = "digits"
steps = 200
pairs = 3
pairs_per_shard = 3
checkpoints = [0.0, 10.0, 50.0, 100.0]
points = 5
restarts = 1
examples = 500
levels = 2
fraction = 0.5
rewind = 10.0

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train, align, prune, transport

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %%
along = tables["along"]
along.groupby("method").size().rename("barriers measured").to_frame()

# %% [markdown]
# ## (a) One permutation, every checkpoint
#
# Each line is one permutation, fitted at one checkpoint and tried at all. If permutations were accidents of the moment,
# each would be good only where it was fitted.

# %%
plots.save(*figures.along(tables), "20_a_along", params.profile)

# %% [markdown]
# ![Barrier along training under permutations, reference run](../figures/reference/laptop/20_a_along.png)
#
# **Figure (a), reference run on a laptop.** Error barrier between two networks at each checkpoint, under the permutation
# fitted at one of them (colours); black: no permutation, and a random one. Handwritten digits, MLP with 2 hidden layers of
# 64; n = 10 pairs; bands are 95 % bootstrap intervals of the mean over pairs.
#
# The permutation of the end works at every checkpoint before it, and that of half of training is as good. Permutations
# fitted early do better than none, but leave most of the barrier that comes later. The least good checkpoint for the last
# permutation is an early one, at 2 to 5 %.

# %% [markdown]
# ## (b) When is it found?

# %%
plots.save(*figures.at_the_end(tables), "20_b_at_the_end", params.profile)

# %% [markdown]
# ![Barrier at the end, and shared units, against the checkpoint fitted at](../figures/reference/laptop/20_b_at_the_end.png)
#
# **Figure (b), reference run.** Left: error barrier at the end of training under the permutation fitted at a checkpoint;
# dashed: without one. Right: share of units that it puts in the same place as the last permutation, by hidden layer.
# n = 10 pairs; bands are 95 % bootstrap intervals of the mean over pairs.
#
# The permutation of half of training aligns the end about as well as the last one, and yet puts about half of the units
# elsewhere: many permutations do, and which one is found tells little.

# %% [markdown]
# ## (c) Pruned networks

# %%
plots.save(*figures.pruned(tables), "20_c_pruned", params.profile)

# %% [markdown]
# ![Barrier between pruned networks, reference run](../figures/reference/laptop/20_c_pruned.png)
#
# **Figure (c), reference run.** Left: error barrier between two pruned networks under no permutation, that of the dense
# networks, and one fitted to the pruned networks themselves. Right: share of units that the latter puts in the same place
# as the dense one. Seven levels of 30 %, rewound to 10 % of training. n = 10 pairs; bands are 95 % bootstrap intervals of
# the mean over pairs.
#
# The dense permutation removes about three quarters of the barrier or more at every level. Permutations fitted at the level do
# better still, and have almost nothing in common with it.

# %% [markdown]
# ## (d) Carrying a mask over
#
# Prune one network, permute its mask into the frame of another, and train that one with it.

# %%
plots.save(*figures.transported(tables), "20_d_transported", params.profile)

# %% [markdown]
# ![Test error with transported masks, reference run](../figures/reference/laptop/20_d_transported.png)
#
# **Figure (d), reference run.** Test error of a network trained with a mask: its own, that of another network permuted by
# the dense permutation, unpermuted or randomly permuted, and one of equal density from pruning it at once at the rewind
# point. n = 10 pairs; bands are 95 % bootstrap intervals of the mean over pairs.
#
# Down to a third of the weights all masks do about as well, on this easy task. Below, the permuted mask does better than
# the same mask as it is, which in the end is no better than a random one; the network's own mask is best by far.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval over pairs lies in the region fixed beforehand, *contradicted* when it lies
# outside. Three pairs trained for 200 updates decide little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
claims.write(paths.FIGURES / params.profile / "20_trajectory.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run, with n = 10 pairs:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
end = along[(along["at"] == 100) & (along.metric == "error")].groupby("method").value.mean()
last = along[(along["at"] == 100) & (along.fitted == 100) & (along.metric == "error")].groupby("method").value.mean()
print("weight matching removes more than half of the barrier:", bool(last.weights < 0.5 * end["none"]))
print("a random permutation does not:", bool(end.random > 0.5 * end["none"]))
