# %% [markdown]
# # 14 · What are scores of difficulty good for?
#
# Kwok, Anand, Frankle, Dziugaite and Rolnick (*Dataset Difficulty and the Role of Inductive Bias*,
# [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) end their abstract with advice: which score to use, how many runs to
# average, and which examples to choose. In this notebook scores of difficulty go to work. They choose a smaller training set, find
# wrong labels, and are held against what people find hard.
#
# Of the paper, the abstract, the code of the scores and four of the authors' notebooks were at hand, but not its body. Nearly all
# claims below are our own questions. X42 and X43 are asked after Sorscher et al. (2022,
# [arXiv 2206.14486](https://arxiv.org/abs/2206.14486)), who argue that hard examples should be kept when many can be kept, and easy
# ones when few can; the scores, the data and the same share of every class are ours.
#
# **In short**: on MNIST-1D, whatever the draw of its data, choosing hard examples unbalances the classes, and unequal
# classes do harm (X42c@redrawn supported, X43c@redrawn supported); with every class kept alike, hard examples serve as
# well as random ones, within two points, when many are kept (X42d@redrawn supported), and worse when few are
# (X43@redrawn supported). EL2N averaged over training finds moved labels (X45@redrawn supported), and images that
# people mislabel are harder for networks (D16 supported).
#
# **How it is done.**
#
# - *Block*: several runs that score, one choice of examples by each rule, networks trained on each choice for the same number of
#   updates, a set of moved labels, and a set of networks that each train on a random half of the examples. No two blocks share a
#   network or a random choice. The blocks of one data set share its examples; in the claims `@redrawn` every block has MNIST-1D
#   data of its own, so that those intervals also cover the draw of the data.
# - *Choosing with and without regard to class*: classes differ in difficulty, so the hardest quarter of all examples may hardly
#   contain some classes at all. Every choice is therefore made twice: from all examples, whatever their class, and with the same
#   share of every class. Only the second says something about hard examples. A third choice is the control: random examples, but as
#   many of each class as are among the hardest.
# - *Finding wrong labels*: a tenth of the labels is moved to another class before training. The area under the ROC curve is the
#   probability that a moved label has the larger score than one that was not moved. Its twin compares only examples of the same
#   label.
# - *People*: CIFAR-10N (Wei et al. 2022, [arXiv 2110.12088](https://arxiv.org/abs/2110.12088)) has three annotators' labels of
#   each training image, CIFAR-10H (Peterson et al. 2019, [arXiv 1908.07086](https://arxiv.org/abs/1908.07086)) about 50 votes on
#   each test image. Their licences forbid commercial use, so they are not fetched: put `cifar10n_train_labels.npz` and
#   `cifar10h_test_counts.npy` into `$BUTTERFLY_DATA/human`. Without them the claims about people get no verdict. Intervals are over
#   runs and over images; an annotator labelled ten consecutive training images, which are therefore drawn together. *Noise ceiling*:
#   the highest correlation that one run could reach, given how far people agree with one another and runs with one another.

# %%
from sklearn.metrics import roc_auc_score

from butterfly import data, models
from butterfly.papers.kwok2024 import uses_figures as figures
from butterfly.papers.kwok2024.uses import study
from butterfly.score import ScoreLogger
from butterfly.train import Observer, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Move a tenth of the labels, train one network, and ask three of its scores which labels were moved.

# %%
task, moved = data.with_label_noise(data.load("mnist1d"), fraction=0.1, seed=0)
model = models.build("mlp-2x64", task.input_shape, task.classes)
logger = ScoreLogger(task.ids, task.y, networks=1)
look = Observer("look", lambda now: logger.watch(model, now.theta, task.x), frozenset(range(50, 1001, 50)))
train(model, task, Recipe(steps=1000, batch_size=64, lr=0.1), seeds=[0], observers=[look])
scores = logger.scores()
{name: round(roc_auc_score(moved, scores[name][0]), 2) for name in ("loss.mean", "loss.last", "entropy.mean")}

# %% [markdown]
# ## Parameters
#
# `scorer` is the network whose scores choose examples and find wrong labels; it is trained on what it chose. `other`, a second
# network trained on the same choice, may be left empty. `redrawn_blocks` are blocks with data of their own.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
setting = "mnist1d-scores"
real = ""
scorer = "mlp-1x16"
other = ""
steps = 80
looks = 8
blocks = 3
redrawn_blocks = 0
runs = 4
seeds = 2
fractions = [0.25, 0.75]
noise = 0.1
noisy_runs = 2
held_out = 8
human_images = 0
human_setting = "cifar10-scores"
human_model = "cnn-3x16"
human_steps = None
human_looks = 8
human_runs = 8

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
study.open(globals())
study.keep("pruned", "classes", "scores", "agreement", "asked", "judges", "deciles")

