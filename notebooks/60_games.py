# %% [markdown]
# # 60 · Two players, and momentum the wrong way round
#
# Networks are trained by going downhill. Where two networks train against each other, as in a GAN, there is no one hill: each
# moves the ground under the other, and both can circle for ever. Does it matter who moves first, and what does momentum do?
#
# > **The claims** (Gidel, Askari Hemmat, Pezeshki, Le Priol, Huang, Lacoste-Julien, Mitliagkas: *Negative Momentum for Improved
# > Game Dynamics*, AISTATS 2019, [arXiv 1807.04740](https://arxiv.org/abs/1807.04740)). On simple games, updates that alternate are
# > more stable than simultaneous ones. With a *negative* momentum, which takes back a part of the last move, alternating
# > updates converge on a game where all else circles or diverges, and they help GANs whose loss saturates.
#
# **In short**: what the paper says of the bilinear game holds, as mathematics says it must. It carries over to zero-sum
# games with curvature, drawn at random: on most of them updates by turns are more stable (NM01c supported), and the
# more a game turns, the lower is its best momentum (NM03d supported). On games that are not zero-sum, turns are the
# worse choice more often (NM01d contradicted). A small GAN covers a little more of a ring of Gaussians with negative
# momentum (NM04 supported, though not under all instruction sets); that is more than a matter of the length of steps
# (NM04c supported, though not under all instruction sets), and that positive momentum harms it is not seen for sure
# (NM04b inconclusive). As an instrument, a kick gives the spectral radius over a whole play (NM05b supported), but not
# in its first twentieth, where decay comes out too fast (NM05d contradicted).
#
# Of the paper there was at hand the abstract; its text and figures at second hand. What is claimed of the bilinear game is
# mathematics: here it is checked, not found. What is found is how far it carries: to games drawn at random, to noise, to a GAN.
#
# - The **bilinear game**: the first player minimises `x' A y` over `x`, the second maximises it over `y`. The equilibrium is 0, and
#   gradients point along the circle around it, never inward.
# - A **move** is `momentum * last move - step * gradient`. *Simultaneous*: both look at where the other one was.
#   *Alternating*: the second looks at where the first has just moved to.
# - With linear gradients one update is a matrix. Its **spectral radius**, the largest modulus of an eigenvalue, is the factor by
#   which any distance grows by update in the long run: below 1 all converges, above 1 almost all diverges.
#
# This makes games a test bed for this companion: notebook 03 kicks networks in training and measures how fast twins part. Here
# it is known how fast.

# %%
import torch

from butterfly import game
from butterfly.papers.gidel2019 import games_figures as figures
from butterfly.papers.gidel2019.games import study

# %% [markdown]
# ## The idea in ten lines
#
# The game `x * y` of one parameter a player, step 0.5, started at distance 1. How far from the equilibrium is it after 100
# updates, and what does the spectral radius say?

# %%
one = torch.ones(3, 1, dtype=torch.float64)
product = game.bilinear(one[:, :, None])
how = game.rules(lr=[0.5] * 3, momentum=[0.0, 0.0, -0.5], alternating=[False, True, True], like=one)
state = game.begin(one / 2**0.5, one / 2**0.5)
for _ in range(100):
    state = game.update(product, state, how)
radius = game.spectral_radius(game.matrices(product, (1, 1), how))
for name, far, said in zip(("at once", "by turns", "momentum -0.5"), game.away(state), radius**100, strict=True):
    print(f"{name:>13}: distance {far:8.2g}, radius to the power of 100 {said:8.2g}")

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. Of each of the `games`
# drawn at random the largest singular value and curvature are 1, so that steps count in their inverse; `rotations` are shares of
# what turns, the rest being curvature. `lrs` are the steps that are tried for each game, `play_lr` is that of plays. `size` and
# `single_sizes` are of kicks to plays, in double and in single precision, over the distance of the start. Parameters that
# begin with `gan` are those of the GANs; twins of those with the step `gan_lr` are kicked at `gan_kick` percent of training, by
# `gan_size` (in norms of the initial weights), and their first growth is measured over `gan_first` updates.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
games = 8
games_per_shard = 8
dimension = 3
least = 0.5
flattest = 0.1
rotations = [0.0, 0.25, 0.5, 0.75, 1.0]
lrs = [0.1, 0.4, 0.8, 1.6, 3.2]
momenta = [-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6]
drawn_lrs = [0.02, 1.6]
play_lr = 0.5
play_momenta = [-0.5, 0.0, 0.5]
play_updates = 200
play_looks = 60
play_start = 2.0
size = 1e-6
single_sizes = [1e-6, 1e-4]
single_updates = 100
noises = [0.2, 0.8]
noise = 0.2
network = "mlp-2x64"
seeds = 2
seeds_per_shard = 2
gan_updates = 60
gan_batch = 64
gan_lrs = [0.05, 0.1, 0.15]
gan_lr = 0.1
gan_momentum = 0.5
gan_looks = 8
gan_kick = 50.0
gan_size = 1e-6
gan_first = 8

