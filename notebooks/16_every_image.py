# %% [markdown]
# # 16 · The difficulty of every example, to take away
#
# Notebooks 10 to 15 ask what scores of example difficulty mean and how far they can be trusted. This one makes something to
# take away: an ensemble is trained on a whole data set, and every score that logits suffice for is kept for every training
# example, in the original order, with the mean and the standard deviation over networks, as one parquet file with a card.
#
# > **The question** (after Kwok, Anand, Frankle, Dziugaite, Rolnick: *Dataset Difficulty and the Role of Inductive Bias*,
# > [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)). Scores are noisy from run to run; averaged over runs they are less so.
# > Are means over a few runs reliable enough to be handed on?
#
# **In short**: the paper's remedy for noise is to average over runs, and its authors average over many. Over 16 runs
# the mean of EL2N is more reliable than one asks of a test on which something hangs (EI01 supported), also by the ranks
# within classes, which know nothing of which class is hard (EI01b supported). So it is for 16 small convolutional networks on
# all 50,000 training images of CIFAR-10 at 16 x 16 pixels (EI01@cifar supported, EI01b@cifar supported), whose scores are
# released with the reference (`figures/reference/cifar/16_scores_cifar10half.parquet`). The claims are ours.
#
# - *Reliability* of one network's scores: their rank correlation with those of another network. Networks are paired so that
#   none is in two pairs, which makes the pairs independent.
# - Reliability of a *mean over k networks*, by Spearman and Brown: `k r / (1 + (k - 1) r)`, if `r` is that of one.
# - Where the data are CIFAR-10 and the votes of people are at hand (notebook 14 says where to get them), the scores of all
#   50,000 images are held against them, and the card says how well they agree. In the reference run EL2N of one network, 57 %
#   right on test images, has a rank correlation of 0.13 with how many of three people were wrong about a training image, and
#   of 0.19 (0.25 freed of noise) with the entropy of the votes of 50 people about a test image: hard for such networks is
#   mostly something else than hard for people. (Images were read from a copy encoded anew as JPEG, with small errors of pixels.)

# %%
import torch

from butterfly import data, models
from butterfly.papers.kwok2024 import every_image_figures as figures
from butterfly.papers.kwok2024.every_image import card, study
from butterfly.score import ScoreLogger
from butterfly.train import Observer, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Two networks, looked at five times while they train: how alike do they rank the examples by EL2N?

# %%
task = data.load("digits")
model = models.build("mlp-2x64", task.input_shape, task.classes)
logger = ScoreLogger(task.ids, task.y, networks=2)
look = Observer("look", lambda now: logger.watch(model, now.theta, task.x), frozenset(range(20, 101, 20)))
train(model, task, Recipe(steps=100, batch_size=32, lr=0.05), seeds=[0, 1], observers=[look])
ranks = logger.scores(["el2n.mean"])["el2n.mean"].argsort(1).argsort(1).double()
print("rank correlation of two networks:", round(float(torch.corrcoef(ranks)[0, 1]), 1))

# %% [markdown]
# ## Parameters
#
# A network is named as `setting/architecture`; `real` is a second one, or "". The profile `cifar` takes all of CIFAR-10.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
main = "digits-scores/mlp-2x64"
steps = 60
real = ""
runs = 8
runs_per_shard = 8
looks = 8

# %% [markdown]
# ## Train, and score every example

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) How reliable are the scores?
#
# ![Reliability of every released score, reference run](../figures/reference/laptop/16_a_reliability.png)

# %%
study.show("a", figures.reliability, on=main)

# %% [markdown]
# Scores that count (how often an answer was right, when it was first) have many ties when networks are looked at a few times
# only, and are less reliable for it; smooth ones need fewer networks.
#
# ## (b) Hard, or undecided?
#
# ![Every example by mean and spread of its difficulty, reference run](../figures/reference/laptop/16_b_difficulty.png)

# %%
study.show("b", figures.difficulty, on=main)

# %% [markdown]
# An example can be hard for every network, or hard for some: the mean alone does not tell. The file holds both.
#
# ## The files
#
# One for each network; the card says what every column is.

# %%
for network in study.params.places.values():
    here = study.results.at("network", network)
    name = f"scores_{study.params.trained(network).data}"
    study.release(name, here.kept["released"][network], card(here))
    print(f"{study.number}_{name}.parquet: {len(here.kept['released'][network])} examples")
study.results["people"]

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval over pairs of networks lies in the region fixed beforehand, *contradicted* when it
# lies outside, *inconclusive* otherwise.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What a small ensemble of one kind of network cannot say: which examples are hard for another kind. Notebook 12 finds such
# examples, and notebook 13 how many networks it takes to find them.
