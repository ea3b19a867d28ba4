# %% [markdown]
# # 11 · Is there one difficulty?
#
# There are dozens of scores of example difficulty. Kwok, Anand, Frankle, Dziugaite and Rolnick (*Dataset Difficulty and the Role
# of Inductive Bias*, [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) write in their abstract that scores are noisy over
# individual runs, but strongly correlated with a single notion of difficulty. We had the abstract, the code of the scores and four
# notebooks by the authors at hand, not the body of the paper: which scores they compare, and how, is our choice here.
#
# **In short**: scores have one dominant axis (D06 supported), but on MNIST-1D a second one that explains more than one score
# alone (D06b contradicted). Most of their disagreement is the noise of runs (D07 supported); how much depends on which
# scores are asked (D07c supported). GraNd at initialisation stands for the norm of the input (D13b supported). All of this is
# about two data sets: the runs are drawn anew to confirm it, the examples are not.
#
# A small convolutional network that scores images of CIFAR-10 (profile `cifar`) turns one answer round: scores have a
# dominant axis (D06@cifar supported) and a second one there as well (D06b@cifar contradicted), but most of their
# disagreement is not noise (D07@cifar contradicted). That is the work of three scores of spread, which go their own way;
# without them, far more of the disagreement is noise (D07c@cifar supported). The gradient before training
# is again that of the input's norm (D13b@cifar supported).
#
# Correlations of noisy scores are too low, and those of two scores of the *same* run are too high, as they share its noise. Both
# can be mended.
#
# - All scores are turned so that large means hard. *Raw*: rank correlation of one score in one run with another in another run.
#   *Freed of noise*: divided by the root of the two reliabilities, each between different runs as well (Spearman 1904).
# - *One list of scores.* How much scores agree depends on which are asked. The claims rest on one list with a rule: every score of
#   the registry that all looks of one run make together, and one of every formula. Figure (e) shows other lists.
# - *Kaiser's criterion* (1960): a component counts if it explains more of the variance than one score alone, and so the claim on the
#   second component asks (D06b). *Parallel analysis* (Horn 1965) asks less, only whether it exceeds the 95th percentile of what
#   chance gives, and with many examples finds small ones as well; the figure shows both. For the second component, chance keeps the
#   first one and shuffles what it leaves of each score. (If everything were shuffled, no second component could ever count where
#   the first holds nine tenths.)
# - *Within classes*: every claim on difficulty is made again with the rank of an example among those of its class, since scores
#   may agree only about which classes are hard.
# - *C-score* (Jiang et al. 2021, [arXiv 2002.03206](https://arxiv.org/abs/2002.03206)): share of right answers among networks that
#   trained on a random 30 % or 70 % of the examples, this one not among them.
# - *GraNd at initialisation* is the negative control: Kirsch (2023, [arXiv 2303.14753](https://arxiv.org/abs/2303.14753)) could not
#   reproduce its use.

# %%
from butterfly import data, models, reliability, score
from butterfly.papers.kwok2024 import one_notion_figures as figures
from butterfly.papers.kwok2024.one_notion import study
from butterfly.train import Observer, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# EL2N averaged over training, and how often an example is forgotten: their rank correlation between two runs, as measured and
# freed of run noise.

# %%
task = data.load("mnist1d")
x, y = task.x[:300], task.y[:300]
model = models.build("mlp-4x64", task.input_shape, task.classes)
logger = score.ScoreLogger(task.ids[:300], y, networks=4)
look = Observer("look", lambda now: logger.watch(model, now.theta, x), frozenset(range(20, 161, 20)))
train(model, task, Recipe(steps=160, batch_size=64, lr=0.1), seeds=range(4), observers=[look])
el2n, forgetting = (score.difficulty(name, logger.scores()[name]) for name in ("el2n.mean", "forgetting.capped"))
print(f"{reliability.cross(el2n, forgetting):.2f}, {reliability.disattenuated(el2n, forgetting):.2f}")

