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
# # 23 · Chaos seen as paths
#
# Notebook 01 kicks a network in training and finds its twin in another valley. Notebook 22 draws networks as paths through
# the space of representations. Put together: does a kicked twin take the same path as its parent, or another one, and if
# another, where do they part? No paper has this; all claims are ours.
#
# **In plain words, the claims tested here**
#
# - The later the kick, the closer the path of the twin to that of its parent (X13).
# - Twins kicked at the start take paths as far apart as networks of different seeds do (X14).
# - Paths of different seeds run closer than paths of different architectures (X15).
# - Early twins do not part in the first layer already (X16).
# - The higher the barrier between two networks, the further off the direct way are the representations of the network
#   halfway between their weights (X17).
#
# **How it is measured**
#
# - The distance between two representations is Angular CKA, as in notebook 22; that between two paths is its mean over the
#   layers, each with its counterpart.
# - The *detour* over the network halfway: how much longer it is, in representations, from one network to the other by way of
#   the network whose weights are the mean of theirs. 0 means that the halfway network lies on the direct way.
# - *Another architecture* is half as wide and equally deep.

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import chaos_paths as experiment
from butterfly.figures import chaos_paths as figures

# %% [markdown]
# ## Parameters
#
# The smallest honest values; `params/<profile>/` holds the larger ones.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
setting = "mnist1d"
architecture = "mlp-4x32"
steps = 200
seeds = 3
seeds_per_shard = 3
kick_times = [0.0, 25.0, 50.0]
size = 0.01
points = 5
examples = 300

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train and compare

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %%
pairs, layers = tables["pairs"], tables["layers"]
pairs.groupby("kind", sort=False).size().rename("pairs").to_frame()

# %% [markdown]
# ## (a) The same path?

# %%
plots.save(*figures.by_time(pairs), "23_a_by_time", params.profile)

# %% [markdown]
# ![Distance between the paths of twins by kick time, reference run](../figures/reference/laptop/23_a_by_time.png)
#
# **Figure (a), reference run on a laptop.** Distance between the paths of twin and parent against the time of a Gaussian kick
# of 0.01; dashed: between networks of different seeds, and of different architectures. MNIST-1D, MLP with 4 hidden layers
# of 64; n = 10 seeds; bands are 95 % bootstrap intervals of the mean over seeds.
#
# Kicked at the start, a twin ends on a path nearly as far from its parent's as if it had been another seed, or indeed
# another architecture. At half of training half of that is left, at 80 % next to nothing.

# %% [markdown]
# ## (b) Where do they part?

# %%
plots.save(*figures.by_layer(layers), "23_b_by_layer", params.profile)

# %% [markdown]
# ![Distance between paths layer by layer, reference run](../figures/reference/laptop/23_b_by_layer.png)
#
# **Figure (b), reference run.** Distance between the representations of two networks in each layer; right, relative to the
# layer in which they are furthest apart. Dotted: half of it. n = 10 seeds; bands are 95 % bootstrap intervals of the mean.
#
# At once: after the first layer, networks are already more than half as far apart as they get, whenever they were kicked
# and even if they share nothing but the data.

# %% [markdown]
# ## (c) Is halfway in the weights halfway in representations?

# %%
plots.save(*figures.detours(pairs), "23_c_detours", params.profile)

# %% [markdown]
# ![Detour over the halfway network against the barrier, reference run](../figures/reference/laptop/23_c_detours.png)
#
# **Figure (c), reference run.** How much longer the way over the network halfway is than the direct one, mean over layers,
# against the loss barrier; a point a pair; logarithmic. n = 10 seeds.
#
# Where there is no barrier the network halfway represents things halfway, within a percent or so; across a barrier it
# represents them in a way of its own, the more so the higher the barrier.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies
# outside. Three seeds trained for 200 updates decide little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
claims.write(paths.FIGURES / params.profile / "23_chaos_paths.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run, with n = 10 seeds:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
control, twins = pairs[pairs.kind == "control"], pairs[pairs.kind == "twin"]
means = twins.groupby("time").distance.mean()
print("control twins that differ from their parent:", (control.largest_difference > 0).sum(), "of", len(control))
print("the later the kick, the closer the paths:", bool(means.is_monotonic_decreasing))
