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
# **In short**: networks on separate halves learn their own wrong labels by heart and not each other's (CS01 supported), and mixing
# with the peer's prediction repairs most wrong labels where at most half are wrong (CS02 supported), but not at 80 % (CS02b
# contradicted). The split and the mixing together end better than plain training and than either alone (CS03 supported, CS03b
# supported, CS03c supported). They do not beat plain training stopped at its best moment under every noise (CS03e contradicted), and
# a peer's predictions carry some wrong labels across the split after all (CS01c contradicted).
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
#   certain of another class. In the first tenth of training labels are left as they are. (The paper normalises the divergence in
#   some way that we know only from notes.)
# - *Noise*: symmetric noise moves a share of all labels to any other class. Asymmetric noise moves a share of the labels of
#   five classes to a class that each is easily taken for: 2 to 7, 3 to 8, 7 to 1, and 5 and 6 to each other (after Patrini et
#   al. 2017, [arXiv 1609.03683](https://arxiv.org/abs/1609.03683)). At 40 % about a fifth of all labels are wrong then.
# - *Equal training*: all networks take the same number of updates at the same constant step. In a minibatch of 32 a network of
#   a split arm learns from the about 16 examples that are its own.

# %%
from dataclasses import replace

import pandas as pd
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
answer = predictions(model, theta, task.x)
shares = [[float((answer == y)[half & wrong].float().mean()) for y in (task.y, clean.y)] for half in (own, ~own)]
pd.DataFrame(shares, ["own half", "half of the peer"], ["the wrong label", "the true class"]).round(2)

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
# Networks on half of the data learn their wrong labels faster than plain ones: they have half as many, and as many updates. That
# the split alone never does better than chance on the labels of the other half (CS01b) is foregone, since symmetric noise is drawn
# without regard to the image: it checks that nothing leaks. Where labels are mixed it is not foregone, and CS01c asks. A peer that
# has learned a wrong label by heart predicts it for similar images too, and these predictions become targets: a label can cross
# the split though the example never does. The more labels are wrong, the further the blue dashed line lies above the blue dotted
# one.
#
# Under asymmetric noise (right) the wrong labels follow a rule, and a rule is learned without any memory: networks predict a wrong
# label that they never saw for a good part of the examples (CS01d). "Never saw, cannot know" holds for noise without a system.
#
# ## (b) What mixing does to labels
#
# ![Repaired and spoiled labels over training, reference run](../figures/reference/laptop/50_b_targets.png)

# %%
study.show("b", figures.targets)

# %% [markdown]
# A label counts as *repaired* if it was wrong and the largest part of its target now goes to the true class, as *spoiled* if it was
# right and the largest part goes elsewhere. With the split the repair lasts. Without it the peer, who saw the label as well, comes
# to know it by heart and takes its correction back (CS02d).
#
# At 80 % the repair stops early (CS02b). A half of the digits then has about 130 right labels, one in five, and when mixing begins
# the networks are right on less than a third of the test images; so few repairs follow, and many right labels are spoiled. Labels
# are still more often right than before (CS02c). Whether another warm-up or another step would do better was not tried.
#
# ## (c) Is it worth it?
#
# ![Test accuracy of the four arms over training, reference run](../figures/reference/laptop/50_c_accuracy.png)

# %%
study.show("c", figures.accuracy)

# %% [markdown]
# Compare solid lines with solid lines: every arm is a mean of two networks then. The split alone ends a little above plain
# training (CS03d), although *one* network of it (dashed) is no better than one plain network: it has half the data. Two networks
# that know different wrong labels by heart outvote each other, and two that know the same ones cannot. Held against a single plain
# network, the split would seem to gain more than it does.
#
# Plain training is best in its first epochs, before it has learned the wrong labels by heart. CS03e allows it to stop there, pair by
# pair, at the look with the best test accuracy, which nobody could know without clean labels. At 20 % and 50 % the two are then
# about equal, and at 80 % stopping is better. Under asymmetric noise accuracy jumps from look to look, and the best of many looks
# flatters plain training: no look of its mean (solid grey) lies above the end of both. So what the mixing gives on these digits is
# hardly more than what was there for a moment; but it keeps it, and nobody has to know when to stop.
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
# At the end of training a network knows its own labels by heart, and its score of these hardly tells wrong from right: the
# examples of the peer are judged better (CS04). Averaged over training this advantage nearly goes. The early looks at one's own
# examples are almost as good as held out, and there are twice as many examples to learn from: at symmetric noise the held-out
# score stays ahead, at 20 % by next to nothing (CS04b), and at asymmetric noise it falls behind (CS04c), since a rule deceives
# those who never saw the example as well. Repairing the labels does more than either: the same score then finds more under every
# noise (CS04d), and whether an example was held out (open) or not (filled) matters little.
#
# ## What this cannot say
#
# Plain perceptrons on 1,297 small images, 50 epochs at a constant step. The paper trains residual networks on large image sets with
# augmentation, and with its second ingredient, learning from the peer's inputs without labels, which may well change what happens
# at high noise. The asymmetric noise is one choice of confusions. The intervals cover the noise, the split and the networks, and
# not another draw of the images.
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
course = study.results["course"].query("epoch == epoch.max() and noise.str.startswith('symmetric')")
end = course.groupby("arm").mean(numeric_only=True)
print("the split hides wrong labels:", bool(end.unseen["split only"] < end.memorised["split only"] - 0.2))
print("mixing makes labels right:", bool(end.right["both"] > end.right["plain"] + 0.1))
