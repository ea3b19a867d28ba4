# %% [markdown]
# # 30 · Noise sets where you land
#
# Stochastic gradient descent looks at a few examples at a time. The fewer they are and the larger its steps, the more it
# jitters. Does that noise decide in which kind of place training ends: flat or sharp, and with it how well the network
# does on examples that it has not seen?
#
# > **The claims** (Jastrzębski, Kenton, Arpit, Ballas, Fischer, Bengio, Storkey: *Three Factors Influencing Minima in SGD*,
# > [arXiv 1711.04623](https://arxiv.org/abs/1711.04623), and *Finding Flatter Minima with SGD*, ICLR 2018 workshop). Large steps
# > and small batches end in flatter places that generalise better. What counts is the ratio of step to batch: multiply both
# > by the same factor and nothing changes, so that a schedule of batches can stand in for one of steps. The ratio also
# > decides how much of wrong labels is memorised.
#
# Of the papers the abstracts were at hand, and notes on text and figures at second hand; what is known from notes alone is
# marked so in the ledger. The kicks at the end are ours.
#
# **In short**: at one training loss, more noise means a flatter place (FM01 supported), also when curvature counts in
# units of the weights (FM10c supported), but whether flatter settings classify more test examples rightly is open (FM03
# inconclusive). The ratio of step to batch tells most of it (FM04 supported), though the step seems to count for more
# than the batch (FM04b inconclusive). A schedule of batches does the work of one of steps (FM06 supported). Of networks
# that have memorised as much, those with more noise are not seen to be better (FM07 inconclusive). And flat places do
# not forget kicks sooner (FM11 contradicted): with the most noise, small kicks grow (FM11d supported).
#
# - **What later work disputes.** Dinh et al. (2017) rewrite a network, one layer larger and the next smaller, without a
#   change of what it computes: its curvature can become anything (FM10). So a second measure here counts changes of a
#   weight in its own size and does not see such rewriting (FM10c). Luo and Wang (2020) find that step, batch and curvature
#   are not enough: how gradients of single examples scatter is a factor of its own (FM09c, FM09d). Wu et al. (2018) argue
#   that step and batch play different roles (*How SGD Selects the Global Minima*, NeurIPS 2018); FM04b asks with which power
#   each of them counts.
# - **Equal loss.** The Hessian of the cross-entropy shrinks as a network grows sure of itself, so a network that has
#   trained for longer looks flatter. All curvature here is read when a network first reaches one training loss.
# - **Curvature.** The largest eigenvalue of the Hessian comes from Lanczos iteration, with a bound on its error; the trace
#   from Hutchinson's random signs, with an interval. Both are kept in the table of networks.
# - **Plain SGD**: a constant step, no momentum, no warm-up. The network is an MLP with 2 hidden layers of 64 on the
#   handwritten digits of scikit-learn.

# %%
from butterfly import data, models
from butterfly.curvature import largest_eigenvalue
from butterfly.papers.jastrzebski2018 import noise_minima_figures as figures
from butterfly.papers.jastrzebski2018.noise_minima import study
from butterfly.train import Crossing, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# One network with a large step and a small batch, one with a small step and a large batch, from the same start: each is
# kept when it first reaches a training loss of 0.3, and its largest eigenvalue is measured there.

# %%
task = data.load("digits")
net = models.build("mlp-2x64", task.input_shape, task.classes)
plain = {"schedule": "constant", "momentum": 0.0, "warmup": 0.0}
sharpness = []
for lr, batch in ((0.2, 16), (0.05, 64)):
    arrive = Crossing("here", lambda now, rows: now.theta[rows].clone(), "loss", level=0.3, every=20)
    run = train(net, task, Recipe(steps=300, lr=lr, batch_size=batch, **plain), seeds=[0], observers=[arrive])
    sharpness.append(largest_eigenvalue(net, run.recorded("here")[0][1], task.x, task.y)[0].item())