# %% [markdown]
# ## Parameters
#
# Networks and runs are those of notebook 10, found again if they were computed there. New are `initial` networks, whose gradients
# are taken before training, and `held_out` networks for each of `ratios`.

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
runs = 20
runs_per_shard = 20
looks = 8
examples = 300
initial = 20
held_out = 20
ratios = [0.3, 0.7]

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% tags=["nbval-ignore-output"]
study.results["axis"].set_index(["network", "score"]).round(2).head(8)  # correlation with EL2N averaged over training

# %% [markdown]
# ## (a) Every score against every other
#
# If all scores were one, the right half would be of one colour. First the reference run, then the same at the parameters above.
#
# ![Correlations between scores, raw and freed of noise, reference run](../figures/reference/laptop/11_a_correlations.png)

# %%
study.show("a", figures.correlations)

# %% [markdown]
# One large block: averages over training, the end of training, iteration learned, early EL2N and robustness are one thing seen
# through more or less noise. On MNIST-1D the spread of confidence, GraNd and the distances from prototypes stand outside, and
# taking out run noise does not bring them in.
#
# ## (b) One axis, or more?
#
# ![Principal components of scores, reference run](../figures/reference/laptop/11_b_components.png)

# %%
study.show("b", figures.components)

# %% [markdown]
# One axis dominates (D06). Is there a second one (D06b)? Points above the dashed line are more than chance leaves beside the first
# axis, points above the dotted one explain more than one score. On MNIST-1D the second axis is how much confidence and gradients move *while* training, which is largest for examples of
# middling difficulty. Dataset Cartography draws the same plane (Swayamdipta et al. 2020,
# [arXiv 2009.10795](https://arxiv.org/abs/2009.10795)).
#
# ## (c) What stands apart
#
# ![Correlation of each score with EL2N, reference run](../figures/reference/laptop/11_c_axis.png)

# %%
study.show("c", figures.axis)

# %% [markdown]
# Where circles lie left of triangles, the disagreement was noise: weight noise, early EL2N, first learned and forgetting are one
# score badly measured. Hollow diamonds, within classes, show what scores agree on beside the class. On MNIST-1D the spread of
# confidence, GraNd and the distances from prototypes are other things; on digits, where everything is learned at once, spread and
# gradients agree with the rest, and prediction depth and robustness stand apart.
#
# ## (d) A negative control
#
# ![GraNd at initialisation against the norm of the input and EL2N, reference run](../figures/reference/laptop/11_d_control.png)

# %%
study.show("d", figures.control)

# %% [markdown]
# Before training, the size of the gradient knows how large the input is, and nothing of the label. On MNIST-1D classes of large
# norm happen to be easier, so GraNd at initialisation correlates with difficulty, with the wrong sign. The right panel and D13c ask
# whether anything of that is left within classes.
#
# ## (e) Does the list of scores decide?
#
# What part of the disagreement is noise is a number about a list of scores. Here are the list of the claims, the same list without
# one of its scores at a time, and other lists.
#
# ![Sensitivity to the list of scores, reference run](../figures/reference/laptop/11_e_lists.png)

# %%
study.show("e", figures.lists)

# %% [markdown]
# The list matters: on MNIST-1D the spread of confidence alone makes much of the difference, and with scores of single moments
# (gradients, prototypes) less of the disagreement is noise. So "one notion" is a statement about scores of *how wrong* a network is
# along training. D07c asks whether scores of *how much something moves* are what stays apart on each data set: whether leaving those
# three out takes away more of the disagreement that is no noise than leaving out any other three does on average.
#
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside, *inconclusive*
# otherwise. At the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
study.keep("blocks", "lists")
study.verdicts()

# %% [markdown]
# **Advice.** Any smooth average of how wrong a network is along training ranks examples alike. That is not so for every score: name
# the list before saying that scores share one notion. Before two scores are said to disagree, divide by their reliabilities, from
# different runs. Look within classes. Cap forgetting. Do not use gradients at initialisation.
#
# What holds on every machine, even at these defaults:

# %%
axis = study.results.at("network", study.params.main)["axis"].set_index("score")
print("scores beside EL2N:", len(axis))
print("freed of noise, loss and EL2N agree better than raw:", bool((axis.free > axis.raw)["loss.mean"]))
