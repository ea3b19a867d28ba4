# %% [markdown]
# # 80 · The engine
#
# Every figure of this companion trains hundreds of small networks. A program that trains them one after another spends most
# of its time on being told what to do next. There are two remedies: **compile** the program, or train many networks **at
# once**. What is each worth, do they compute the same, and what remains of the gain when networks grow?
#
# > **The question** (Al-Rfou, Alain, Almahairi and many others, the Theano Development Team: *Theano: A Python framework for
# > fast computation of mathematical expressions*, [arXiv 1605.02688](https://arxiv.org/abs/1605.02688)). One writes down an
# > expression; the program derives its gradient and compiles both. How fast is that, held against programs written by hand?
#
# Theano has not been developed for years and is not run here. Its question is asked of the tools of today and of our own stack;
# all claims are ours.
#
# **In short**: on one thread of this machine a stack trains small networks three to five times as fast as a plain loop
# (EN01 supported), and a figure of a thousand in half the time of a compiled loop (EN04 supported). The plain program,
# first batched by `vmap` and then compiled, is a little faster still (EN01d supported, though not under all instruction
# sets): a stack spends more than half of its time outside its matrix products (EN03 contradicted, though not under all
# instruction sets). All ways agree on an update; in float32, rounding has led every network elsewhere by the end of a
# training (EN02c supported).
#
# - *A plain loop*: `torch.nn`, `backward()`, `torch.optim.SGD`, one network after another.
# - *Compiled*: one update of one network as a function (gradient by `torch.func.grad`, momentum, new weights), given to
#   `torch.compile`. Where no compiler works, the claims on it are void, and the ledger says why.
# - *vmap*: the same function for many networks at once, by `torch.func.vmap`; also compiled.
# - *Our stack*: `train`, as all notebooks use it. For ReLU networks its gradient is written out by hand.
# - All see the same weights and minibatches. A repetition has networks of its own, in which all ways take turns, in one process and
#   on one thread; a time is the median over turns. Repetitions are the units of the intervals. Claims are about ratios within a
#   repetition, never about seconds: another machine has other ones.

# %%
import torch

from butterfly import data, models
from butterfly.papers.theano2016 import engine_figures as figures
from butterfly.papers.theano2016.engine import study
from butterfly.train import Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Eight networks as a stack, and the same one by one: the same seeds, the same minibatches, the same end.

# %%
task = data.load("mnist1d")
model = models.build("mlp-4x64", task.input_shape, task.classes)
recipe = Recipe(steps=20, batch_size=64, lr=0.05, schedule="constant", warmup=0.0)
together = train(model, task, recipe, seeds=list(range(8))).theta
alone = torch.cat([train(model, task, recipe, seeds=[seed]).theta for seed in range(8)])
apart = (together - alone).norm(dim=1) / alone.norm(dim=1)
print("a stack of eight ends where eight stacks of one end, to a millionth:", bool((apart < 1e-6).all()))

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. Compiling takes ten
# times as long as all else here, so that nothing is compiled unless `compiled` names an architecture.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "mnist1d"
steps = None
others = ["cnn-2x16"]
compiled = []
seeds = 2
seeds_per_shard = 2
updates = 6
passes = 2
members = 8
looped = 2
counts = [1, 8, 64, 128]
widths = [16, 64]
batches = [16, 64]
course = [1, 10, 50]
directions = 3
figure = 1000

# %% [markdown]
# ## Take turns

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) How long does one update of one network take?
#
# What is the same in all ways is the arithmetic; what differs is how often Python, autograd and the optimiser are asked, and how
# large the pieces are that they are asked for. First the reference run, then the same at the parameters above.
#
# ![Time of an update by every way, reference run](../figures/reference/laptop/80_a_contest.png)

# %%
study.show("a", figures.contest)

