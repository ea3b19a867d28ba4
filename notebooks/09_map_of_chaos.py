# %% [markdown]
# # 09 · A map of chaos
#
# Two networks start alike, but for a kick of one part in a hundred thousand. They see the same examples in the same order. Do
# they end in the same valley of the loss? Notebook 01 says: it depends on when the kick comes. Notebook 05 says: it depends
# on the recipe. Here we draw the *map*. One network is the middle of four planes (learning rate by depth, batch size by
# width, warm-up by normalisation, initial scale by activation function), and in every cell of every plane twins are kicked.
#
# > **The question** (after Altıntaş, Kwok, Raffel, Rolnick: *The Butterfly Effect: Neural Network Training Trajectories Are
# > Highly Sensitive to Initial Conditions*, [arXiv 2506.13234](https://arxiv.org/abs/2506.13234)). Where does an early, tiny
# > kick end across a barrier, how long is training chaotic, and does the growth of infinitely small differences tell?
#
# What is known: summaries of the paper say that wide and shallow networks, longer warm-up and larger batches make training
# more stable; its text was not at hand. These claims (MC03 to MC06) are the paper's, all others are our own.
#
# **In short**: the network in the middle is chaotic early (MC01 supported) and calm late (MC01b supported). Every axis of the
# map has a slope, most of them steep, but that of the warm-up, which changes with the last digits of arithmetic (MC06
# inconclusive): figure (a). What makes the chaos is not the linear instability of training, which alone would leave twins
# close together (MC13c supported). Smooth twins end where their tangents say (MC13 supported), ReLU twins a thousand times
# further apart (MC13b supported), because of their kinks: in float64, a twin kicked by 1e-12 meets no flip of a unit in all
# of training and never leaves its tangent (MC14b supported), while one that meets a flip leaves it there (MC14 supported). So
# the growth of tangents does not tell which trainings are chaotic (MC11 contradicted), and barriers do not fall on one curve
# against it (MC12 contradicted).
#
# - A **barrier** is how much the training loss rises on the straight line between twin and parent (notebook 01).
# - It is read **at equal loss**: when the parent's training loss first falls to one common level, the same for all cells.
#   Otherwise cells that learn fast would be compared with cells that have hardly begun. Where fewer than three in four
#   networks come to that loss, the cell did not learn, and is not counted.
# - A **tangent** is the same kick, infinitely small, carried along by the derivative of training (notebook 03). It grows by
#   some factor; so it predicts how far apart twins should be. We hold this distance against the *way* that the parent goes
#   from the kick on: twins that have nothing more in common can hardly be further apart than that.

# %%
from butterfly import data, models
from butterfly.interpolate import barriers
from butterfly.papers.altintas2025 import map_of_chaos_figures as figures
from butterfly.papers.altintas2025.map_of_chaos import study
from butterfly.perturb import Kick
from butterfly.train import Fork, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# One column of a plane: three learning rates, a kick at the start, the barrier at the end.

# %% tags=["nbval-ignore-output"]
task = data.load("mnist1d")
model = models.build("mlp-4x32", task.input_shape, task.classes)
forks, found = [Fork(seed, 0, Kick(size=1e-3)) for seed in (0, 1)], {}
for lr in (0.03, 0.1, 0.3):
    recipe = Recipe(steps=300, batch_size=64, lr=lr, warmup=0.05)
    theta = train(model, task, recipe, [0, 1], forks).theta
    found[lr] = barriers(model, theta[:2], theta[2:], task.x[:500], task.y[:500]).of_loss.tolist()
print(found)

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. `model` is the
# network in the middle. `rates` are learning rates in units of the setting's, `lengths` trainings in units of `steps`,
# `warmups` fractions of training, `scales` what the initial weights are multiplied by (biases start at 0, gains of the
# normalisation stay 1; kicks keep their size). The smallest of `sizes` is kicked at all `kick_times`, the others where
# tangents start as well. `level` is the common training loss. Flips of units are counted in float64, after kicks of
# `kink_sizes`, at the learning rates `kink_rates`.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = "mlp-4x32"
setting = "mnist1d"
steps = 30
seeds = 2
seeds_per_shard = 2
rates = [0.5, 1.0]
depths = [2, 4]
batch_sizes = [32, 64]
widths = [16, 32]
warmups = [0.05, 0.5]
scales = [0.5, 1.0]
lengths = [0.5, 1.0]
sizes = [1e-5, 1e-3]
kick_times = [0.0, 40.0]
tangent_times = [0.0]
level = 2.2
every = 5
examples = 300
points = 5
kink_seeds = 1
kink_rates = [1.0]
kink_sizes = [1e-12, 1e-6]

