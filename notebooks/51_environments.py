# %% [markdown]
# # 51 · Twins find the groups
#
# A network that may take a shortcut takes it, and is wrong where the shortcut misleads. If each image said to which group it
# belongs, *here the colour agrees, here it does not*, one could train for the worst group. Mostly nobody has recorded that. Can the
# groups be found?
#
# > **The claims** (Pezeshki, Bouchacourt, Ibrahim, Ballas, Vincent, Lopez-Paz: *Discovering Environments with XRM*, ICML 2024,
# > [arXiv 2309.16748](https://arxiv.org/abs/2309.16748)). Two twins, each of which learns one half of the training set and imitates the
# > other's confident mistakes in the half that it does not learn, find groups in training and validation images; networks
# > trained for the worst of these groups do as well in the worst group as those that are told the groups; the share of imitated
# > mistakes says how to tune the twins; and there is no need to stop early.
#
# **In short**: IN_SHORT
#
# Of the paper the abstract was at hand, and notes of its text and of reviews; nothing of the authors' code. Claims that are ours say so.
#
# - **Two cues.** Digits, half of them of the class "5 or more", in two colours. The *shape* gives the label; the *colour* agrees with it
#   but for a share of the images, which *break the rule*. The recorded groups are the four pairs of label and colour, and in
#   the test set, where colours are drawn by the toss of a coin, all four are of the same size up to the label.
# - **Twins.** Each image is learned by one of two networks, by the toss of a coin. At every update the other one, which does not
#   learn it, answers as well, and with a chance of `2 p - 1`, where `p` is the probability of the answer, that answer becomes the label. So a
#   rule that both halves share takes over, and what is learned of the exceptions fades. At the end, what either twin gets
#   wrong, by the original labels, is taken for the exceptions: with the label, four groups.
# - **Training for the worst group** is GroupDRO (Sagawa et al. 2020): the loss is a weighted mean of those of the groups, and at each
#   update the weight of a group grows by the exponential of a tenth of its loss. Classes are as frequent as each other here, so
#   losses are not balanced by class.

# %%
from dataclasses import replace

import torch
from torch.nn.functional import one_hot

from butterfly import data, models
from butterfly.data.coloured import coloured
from butterfly.evaluate import logits
from butterfly.papers.pezeshki2023 import environments_figures as figures
from butterfly.papers.pezeshki2023.environments import study
from butterfly.train import Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Two twins on two halves, which exchange mistakes after every 20 updates (in the study: after every one). Of the images that either of
# them gets wrong at the end, how many break the rule, and how many break it in all?

# %% tags=["nbval-ignore-output"]
task, truth = coloured(data.load("digits"), agreement=0.9, seed=0)
net, recipe = models.build("mlp-1x64", (2, 8, 8), 2), Recipe(steps=20, batch_size=200, lr=3e-3, optimizer="adam")
theta, labels, first = net.init([0, 1]), task.y, torch.rand(len(task.y)) < 0.5
for _ in range(20):
    learned = replace(task, targets=one_hot(labels).float(), weights=torch.stack([first, ~first]).float())
    theta = train(net, learned, recipe, seeds=[0, 1], init=theta).theta
    (p, q), (one, other) = logits(net, theta, task.x).softmax(2).max(2)
    sure, answer = torch.where(first, q, p), torch.where(first, other, one)  # by the twin that does not learn it
    labels = torch.where(torch.rand(len(sure)) < 2 * sure - 1, answer, labels)
wrong, breaks = (one != task.y) | (other != task.y), ~truth.train.agrees
# %% tags=["nbval-ignore-output"]
{"taken for exceptions": int(wrong.sum()), "of these are": int((wrong & breaks).sum()), "of": int(breaks.sum())}

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. `breaking` is the share of the
# training images that break the rule, `rates` are others; in one world labels are `moved` to the other class besides. `tints` are strengths
# of paler colours, `lrs` and `decays` settings of twins that are tuned.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "two-colour-digits"
steps = 100
seeds = 3
seeds_per_shard = 3
other_seeds = 3
other_seeds_per_shard = 3
validation = 297
breaking = 0.1
rates = [0.3]
noisy_breaking = 0.15
moved = 0.25
tints = [0.03, 0.1]
longer = 2.0
lrs = [1e-4, 1e-2]
decays = [0.0, 0.1]
weight_rate = 0.1

# %% [markdown]
# ## Train twins, then networks for the groups that they find

# %% tags=["nbval-ignore-output"]
study.open(globals())
