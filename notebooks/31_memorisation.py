# %% [markdown]
# # 31 · What networks memorise
#
# A network that is large enough fits anything: photographs with their labels, photographs with labels drawn by lot, noise.
# So what tells learning from memorising? One can train on real data and on noise and hold the two against each other.
#
# > **The claims** (Arpit and others: *A Closer Look at Memorization in Deep Networks*, ICML 2017,
# > [arXiv 1706.05394](https://arxiv.org/abs/1706.05394)). Networks learn simple patterns first and memorise noise later. On
# > real data some examples are easy for every run, on noise which ones are learned first is chance; the loss depends on few
# > examples, and classes help each other; noise takes more capacity, more time, and a busier decision surface; and dropout
# > keeps a network from fitting noise without harm on real data. The workshop paper that came before (Krueger and others:
# > *Deep Nets Don't Learn via Memorization*, ICLR 2017) adds that random labels take longer to fit but random inputs less
# > long, and that solutions for noise are sharper.
#
# Of the first paper the abstract was at hand, and its text and figures at second hand; of the second the abstract. Claims on
# scores of examples and on kicks are ours.
#
# **In short**: after one pass runs agree on which examples are easy where data are real (ME01 supported, ME01b
# supported). At equal accuracy it depends on how far training has come: it is so once runs are right on four fifths of
# the examples (ME01g supported), and the other way round when they are on half (ME01e contradicted). Real labels are
# learned before wrong ones (ME06d supported), noise takes longer (ME05 supported, ME09b supported), wider networks
# (ME04d supported) and a busier surface (ME07 supported), and dropout keeps it out (ME08 supported), at a cost of less
# than a point (ME08b supported). Not so here: noise in the place of inputs is not fitted sooner than real data (ME09
# contradicted), unless it has many dimensions (ME09e supported); and whether the loss depends on fewer examples at
# every look (ME02 inconclusive), or places that fit noise are sharper at equal loss (ME10 inconclusive), was not
# decided, though they are sharper where all is fitted (ME10c supported). Whether under noise it also takes a wider
# network to come near the best test accuracy was not decided (ME04 inconclusive). Averages of EL2N find what is
# memorised (ME11 supported), and a kick at the start changes which wrong labels that is (ME12e supported), if less than
# another seed does (ME12 contradicted).
#
# - **randX** puts Gaussian noise in the place of inputs, with the mean and the standard deviation of each pixel; **randY** draws
#   labels anew. Either can be done to all examples or to a fraction, and which examples it was done to is recorded.
# - A unit is a **draw**: some examples of the digits, and noise of their own, with a few networks on each. Test images are the
#   same for all draws. The learning rate is constant, so that times are times.
# - Two hidden layers, as in the paper, of 64 units and 8 x 8 images here, of up to thousands and MNIST and CIFAR-10 there.

# %%
from butterfly import data, models
from butterfly.data import with_random_inputs, with_random_labels
from butterfly.evaluate import predictions
from butterfly.papers.arpit2017 import memorisation_figures as figures
from butterfly.papers.arpit2017.ease import shared
from butterfly.papers.arpit2017.memorisation import study
from butterfly.train import Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Twenty networks, one pass through the data: are they right on the same examples? `shared` is the share of the variance of their
# answers, right or not, that the examples explain: 0 by chance, 1 if all networks are right on the same ones.

