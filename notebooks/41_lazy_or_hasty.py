# %% [markdown]
# # 41 · Lazy or hasty
#
# Multiply the outputs of a network by a hundred, take steps that are ten thousand times as small, and it learns while its
# weights hardly move: it is as good as linear in them, and its features stay what they were. Does such a *lazy* network
# learn the same examples first as one that learns features?
#
# > **The claims** (George, Lajoie, Baratin: *Lazy vs Hasty: Linearization in Deep Networks Impacts Learning Schedule Based
# > on Example Difficulty*, TMLR 2022, [arXiv 2209.09658](https://arxiv.org/abs/2209.09658)). Learning features puts easy
# > examples before hard ones, more than lazy learning does, so that examples of rising difficulty come one after another.
# > This holds whether difficult means a low consistency score, a wrong label, or a broken correlation with something easier.
#
# **In short**: by their losses, yes. At the same mean loss hard and easy examples are further apart where features are
# learned: consistency scores (LH03b supported), wrong labels (LH04b supported), colours that mislead (LH05c supported),
# and places in the plane (LH01 supported), there by an eighth or so, but only by a few percent from larger weights
# (LH01d supported). Counted in right answers little of it is left: perhaps nothing for scores (LH03 inconclusive) and
# labels (LH04 inconclusive), and with colours it is the other way round (LH05 contradicted). There answers are spread
# more widely between right and wrong (LH05d supported), so that a larger loss is not one more wrong answer. Smaller
# steps may take a part of the effect away (LH03d inconclusive).
#
# Of the paper there was at hand the abstract, and the authors' code (`tfjgeorge/lazy_vs_hasty`), which says how networks
# were trained and what was read; text and figures at second hand. Claims that are ours say so.
#
# - **Output scale.** Networks put out `scale * (f(w) - f(w0))`, with `w0` their start, and steps are divided by the square of
#   the scale. At scale 1 they learn features ("hasty"); at 100 they are taken for linear. Figure (f) asks whether they are.
# - **Equal progress.** Which examples come first is asked at the same mean training loss, or the same accuracy on all, not
#   at the same time. A network that learns features is held against a lazy one with the same start, data and order of batches.
# - **Difficulty** is a place in the plane, a score of consistency (the share of networks that answer right without having
#   trained on an example), a wrong label, or a colour that misleads.
# - Networks start as the layers of `torch.nn` do, like the authors'. Theirs on CIFAR-10 were residual networks of 18 layers
#   that trained for two or three epochs before they were made lazy; ours are small, and lazy from the first update.

# %%
import numpy as np

from butterfly import data, models
from butterfly.data import yinyang
from butterfly.evaluate import logits
from butterfly.milestones import at_levels
from butterfly.models.centred import Centred
from butterfly.objective import cross_entropy
from butterfly.papers.george2022 import lazy_or_hasty_figures as figures
from butterfly.papers.george2022.lazy_or_hasty import standing, study
from butterfly.train import Observer, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# Four networks at each of two output scales learn two halves of a square with a disc of the other class in each. When their
# mean loss first comes to 0.45, how much larger is it in the discs than outside?

