# %% [markdown]
# # 12 · Which examples betray the architecture?
#
# Different architectures find different examples hard. Kwok, Anand, Frankle, Dziugaite and Rolnick (*Dataset Difficulty and the
# Role of Inductive Bias*, [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) write in their abstract that some examples are
# highly sensitive to the inductive bias of the network and others are not, and that a method inspired by statistical genetics
# tells architectures apart. We had the abstract, the code of the scores and four notebooks by the first author at hand, but not
# the body of the paper; the tests below are therefore our own. Their idea is that of genetics: examples are loci, runs are
# individuals, and the architecture is the trait.
#
# **The question.** Is another family of networks another judge of what is hard? Is a deeper or a wider network of the same
# family another judge?
#
# **The recipe.** Three families of networks are trained on the same data, with the same learning rate, batch size and number of
# updates: MLPs and CNNs of two depths times two widths, and GRUs of two widths. No two architectures share a seed, so none share
# the order of the data. Every network is looked at several times while it trains.
#
# **In short**: MLPs and CNNs judge the examples of this draw of MNIST-1D differently, more so than networks of one family (D10
# supported), but not these digits (D10@digits contradicted); GRUs differ from both on both data sets (D10d, D10e supported). Some
# examples are highly sensitive to the family (D11 supported), and some are not sensitive to it (D11b supported).
#
# On 2,000 images of CIFAR-10 (profile `cifar`, two groups of runs), with residual networks as the third family, MLPs and
# residual networks judge differently (D10e@cifar supported); whether CNNs and MLPs do, more than networks of one family, is
# open (D10@cifar inconclusive). There, too, some examples are highly sensitive to the family (D11@cifar supported) and
# some are not (D11b@cifar supported).
#
# - The *rank* of an example within a run is its place when the examples are sorted by EL2N, averaged over training. Ranks
#   remove what a run or an architecture has overall, such as its accuracy.
# - *Ranks within classes* sort an example among those of its own class only. An architecture that finds a whole class hard moves
#   all examples of that class at once; ranks within classes leave this out. Every claim is made twice, with each kind of rank.
# - *Association* is a test, for each example, of whether its mean rank differs between architectures: a moderated F test, whose
#   variance is shrunk towards that of all examples (Smyth 2004, [doi](https://doi.org/10.2202/1544-6115.1027)). We count the
#   discoveries at a false discovery rate of 5 % (Benjamini and Hochberg 1995). The count grows with the number of runs.
# - The *share of variance* does not. Of the variance of an example's rank over runs, eta squared is the share that the
#   architecture explains. As chance explains something too, we subtract what it would explain on average (epsilon squared, Kelley
#   1935): where nothing differs, the result is 0 on average.
# - *Genomic control* is the median test statistic over that of chance; it is 1 where nothing is associated (Devlin and Roeder
#   1999). Here it checks the test.
#
# Intervals are over groups of 8 runs that have no run in common. The data are one draw of MNIST-1D and one set of handwritten
# digits, and the exploration saw both: verdicts are about networks of other seeds on these data sets, not about other data.

# %%
import numpy as np

from butterfly import association, data, models, reliability
from butterfly.papers.kwok2024 import inductive_bias_figures as figures
from butterfly.papers.kwok2024.inductive_bias import study
from butterfly.papers.kwok2024.score_runs import watched
from butterfly.train import Recipe

# %% [markdown]
# ## The idea in ten lines
#
# A few runs of an MLP and of a CNN score the same examples: how many of these does one rank otherwise than the other?

# %% tags=["nbval-ignore-output"]
task = data.load("mnist1d")
recipe = Recipe(steps=80, batch_size=64, lr=0.1)
ranks = []
for name, seeds in {"mlp-2x16": range(8), "cnn-2x8": range(8, 16)}.items():  # no seed, so no order of data, is shared
    net = models.build(name, task.input_shape, task.classes)
    ranks.append(reliability.ranks(watched(task, net, recipe, seeds, looks=8, examples=200)["el2n.mean"]))
told = association.discoveries(association.associate(np.stack(ranks)).p)
print(f"{told.mean():.0%} of the examples tell the two architectures apart")

# %% [markdown]
# ## Parameters
#
# Two families of two depths times two widths, a third of two widths; the last of each stands for its family. `recipe` takes
# any field, as in `{"lr": 0.2}`.

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

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
study.open(globals())
study.keep("runs", "contrasts", "factors", "sensitivity", "split")  # what claims are computed from
figures.explained(study.results)  # share of variance explained beyond chance, mean over examples

# %% [markdown]
# ## (a) What a rank depends on
#
# The variance of ranks is split into a ladder: the class of the example, the example within its class, what an architecture
# makes of a class, what it makes of an example, and the single run. The first two rungs are the notion of difficulty that all
# networks share; the next two are the inductive bias; the last is noise.
#
# ![Variance of ranks split, reference run](../figures/reference/laptop/12_a_split.png)

# %%
study.show("a", figures.split)

