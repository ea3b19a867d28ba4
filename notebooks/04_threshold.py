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
# # 04 · The smallest kick that matters
#
# Notebook 01 tried kicks of a few sizes. Here the question is turned around: how small may a kick be and still send the
# twin elsewhere? The size at which the barrier at the end crosses a level is the **threshold**. Altıntaş, Kwok, Raffel and
# Rolnick (*The Butterfly Effect*, ICML 2025, [arXiv 2506.13234](https://arxiv.org/abs/2506.13234)) report that a single
# weight is enough at the start, that kicks along another batch's gradient matter more than Gaussian ones, and that kicks
# of some tensors alone suffice.
#
# **In plain words, the claims tested here**
#
# - At the start and at equal L2, a kick of one weight (B02b), of the first layer, the last layer, or the biases alone
#   (B22) matters about as soon as a kick of all weights: its threshold is at most ten times higher.
# - Kicks along another batch's gradient matter sooner than Gaussian ones of equal L2 (B06).
# - Ours: the threshold rises with time (X09); at the start it lies far below what rounding to float16 does (X10); it falls
#   with the scale of the initial weights (X11) and with the number of parameters (X12).
#
# **How it is measured**
#
# - For every seed, time and kind of kick the threshold is found by bisection on a logarithmic scale; the direction of the
#   kick stays the same, only its size changes. A round of all searches of a seed is one training run of a stack.
# - The barrier of a single twin does not rise smoothly with the size of its kick: this is chaos. A bisection finds *a* size
#   at which it crosses the level, and repeats over seeds show by how much that size varies.
# - Networks train in float64. In float32, which has 24 binary digits, kicks near the threshold would be rounded away.
# - Sizes count in the norm of all initial weights, for every kind: kicks of one size are equal in L2. In **binary digits**,
#   a kick of size $2^{-b}$ changes weights of the initial scale from their digit number $b$ on.

# %%
from IPython.display import display

from butterfly import claims, paths, plots
from butterfly.experiments import threshold as experiment
from butterfly.figures import threshold as figures

# %% [markdown]
# ## Parameters
#
# The smallest honest values; `params/<profile>/` holds the larger grids. `variants` are other architectures, each with a
# factor on its initial weights. Ten powers of ten, halved in every round: the resolution is `10 / 2 ** rounds`.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
setting = "mnist1d"
steps = 200
seeds = 2
seeds_per_shard = 2
level = 0.02
smallest = 1e-9
largest = 10.0
rounds = 3
points = 5
kick_times = [0.0, 50.0]
batch_times = [50.0]
parts = True
variants = []

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Search

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %%
thresholds = tables["thresholds"]
thresholds.groupby(["model", "init_scale", "time", "kind"]).size().rename("searches").to_frame()

# %% [markdown]
# ## (a) How small may a kick be?
#
# The threshold against the time of the kick. Dotted: how much rounding the weights to a number format moves them.

# %%
plots.save(*figures.by_time(tables), "04_a_by_time", params.profile)

# %% [markdown]
# ![Threshold against kick time, reference run](../figures/reference/laptop/04_a_by_time.png)
#
# **Figure (a), reference run on a laptop.** Smallest kick that ends across a barrier of 0.1, against the time of the kick.
# MNIST-1D, MLP with 4 hidden layers of 64, in float64; geometric means over n = 8 seeds, bands are 95 % bootstrap
# intervals. Binary digits count from the initial scale of the weights.
#
# At the start a kick of about a hundred-millionth of the weights is enough: less than rounding to float32 does.
# Until a quarter of training the threshold rises by little more than a factor of ten; at half of training only a kick
# as large as the initial weights matters. Kicks along another batch's gradient matter about ten times sooner.

# %% [markdown]
# ## (b) What the search saw
#
# Every network that was tried. A threshold is a summary; here is what it summarises.

# %%
plots.save(*figures.probes(tables, params.level), "04_b_probes", params.profile)

# %% [markdown]
# ![Barrier against kick size for all probes, reference run](../figures/reference/laptop/04_b_probes.png)
#
# **Figure (b), reference run.** Barrier at the end against the size of Gaussian kicks, a point a network; colours are kick
# times; the line is the level. n = 8 seeds, 5 rounds.
#
# Early barriers rise over three powers of ten of kick size and then level off, with much scatter from seed to seed. A
# late kick reaches its level, too, but a lower one: at half of training it lies below the line from 1e-5 to 1e-2. So the
# leap of the threshold in figure (a) says that the barrier which kicks *saturate* at has fallen below 0.1; it is not that
# small kicks suddenly stop growing.

# %% [markdown]
# ## (c) Does it matter what is kicked?
#
# Kicks of equal L2, at the start, of all weights, some tensors, or a single weight.

# %%
if params.parts:
    display(plots.save(*figures.of_parts(tables), "04_c_parts", params.profile))

# %% [markdown]
# ![Threshold for kicks of parts, reference run](../figures/reference/laptop/04_c_parts.png)
#
# **Figure (c), reference run.** Threshold at the start for kicks of equal L2. Grey: seeds; black: geometric mean over
# n = 8 seeds with its 95 % bootstrap interval.
#
# Where the kick lands makes no difference that this search can see: what counts is that something moves.

# %% [markdown]
# ## (d) The scale of the initial weights, and the number of parameters
#
# The defaults above leave out other networks.

# %%
if params.variants:
    display(plots.save(*figures.of_variants(tables), "04_d_variants", params.profile))

# %% [markdown]
# ![Threshold against initial scale and parameter count, reference run](../figures/reference/laptop/04_d_variants.png)
#
# **Figure (d), reference run.** Threshold at the start. Left: the MLP with 4 hidden layers of 32, its initial weights
# multiplied by a factor (sizes still count in the norm before). Right: 4 hidden layers of 16, 32 and 64. Dots are seeds;
# lines geometric means over n = 8 seeds, bands 95 % bootstrap intervals.
#
# Ten times as many parameters lower the threshold some forty times. For the initial scale, over a factor of three, the
# search sees no trend.

# %% [markdown]
# ## Claims
#
# As in notebook 01: *supported* when the whole 95 % interval over seeds lies in the region fixed beforehand,
# *contradicted* when it lies outside. At the defaults two seeds are trained for 200 updates and searched for in three
# rounds, which decides little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
plots.save_table(thresholds, "04_thresholds", params.profile)
claims.write(paths.FIGURES / params.profile / "04_threshold.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run, with n = 8 seeds:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# X11 is `inconclusive` where the interval of the slope holds 0: with thresholds that vary by powers of ten between seeds,
# a threefold range of scales is too short to tell. (A factor of 2 and more on all four layers is no longer this recipe: in a
# trial such networks did not train at its learning rate.)
#
# What holds on every machine, even at these defaults:

# %%
early, late = (thresholds[(thresholds.kind == experiment.ALL) & (thresholds.time == time)] for time in (0, 50))
print("control twins that differ from their parent:", (thresholds.largest_difference > 0).sum())
print("late kicks must be larger:", bool(late.threshold.mean() > early.threshold.mean() + 1))
