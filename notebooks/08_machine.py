# %% [markdown]
# # 08 · The machine as a kick
#
# Two runs of one program on two machines are rarely the same to the last bit. Notebook 04 asks how small a kick still
# matters. Another instruction set, another order of summation, another number format is a kick as well. How large a one? No
# paper has measured this; here every such difference gets a size, in the same units as the kicks of the other notebooks,
# and all claims are ours. Noise that was meant to be matched and is not is measured in the same way.
#
# **In short**, for the processor of the reference run: another instruction set (X31 supported, though not under all
# instruction sets: a processor confined to the plainest has no other) or another order of the examples in a minibatch (X32
# supported) ends in another valley. Both are worth less than a kick of a millionth of the weights (X34 supported), bfloat16
# more (X35 supported), unmatched dropout more than a thousandth (X36 supported).
#
# - *The ruler.* In float64, twins are kicked at the start with Gaussian kicks of known sizes, and their distance from
#   the parent is read soon after (at `early` percent of training). Any two runs of the same seed can be laid on it: the
#   difference between them is **worth** the kick that takes a twin as far. In **binary digits**, a kick of size
#   $2^{-b}$ changes a typical initial weight in its $b$-th digit.
# - Rounding happens at every update, not once; the size is that of the single kick at the start that does the same.
# - *Instruction sets and threads* are set by environment variables in a process of its own (`ATEN_CPU_CAPABILITY` and its
#   like). All start from the same initial weights: another instruction set would draw others, in their last bits. On a
#   GPU, the profile `gpu` adds TF32 and kernels that add in a random order; that was not run here.
# - *Unmatched* twins draw their dropout masks, augmentation (small rotations of handwritten digits) or order of examples anew;
#   each such recipe has a ruler of its own.
# - A schedule that begins with a learning rate of 0 makes the first update do nothing (X38), so that a kick after it is a kick
#   at the start (X39). Both follow from the schedule, and X28 from the program: they are checks, not findings.
# - What holds for a seed (the same bits, another valley) is counted over seeds, with the interval of a share. A difference
#   worth as much as the largest kick of the ruler, or more, has no upper bound.

# %%
import torch

from butterfly import data, models
from butterfly.papers.altintas2025 import machine_figures as figures
from butterfly.papers.altintas2025.machine import study
from butterfly.perturb import Kick
from butterfly.train import Fork, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# How far does float32 take a network from float64 within twenty updates, and how far does a kick of a ten-millionth?

# %%
task = data.load("mnist1d")
model = models.build("mlp-4x64", task.input_shape, task.classes)
recipe = Recipe(steps=20, batch_size=64, lr=0.15)
short = train(model, task, recipe, seeds=[0]).theta
forks = [Fork(0, 0, Kick(size=1e-7))]
parent, kicked = train(model, task.to("cpu", torch.float64), recipe, seeds=[0], forks=forks).theta
print(f"float32: {(short[0] - parent).norm():.1e}, a kick of 1e-7: {(kicked - parent).norm():.1e}")

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. `recipe` takes any field, as in `{"lr": 0.1}`.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "mnist1d"
images = "digits"
steps = 100
seeds = 2
seeds_per_shard = 2
variants = ["another process", "order of the members", "float64", "order within minibatches"]
early = 2.0
sizes = [1e-08, 1e-05, 0.01]
dropout = 0.1
rotate = 10.0
size = 0.001
points = 5

# %% [markdown]
# ## Train, again and again

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) How large a kick?
#
# What adds the same numbers in the same order should give the same bits. Differences that are exactly 0 stand at the left,
# at "none". First the reference run, then the same at the parameters above.
#
# ![Size of the kick that each difference is worth, reference run](../figures/reference/laptop/08_a_worth.png)

# %%
study.show("a", figures.worth)

# %% [markdown]
# Where nothing is added in another order, bits should stay the same: another process, a second thread (X29), another place
# in the stack (X30). Sums in another order, and the rounding of float32 against float64, are kicks of less than a millionth
# of the weights (X34); bfloat16 is a larger one (X35), and unmatched noise larger still (X36, X37).
#
# ## (b) What becomes of it
#
# If the size tells all, a difference does at the end what a Gaussian kick of that size does.
#
# ![Barrier and disagreement against the worth of each difference, reference run](../figures/reference/laptop/08_b_consequences.png)

# %%
study.show("b", figures.consequences)

# %% [markdown]
# The machine's kicks are given anew at every update, Gaussian ones once; a difference that lies above the black line does more
# at the end than its size soon after the start tells.
#
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies
# outside; what the defaults leave out is *inconclusive*. On processors that offer no choice of instructions, X31 will come
# out otherwise.

# %% tags=["nbval-ignore-output"]
study.keep("pairs")
study.verdicts()

# %% [markdown]
# ## Before you call two runs the same: a checklist
#
# 1. **Noise.** Dropout masks, augmentation and the order of the examples come from streams keyed by seed and step, not from a
#    global random state that both runs draw from in turn. Then run a control: the twin that is not kicked.
# 2. **Bits.** The control must be identical to the last bit, to the end. If it is not, all that follows measures rounding.
# 3. **Precision.** The same number format, and no TF32 in one of the two.
# 4. **Machine.** The same instruction set and, on a GPU, deterministic kernels. Twins in one stack, trained in lockstep,
#    share all of this by construction.
# 5. **Sums.** The same batch shapes, the same order of the examples within a minibatch: floating-point addition is not
#    associative.
# 6. **Schedule.** With a first learning rate of 0, "before update 0" and "before update 1" are one time.
# 7. **Report** the threshold (notebook 04) beside a result. A difference below it is no difference of the method.
#
# What holds on every machine, even at these defaults:

# %%
pairs = study.results["pairs"]
ruler = pairs[(pairs.variant == "ruler") & (pairs["size"] == 0)]
again, within = (pairs[pairs.variant == name] for name in ("another process", "order within minibatches"))
print("largest distance of control twins, and of a second process:", ruler.late.max(), again.late.max())
print("an order of its own within minibatches differs:", bool((within.late > 0).all()))
