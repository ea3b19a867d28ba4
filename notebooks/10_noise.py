# %% [markdown]
# # 10 · How noisy is a score of difficulty?
#
# Which training examples are hard? A score answers for one run of training: how sure the network is of the label, how often it
# forgets it, how large the gradient is. Kwok, Anand, Frankle, Dziugaite and Rolnick
# (*Dataset Difficulty and the Role of Inductive Bias*, [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) train
# many runs and find that the answer changes from run to run: scores are noisy, and runs have to be averaged. How many runs, of
# which score, and where does the noise sit?
#
# **In short**: one run ranks examples of MNIST-1D unreliably (D01 supported), whatever examples are drawn (D01@redrawn supported),
# within classes far more so (D01c@redrawn supported). Averages over training are more reliable than the end (D02b@redrawn
# supported), by little after few passes (D02@redrawn contradicted) and by more after many (D02g supported).
#
# A small convolutional network on all images of CIFAR-10 (profile `cifar`) ranks them as unreliably in one run (D01@cifar
# supported), but within classes nearly as well as among all: there the averages over training gain less than on MNIST-1D,
# where they gain much (D02c@cifar contradicted, D02c supported). More passes make them gain more there too, but little
# (D02g@cifar supported).
#
# We had the abstract at hand, the code of the scores and four of the authors' notebooks, but not the body of the paper. Claims
# marked *authors' notebook* are our reading of figures in those notebooks, which rest on CIFAR-10, 160 passes and test images.
#
# - *Reliability* is the rank correlation (Spearman) of a score between two runs that share nothing but the recipe. Intervals
#   come from blocks of 20 runs that have no run in common; a block gives the mean over its pairs.
# - *Within classes*: classes differ in difficulty, so two runs may agree only because both find the same classes hard. Every
#   claim is therefore made twice, the second time with the rank of an example among those of its class.
# - *Redrawn*: intervals over runs hold for one data set. MNIST-1D is generated, so in the claims `@redrawn` every block of runs
#   has a data set of its own, and the interval covers the draw of the data as well.
# - Averages over training are means over *looks*: the network is evaluated on all examples several times, evenly spread over
#   training. *Early* is the look after an eighth of it: the time at which Paul et al. (2021,
#   [arXiv 2107.07075](https://arxiv.org/abs/2107.07075)) take EL2N.
# - *Spearman-Brown*: an average over k runs has reliability k r / (1 + (k - 1) r), if r is that of one. *ICC(1)* is the share of
#   variance that lies between examples (Shrout and Fleiss 1979).
# - The scores are defined in one registry, `butterfly.score.SCORES`; variants that share a name elsewhere have two names there.
#   The table below says where each comes from.
#
# The recipe: an MLP and a CNN on MNIST-1D, and an MLP on handwritten digits, all trained by SGD with momentum for a few passes
# through the data; at the parameters of the reference run, 16 passes on MNIST-1D and 12 on digits.

# %%
from butterfly import data, models, score
from butterfly.papers.kwok2024 import noise_figures as figures
from butterfly.papers.kwok2024.noise import study
from butterfly.train import Observer, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Two networks that differ in their seed, and how alike they rank the same examples by the probability of the label: at the end of
# training, and averaged over it.

# %%
task = data.load("mnist1d")
x, y = task.x[:300], task.y[:300]
model = models.build("mlp-4x64", task.input_shape, task.classes)
logger = score.ScoreLogger(task.ids[:300], y, networks=2)
look = Observer("look", lambda now: logger.watch(model, now.theta, x), frozenset(range(20, 161, 20)))
train(model, task, Recipe(steps=160, batch_size=64, lr=0.1), seeds=[0, 1], observers=[look])
logger.table().unstack("network")[["confidence.last", "confidence.mean"]].corr("spearman").round(2)

# %% [markdown]
# ## Parameters
#
# `main`, `real` and `conv` each name a setting and an architecture; `""` leaves that network out. `more` runs give only the scores
# that logits suffice for, `redrawn_sets` blocks of runs have data of their own, and `course_runs` are followed along training,
# once as long as the others and once for so many `passes` through the data. These are the smallest honest values;
# `params/<profile>.yaml` holds larger ones. `recipe`, `data_set` and `model` change the main network.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
main = "mnist1d-scores/mlp-4x64"
steps = 160
real = ""
conv = ""
runs = 20
more = 0
runs_per_shard = 20
redrawn_sets = 0
course_runs = 4
passes = 8
looks = 8
examples = 300

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% tags=["nbval-ignore-output"]
score.catalogue().set_index("name")  # what every score means

