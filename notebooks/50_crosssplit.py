# %% [markdown]
# # 50 · Twins that repair each other's labels
#
# Some labels of a training set are wrong, and nobody knows which. A network that trains for long learns them all by heart.
# Give two networks one half of the data each: neither can know by heart the labels that only the other one saw. So each may
# tell the other which labels look wrong.
#
# > **The claims** (Kim, Baratin, Zhang, Lacoste-Julien: *CrossSplit: Mitigating Label Noise Memorization through Data
# > Splitting*, [arXiv 2212.01674](https://arxiv.org/abs/2212.01674), ICML 2023). A network trained on one part of the data
# > cannot memorise the pairs of example and label of the other part; so the labels given to each network can be adjusted
# > smoothly by what its peer predicts, and this is better than training on the labels as they are.
#
# Of the paper, the abstract was at hand and second-hand notes on how labels are mixed; neither its body nor its code. Its other
# half, where each network also learns from the inputs of its peer's half without labels, is left out here, and so are its image
# sets and its comparisons with other methods. What is tested is the correction of labels alone, on small handwritten digits.
#
# **In short**: PLACEHOLDER
#
# **How it is done.** Every arm trains two networks with the same labels, and is tested by the mean of their probabilities, so
# that no arm wins by averaging alone:
#
# | arm | each network learns from | its targets |
# |---|---|---|
# | plain | all examples | the labels |
# | split only | its own half | the labels |
# | mixed only | all examples | labels mixed with the peer's prediction |
# | both | its own half | labels mixed with the peer's prediction |
#
# - *Mixing*: once an epoch each network predicts the class of every example. The peer's target becomes `(1 - s) * label + s *
#   prediction`, where `s` is the Jensen-Shannon divergence of the two in bits: 0 where they agree, 1 where the prediction is
#   certain of another class. In the first tenth of training labels are left as they are. (The paper normalises the divergence;
#   how, we do not know.)
# - *Noise*: symmetric noise moves a share of all labels to any other class. Asymmetric noise moves a share of the labels of
#   five classes to a class that each is easily taken for: 2 to 7, 3 to 8, 7 to 1, and 5 and 6 to each other (after Patrini et
#   al. 2017, [arXiv 1609.03683](https://arxiv.org/abs/1609.03683)). At 40 % about a fifth of all labels are wrong then.
# - *Equal training*: all networks take the same number of updates at the same constant step. In a minibatch of 32 a network of
#   a split arm learns from the about 16 examples that are its own.

# %%
from dataclasses import replace

import torch

from butterfly import data, models
from butterfly.evaluate import predictions
from butterfly.papers.kim2023 import crosssplit_figures as figures
from butterfly.papers.kim2023.crosssplit import study
from butterfly.train import Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Half of the labels are wrong. Two networks train on one half of the examples each, and then say what they see in all: of the
# wrong labels, how many are predicted, and for how many the true class.

# %%
clean = data.load("digits")
task, wrong = data.with_label_noise(clean, fraction=0.5, seed=0)
model = models.build("mlp-1x256", task.input_shape, task.classes)
first = torch.randperm(len(task.y), generator=torch.manual_seed(0)) % 2 == 0
own = torch.stack([first, ~first])  # one row a network
recipe = Recipe(steps=1000, batch_size=32, lr=0.3, momentum=0.0, schedule="constant")
theta = train(model, replace(task, weights=own.float()), recipe, seeds=[0, 1]).theta
said = {"wrong label": predictions(model, theta, task.x) == task.y, "true class": predictions(model, theta, task.x) == clean.y}
halves = {"own half": own & wrong, "half of the peer": ~own & wrong}
{(half, what): round(float(hit[some].float().mean()), 2) for half, some in halves.items() for what, hit in said.items()}

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. `warm_up` is in percent
# of training.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "digits-twins"
steps = 800
seeds = 3
seeds_per_shard = 4
noises = [["symmetric", 0.5], ["asymmetric", 0.4]]
warm_up = 6.0
looks = 10

# %% [markdown]
# ## Train all pairs

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) What is learned by heart
#
# A network should come to predict the wrong labels of its own half (solid), and those of the other half (dashed) only as often as
# it predicts any other wrong class there (dotted), since it makes mistakes anyway.
#
# ![Wrong labels predicted over training, reference run](../figures/reference/laptop/50_a_memory.png)

# %%
study.show("a", figures.memory)

# %% [markdown]
# PLACEHOLDER A
#
# ## (b) What mixing does to labels
#
# ![Repaired and spoiled labels over training, reference run](../figures/reference/laptop/50_b_targets.png)

# %%
study.show("b", figures.targets)

# %% [markdown]
# PLACEHOLDER B
#
# ## (c) Is it worth it?
#
# ![Test accuracy of the four arms over training, reference run](../figures/reference/laptop/50_c_accuracy.png)

# %%
study.show("c", figures.accuracy)

# %% [markdown]
# PLACEHOLDER C
#
# ## (d) Beyond the paper: the peer as a judge of labels
#
# Notebook [14](14_uses.ipynb) finds wrong labels by scores of difficulty, watched while a network trains on these very labels. The
# peer's prediction is such a score as well, of examples that were held out. Both are compared here with one score, EL2N: the
# distance between the predicted probabilities and the label that is given. Each point is the judgement of a single network.
#
# ![Area under the ROC curve for wrong labels, reference run](../figures/reference/laptop/50_d_found.png)

# %%
study.show("d", figures.found)

# %% [markdown]
# PLACEHOLDER D
#
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies outside,
# *inconclusive* otherwise. A seed draws the wrong labels, the halves and the networks; the images are always the same. A claim
# about every noise rests on the noise where the mean is least favourable to it.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
course = study.results["course"]
end = course[course.epoch == course.epoch.max()].set_index(["noise", "arm"])
symmetric = end.loc[[noise for noise, _ in end.index.unique() if noise.startswith("symmetric")]].groupby("arm").mean(numeric_only=True)