# %% tags=["nbval-ignore-output"]
task, net = data.load("yinyang-100"), models.build("mlp-3x60", (2,), 2)
disc = yinyang.pattern(task.x, 0.0)[1]
labels = task.y.expand(4, -1)
losses = Observer("losses", lambda now: cross_entropy(logits(now.model, now.theta, task.x), labels), range(0, 401, 10))
for scaled in (Centred.of(net, 1.0), Centred.of(net, 100.0)):
    recipe = Recipe(steps=400, batch_size=100, lr=0.03 / scaled.alpha**2, schedule="constant", warmup=0.0)
    run = train(scaled, task, recipe, range(4), observers=[losses], init=standing(scaled, range(4)))
    seen = np.stack([each for _, each in run.recorded("losses")])
    hard, easy = (at_levels(seen[..., some].mean(2), seen.mean(2), [0.45])[0] for some in (disc, ~disc))
    print(f"output scale {scaled.alpha:g}: hard over easy", (hard / easy).round(2))

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. `scales` are output
# scales: networks learn features at the first and are lazy at the last. Parameters from `strengths` to `draw_levels` are those
# of the model that can be solved, from `real` on those of real images, from `tinted` on those of coloured ones. Losses and
# accuracies say where networks are read.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "yinyang"
steps = 100
seeds = 4
seeds_per_shard = 4
scales = [1.0, 100.0]
longer = 5.0
restarted_step = 0.03
restarted_steps = 300
lazier = 10.0
levels = [0.5, 0.45]
looks = 20
examples = 50
strengths = [5.0, 6.0, 7.0, 8.0, 9.0]
start = 0.001
draws = 8
points = 20
flipped = 5
dimension = 200
noise = 5.0
draw_levels = [0.5, 0.25, 0.1]
real = "digits-scaled"
real_steps = 80
real_seeds = 2
score_runs = 8
score_steps = 60
shares = [0.1, 0.3, 0.5]
bins = 10
accuracies = [0.4, 0.6, 0.8]
real_levels = [1.5, 1.2]
wrong_steps = 100
wrong = 0.15
wrong_accuracies = [0.6, 0.7]
wrong_levels = [1.5, 1.4]
tinted = "digits-scaled"
tinted_steps = 150
agreement = 0.9
colour_levels = [0.3, 0.25]

# %% [markdown]
# ## Train

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) Easy and hard places in the plane
#
# A hundred even places, the discs turned to another side for every seed. If learning features gives easy examples more
# weight, then at the same mean loss the hard places are worse off than in a lazy network, the easy ones better: ratios above
# 1 in the third panel. First the reference run, then the same at the parameters above.
#
# ![Hard and easy places at the same mean loss, reference run](../figures/reference/laptop/41_a_places.png)

# %%
study.show("a", figures.places)

# %% [markdown]
# LH01 takes the places that networks trained on, LH01b those in between, as the authors' maps do. If output scale played no
# role, both ratios would be 1: that is chance here. In the reference run the networks that learn features give the discs up
# for longer: their loss in the discs rises to twice what it was at the start, while that outside falls. Lazy networks do the
# same, but less. Seeds differ a good deal. On the map, learning features is behind within the discs, and a little at the ends
# of the line where the two halves meet.
#
# LH01d repeats LH01 from weights that start larger, as they do in the rest of this companion. Larger weights by
# themselves make a network lazier (Chizat, Oyallon, Bach 2019, [arXiv 1812.07956](https://arxiv.org/abs/1812.07956)),
# so there should be less between the output scales. There is: a few percent are left. So how much hastier learning
# features is hangs on the start.
#
# ## (b) A model that can be solved
#
# Linear regression whose parameters are half the squares of weights. By gradient descent each mode, a singular vector of
# the inputs, learns by itself. Linearised, a mode relaxes at a constant rate; else it grows at a rate that rises with what
# has been learned, so that a small lead becomes a large one.
#
# ![Modes of the model that can be solved, reference run](../figures/reference/laptop/41_b_solved.png)

# %%
study.show("b", figures.solved)

# %% [markdown]
# LH02 is a fact about formulas, and stands in the ledger as a check. Both dynamics give the modes the same ratios of times:
# what differs is whether they overlap. LH02b draws data of which nothing is known beforehand but their size, and flips labels.
# Early on, flipped points lag far behind where the dynamics is nonlinear. Near the end this turns round: what comes late comes
# fast, and the linearised model still has its slow modes to go. LH02b is the mean over all three levels.
#
# ## (c) Difficulty as a score of consistency
#
# Networks are trained on random tenths, three tenths and halves of the digits. The share of right answers on examples not
# trained on, averaged over these sizes, is the consistency of an example, as Jiang et al. (2021) define it. Other networks,
# hasty and lazy ones, then learn all digits, and are asked about bins from the least to the most consistent examples.
#
# ![Accuracy by consistency at the same accuracy on all, reference run](../figures/reference/laptop/41_c_scored.png)

# %%
study.show("c", figures.scored)