# %% [markdown]
# ## (a) What one run says about an example
#
# Examples stand in the order of their mean over all runs. Where all runs agreed, the band would be as thin as the line. First the
# reference run, then the same at the parameters above.
#
# ![What single runs say about examples, reference run](../figures/reference/laptop/10_a_spread.png)

# %%
study.show("a", figures.spread)

# %% [markdown]
# Whether the final answer to a hard example is right is a coin toss, and the band of its final probability spans nearly all
# values. Averaged over training, single runs stay closer to their mean.
#
# ## (b) How reliable is one run?
#
# Every score, over all examples and within classes, and how many runs must be averaged for a reliability of 0.9.
#
# ![Reliability of one run for every score, reference run](../figures/reference/laptop/10_b_single.png)

# %%
study.show("b", figures.single)

# %% [markdown]
# Smooth scores that are averaged over training need the fewest runs; snapshots taken early, gradients and counts of forgetting
# need many times more. On MNIST-1D scores are less reliable within classes: much of what runs agree on is which classes are hard.
# On digits every network gets every training example right in the end, so final answers have no ranks there, and the claims on
# them are void.
#
# ## (c) Averaging runs
#
# If the noise of a run is independent of what the score means, the points of the upper row lie on the lines, and those of the
# lower row on zero.
#
# ![Reliability of means over runs, reference run](../figures/reference/laptop/10_c_averages.png)

# %%
study.show("c", figures.averages)

# %% [markdown]
# Averages of EL2N over training stay close to the formula. Scores taken at the end fall short of it: the mean over runs of raw
# values is governed by the few runs in which an example goes wrong, so its rank is not the mean of ranks.
#
# ## (d) Where the noise is
#
# ![Standard deviation over runs against the mean, reference run](../figures/reference/laptop/10_d_noise.png)

# %%
study.show("d", figures.noise)

# %% [markdown]
# EL2N lies between 0 and the root of 2, so its noise has room only in the middle. On digits few examples lie beyond the middle at
# that time, and the noise sits on the hard ones. On MNIST-1D most examples are still wrong, the hardest are reliably wrong, and
# the noise lies on the easier ones: this is why D05 has another answer there. In the claims the mean comes from eight runs and the
# variance from eight others: in the same few runs, a score with an end makes the two go together even if all examples are alike.
#
# ## (e) The average and the end
#
# The authors' notebooks find averages over training far more reliable than the end. Where they gain less here, or lose (D02,
# D02b), three things may explain it: the authors train for ten times as many passes; they score images that were not trained on; and
# on digits the probabilities saturate, so that an average of them is decided by the first few looks, which are the noisiest. We
# test each: whether longer training (D02g) or test examples (D02h) add to what averaging gains, pair of runs by pair of runs, and
# whether an average of margins of logits, which do not saturate, gains anything (D02e).
#
# ![Reliability along training, reference run](../figures/reference/laptop/10_e_course.png)

# %%
study.show("e", figures.course, when=bool(study.params.course_runs))

# %% [markdown]
# Where the dashed line ends above the solid one, averaging over training is worth its while. Trained for long, networks become right
# on all training examples, and what is left of their final probabilities differs from run to run, while the average remembers how
# they got there. The claims below say which of the three explanations holds for which data set.
#
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside, *inconclusive*
# otherwise. At the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
study.keep("blocks")
study.verdicts()

# %% [markdown]
# **Advice.** Where training examples stay hard to the end (MNIST-1D), average over training, not only over runs. Where every
# example ends up right (digits), probabilities averaged over training are less reliable than the end (`D02b@digits contradicted`):
# average margins of logits instead. Whoever uses snapshots of EL2N, GraNd or counts of forgetting needs many runs before the ranks
# mean much. The mean over runs is enough; the median does not help (`D18 supported`). Before calling an example hard, ask whether
# its class is.
#
# What holds on every machine, even at these defaults:

# %%
table = study.results.at("network", study.params.main)["reliability"].set_index("score")
print("scores compared:", len(table))
print("probability beats right or wrong:", bool(table.single["confidence.last"] > table.single["accuracy.last"]))
print("within classes it is less reliable:", bool(table.in_class["confidence.last"] < table.single["confidence.last"]))
