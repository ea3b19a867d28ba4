# %% [markdown]
# # 01 · The butterfly effect
#
# Take a network in training. Copy it, change the copy by almost nothing, and let both train on: same batches, same
# order, same learning rates. Where do they end?
#
# > **The claim** (Altıntaş, Kwok, Raffel, Rolnick: *The Butterfly Effect*, ICML 2025,
# > [arXiv 2506.13234](https://arxiv.org/abs/2506.13234)). During an early, chaotic phase even a tiny change makes two
# > otherwise identical runs end in different valleys of the loss. The effect fades quickly with training time.
#
# **In short**: at the start of training a kick of a millionth of the weights (B01 supported), or of one weight alone
# (B02 supported), sends a network to another valley, and it hardly matters how many weights move (B24 supported). The
# later the kick, the lower the barrier (B03 supported); but this small network stays chaotic for longer than the
# authors', beyond a tenth of its training (B04 contradicted) and beyond half of it (B04b contradicted), and not for want
# of updates (B26e supported). In small residual networks on 2,000 images of CIFAR-10 (profile `cifar`) kicks beyond a
# tenth still leave a barrier (B04@cifar contradicted), and kicks beyond half of training leave none (B04b@cifar supported).
#
# Four words are used throughout.
#
# - The **parent** is the undisturbed run; its **twin** is the copy.
# - A **kick** is the change: of size sigma, it moves the copy by sigma times the norm that the weights had at the start.
#   A *Gaussian* kick has a random direction; a *batch* kick goes along the gradient of one other minibatch; *one weight*
#   moves a single weight by a hundredth of its initial scale, *some weights* as many as are said; *one ulp* moves a
#   single weight to the next floating-point number, the smallest change a computer can make.
# - The **barrier** says whether two networks lie in one valley: walk straight from one to the other and see how far the
#   training loss rises above the line between its ends,
#   $B = \sup_\alpha\; L\bigl((1-\alpha)\,\theta + \alpha\,\theta'\bigr) - \bigl[(1-\alpha)\,L(\theta) + \alpha\,L(\theta')\bigr]$.
#   A barrier near 0 means one valley.
# - A **control twin** gets a kick of size 0. It must stay identical to its parent to the last bit: only then is every
#   other difference the work of the kick. Every seed has a control twin at every kick time.

# %%

from butterfly import data, models
from butterfly.interpolate import barriers
from butterfly.papers.altintas2025 import butterfly_effect_figures as figures
from butterfly.papers.altintas2025.butterfly_effect import study
from butterfly.perturb import Kick
from butterfly.train import Fork, Recipe, train

# %% [markdown]
# Of the paper, the abstract, the caption of Figure 1, Equations 1 and 6, the code and the authors' notebooks were at hand
# when this was written, not its body. Numbers of the authors below are those of their notebooks, on which the limits of
# B04 and B04b are our reading. Their main setting is a ResNet-20 on CIFAR-10, trained for 20,000 updates; here it is an
# MLP with 4 hidden layers of 64 on MNIST-1D, trained by SGD with momentum 0.9 for 1,550 updates of 64 examples: the
# learning rate rises to 0.15 over the first 5 % and falls linearly to 0.
#
# ## The idea in ten lines
#
# A parent and three twins: one not kicked, one kicked at the start, one kicked halfway; and the barriers between them and
# their parent.

# %%
task = data.load("mnist1d")
model = models.build("mlp-4x64", task.input_shape, task.classes)
recipe = Recipe(steps=200, batch_size=64, lr=0.15)
forks = [Fork(0, 0, Kick(size=0)), Fork(0, 0, Kick(size=1e-2)), Fork(0, 100, Kick(size=1e-2))]
stack = train(model, task, recipe, seeds=[0], forks=forks).theta  # the parent, then its twins
line = barriers(model, stack[:1].expand(3, -1), stack[1:], task.x, task.y, points=5)
dict(zip(["not kicked", "at the start", "halfway"], line.of_loss.numpy().round(2).tolist(), strict=True))

# %% [markdown]
# ## Parameters
#
# These are the smallest honest values, so that the notebook runs in seconds; `params/<profile>.yaml` holds the larger
# grids. A misspelt name or a wrong type stops the run with a message. Times are percentages of the training steps;
# `recipe` takes any field, as in `{"lr": 0.1}`, and changes the main setting, not the real data. With `redrawn_seeds`
# the same grid is run again with data of its own for every seed, and with `long_times` the main setting is trained four
# times as long.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "mnist1d"
steps = 120
seeds = 3
seeds_per_shard = 3
kick_times = [0.0, 10.0, 50.0]
gaussian_sizes = [1e-4, 1e-2]
tiny_sizes = []
batch_sizes = [1e-2]
one_weight_size = 0.01
one_weights = 2
weight_counts = [1, 100]
count_times = [0.0, 50.0]
count_size = 1e-4
points = 5
looks = 10
redrawn_seeds = 0
long_times = []
long_seeds = 3
long_sizes = [1e-4, 1e-2]
real_settings = []
real_seeds = 3
real_kick_times = [0.0, 10.0, 50.0]
real_sizes = [1e-4, 1e-2]
real_batch_sizes = [1e-2]

