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
# **In short**: on digits one permutation, found at the end, aligns two networks all along their training (P02 supported) and
# when they are pruned to a tenth of their weights (P06 supported). Yet permutations keep changing once they align the end
# as well as the last one (P04 supported). Not so in residual networks of width 8 on 2,000 images of CIFAR-10 (profile
# `cifar`): no permutation that weight matching finds removes most of their barrier, at the end of training (P01@cifar
# contradicted) or before (P02@cifar contradicted), or when they are pruned (P06@cifar contradicted). They are narrow: with
# twice the width, the error barrier of pairs that are aligned falls from 0.68 to 0.52 in notebook 21; wide ones were not tried.
#
# - Pairs of networks of different seeds; no network is in two pairs. The **error barrier** is the largest excess of the
#   training error on the straight line between two networks over the line between their errors.
# - *Weight matching* and *activation matching* as in notebook 02. As controls, no permutation and a random one.
# - **Pruning**: at every level the smallest weights in the whole network are set to zero for good (biases stay), the rest
#   goes back to the values it had early in training (the rewind point) and trains on to the end from there.

# %%
import torch

from butterfly import align, data, models
from butterfly.interpolate import barriers
from butterfly.papers.sharma2024 import trajectory_figures as figures
from butterfly.papers.sharma2024.trajectory import study
from butterfly.train import Observer, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Two networks, and the permutation that matches them at the end of training, tried at every checkpoint: the error barrier
# without it, and with it.

# %%
task, recipe = data.load("digits"), Recipe(steps=200, batch_size=16, lr=0.1, warmup=0.1)
model = models.build("mlp-2x64", task.input_shape, task.classes)
copy = Observer("copy", lambda now: now.theta.clone(), frozenset({10, 20, 100, 200}))
seen = dict(train(model, task, recipe, seeds=[0, 1], observers=[copy]).recorded("copy"))
last = align.weight_matching(model.layout, seen[200][:1], seen[200][1:]).permutation
a, b = torch.stack(list(seen.values()), 1)  # a network at every checkpoint, and the other
moved = torch.cat([align.permute(model.layout, network[None], last) for network in b])
before, after = (barriers(model, a, other, task.x, task.y).of_error for other in (b, moved))
{step: (round(float(x), 2), round(float(y), 2)) for step, x, y in zip(seen, before, after, strict=True)}

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. Every level of pruning removes a `fraction` of the
# weights that are left. Checkpoints and the rewind point are percentages of the training steps.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
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

# %% [markdown]
# ## Train, align, prune, transport

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) One permutation, every checkpoint
#
# Each line is one permutation, fitted at one checkpoint and tried at all. If permutations were accidents of the moment,
# each would be good only where it was fitted. First the reference run, then the same at the parameters above.
#
# ![Barrier along training under permutations, reference run](../figures/reference/laptop/20_a_along.png)

# %%
study.show("a", figures.along)

# %% [markdown]
# P02 and P02b ask for the checkpoint, from 2 % of training on, at which the last permutation leaves the largest part of the mean
# barrier; before that there is little to align. The
# dark lines, permutations fitted late, should stay low everywhere; the light ones, fitted early, rise as training goes on.
#
# ## (b) When is it found?
#
# ![Barrier at the end, and shared units, against the checkpoint fitted at](../figures/reference/laptop/20_b_at_the_end.png)

# %%
study.show("b", figures.at_the_end)

# %% [markdown]
# If a permutation fitted before the end aligns the end as well as the last one does, and yet puts other units in the same
# place, then many permutations serve, and which of them is found tells little. P04 takes, in each pair, the first permutation
# whose barrier at the end is within 0.01 of that of the last, and counts the units that both place alike; pairs in which only
# the last one aligns the end are left out, since nothing is known of them.
#
# ## (c) Pruned networks
#
# The reference run prunes seven levels of 30 %, rewound to 10 % of training.
#
# ![Barrier between pruned networks, reference run](../figures/reference/laptop/20_c_pruned.png)

# %%
study.show("c", figures.pruned)

# %% [markdown]
# P06 asks for the level, among those that keep a tenth of the weights or more, at which the dense permutation leaves most of
# the barrier. Permutations fitted to the pruned networks themselves can do better, and need have little in common with it
# (P07).
#
# ## (d) Carrying a mask over
#
# Prune one network, permute its mask into the frame of another, and train that one with it. On the right, errors are
# compared with that under the same mask as it is, pair by pair.
#
# ![Test error with transported masks, reference run](../figures/reference/laptop/20_d_transported.png)

# %%
study.show("d", figures.transported)

# %% [markdown]
# While many weights are left, all masks do about as well on this easy task. What P08 compares is the sparsest level.
#
# ## Claims
#
# *Supported* when the whole 95 % interval over pairs lies in the region fixed beforehand, *contradicted* when it lies
# outside, *inconclusive* otherwise: three pairs trained for 200 updates decide little.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
end = study.results["along"].query("metric == 'error' and at == 100")
plain, last = (some.groupby("method").value.mean() for some in (end, end[end.fitted == 100]))
print("weight matching removes more than half of the barrier:", bool(last.weights < 0.5 * plain["none"]))
print("a random permutation does not:", bool(plain.random > 0.5 * plain["none"]))
