# %% [markdown]
# # 43 · Two speeds
#
# Train long enough, and the test error of some networks falls, rises, and falls again: stop at the wrong moment and you have
# the worst of it. Overfitting explains the rise. What is there to explain the second fall?
#
# > **The claims** (Pezeshki, Mitra, Bengio, Lajoie: *Multi-scale Feature Learning Dynamics: Insights for Double Descent*, ICML
# > 2022, [arXiv 2112.03215](https://arxiv.org/abs/2112.03215)). Features are learned at different speeds. While the fast ones
# > overfit, the slow ones have hardly begun; once they are learned, the error falls for the second time. A linear student
# > shows all of it, closed formulas predict its error, and it looks like what deep networks do.
#
# **In short**: the error of a linear student with features of two speeds falls, rises, and falls again (DD01 supported). With
# the fast features alone it keeps what it has risen (DD02 supported), and about two thirds of the second fall are fast features
# that lose what they had overfitted (DD02c supported). The paper's closed form has the shape, but is up to a tenth of the start
# off (DD03 contradicted): its second descent comes about three times too early. One equation for both kinds of features together
# is within a hundredth or so (DD03c supported). A penalty on the size of what the student says takes away most of the rise (DD04
# supported), not all of it in every draw. Small networks on digits with wrong labels only fall and rise: there is no second
# descent (DD05 contradicted).
#
# Of the paper there was at hand the abstract, and the authors' code (`mpezeshki/Epoch_wise_Double_Descent`), which has the
# formulas and the numbers; the text and the figures at second hand. Claims that are ours say so. Numbers in the text below are
# those of the exploration, before the reference run.
#
# - A **teacher** makes values `y = z . w` from 100 Gaussian features `z`. The **student** sees 70 of them as they are and 30
#   divided by the **condition number**; it learns from 110 examples by gradient descent on squares, from 0, with a constant
#   learning rate. The divided features are the **slow** ones: along them, descent takes the square of the condition number as long.
# - Values have **no noise**, so that in the end the student finds the teacher, and its error is 0.
# - **Test error** is half the mean squared error on new inputs; of Gaussian features it is known exactly. At the start it is 1/2.
# - Errors **rise** or **fall** where they change by 5 % of what they are at the start or more; less is no turn.
# - The unit is a **draw** of data and teacher.

# %%
import torch

from butterfly import least_squares
from butterfly.papers.pezeshki2022 import two_speeds_figures as figures
from butterfly.papers.pezeshki2022.two_speeds import study

# %% [markdown]
# ## The idea in ten lines
#
# Thirty of a hundred features are seen a hundred times smaller. How far is the student from the teacher after more and more
# steps of gradient descent? Nothing is stepped through: along each singular vector of the inputs, gradient descent is a power.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
z, teacher = torch.randn(1, 110, 100, dtype=torch.float64) / 10, torch.randn(100, dtype=torch.float64)
scale = torch.tensor([1.0] * 70 + [0.01] * 30, dtype=torch.float64)
found = least_squares.modes(z * scale, z @ teacher)
steps = [0, 10, 30, 100, 1000, 10**4, 10**5, 10**6, 10**7]
student = scale * least_squares.descended(found, lr=0.25, steps=steps)[0]
for step, error in zip(steps, (student - teacher).square().sum(1) / 200, strict=True):
    print(f"{step:8d} steps: test error {error:.3f}")

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. Parameters that
# begin with `compared` and `penalty` are those of the parts on theory and on a penalty; `wrong`, `decays`, `output_penalty`
# and `looks` are those of the networks, together with `setting`, `steps` and `seeds`.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "digits-long"
steps = 600
seeds = 3
seeds_per_shard = 3
draws = 10
draws_per_shard = 10
features = 100
fast = 70
examples = 110
scarce = 50
conditions = [1.0, 7.0, 12.0, 30.0, 100.0, 1000.0]
slowest = 100.0
mild = 7.0
decades = 7
looks_per_decade = 10
compared_examples = 150
compared_fast = 60
compared_condition = 50.0
penalty_examples = 120
penalty_condition = 30.0
penalty = 0.6
penalty_time = 1000.0
penalty_decades = 4
wrong = 0.2
decays = [0.0, 0.01]
output_penalty = 0.1
looks = 30

# %% [markdown]
# ## Compute

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) Down, up, down
#
# First the reference run, then the same at the parameters above. With one speed (condition number 1) the error can only fall
# (DD01c, a check). The further apart the speeds, the longer the fast features are alone with values that they cannot explain.
#
# ![Test error of the linear student against steps, and its rise against the condition number, reference run](../figures/reference/laptop/43_a_descents.png)

# %%
study.show("a", figures.descents)

# %% [markdown]
# At a condition number of 100 the error falls to about 0.26 within ten steps, rises to about 0.41 after some hundred, and is
# gone after a million. DD01 counts draws, not the mean curve, which could turn though no single one does. Speeds that lie further
# apart make the rise higher only up to a point: once the slow features stand still while the fast ones overfit, the error waits
# on a plateau, and what grows is the plateau's length. The rise begins earlier than theory says: at a condition number of
# 7 gradient descent has a small one, ridge regression and both theories have none (figure d).
#
# ## (b) Each speed alone
#
# The paper's explanation can be taken apart. A student that never sees the slow features should fall and rise; one whose fast
# features are fitted from the start should only fall. A fourth student has both, but fewer examples than fast features.
#
# ![Test error with each speed alone, and which weights it is in, reference run](../figures/reference/laptop/43_b_apart.png)