# %% [markdown]
# ## Play

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) What mathematics says of the bilinear game
#
# First the reference run, then the same at the parameters above (this figure is the same at all of them). Simultaneous updates
# should be red everywhere. Alternating updates should neither grow nor shrink without momentum, converge below, and diverge
# above.
#
# ![Spectral radius over step and momentum, reference run](../figures/reference/laptop/60_a_radius_maps.png)

# %%
study.show("a", figures.radius_maps)

# %% [markdown]
# So it is: alternating updates are the more stable ones (NM01), and positive momentum is worse than none with either (NM03). But
# the most negative momenta leave only short steps: from `2 (1 + momentum)` on, in units of one over the singular value,
# alternating updates overshoot and diverge as well (dotted; NM01b). "More stable" holds up to there. Convergence is fastest close
# to that border, with long steps and a momentum that is only slightly negative.
#
# ## (b) The same, played
#
# Games with more parameters have many singular values, and the slowest decides in the end. Simultaneous plays should climb,
# the more steeply the larger the momentum; alternating ones should stay level without momentum, and fall with a negative one.
#
# ![Bilinear games played in either order, reference run](../figures/reference/laptop/60_b_played.png)

# %%
study.show("b", figures.played)

# %% [markdown]
# Lines are straight: distances grow or shrink by a constant factor. Alternating play without momentum keeps a quantity exactly, an
# ellipse in place of the circle, so that its distance stays below a bound that is known (NM02b).
#
# ## (c) Games that also go downhill
#
# In most games the players have something of their own to descend as well. Here a share of each game turns (`rotation`), and
# the rest is curvature that each player has for itself. Minimisation alone likes positive momentum; where does it turn?
#
# ![Random games: stability, best momentum and best rate, reference run](../figures/reference/laptop/60_c_random_games.png)

# %%
study.show("c", figures.random_games)

# %% [markdown]
# The left panel draws rotation, step and momentum for each game blindly, to ask whether turns help by default. With little
# rotation the order hardly matters. Where a zero-sum game turns, turns are mostly the more stable, sometimes by much (NM01c). Games
# that are not zero-sum have no such side: they fall on both (NM01d).
#
# The other panels tune step and momentum for each game and order. The best momentum is positive where curvature prevails and
# negative where rotation does. With alternating updates it passes 0 where both are about equal; simultaneous updates ask for a
# negative one earlier, and for as much as the grid has where three quarters turn. At a rotation of one half they converge
# about half as fast (NM01e), and where all is rotation they do not converge at all.
#
# ## (d) Noise
#
# A GAN sees minibatches. Here the matrix of the game is disturbed anew in every update, which leaves the equilibrium where it
# is. Turning without friction, which keeps its distance, has nothing to hold against noise; negative momentum has a little.
#
# ![Growth rate of the distance against noise, reference run](../figures/reference/laptop/60_d_noise.png)

# %%
study.show("d", figures.noise)

# %% [markdown]
# Without momentum every update has determinant 1, and products of random matrices of determinant 1 grow (Furstenberg 1963): that
# plays drift away is a check, and with little noise they do so very slowly (NM02e). With negative momentum they converge
# (NM02d), with more noise even faster. A plausible reason is that a disturbed matrix is larger, and what turns faster is damped
# more. Noise that does not vanish at the equilibrium, as that of minibatches does not, would leave at best a cloud around
# it; that is not tested here.
#
# ## (e) Beyond the paper: a test of the instrument
#
# Notebook 03 kicks a network by very little and measures how its twin parts from it. In a bilinear game the answer is known:
# per update, the logarithm of the spectral radius. How well does the measurement tell, over the whole play and over its first
# twentieth, the window of notebook 03? How small a kick does single precision, in which networks are trained, still show? And what
# becomes of it where the game is linear only near its equilibrium? For that, the same games are played with `log s(x' A y)`, where
# `s` is the logistic curve: its slope vanishes where the second player wins, as that of a saturating GAN does.
#
# ![Growth of kicks against the spectral radius, reference run](../figures/reference/laptop/60_e_instrument.png)

# %%
study.show("e", figures.instrument)

