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
# # 08 · The machine as a kick
#
# Two runs of one program on two machines are rarely the same to the last bit. Notebook 04 found how small a kick matters:
# at the start, about the rounding of a float32. So another instruction set, another order of summation, another number
# format is a kick as well. How large a one? No paper has measured this; here every such difference gets a size, in the
# same units as the kicks of the other notebooks.
#
# **In plain words, the claims tested here** (all ours)
#
# - The same program in another process gives the same bits (X28); so does a second thread (X29), and it does not matter in
#   which stack, or where in it, a network trains (X30).
# - Another instruction set of the same processor ends in another valley (X31), and so do another order of the examples
#   *within* each minibatch (X32) and float64 in the place of float32 (X33).
# - All that is worth less than a kick of a millionth of the weights (X34); bfloat16 is worth more (X35).
# - Noise that was meant to be matched and is not is far larger: unmatched dropout (X36) and unmatched augmentation (X37) are
#   worth more than a kick of a thousandth of the weights.
# - A schedule that begins with a learning rate of 0 makes the first update do nothing (X38): a kick after it is a kick at the
#   start (X39).
#
# **How it is measured**
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

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import machine as experiment
from butterfly.figures import machine as figures

# %% [markdown]
# ## Parameters
#
# The smallest honest values; `params/<profile>/` holds the larger grids.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
setting = "mnist1d"
images = "digits"
steps = 200
seeds = 2
seeds_per_shard = 2
variants = ["another process", "order of the members", "float64", "order within minibatches"]
early = 2.0
sizes = [1e-08, 1e-05, 0.01]
dropout = 0.1
rotate = 10.0
size = 0.001
points = 5

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train, again and again

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %%
pairs = tables["pairs"]
pairs.groupby(["world", "variant"], sort=False).size().rename("pairs").to_frame()

# %% [markdown]
# ## (a) How large a kick?
#
# Differences that are exactly 0 stand at the left, at "none".

# %%
plots.save(*figures.worth(tables), "08_a_worth", params.profile)

# %% [markdown]
# ![Size of the kick that each difference is worth, reference run](../figures/reference/laptop/08_a_worth.png)
#
# **Figure (a), reference run on a laptop.** Size of the Gaussian kick at the start that takes a twin as far within the first
# 1 % of training. Grey: seeds; black: geometric mean over n = 6 seeds with its 95 % bootstrap interval (smaller than the dot).
# MNIST-1D; unmatched augmentation on handwritten digits.
#
# Where nothing is added in another order, bits stay the same: another process, a second thread, another place in the stack.
# (This processor's widest instructions for these kernels are AVX2, so to name them changes nothing.) Sums in another order
# are kicks of a few hundred-millionths of the weights, and the rounding of float32 against float64 one of a ten-millionth:
# 23 to 25 binary digits, above the threshold of notebook 04. bfloat16 is ten thousand times larger; unmatched noise is larger still, a few percent of the weights.

# %% [markdown]
# ## (b) What becomes of it
#
# Barrier and disagreement at the end of training, against the size. Black: Gaussian kicks.

# %%
plots.save(*figures.consequences(tables), "08_b_consequences", params.profile)

# %% [markdown]
# ![Barrier and disagreement against the worth of each difference, reference run](../figures/reference/laptop/08_b_consequences.png)
#
# **Figure (b), reference run.** Left the loss barrier, right the share of test answers that differ at the end, against the
# size. Black: Gaussian kicks with 95 % bootstrap bands; markers: means over n = 6 seeds.
#
# On this scale the machine's kicks do at the end what Gaussian kicks of their size do, or rather more: they are given anew at
# every update. After another order of summation a third of the test answers differ, almost as many as after any kick.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies
# outside; what the defaults leave out is *inconclusive*.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
plots.save_table(pairs, "08_pairs", params.profile)
claims.write(paths.FIGURES / params.profile / "08_machine.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# On processors that offer no choice of instructions, X31 will come out otherwise.
#
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
ruler = pairs[(pairs.variant == "ruler") & (pairs["size"] == 0)]
again = pairs[pairs.variant == "another process"]
print("largest distance of control twins, and of a second process:", ruler.late.max(), again.late.max())
print(
    "an order of its own within minibatches differs:", bool((pairs[pairs.variant == experiment.WITHIN].late > 0).all())
)