# %% [markdown]
# ## Train
#
# All twins of a seed train in one stack, in lockstep with their parent, and are forked inside the run, so nothing is
# trained twice. Finished shards are kept: a second run reads them, and a run that was killed goes on where it was.

# %% tags=["nbval-ignore-output"]
study.open(globals())
study.keep("twins", "longer")

# %%
twins = study.results["twins"].query("setting == @setting")
twins.groupby("kind").size().rename("networks").to_frame()

# %% [markdown]
# ## (a) How large must the kick be?
#
# If training forgot small changes, the barrier would grow with the size of the kick, from zero. The paper says otherwise:
# at the start of training it hardly matters over many decades how small the kick is. The reference run comes first, then
# the same at the parameters above.
#
# ![Barrier against kick size, reference run](../figures/reference/laptop/01_a_barrier_by_size.png)

# %%
study.show("a", figures.barrier_by_size, on=setting)

# %% [markdown]
# At the start the smallest kicks already end across a barrier. From some size on, the size makes little difference (B05):
# the effect is saturated, at a height that depends on when the kick came; below, smaller kicks leave smaller barriers. In
# float32 a weight has 24 binary digits, so that the tiniest kicks are rounded, and those of 1e-8 move only the smaller
# weights; notebook 04 looks for the smallest kick in float64. The claims below stop at the paper's largest kick, 0.01.
#
# ## (b) When must the kick come?
#
# The same barriers against time, on two clocks: training steps, and the learning rate summed up to the kick. A schedule
# with warm-up moves the network little in its first steps, so the second clock may be the fairer one.
#
# ![Barrier against kick time, reference run](../figures/reference/laptop/01_b_barrier_by_time.png)

# %%
study.show("b", figures.barrier_by_time, on=setting)

# %% [markdown]
# On both clocks the barrier is about flat during the first percent of training and then falls (B03), but it falls later
# than the authors report: their barriers are below 0.05 from 10 % of training on, and below 0.01 from 50 % on (B04 and
# B04b hold ours against these limits). Figure (h) asks why.
#
# ## (c) How does a small difference grow?
#
# The distance between twin and parent while they train, after kicks at time 0 that differ by eight orders of magnitude.
# How far the parent has moved from its own start is the scale for a large distance.
#
# ![Distance between twins during training, reference run](../figures/reference/laptop/01_c_growth.png)

# %%
study.show("c", figures.growth, on=setting)

# %% [markdown]
# Even one ulp is amplified until the twins are about as far apart as the parent is from its start. B27 compares the
# distance at the end, in norms of the initial weights, with the range of all the authors' twins, whenever they were
# kicked: of those kicked at the start alone, none was at hand.
#
# ## (d) What lies between them?
#
# Walk straight from parent to twin. One valley would be flat all the way; two valleys have a ridge between them. Look at
# how the ridge sinks as the kick comes later.
#
# ![Loss on the line between twins, reference run](../figures/reference/laptop/01_d_path.png)

# %%
study.show("d", figures.path, on=setting)

# %% [markdown]
# Both ends are equally good; what lies between them is a ridge after early kicks, and flat ground after late ones. On
# test data the ridge starts from higher ground, because the network fits its training set far better than other
# examples: the barrier on test data is then lower than on training data (B21 asks whether the two agree). If the ground
# were all, the top of the ridge would be about as high on both (B28). On the digits below there is no such gap, and
# B21@digits asks the same there.
#
# ## (e) Different, and no worse?
#
# Twins come to answer differently on test examples. Is one of them the worse for it?
#
# ![Disagreement and accuracy, reference run](../figures/reference/laptop/01_e_disagreement.png)

# %%
study.show("e", figures.disagreement, on=setting)

# %% [markdown]
# After an early kick, twins answer many test examples differently; even a late kick that leaves hardly a barrier
# changes a few answers. B16 asks whether a kick at the start rather than later changes the accuracy, and counts a
# change as nothing if it is below one point, about the standard deviation of a single run.
#
# ## (f) On real data
#
# The same protocol with fewer cells on real images: handwritten digits at laptop scale, MNIST and CIFAR-10 on a GPU.
# The defaults above leave it out. The figure is drawn like (b). In the reference run an MLP with 2 hidden layers of 64
# learns scikit-learn's handwritten digits (8 x 8 pixels).
#
# ![Barrier against kick time on handwritten digits, reference run](../figures/reference/laptop/01_f_digits.png)

# %%
for name in real_settings or [""]:
    study.show("f", figures.barrier_by_time, name=name, on=name, when=bool(name))