# %% [markdown]
# Over a whole play the kick gives the radius to a few percent, whether the game diverges (NM05, a check) or converges
# (NM05b). The first twentieth does so less well: growth comes out an eighth too slow (NM05c asks for a tenth), decay
# half as fast again (NM05d). A random kick has parts in all directions, and only in the long run does the one with the
# largest factor win; early windows average over all of them. What notebook 03 measures in such a window is to be read
# in the same way: it is not the fastest growth there is.
#
# In single precision a kick of a millionth grows as it should within a factor of 1.2 or so (NM06 asks for a tenth of a
# power of ten), and the error falls in proportion to the size of the kick: it is rounding, and kicks ten thousand times
# larger are free of it.
#
# Where the loss saturates, the radius at the equilibrium still tells how fast kicks decay if play converges (NM07b). If it
# diverges, play soon leaves the neighbourhood of the equilibrium, and the radius there says nothing of how twins part (NM07):
# their distance levels off. Networks in training are of this second kind.
#
# ## (f) A GAN on a ring of Gaussians
#
# Discriminator and generator are small perceptrons, trained by plain gradient descent with the saturating loss, in which the
# generator descends `log(1 - D)`. Momentum is that of the discriminator. Momentum also changes how long steps are: by
# `1 / (1 - momentum)` while the gradient stays the same. So there are controls without momentum, whose steps are shorter, or
# longer, by that much. Is the ring whole?
#
# ![Points made by GANs of one seed, reference run](../figures/reference/laptop/60_f_made.png)

# %%
study.show("f", figures.made)

# %% [markdown]
# Task and step were chosen before the run that counts, on other seeds, with all arms in sight. With modes of a third of this
# spread, GANs fell onto one to three modes with every step tried, and there was nothing to compare. Of the steps, `gan_lr` is the
# longest at which no arm was lost: with longer ones some GANs with positive momentum left all numbers behind.
#
# ## (g) How much of the ring is covered?
#
# The part covered is the sum over modes of the share of points near it, each counted up to an eighth: 1 if all is right, 1/8 if
# all points are at one mode. GANs go round, so that the mean over the last quarter of training counts. If momentum matters for
# stability, it should matter most where steps are long.
#
# ![Part of the ring that GANs cover, reference run](../figures/reference/laptop/60_g_covered.png)

# %%
study.show("g", figures.covered)

# %% [markdown]
# The middle panel is the one to look at. With the middle step negative momentum is ahead of none by a bit more than
# half a mode (NM04). It is ahead of a control whose steps are merely shorter, too (NM04c). Little else is sure: not
# that it still is where each has the best of the three steps (NM04e), nor that it matters more where steps are long
# (NM04g). Positive momentum covers less on average, but seeds differ by more than that (NM04b), and longer steps may do
# as much (NM04d). Of such narrow findings other seeds decide otherwise; the run that counts is told here. That
# simultaneous updates cover less is not seen either (NM04f).
#
# ## (h) Kicks to a GAN
#
# If negative momentum damps the turning, it should also slow the growth of a kick, and positive momentum should speed it up.
# Kicks are as small as single precision shows (NM06), since they grow fast.
#
# ![Growth of kicks to GANs, reference run](../figures/reference/laptop/60_h_gan_kicks.png)

# %%
study.show("h", figures.gan_kicks)

# %% [markdown]
# These GANs are chaotic even where they learn (NM08; by the rule fixed beforehand this and the next two claims are void
# in the reference run, in which one parent and its twin lost their weights). A kick of a millionth does little for a
# few updates, then grows about tenfold every other update, and levels off after ten or so: from there on twins see the
# same minibatches and go their own ways. The bilinear game has nothing like it: there, in alternating play without
# momentum, a kick does not grow at all. While kicks to GANs grow, the arms stand in the order that was expected, but
# seeds differ so much that it takes many to tell them apart (NM08b, NM08c; that "at first" means the first eight
# updates was settled after 4 to 12 had been looked at, on other seeds). How far apart twins are in the end (right) says
# little of this: it also grows with how far GANs move.
#
# ## Claims
#
# *Supported* when the whole 95 % interval, over games or seeds, lies in the region fixed beforehand, *contradicted* when it lies
# outside, *inconclusive* otherwise. What mathematics decides is a check, and of kind `check` in the ledger. At the defaults the
# GANs have hardly begun, and claims on them are void or undecided.
#
# What this scale cannot say: these GANs are small, are trained by plain gradient descent on points in a plane, for so few updates
# that they still improve at the end; the paper also trains on images, with other optimisers.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
plays, twins = study.results["plays"], study.results["gan_twins"]
bilinear = plays[plays.game == "bilinear"]
agree = ((bilinear.slope > 1e-3) == (bilinear.radius > 1 + 1e-3)).all()
print("played and predicted agree in what diverges:", bool(agree))
moved = (plays.moved > 0).sum() + (twins[twins.kind == "control"].largest_difference > 0).sum()
print("control twins that differ:", int(moved))