# %% tags=["nbval-ignore-output"]
digits = data.load("digits")
sets = {"real": digits, "randX": with_random_inputs(digits, 1.0, 0)[0], "randY": with_random_labels(digits, 1.0, 0)[0]}
net = models.build("mlp-2x64", digits.input_shape, digits.classes)
once = Recipe(steps=25, batch_size=50, lr=0.05, schedule="constant", warmup=0.0)
for name, task in sets.items():
    theta = train(net, task, once, seeds=range(20)).theta
    right = (predictions(net, theta, task.x) == task.y).numpy()
    print(f"{name}: {right.mean():.0%} right, shared {shared(right):.2f}")

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. `seeds` are draws,
# times are in epochs; `patience` are the epochs that real data, randX and randY are given to be fitted.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "digits-memory"
seeds = 2
seeds_per_shard = 2
runs = 2
examples = 200
noise = 0.4
many = 10
ease_epochs = 10
levels = [0.5, 0.8]
small = "mlp-2x16"
unrolled_examples = 100
unrolled_epochs = 10
looks = 2
sizes = [50, 100, 200]
patience = [20, 30, 60]
loss = 0.1
iterations = 10
dimensions = [64, 256]
gaussian_patience = 30
widths = [4, 16, 64]
capacity_epochs = 20
dropouts = [0.4]
dropout = 0.4
decays = [0.001, 0.01]
regularised_epochs = 30
fractions = [0.4, 0.8]
epochs = 30
critical_epochs = [1, 30]
points = 100
score_epochs = [1, 3, 10, 30]
kick_sizes = [0.01]
kick_times = [0, 5]
kick_epochs = 30
kicked_runs = 3

# %% [markdown]
# ## Train

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) Are some examples easy for everybody?
#
# Count for every example how many runs are right on it after one epoch. If no example were easier than another, the counts
# would spread as coin flips do (thin lines); easy and hard examples make them spread more.
#
# ![Share of runs that are right, by example, and its variance over chance, reference run](../figures/reference/laptop/31_a_ease.png)

# %%
study.show("a", figures.ease)

# %% [markdown]
# Runs are right on far more real examples than random ones after an epoch, so two more comparisons wait until each run
# is right on the same share of the examples, low or high (ME01e, ME01g). The two come out in opposite ways. ME01c and
# ME01d ask whether noise leaves it to chance altogether, which is more than that real data do not.
#
# ## (b) On how many examples does the loss depend?
#
# Nudge the input of one training example, train again, and see how far the loss moves. The derivative does this for all
# examples at once: it is taken backwards through every update (`unrolled.sensitivity`), for a small network. The Gini
# coefficient says how unequal examples are in it.
#
# ![Gini coefficient of sensitivity over training, reference run](../figures/reference/laptop/31_b_influence.png)

# %%
study.show("b", figures.influence)

# %% [markdown]
# ME02 and ME02b ask for a difference at every look, as the paper shows it; ME02c over all of training. Real data and noise are
# not at the same training accuracy at any look (right panel): a network that is right on most examples has little to learn from
# them. This is how the paper compares the two, and may be part of what it finds.
#
# ## (c) Do classes help each other?
#
# ![Sensitivity of the loss of each class to examples of each class, reference run](../figures/reference/laptop/31_c_classes.png)

# %%
study.show("c", figures.classes)

# %% [markdown]
# Dark off the diagonal: only its own examples matter to the loss of a class. ME03 and ME03b hold real data against noise,
# ME03c asks whether on noise classes leave each other alone.
#
# ## (d) How large a network does it take?
#
# Two different questions: how wide must a network be to *generalise* as well as it can, if some of the data are noise (left)?
# And how wide to *fit*, if all are (middle)? The right panel has the time to fit, by width.
#
# ![Accuracy and time to fit by width, reference run](../figures/reference/laptop/31_d_capacity.png)

# %%
study.show("d", figures.capacity)

# %% [markdown]
# ME04 and ME04b take the smallest width whose test accuracy at the end comes within a point of the best; ME04c does so for
# training that is stopped at its best, where there is less to be lost by fitting noise. ME04d and ME04e are the claims of the
# workshop paper, on fitting.
#
# ## (e) How long does it take, and how sharp is the place?
#
# The workshop paper says that noise in the place of inputs is fitted sooner than real data. In a space of many dimensions
# random inputs are far from each other, and any labels can be told apart; so the answer may depend on the dimension. The
# middle panel tries it, with inputs as they are and shrunk to equal length (longer inputs learn faster by themselves).
#
# ![Time to fit by number of examples and by dimension; sharpness; reference run](../figures/reference/laptop/31_e_fitting.png)

# %%
study.show("e", figures.fitting)