# %%
study.show("b", figures.apart)

# %% [markdown]
# The student with both (broad gray line) follows first the one curve and then the other. To a student that does not see them,
# slow features are noise: the fast ones alone are also the control for overfitting without anything that is learned later.
#
# Two things are ours. The right side asks in which weights the second descent is (DD02c): once the slow features are learned,
# the fast ones have nothing left to overfit, and about two thirds of the fall are theirs. And DD02d asks what happens where
# the fast features can fit every example: nothing is left for the slow ones to learn from, and the second descent does not come.
#
# ## (c) Overlap and size
#
# The paper follows two numbers: R, the student's overlap with the teacher, and Q, its size. The error is about (1 - 2R + Q) / 2. It
# rises where the student grows faster than it turns to the teacher.
#
# ![The way through the plane of R and Q, reference run](../figures/reference/laptop/43_c_plane.png)

# %%
study.show("c", figures.plane)

# %% [markdown]
# With one speed, size and overlap grow together. With two, the student outgrows the teacher while a third of the overlap is still
# missing; then it turns, and shrinks while it turns.
#
# ## (d) Theory
#
# The authors have two theories. One, for gradient descent, takes the singular vectors of each draw and averages over teachers; the
# curves above are that same sum with the teacher drawn, so that there is nothing to compare. The other is the closed form, which
# knows only numbers of features and examples. It is for ridge regression, and the inverse of its strength stands for time. It
# solves each kind of features as if it were alone, and adds up what each is to the other. Beside it there is a
# limit of ours, or rather of everyone who works on Gaussian features: for many features one equation holds for both kinds
# together, and nothing is left to approximate.
#
# ![Theory against ridge regression and gradient descent, reference run](../figures/reference/laptop/43_d_theory.png)

# %%
study.show("d", figures.theory)

# %% [markdown]
# The closed form has the shape, but where the error falls for the second time it is up to a tenth of the start too low; the limit
# is within one hundredth throughout. What the closed form leaves out: when slow features are learned, the fast ones have used
# up as many examples as they are. Of 110 there are 110 - 70 left, and the formula lets the slow ones have all 110, so that its
# second descent comes about three times too early (DD03f). In the code of the authors' comparison the slow features' penalty
# is doubled against that of the fast ones, which moves the formula the right way and brings it within 5 % (DD03b); the code
# does not say why.
#
# Another gap is between ridge regression and time (DD03d). Along each singular vector gradient descent goes from 5 to 95 % of its
# way while time grows 60-fold, ridge regression while it grows 360-fold. So fast and slow features overlap more in the latter,
# and its error rises less and falls later. The small rise at a condition number of 7 is of this kind: ridge regression has
# none, nor has the limit or the closed form (DD03e, DD03g).
#
# ## (e) A penalty on the size
#
# If it is Q that runs away, hold it: the authors add a penalty on the squared outputs that fades within some thousand steps. A
# control of ours fades alike, but holds the weights: does any penalty do?
#
# ![Test error with and without a penalty, reference run](../figures/reference/laptop/43_e_penalty.png)

# %%
study.show("e", figures.penalty)

# %% [markdown]
# The penalty on outputs shrinks everything the student says alike, takes away most of the rise, and costs no time (DD04d). It does
# not remove the rise of every draw: those that would rise most still rise a little (DD04b). That on the weights only puts
# the rise off: it holds the slow features too, and when it has faded the fast ones overfit before the slow ones have come (DD04c).
#
# ## (f) Networks
#
# The authors train a ResNet-18 on CIFAR-10, 15 to 20 % of the labels wrong, for 1000 epochs, with a hundred weight decays. Here are
# small networks on 8 x 8 digits, a fifth of the labels wrong, trained for about 600 epochs. The penalty is that of the authors'
# code, which has it for two classes: the variance of how far the logit of the label is above the other; here the digits 0 to 4 are
# one class and 5 to 9 the other.
#
# ![Test error of networks with wrong labels, reference run](../figures/reference/laptop/43_f_networks.png)

# %%
study.show("f", figures.networks)

# %% [markdown]
# DD05 asks for the whole course, DD05b for the rise alone; rises count from where a network has learned something, its error
# down to half of what it was. In ten classes the error falls to about 0.03, rises to about 0.15 while the wrong labels are learned,
# and stays about there: **descent and ascent only**. Nothing is left to learn, since the training labels fit after some thousand
# updates. With weight decay it rises less (DD05c), but the wrong labels are then not all learned in this time.
#
# The penalty on the spread of the outputs does not lower the rise here (DD05d); if anything, the error ends a little higher.
# Its strength is a tenth of that in the one command that the authors recorded; at theirs the lowest error of such small
# networks was more than twice as high as without, so that there was little to lose. Whether it flattens a bump that has a second
# descent behind it cannot be asked of networks that have none.
#
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside,
# *inconclusive* otherwise. At the defaults (ten draws, few updates) many are inconclusive or void.
#
# What this scale cannot say: how large networks on natural images behave, which is what the paper sets out to explain. The profiles
# `gpu` and `paper` train a residual network on CIFAR-10 for 200 and 1000 epochs; what came of them is not known here.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
turns = study.results["turns"]
both = turns[(turns.place == "main") & (turns.condition == 100) & (turns.solver == "descent")]
print(f"of {len(both)} draws fall, rise, and fall again:", int((both.moves == "DUD").sum()))
print("draws that rise at all with one speed:", int((turns[turns.condition == 1].rise > 1e-9).sum()))
