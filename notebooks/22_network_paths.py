# %% [markdown]
# # 22 · Networks as paths
#
# Show a network many inputs. Each of its layers represents them somehow; layer by layer the input turns into an answer.
# Measure how far apart any two representations are, and the network becomes a *path*: from the input, through its layers,
# towards the targets.
#
# > **The claims** (Lange, Kwok, Matelsky, Wang, Rolnick, Kording: *Neural Networks as Paths through the Space of
# > Representations*, [arXiv 2206.10999](https://arxiv.org/abs/2206.10999), and PMLR 221). How long paths are, how straight,
# > and how much each step gains depends on training, width and depth in systematic ways.
#
# The abstract asks how; most directions tested here, and that untrained networks lead nowhere, are our own guesses.
#
# **In short**: on average training straightens the path (R03 supported) and leads it to the targets (R02 supported),
# though each step turns only a few degrees towards them. Whether with the debiased estimate its length depends on the
# number of examples, by half a percent or more for each doubling, is not decided (R09 inconclusive).
#
# - A representation is the matrix of inner products between all examples, centred such that unrelated ones are orthogonal
#   ("U-centred"), as a direction: a point on a sphere. The distance is the angle between two, *Angular CKA*, and the
#   shortest way between two points is an arc. Length, angles and projections follow from the cosines in closed form.
# - *Tortuosity* is the length of a path over that of the straight way: 1 for an arc. In high dimensions a path of `k` equal
#   steps in unrelated directions has about the square root of `k`: that is what winding by chance looks like.
# - The targets are the true answers as a representation: two examples are alike if they have the same label.

# %%
from torch.nn.functional import one_hot

from butterfly import data, geometry, models, represent
from butterfly.papers.lange2023 import network_paths_figures as figures
from butterfly.papers.lange2023.network_paths import study
from butterfly.train import Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# One trained network as a path: how far each of its points lies from the targets, in radians, and how long the path is,
# measured by the straight way.

# %%
task = data.load("mnist1d")
model = models.build("mlp-4x32", task.input_shape, task.classes)
recipe = Recipe(steps=200, batch_size=64, lr=3e-3, optimizer="adamw")
theta = train(model, task, recipe, seeds=[0]).theta
x, y = task.x_test[:300], task.y_test[:300]
layers = {"input": x.flatten(1)} | {name: h[0] for name, h in model.features(theta, x).items()}
cosines = represent.cka([*layers.values(), one_hot(y, task.classes)])
away = dict(zip(layers, geometry.arc(cosines[:-1, -1]).tolist(), strict=True))
away["length / chord"] = float(geometry.tortuosity(cosines[:-1, :-1]))
{name: round(value, 2) for name, value in away.items()}

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
setting = "mnist1d-paths"
steps = 200
seeds = 3
seeds_per_shard = 3
widths = [16, 32]
depths = [2, 4]
checkpoints = [0.0, 20.0, 100.0]
examples = 300
subsets = [50, 100, 200]

# %% [markdown]
# ## Train, and look at every layer

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) What training does to paths
#
# First the reference run, then the same at the parameters above.
#
# ![Length, tortuosity, angle and progress over training, reference run](../figures/reference/laptop/22_a_over_training.png)

# %%
study.show("a", figures.over_training)

# %% [markdown]
# A step at 90 degrees makes no progress. Watch how far the third panel leaves 90 degrees, and where the fourth still ends: in a
# space of so many dimensions slightly favourable steps add up.
#
# ## (b) Layer by layer towards the targets
#
# ![Distance to the targets along the path, reference run](../figures/reference/laptop/22_b_towards.png)

# %%
study.show("b", figures.towards)

# %% [markdown]
# Before training, layers should neither approach the targets nor leave them by much (R02b); after it, R02 compares the first
# point with the last. Single steps may still lead away, as the last one does in some networks.
#
# ## (c) How winding?
#
# The same by four measures of distance: angular CKA with a linear and with a Gaussian kernel, and two distances after the
# best rotation (shape metrics).
#
# ![Length over chord by depth and measure, reference run](../figures/reference/laptop/22_c_winding.png)

# %%
study.show("c", figures.winding)

# %% [markdown]
# That deeper networks wind more (R06) holds for untrained networks as well, where each layer is a step in a random direction:
# it is a check of the measurement. The question is whether training straightens the path by every measure.
#
# ## (d) Pictures
#
# The paths of one seed drawn in the plane, so that distances are kept as well as can be. A picture, not a measurement: the
# plane has no room for so many orthogonal steps.
#
# ![Paths of one seed drawn in the plane, reference run](../figures/reference/laptop/22_d_pictures.png)

# %%
study.show("d", figures.pictures)

# %% [markdown]
# ## (e) How many examples does it take?
#
# ![Length of a path against the number of examples, reference run](../figures/reference/laptop/22_e_bias.png)

# %%
study.show("e", figures.bias)

# %% [markdown]
# R09 allows a change of half a percent for each doubling of the number of examples; R09b asks the biased estimate for more.
# Examples are drawn anew for each seed, so that the intervals hold for examples of this test set and not for five subsets.
#
# ## (f) Do networks of one architecture take one path?
#
# ![Distances between paths of different architectures, reference run](../figures/reference/laptop/22_f_between.png)

# %%
study.show("f", figures.between)

# %% [markdown]
# The diagonal is the distance between two seeds of one architecture. The deeper two networks, the further apart they are, of one
# architecture or two; so R07 holds the distance between two architectures against those within each of them.
#
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies
# outside, *inconclusive* otherwise: three seeds trained for 200 updates say little about the reference run.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
start, end = (some for _, some in study.results["paths"].query("time in [0, 100]").groupby("time"))
print("trained networks come closer to the targets than untrained ones:", bool(end.end.mean() > start.end.mean() + 0.1))
print("deeper networks take longer paths:", bool(end.groupby("depth").length.mean().is_monotonic_increasing))