# %% [markdown]
# ## Train every cell
#
# All seeds of a cell and all their twins are one stack, trained together with the tangents.

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) The map
#
# If chaos is a matter of the recipe, the map should have a coast: a line that runs through all planes, with calm on one side.
# More learning rate and more depth should lead into the chaos; larger batches, more width, a longer warm-up, normalisation
# and smooth units out of it. What the initial scale does was open.
#
# ![The map of chaos, reference run](../figures/reference/laptop/09_a_atlas.png)

# %%
study.show("a", figures.atlas)

# %% [markdown]
# MC02 to MC09 ask for the slope along each axis with the other one held, in decades of the barrier, over the cells that
# learned. A barrier under 0.001 nats counts as 0.001, so a slope through the calm part of the map is flatter than it might
# be. The networks are compared at one training loss, not at one number of updates: a cell that learns quickly is looked at
# early, when twins have had less time to part.
#
# ## (b) How long is training chaotic?
#
# The latest kick that still ends across a barrier, by the end of training, marks the end of the chaotic phase. If chaos ends
# because the learning rate falls, it should last for the same share of training, however long that is. If it ends because
# something has been learned, the updates should count, or the learning rate summed over them.
#
# ![The duration of the chaotic phase, reference run](../figures/reference/laptop/09_b_durations.png)

# %%
study.show("b", figures.durations)

# %% [markdown]
# MC10 asks whether shorter and longer trainings agree better in updates than in percent, MC10b whether trainings at other
# learning rates agree better in summed learning rate than in updates. In all other rows the three clocks are the same but
# for a factor. Cells that are never chaotic, and those that still are at the last kick, are left out of both.
#
# ## (c) Does the tangent tell?
#
# If all that happens were linear instability up to saturation, barriers of all cells, kick times and sizes should fall on one
# rising curve against the predicted distance, and low barriers on its left end.
#
# ![Barrier against predicted growth, reference run](../figures/reference/laptop/09_c_one_curve.png)

# %%
study.show("c", figures.one_curve)

# %% [markdown]
# MC11 asks how often the tangent puts a chaotic twin before a calm one; MC11b asks it of twins that were kicked at the same
# time by the same size, where only the recipe differs; MC11c whether the tangent knows more than time and size of the kick,
# for which the other seeds' twins are the reference. MC12 to MC12d fit a rising curve to three planes and ask how well it
# tells the fourth. The right panel says why a single curve is too much to ask: smooth twins are where their tangents say as
# long as that is not far (MC13), and ReLU twins are much further apart (MC13b). So what the tangent says of a ReLU network
# is not the size of what comes.
#
# ## (d) The first flip
#
# What else, then? A unit that is on in one twin and off in the other makes their gradients differ by a jump. In float64 a
# kick can be so small that no unit flips. If kinks are the cause, such a twin should follow its tangent to the end of
# training, and a larger kick should leave it at the very update of its first flip.
#
# ![Where twins leave their tangents, reference run](../figures/reference/laptop/09_d_take_off.png)

# %%
study.show("d", figures.take_off)

# %% [markdown]
# MC14b and MC14c say that kicks of the two ends of the range do what they should: the smallest meets no flip, the largest
# does. MC14 is about the update at which the twin leaves. That it does not leave before (MC14d) is no finding, but follows
# from what a flip is, up to rounding. In float32, rounding alone is a kick that is large enough to flip units.
#
# ## Claims
#
# As in notebook 01: *supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted*
# when it lies outside, *inconclusive* otherwise; a few short runs of the defaults decide nothing.
#
# What this cannot say: all networks are perceptrons of a few thousand weights, on one easy data set, trained briefly by SGD
# with momentum. One learning rate stands in the middle of all planes but one; with the rate tuned for each cell, the slopes
# may be others. A barrier of 0.05 nats is a convention, the common loss is one of many, and the curve of figure (c) is read
# at that loss, not at the end.

# %% tags=["nbval-ignore-output"]
study.keep("cells", "kinks")
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
twins, flips = study.results["twins"], study.results["kinks"]
controls = twins[twins.kind == "control"]
print("control twins that differ from their parent:", int((controls.largest_difference > 0).sum()))
print("twins that left their tangent before any flip:", int((flips.takeoff < flips.flip).sum()))