# %% [markdown]
# ME05 asks for the factor by which the time grows with the number of examples, ME09 who is first. Sharpness is compared twice:
# where the training loss first falls to the same level (ME10), since the Hessian of cross-entropy shrinks with the loss; and
# where all training examples are first right, which is nearer to the convergence that the abstract speaks of (ME10c), but at
# different losses.
#
# ## (f) Patterns before noise
#
# With some of the labels wrong, a network could learn the right ones and the wrong ones at the same pace. It does not have to.
#
# ![Accuracies along training on partly noisy data, reference run](../figures/reference/laptop/31_f_patterns.png)

# %%
study.show("f", figures.patterns)

# %% [markdown]
# ME06 compares the best epoch on test data with the time to fit. The best of many epochs is better than the end by luck alone;
# so one half of the test set picks the epoch, and the other half counts what is lost from there (ME06b); ME06c is the same
# without noise. Which labels are wrong is recorded, so ME06d can ask directly who comes first.
#
# ## (g) A busier decision surface
#
# A test input is a *critical sample* if a search in a small box around it finds another answer. In a large box all are
# critical; the paper has one box for all. Here each draw sets its own by a rule that uses no label: a fifth of the test inputs
# are critical after one epoch on real data.
#
# ![Share of critical samples by epoch and fraction of noise, reference run](../figures/reference/laptop/31_g_critical.png)

# %%
study.show("g", figures.critical)

# %% [markdown]
# ## (h) What keeps a network from memorising?
#
# ![Training accuracy on random labels against test accuracy on real data, by regulariser, reference run](../figures/reference/laptop/31_h_regularisers.png)

# %%
study.show("h", figures.regularisers)

# %% [markdown]
# ME08 and ME08b are about one strength of dropout, named beforehand. ME08c holds it against the weight decay that leaves as many
# random labels fitted, read off between strengths.
#
# ## (i) Which scores find what is memorised, and when?
#
# Scores of example difficulty (notebooks 10 to 15) can be read at any time of training. Here the examples that can only be
# memorised are known: wrong labels, and inputs that are noise.
#
# ![Area under the ROC curve of scores, by epoch, reference run](../figures/reference/laptop/31_i_finders.png)

# %%
study.show("i", figures.finders)

# %% [markdown]
# What is memorised looks like what was learned, once it is memorised: a single look at the end may find little of it (ME11b),
# while an average still has the beginning in it (ME11).
#
# ## (j) Does a kick change what is memorised?
#
# Stop every network when it has fitted half of the wrong labels: which half? Twins are kicked once, by a small or a large kick,
# early or late, and see the same minibatches as their parents; another twin is not kicked but sees other minibatches; and networks
# of other seeds share nothing but the data.
#
# ![How far twins and other seeds fall short of memorising the same, reference run](../figures/reference/laptop/31_j_kicks.png)

# %%
study.show("j", figures.kicks)

# %% [markdown]
# How many labels are fitted is the same for all by construction. ME12e asks whether a kick changes *which* at all, ME12 whether as
# much as another seed does, ME12f whether less than other minibatches do; ME12b and ME12g whether it matters when the kick comes
# and how large it is; and ME12c whether some wrong labels are easy for every seed.
#
# ## Claims
#
# *Supported* when the whole 95 % interval over draws lies in the region fixed beforehand, *contradicted* when it lies outside,
# *inconclusive* otherwise: two draws say little about the reference run.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What toy scale cannot say: digits of 8 x 8 pixels are learned within an epoch or two by networks of 64 units, and the paper's
# networks are larger in every respect. Draws share the pool of digits that they are taken from, and the test images.
#
# What holds on every machine, even at these defaults:

# %%
ease = study.results["ease"].query("when == 'after one epoch'").groupby("kind").shared.mean()
curve = study.results["curves"].query("kind == 'randY' and fraction == 0.4").groupby("epoch")[["real", "noise"]].mean()
print("runs agree more on which real examples are easy:", bool(ease["real"] > ease.drop("real").max()))
print("real labels are fitted before wrong ones:", bool((curve.real > curve.noise).loc[1:10].all()))
