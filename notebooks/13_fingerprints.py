# %% [markdown]
# # 13 · Can a few examples tell the architecture?
#
# If some examples betray the architecture, a few of them could serve as its fingerprint. Kwok, Anand, Frankle, Dziugaite and
# Rolnick (*Dataset Difficulty and the Role of Inductive Bias*,
# [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) write in their abstract that a few sensitive examples suffice to identify
# architectures. Their code for this is not published, and the body of the paper was not at hand; the procedure below is ours.
#
# **The difficulty** is that such a result is easily had by mistake. Examples that are chosen on the very runs to be identified
# would "work" for pure noise, and the accuracy of a network alone tells something about its architecture. So every baseline
# stands beside the fingerprint: random examples, the hardest, the noisiest, the accuracy, runs that are dealt to architectures at
# random, and two halves of the runs of one architecture.
#
# **In short**: on this draw of MNIST-1D, five chosen examples identify these ten architectures better than random ones
# do (D12 supported), and three times as often as a guess (D12r supported), but, if anything, less well than the
# accuracy of the network does (D12b inconclusive). MLPs are told from CNNs at widths and depths that were not fitted
# (D12e supported, D12f supported).
#
# **The recipe.**
#
# - The runs are those of notebook 12. They are divided into sets. In each *fit*, some runs of a set choose examples by association
#   with the architecture, and a classifier is fitted to the others. All runs of the next set are then tested. No run tests a fit
#   that it chose or fitted; the runs that test one fit choose and fit in the next.
# - An example is passed over if its noise over runs goes with that of one chosen before (r squared above 0.2), so that the
#   chosen ones do not repeat each other.
# - The classifier is logistic regression with an L2 penalty chosen by cross-validation among the fitted runs.
# - All test networks of a fit share its choice of examples, so a fit is one unit: its value is the share of right answers, mean over
#   the ten architectures. These are given, not a sample of others, and so are the data, which the exploration saw: verdicts are
#   about other networks of these architectures on this data set. (Counting networks as if they were independent would give
#   intervals that cover the truth far less often than they say.)
# - Every claim is made for ranks among all examples, and again for ranks within classes (notebook 12).

# %%
import numpy as np

from butterfly import association, data, models, reliability
from butterfly.papers.kwok2024 import fingerprints_figures as figures
from butterfly.papers.kwok2024.fingerprints import study
from butterfly.papers.kwok2024.score_runs import watched
from butterfly.train import Recipe

# %% [markdown]
# ## The idea in ten lines
#
# Sixteen runs each of an MLP and of a CNN: some choose five examples, some are fitted, and the others named.

# %% tags=["nbval-ignore-output"]
task = data.load("mnist1d")
ranks = []
for name, seeds in {"mlp-2x16": range(16), "cnn-2x8": range(16, 32)}.items():
    net = models.build(name, task.input_shape, task.classes)
    scores = watched(task, net, Recipe(steps=80, batch_size=64, lr=0.1), seeds, looks=8, examples=200)
    ranks.append(reliability.ranks(scores["el2n.mean"]))
choose, fit, test = np.split(np.stack(ranks), [6, 10], axis=1)
few = association.clump(choose, association.associate(choose).p, 5)
right = association.identify(fit[:, :, few], test[:, :, few], "logistic")
print(f"named rightly: {right.sum()} of {right.size}")

# %% [markdown]
# ## Parameters
#
# Those of notebook 12, whose runs are found again, and how the runs are used: how many of each architecture choose the
# examples of a fit, to how many the classifier is fitted, the numbers of examples, and how many draws of random examples stand
# beside the chosen ones.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
setting = "mnist1d-scores"
real = ""
first = ["mlp-1x8", "mlp-1x16", "mlp-2x8", "mlp-2x16"]
second = ["cnn-1x4", "cnn-1x8", "cnn-2x4", "cnn-2x8"]
third = ["gru-4", "gru-8"]
steps = 80
runs = 16
runs_per_shard = 16
looks = 8
examples = 200
discover = 4
fit = 4
counts = [1, 5]
draws = 1

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
study.open(globals())
study.keep("runs", "few", "controls", "transfer")  # what claims are computed from
figures.controls(study.results)  # what is named where there is nothing to find; chance: column "chance"

# %% [markdown]
# ## (a) Which of ten architectures?
#
# The share of test networks that are named, against the number of examples, by how the examples are chosen.
#
# ![Identified architectures against the number of examples, reference run](../figures/reference/laptop/13_a_identification.png)

# %%
study.show("a", figures.identification)

# %% [markdown]
# The abstract says that a few sensitive examples suffice; D12r asks whether five name an architecture three times as often as a
# guess would. The fair comparison of chosen examples is with as many random ones (D12). The comparisons with the accuracy (D12b) and
# with the mean score (D12t) are harder, since each is averaged over all examples. Final answers are read at examples that are chosen
# by final answers, so that X41 compares what each can do. Ranks leave the level of a run out on purpose. Two experiments ask what
# this costs. If widths and depths differ mainly in *how well* they learn and families in *what* they find
# hard, then chosen examples should beat the accuracy at naming the family (D12k), and accuracy and examples together should beat
# the accuracy alone (D12m).
#
# ## (b) Carried over to other sizes
#
# Here the examples are chosen, and the classifier is fitted, on MLPs and CNNs of one width (or depth), and the family of
# networks of the other is to be named. The axis shows what is named wrongly.
#
# ![Fingerprints carried over to other widths and depths, reference run](../figures/reference/laptop/13_b_transfer.png)

# %%
study.show("b", figures.transfer)

# %% [markdown]
# This tests two sizes and two families, not networks of any size. Where notebook 12 finds that the two families rank hardly any
# example differently, as on digits, there is little for a fingerprint to hold on to, and more examples are needed.
#
# ## (c) Which is taken for which?
#
# From the largest number of chosen examples.
#
# ![Confusion of architectures, reference run](../figures/reference/laptop/13_c_confusion.png)

# %%
study.show("c", figures.confusion)

# %% [markdown]
# Mistakes inside a square along the diagonal, which the white lines mark, are mistakes of size; all others are of family.
#
# ## (d) Families, classes and other scores
#
# Five examples: what do they name if ranks are within classes, if ranks are by another score, or if only the family is asked for?
#
# ![What five examples name, reference run](../figures/reference/laptop/13_d_few.png)

# %%
study.show("d", figures.few)

# %% [markdown]
# Ranks within classes owe nothing to which classes an architecture finds hard. What is left of a fingerprint there is about
# single examples.
#
# ## Claims
#
# A claim is *supported* when the whole 95 % interval lies in the region that was fixed beforehand, and *contradicted* when it
# lies outside. Claims are void where an architecture did not learn, which is the case at the defaults.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# **Advice.** To learn the family of an unknown network from its scores, a few well chosen examples can be enough, also at a size
# that was not fitted, provided that the families differ on these data; notebook 12 tells whether they do. To learn its size,
# look at its accuracy as well. And never choose examples on the runs to be tested.
#
# What holds on every machine, even at these defaults:

# %%
answers, controls = study.results["answers"], study.results["controls"]
print("fits:", answers.fit.nunique(), "architectures:", answers.model.nunique())
print("choices of examples compared:", answers.choice.nunique(), "controls:", sorted(controls.control.unique()))