# %% [markdown]
# Most claims have their own verdict on real handwriting, with an id that ends in the name of the data: B03@digits asks
# whether the barrier falls there as well, B04@digits and B04b@digits whether it is gone from 10 % and from half of
# training on. They do not compare the height of barriers between data sets.
#
# ## (g) How many weights?
#
# The caption of the paper's Figure 1 says that a single weight is enough at the start. How much does it matter how many
# weights move? In the left panel all kicks are equal in L2, so that a single weight moves far and many move little each;
# in the right one every weight that moves does so by the same share of its scale, as in the paper's Equation 6, and a
# kick of more weights is a larger kick.
#
# ![Barrier against the number of kicked weights, reference run](../figures/reference/laptop/01_g_number_of_weights.png)

# %%
study.show("g", figures.number_of_weights, on=setting, when=bool(weight_counts))

# %% [markdown]
# At equal L2, claims B24 and B24c ask whether the number of weights matters by more than a factor of 1.6 between one
# and all; B24b asks whether it does where every weight moves by its own share. B25 and B25b test what Figure 1 is said
# to show of the time: that the kick of one weight leaves far less after half a percent of training, and next to nothing
# later. Half a percent is update 100 for the authors. Here it would be a few updates at a small learning rate, so B25b
# looks at update 100 as well; that is a later percentage here. That kicks are late from 10 % on is our limit.
#
# ## (h) Why do late kicks still matter here?
#
# A tenth of training is 155 updates here, and 2,000 in the authors' runs. If chaos ended after some number of updates, or
# once some amount of learning rate is spent, then it would end at a smaller percentage in a longer run. So the same
# network is trained four times as long, with the whole schedule stretched, and kicked at the same percentages and at the
# same updates. On the clock that decides, the two curves should lie on each other. The crosses are the authors' barriers
# after Gaussian kicks.
#
# ![Barrier against kick time on three clocks, reference run](../figures/reference/laptop/01_h_clocks.png)

# %%
study.show("h", figures.clocks, on=setting, when=bool(long_times) or setting.startswith("cifar10"))

# %% [markdown]
# B26e asks which clock it is: the percentage at which the barrier has fallen to a fifth in the long run, over that in
# the short one. The factor is 1 if the percentage decides, and a quarter if the number of updates or the summed
# learning rate does, since both are four times as large at the same percentage of the long run; a half is the border.
# B26c compares the barrier after some 400 updates with the authors' at that update, and B26d asks whether at update
# 2,000, where theirs is gone, ours is gone as well. If the percentage decides, agreement at one update is a
# coincidence: the end of chaos follows the schedule as a whole. That it comes at a later percentage here than in the
# authors' ResNets, with their normalisation, their batches of 128 and their data, is then unexplained in this notebook;
# it is not for want of updates. Notebook 05 changes the recipe and the network.
#
# The profile `cifar` kicks residual networks: `resnet8-8` with channel norm, 2,000 images of 16 x 16 pixels, flipped and
# turned, 3,000 updates of 32 images by the paper's schedule, six seeds. Twins kicked at the start end apart as far as the
# authors' do (B27@cifar supported), whatever the size of the kick (B05@cifar supported), behind a barrier of about half a
# nat; the authors' is 1.4. Of that barrier a kick at update 100 leaves 0.46, at update 400 0.16, and at update 1,500 0.009;
# the authors' runs have 0.24, 0.11, and 0.014 at update 2,000. So the curves come near each other on the clock of updates
# (`figures/reference/cifar/01_h_clocks.png`), not on that of percent, which decides between runs of the MLP; no claim asks
# about that, and it may be chance. In nats, update 400 leaves too little to say that it is within a factor of 2 of theirs
# (B26c@cifar inconclusive).
#
# ## Claims
#
# Each claim has a statistic, its 95 % interval over seeds, and a region fixed beforehand: *supported* when the whole
# interval lies inside, *contradicted* when it lies outside, *inconclusive* otherwise. With the three seeds of the
# defaults most are inconclusive, as they should be. Ids that end in `@redrawn` are those where every seed has data of its
# own, so that the interval covers the data as well; those that end in the name of a data set are on real data.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# A network that did not learn, or a control twin that left its parent, voids the claims. The recipe of the main setting
# (and of the digits) was chosen so that the early phase is chaotic: at learning rate 0.1 instead of 0.15 a kick of one
# ulp left a mean barrier of only about 0.1 in a trial of 4 seeds. Statements about tiny kicks at the start are therefore
# about such recipes. So it is with the residual networks of the profile `cifar`: twice as wide, and trained for half as many
# updates of twice as many images, twins kicked at the start ended behind a barrier of 0.1 (six other seeds, not kept).
#
# What holds on every machine, even at these defaults:

# %%
control, gaussian = twins[twins.kind == "control"], twins[twins.kind == "gaussian"]
early, late = (gaussian[gaussian.time == time].barrier.mean() for time in (0, max(kick_times)))
print("control twins that differ from their parent:", (control.largest_difference > 0).sum(), "of", len(control))
print("early kicks end across higher barriers than late ones:", bool(early > 3 * late))