print("more noise, flatter place:", sharpness[0] < sharpness[1])

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. Every step in
# `lrs` meets every batch in `batches`; times are sums of steps, which is the time of gradient descent without noise.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "digits-plain"
seeds = 3
seeds_per_shard = 3
lrs = [0.05, 0.1, 0.2]
batches = [16, 64]
level = 0.3
limit = 60.0
epochs = 3
examples = 200
iterations = 6
probes = 4
points = 13
kick_sizes = [0.01, 0.3]
kick_time = 4.0
cycled = "mnist1d-plain"
cycle_lr = 0.2
cycle_batch = 100
cycle_factor = 5
cycles = 1
phase_epochs = 1
cycle_seeds = 2
cycle_seeds_per_shard = 2
noise = 0.4
noisy_lrs = [0.1, 0.2]
noisy_batches = [16, 128]
noisy_time = 20.0
noisy_seeds = 2
subsets = [150, 300]
base_lr = 0.025
base_batch = 8
base_epochs = 5
factors = [1, 4, 16]
drop = 0.02
networks = 2
draws = 2
dimension = 10
regression_examples = 500
regression_lrs = [0.02, 0.04, 0.32]
regression_batches = [4, 16]
regression_steps = 600
regression_seeds = 3

# %% [markdown]
# ## Train

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) How flat is the place?
#
# Expect both panels to fall from left to right, and the lines of different steps to lie on one another if only the ratio of
# step to batch counts. First the reference run, then the same at the parameters above.
#
# ![Curvature against the ratio of step to batch, reference run](../figures/reference/laptop/30_a_flatness.png)

# %%
study.show("a", figures.flatness)

# %% [markdown]
# FM01 and FM01b ask for the trend over the whole grid, FM02 and FM02b for every slice of it: at one step over batches, at one
# batch over steps. FM04 asks how much of the variance lies between ratios. A strong trend alone already makes that large, so
# FM04b compares the powers with which batch and step enter: the lines of larger steps lie lower, which is what the claim of
# the ratio alone does not allow. FM04d excludes the other common law, in which the step counts beside the square root of the
# batch.
#
# ## (b) Do flat places generalise, and flat in which units?
#
# ![Test accuracy and loss against curvature, and curvature in units of the weights, reference run](../figures/reference/laptop/30_b_generalisation.png)

# %%
study.show("b", figures.generalisation)

# %% [markdown]
# FM03 compares settings, and settings differ in their noise: flatness may be a cause of good generalisation or stand beside
# it. FM03c asks the same among networks of one setting, where the noise is equal. On these digits there is little to gain, one
# point of accuracy is five test examples, and the trend turns at the largest ratio.
#
# The stars are the check of Dinh et al.: the same functions, far sharper than anything that SGD found. The relative sharpness
# does not move (FM10b), and it falls with noise as the ordinary one does.
#
# ## (c) Lines through two networks
#
# ![Training loss on lines through two networks, reference run](../figures/reference/laptop/30_c_lines.png)

# %%
study.show("c", figures.lines)

# %% [markdown]
# What counts here is what lies outside, left of 0 and right of 1. FM01c and FM01d ask whether the end with less noise is the
# steeper one, FM04c whether ends of one ratio are alike. The hill between the two says that networks of one start, but of
# different noise, end in different valleys; those of one ratio hardly do.
#
# ## (d) Does only the ratio count along the way?
#
# If it does, four times the step and four times the batch draw the same curve over epochs. A common alternative says that
# the step should grow with the square root of the batch.
#
# ![Accuracy over epochs under linear and square-root scaling, reference run](../figures/reference/laptop/30_d_along.png)

# %%
study.show("d", figures.along)

# %% [markdown]
# FM05 asks which scaling stays closer to the curve as it was, FM05b and FM05c hold both against what another seed does.
#
# ## (e) Schedules of batches for schedules of steps
#
# MNIST-1D, where accuracy leaves room. A cycle is a phase of high and one of low ratio, of equal numbers of epochs. The
# recipe knows schedules of batches; a schedule of steps is made of runs that go on from one another, which without
# momentum is the same thing.
#
# ![Test accuracy under cyclic and constant schedules, reference run](../figures/reference/laptop/30_e_schedules.png)