# %% [markdown]
# For each score: how many runs have to be averaged for a reliability of 0.9, and the area under the ROC curve with which one run
# finds moved labels. `prototype` is the distance from the mean of the class in the last hidden layer (Sorscher et al. 2022);
# `pruning_decay` the share of twenty levels of magnitude pruning, without retraining, at which the answer is wrong, after the
# pruning scores of the authors' notebooks.

# %% tags=["nbval-ignore-output"]
study.results["advice"].round(2)

# %% [markdown]
# ## (a) Training on some of the examples
#
# If hard examples teach most, they should beat random ones as long as enough of them are kept, and lose to them when few are kept.
# Dashed lines show choices that disregard class, solid lines those that keep the same share of every class, and the dotted line the
# control: random examples in classes as unequal as those of the hardest ones.
#
# ![What choices of examples gain over random ones, reference run](../figures/reference/laptop/14_a_pruning.png)

# %%
study.show("a", figures.pruning)

# %% [markdown]
# Compare the dashed orange line with the dotted black one. The dotted line knows nothing of difficulty but how many examples of
# each class are hard; what it loses, it loses to unequal classes (X42c, X43c). What hard examples themselves do is the solid orange
# line, on which X42 and X43 rest; X42d asks whether hard ones of many are as good as random ones, within two points. X42b and X43b
# test how much it matters to keep the same share of every class. Without that, a choice of hard examples can lose to random ones
# because whole classes are nearly gone, which looks like a refutation and is a statement about class imbalance. The CSV file
# `14_classes` tells how many of each class are among the hardest.
#
# One rule of the paper's subject is left out: examples whose score is insensitive to the architecture. With a few runs of each
# architecture such a choice favours examples whose scores are noisy, and it takes many more runs to tell the two apart.
#
# ## (b) Finding wrong labels
#
# Area under the ROC curve of every score, for one run, for means over runs, and for one run among examples of the same label; 0.5 is
# chance.
#
# ![Finding wrong labels, reference run](../figures/reference/laptop/14_b_labels.png)

# %%
study.show("b", figures.labels)

# %% [markdown]
# Whatever looks at the label and is averaged over training finds moved labels in a single run, and averaging over runs brings the
# other scores closer. Scores that do not see the label, entropy and the largest probability, are poor at it. Uncapped forgetting and
# the spread of confidence can point the wrong way: a wrong label is seldom learned, so it is never forgotten and always steady.
# Comparing only examples of the same label changes little if the score finds labels rather than hard classes.
#
# ## (c) Networks and people
#
# The left panel shows how often people err, by difficulty for a small convolutional network; the right one shows correlations with
# what people say, and how large they could be.
#
# ![Networks and people on CIFAR-10, reference run](../figures/reference/laptop/14_c_people.png)

# %%
study.show("c", figures.people)

# %% [markdown]
# The ceilings matter. Three votes on an image are a noisy measure of how hard it is for people, so even a perfect predictor would
# stay far below 1, and one run of a network is noisy too. X47 and X47b ask for the correlation after correction for both. The
# network is small and sees a tenth of the training images; what a large one finds hard may be closer to people, and the profile
# `gpu` asks that.
#
# ## (d) Difficulty of what was trained on
#
# C-scores are measured on networks that never saw an example. EL2N is usually measured on the examples that the network trains on.
# Does that cost agreement, and if so, when? If fitting their own examples is what costs it, the gap between examples that were
# trained on and held-out ones should be absent early in training and grow.
#
# ![Agreement with C-scores, reference run](../figures/reference/laptop/14_d_agreement.png)

# %%
study.show("d", figures.agreement)

# %% [markdown]
# D19 tests whether scores of trained-on examples agree as well as those of held-out ones, D19b the same within classes. D19c is the
# experiment behind the answer: it compares the gap in the last quarter of training with that in the first, when networks have hardly
# begun to fit their own examples. A gap can grow although agreement rises on both sides, if it rises more on held-out examples; the
# figure shows which of the two it is.
#
# ## Claims
#
# A claim is *supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside, and
# *inconclusive* otherwise. At the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# **Advice.** To find wrong labels, average the loss or the logit margin over training, and over a few runs; entropy will not do.
# Whoever prunes by difficulty should keep the same share of every class before anything else, and compare with random examples. For
# what people find hard, ask people.
#
# What holds on every machine, even at these defaults:

# %%
scores, pruned = study.results["scores"], study.results["pruned"]
print("scores compared:", scores.score.nunique(), "rules:", sorted(pruned.rule.unique()))
print("independent choices of examples:", pruned.block.nunique())