# %% [markdown]
# If the claim holds, the middle panel rises from the least consistent bin to the most consistent one, and crosses 0, since
# both networks are read at the same accuracy on all (LH03, LH03c); and ratios in the right panel lie above 1 (LH03b). The right
# panel does as claimed, the more so the further training has come. The middle panel hardly rises: what difference there is
# lies in the bin of the least consistent examples, and the others show no order (LH03c contradicted). More than half of the
# digits are answered rightly by nearly all networks that did not train on them; their bins are easy alike.
#
# ## (d) Difficulty as a wrong label
#
# 15 % of the labels are moved to another class, other ones for every seed, as in the authors' runs. A network that waits with
# them has fitted few when most labels are fitted. All right ones are 85 %: beyond that, wrong ones must be memorised, and there
# ten times as many updates were too few for lazy networks. So both are read before.
#
# ![Wrong labels fitted at the same accuracy, reference run](../figures/reference/laptop/41_d_labels.png)

# %%
study.show("d", figures.labels)

# %% [markdown]
# LH04 is read at equal accuracy (middle panel), LH04b at equal mean loss (right panel). Of the wrong labels so few are
# fitted here, by either network, that the difference is below one in a hundred, and not clear of 0; the losses are
# further apart by about a quarter.
#
# ## (e) Difficulty as a colour that misleads
#
# The authors take photographs of birds before water or land, and of faces. Here digits below and from 5 on are two classes, each
# with a colour that fits nine out of ten. On the rest the colour misleads: a network that goes by it is wrong there.
#
# ![Accuracy where the colour misleads, reference run](../figures/reference/laptop/41_e_colours.png)

# %%
study.show("e", figures.colours)

# %% [markdown]
# LH05 asks for fewer right answers where the colour misleads, LH05b on images not trained on, LH05c for more loss. That is not
# the same: a loss counts how wrong answers are. If they are spread more widely between right and wrong (LH05d), it rises
# without one more wrong answer. So it is in the reference run: networks that learn features are right *more* often where the colour
# misleads, on images trained on and on others, and their loss there is larger all the same. Why features should help here,
# two layers on small images cannot tell: unexplained.
#
# ## (f) How lazy is lazy?
#
# In a network that is linear in its weights no unit is switched on or off, and its tangent kernel stays what it was. The
# authors measure both; LH06 to LH06c do so in the plane.
#
# ![Units, kernels, and the order of examples by output scale, reference run](../figures/reference/laptop/41_f_laziness.png)

# %%
study.show("f", figures.laziness)

# %% [markdown]
# Two controls of ours: an output scale ten times as large should change nothing more (LH06d), and neither should steps half as
# large (LH01c, LH03d, LH04c, LH05e), so that what is seen belongs to the output scale and not to the size of steps. In the last
# panel orange should lie within the grey band, wherever blue lies.
#
# At output scale 100 the kernel stays, but by the last level a few units in a hundred have switched; networks ten times
# as lazy bring the same order of examples within 5 %. (A seed of which a network never comes to the last loss is left
# out. Where more than a tenth are missing, LH01 to LH01c and LH06 to LH06d are void; an earlier form of these claims
# was void for one network of 240, which is why this run has seeds from three million.) Steps half as large bring easy
# and hard examples closer together, with scores by about 5 % (LH03d inconclusive). That is less than what learning
# features does, but not nothing: with ever smaller steps a smaller effect must be expected than the one measured. Lazy
# networks were not run with smaller steps.
#
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies outside,
# *inconclusive* otherwise. Claims are void where a network never gets to where it is read; at the defaults (few seeds, few
# updates) some are.
#
# What this scale cannot say: perceptrons on digits and on a hundred places have little to learn by features. That an effect
# is small here, or turned round, does not make it so for a residual network on photographs. The scores, the digits and
# the test images are the same for all seeds; what was drawn for each is its start, its batches, and the labels or colours.
# Whether wrong labels wait to the very end is open: lazy networks did not get there.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
modes, course = study.results["modes"], study.results["course"]
weakest = modes[modes.strength == modes.strength.min()].groupby("dynamics").then.first()
print("modes come one after another where the dynamics is nonlinear:", bool(weakest.nonlinear < weakest.linearised / 2))
ends = course[course.pace == 1].groupby("scale").kernel.last()
print("the tangent kernel turns at output scale 1, and hardly at 100:", bool(1 - ends[1.0] > 10 * (1 - ends[100.0])))