# %%
study.show("e", figures.schedules)

# %% [markdown]
# Cycles end with a phase of little noise, and constants of the lower ratio have moved less in all. So FM06b alone would not
# show that cycling helps: FM06d holds cycles against a constant step with their mean ratio.
#
# ## (f) Noise and wrong labels
#
# ![Test accuracy and memorised labels against noise, reference run](../figures/reference/laptop/30_f_wrong_labels.png)

# %%
study.show("f", figures.wrong_labels)

# %% [markdown]
# The left panel has the sum of steps for a clock: noise slows memorisation (FM07b). By epochs it would be the other way
# round, since at a larger ratio each epoch moves a network further. FM07 needs no clock: networks are compared when
# they have fitted half of their wrong labels. There the settings differ by less than the seeds of one, and what trend
# there may be goes the other way: half a percentage point less for every doubling of the ratio (FM07). The paper has
# MNIST and 300 epochs; so has the profile `paper`.
#
# ## (g) Where the equivalence breaks
#
# ![Test accuracy against the factor on step and batch, reference run](../figures/reference/laptop/30_g_breaking.png)

# %%
study.show("g", figures.breaking)

# %% [markdown]
# Two things can end the equivalence: a batch that is no longer small beside the training set (and so few updates), and a step
# that is too large for the curvature. Only the first moves with the number of examples. FM08b asks whether the breaking point
# does, FM08c whether that growth comes to an end: the two larger training sets fall off one cliff.
#
# ## (h) The law behind it
#
# On linear regression it is known where SGD settles: for small steps at step / (4 batch) times the trace of the covariance
# of gradients, and exactly for steps of any size.
#
# ![Excess loss on linear regression over what the laws predict, reference run](../figures/reference/laptop/30_h_regression.png)

# %%
study.show("h", figures.regression)

# %% [markdown]
# The law of three factors holds where it should (FM09), fails for large steps (FM09b) as the closed form says it must (dashed),
# and where noise grows with a feature only the law with the covariance of gradients is right (FM09c, FM09d).
#
# The theory draws batches independently. Training shuffles the examples and passes through them once an epoch, so that what
# one batch pulls too far the others of that epoch pull back: FM09e. The smaller the step and the larger the batch, the more of
# the noise is lost this way, so that the ratio is not all that counts even where theory is exact.
#
# ## (i) Do flat places forget kicks sooner?
#
# The question of notebook 01, asked of the same networks: each is kicked where it reached the training loss, and trains on
# beside its twin, for the same sum of steps. One may expect either: a flat place pulls twins together less, but it also gives
# the differences between their minibatches less to work with.
#
# ![What is left of a kick against curvature, reference run](../figures/reference/laptop/30_i_kicks.png)

# %%
study.show("i", figures.kicks)

# %% [markdown]
# FM11 and FM11b guess that flat places forget sooner, in the weights and in the outputs. They forget less. In weights next to
# nothing is forgotten anywhere, since most directions of a kick are flat in every network; outputs come together the sooner the
# sharper the place. With the most noise the small kick grows (FM11d), in the flattest places of all: flat is where noise has
# driven the networks, not a place of rest. Still no kick leaves a barrier: all twins stay in the valley of their parent
# (FM11c).
#
# What toy scale cannot say: one small network and ten thousand weights, images that are nearly solved, no normalisation and no
# momentum. Whether noise helps generalisation where there is more to gain is a question for the profiles `gpu` and `paper`,
# which nobody has run yet.
#
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside,
# *inconclusive* otherwise. Units are seeds of networks on one data set, draws of training sets in (g), and data of their own in
# (h).

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
found = study.results["networks"].groupby("ratio").sharpness.mean()
print("the noisiest networks land in flatter places than the quietest:", bool(found.iloc[-1] < found.iloc[0]))
print(
    "large steps settle higher on linear regression:",
    bool(
        study.results["regression"]
        .query("lr == 0.32 and world == 'right' and way == 'independent'")
        .eval("measured / three")
        .mean()
        > 1
    ),
)