# %% [markdown]
# Compiling alone halves the time of the perceptron's loop, but saves little for the convolutional network (EN01c is about the
# worse of the two). Batching alone does as much for the one, and far more for the other (EN01b). They remedy different things:
# batching asks for the same piece of work once for many networks, compiling joins small pieces of work of one update. Together
# they beat our stack (EN01d), whose gradient is written out by hand for the perceptron, but of which nothing is joined. So far
# the compiler, told nothing but the plain program, holds its own. Where the processor is confined to narrower vectors (AVX2,
# SSE; see the ledger), it loses by a few percent: products then take a larger part of a stack's time (EN03), and what a
# compiler can join a smaller one.
#
# ## (b) Do they compute the same?
#
# After one update all ways should agree but for rounding, and their gradients should be those of the loss: EN02 and
# EN02b are checks. EN02b was first about the worst network, of which in one run of 18 a unit stood closer to its kink
# than central differences reach; it is about the typical one now, on new seeds (CHANGELOG). Then rounding errors are
# carried on from update to update. Do they stay below a millionth of the weights?
#
# ![Distance of vmap and stack from the loop, reference run](../figures/reference/laptop/80_b_agreement.png)

# %%
study.show("b", figures.agreement)

# %% [markdown]
# After one update the stack and the loop differ in few last bits, after ten by rounding, and in float64 that remains so
# for a long time. In float32 networks then leave each other one by one, and at the end all lie a third to half of the
# norm of their weights apart (EN02c): as twins do after the smallest of kicks (notebook 04). Even in float64 the
# distance grows by eight orders of magnitude or so. That two programs are "equal to a millionth" is thus a statement
# about an update. What two correct programs share at the end of a training is the distribution of networks, not the
# networks; and twins must be trained by one program, in one stack.
#
# ## (c) How does the cost grow?
#
# The matrix products of an update cannot be had for less, batched as they are in the stack; how close does it come? What a loop
# wastes is a fixed time for every call, so its loss should shrink as networks and minibatches grow.
#
# ![Time against members, width and examples, reference run](../figures/reference/laptop/80_c_sizes.png)

# %%
study.show("c", figures.sizes)

# %% [markdown]
# A stack of one costs nearly what the loop does: the gain lies in the number. Most of it is there with 16 networks and all with
# 64; of a thousand, each costs about a tenth more (EN03b allows a quarter). The gain shrinks as networks become wider (EN03c) and
# minibatches larger (EN03d), from sevenfold at 16 units to one and a half at 256, where the products alone take more than half of
# the stack's time. At the size that this companion trains they take less (EN03): the rest goes into activation functions, the
# loss, the momentum and the fetching of minibatches, which a compiler can join, and does.
#
# ## (d) What does a figure cost?
#
# Compiling is paid once, whatever the number of networks. From the times of (a), for a training of full length:
#
# ![Seconds against the number of networks, reference run](../figures/reference/laptop/80_d_bill.png)

# %%
study.show("d", figures.bill)

# %% [markdown]
# The first update of a compiled program takes about nine seconds, most of them spent in the C++ compiler: several times
# what one network needs for a whole training (EN04b). In a loop it has paid after some twenty networks (EN04c), batched
# after about a hundred, held against our stack. A thousand networks take the plain loop more than a quarter of an hour,
# the stack four minutes, the compiled batch three.
#
# Why, then, does this companion not compile? Because each architecture, minibatch and size of a stack is compiled anew, and its
# notebooks train dozens of kinds for a few seconds each; and because a C++ compiler is not everywhere. For one figure of
# thousands of equal networks it would pay.
#
# ## Claims
#
# *Supported* when the whole 95 % interval over repetitions lies in the region fixed beforehand, *contradicted* when it lies outside,
# *inconclusive* otherwise. All but the checks are claims about this machine and these versions. What this cannot say: how it goes on
# a GPU, with large networks, or with several threads; and whether a compiler told more about these programs would do better.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, whatever its clock says:

# %%
contest, gradients = study.results["contest"], study.results["gradients"]
print("after one update all ways agree to a millionth:", bool(contest.apart.max() < 1e-6))
print("gradients are those of the loss, to a millionth:", bool(gradients.error.max() < 1e-6))