# %% [markdown]
# The class is the first thing to look at. Where it makes up much of the shared difficulty, two networks can agree about
# difficulty merely because they agree about classes. This is why ranks within classes stand beside all others below.
#
# ## (b) How many examples tell two architectures apart?
#
# Each pair of families is judged by itself, since a mean over pairs could hide that one family stands apart and the other two do
# not differ. Below the families stand pairs that differ in depth or width, and at the bottom two sets of runs of the same
# architecture, which must not differ.
#
# ![Examples that tell two architectures apart, reference run](../figures/reference/laptop/12_b_contrasts.png)

# %%
study.show("b", figures.contrasts)

# %% [markdown]
# A pair of families passes when it tells at least one example in twenty more apart than the sizes within its families do;
# fewer would hardly matter to anyone who chooses data. The counts hold for 8 runs of each architecture; more runs tell more
# examples apart. Which families differ can depend on the data: compare D10 with D10@digits, and both with the GRU, which reads an
# image row by row (D10d, D10e). If a CNN's locality matters on one data set and not on the other, nothing here says why.
#
# ## (c) Example by example
#
# The picture that geneticists draw: each point is an example, and its height is the evidence that two families rank it
# differently, from all runs.
#
# ![Evidence of each example, reference run](../figures/reference/laptop/12_c_manhattan.png)

# %%
study.show("c", figures.manhattan)

# %% [markdown]
# All runs can tell more examples apart than 8 do, because more runs see smaller differences. That is why the
# number of discoveries can rank contrasts but cannot say how many examples are *not* sensitive: a missing discovery may
# only mean that there were too few runs. In the right panel, where nothing differs, the threshold lies above every point and is
# not drawn.
#
# ## (d) How sensitive is each example?
#
# The share of variance that the family explains, for every example, as a cumulative distribution. We call an example sensitive
# if the family explains more than a quarter of the variance of its rank over runs (a correlation ratio of a half), and
# insensitive if it explains less than a twentieth.
#
# ![Distribution of sensitivity, reference run](../figures/reference/laptop/12_d_sensitivity.png)

# %%
study.show("d", figures.sensitivity)

# %% [markdown]
# If there were two kinds of examples, the curve would rise in two steps. The claims count examples beyond the two bounds, and call
# them "some" if they are more than one in twenty. Their intervals come from a jackknife that leaves out a group of runs together
# with a part of the examples, which also removes, to first order, the effect that the number of runs has on such counts.
#
# ## (e) What they look like
#
# The most sensitive examples, and hard ones that all families find equally hard.
#
# ![Sensitive and insensitive examples, reference run](../figures/reference/laptop/12_e_pictures.png)

# %%
study.show("e", figures.pictures)

# %% [markdown]
# ## (f) Family, depth and width
#
# How much does each explain? The upper three rows are main effects: the effect of depth is an average over both widths, and that
# of width an average over both depths. The lower four rows compare two networks at one end of the other factor.
#
# ![What family, depth and width explain, reference run](../figures/reference/laptop/12_f_factors.png)

# %%
study.show("f", figures.factors)

# %% [markdown]
# Whether width or depth changes more may depend on the networks that one compares. D20 compares the main effects; within classes,
# D20g compares the larger networks alone. (Among all examples that comparison would need three times as many runs.) Should the two
# point in opposite directions, the correction for chance is not the reason, since it is the same for both factors and cancels. D20d
# tests an explanation, that the factors interact: depth should then change the ranks of wide networks less than those of narrow
# ones. A sentence like "width matters less than depth" has to say which widths, which depths, and at which size.
#
# ## (g) Do other scores say the same?
#
# EL2N is one score among many. The same count of examples by the mean probability of the label, the mean margin of the logits,
# and the number of looks at which the answer is right; ranks are within classes.
#
# ![Examples that tell architectures apart by other scores, reference run](../figures/reference/laptop/12_g_scores.png)

# %%
study.show("g", figures.scores)

# %% [markdown]
# Counts of right answers can tell fewer examples apart, since many examples share the same count and tie.
#
# ## Claims
#
# A claim is *supported* when the whole 95 % interval lies in the region that was fixed beforehand, and *contradicted* when it
# lies outside. Claims are void where an architecture did not learn, which is the case at the defaults.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# **Advice.** Scores of a smaller network of the same family are a nearer stand-in for those of a larger one than scores of another
# family may be. Across families many examples can change places, and whether they do depends on the data; so measure difficulty
# with the family that will be trained. Say whether ranks are among all examples or within classes: much of what looks like
# agreement or disagreement about examples can be about classes.
#
# What holds on every machine, even at these defaults:

# %%
contrasts = study.results["contrasts"].query("score == 'el2n.mean' and among == 'all'")
kinds = contrasts.groupby("kind").share.mean()
print("architectures:", study.results["runs"].model.nunique())
print("another family tells more examples apart than the same network:", bool(kinds["family"] > kinds["nothing"]))
