# %% [markdown]
# # 73 · The ladder, taken apart
#
# Fifty images of digits have labels, a thousand more have none. A ladder network learns from both: it adds noise to what it
# sees, says the class, and reconstructs what every one of its layers would have been without the noise. It has many parts.
# Which of them does the work?
#
# > **The claims** (Pezeshki, Fan, Brakel, Courville, Bengio: *Deconstructing the Ladder Network Architecture*, ICML 2016,
# > [arXiv 1511.06430](https://arxiv.org/abs/1511.06430)). With few labels the lateral connections matter most, then the noise,
# > then how the decoder combines its two signals. With more labels the lateral connections and the reconstruction matter
# > less, and most of what is gained comes from noise in every layer. A small network is a better combinator than the original.
#
# **In short**: IN SHORT
#
# Of the paper there was at hand the abstract, and the authors' code of the whole ladder (`mpezeshki/ladder_network`), which has
# the original combinator and how it starts; the variants' code is not public, and of the tables we know numbers at second
# hand. Numbers in the text below are those of the exploration, before the reference run.
#
# - The **encoder** runs twice, clean and with Gaussian noise added to every layer before its activation. Units are normalised
#   over a minibatch, so that a guess cannot become easy by making everything small.
# - The **decoder** comes down from the noisy classes. At each layer a **combinator** guesses each unit's clean value from its
#   noisy value (the **lateral** signal) and from what the layer above sends down (the **vertical** one). The original one is
#   `a plane over both and their product + b * sigmoid(another such plane)`, with coefficients of its own for every unit.
# - The **loss** is the cross-entropy on images with labels, in the noisy run, plus the **reconstruction**: the squared error of the
#   guesses on images drawn without regard to labels. Only the clean run is tested.
# - **Taken out**, one at a time: the lateral connections, the noise, the reconstruction (and with it the decoder), the product
#   and the sigmoid in the combinator (what is left is linear), the noise in all layers but the image. A *plain network* has
#   neither noise nor reconstruction.
# - Every network is judged where its **validation** error is lowest; 297 images say so. All arms of a seed share images,
#   labels, minibatches, noise and the start of the encoder. Nothing is tuned arm by arm, as the paper does.

# %%
import torch

from butterfly import data
from butterfly.papers.pezeshki2016 import ladder_figures as figures
from butterfly.papers.pezeshki2016.ladder import study
from butterfly.streams import generator

# %% [markdown]
# ## The idea in ten lines
#
# What a combinator has to do. Pixels of digits are noisy; guess the clean ones by least squares, a fit for every pixel: from
# the noisy pixel alone, from what the class says of it (the mean image of the class), from both, and from both and their product.

# %% tags=["nbval-ignore-output"]
task = data.load("digits")
clean = task.x.flatten(1)
noisy = clean + 0.5 * torch.randn(clean.shape, generator=generator("idea"))
above = torch.stack([clean[task.y == c].mean(0) for c in range(10)])[task.y]
signals = {"lateral": [noisy], "vertical": [above], "both": [noisy, above]}
signals["both and product"] = [noisy, above, noisy * above]
for name, given in signals.items():
    inputs = torch.stack([torch.ones_like(clean), *given], 2).transpose(0, 1).double()  # [pixels, images, signals]
    guess = inputs @ torch.linalg.pinv(inputs) @ clean.T[..., None].double()
    print(f"{name:17s} mean squared error {(guess[..., 0] - clean.T).square().mean():.3f}")

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. `labels` are the
# numbers of images with labels, `more` the one that claims call more; `weight` is that of every layer's reconstruction.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "digits-ladder"
steps = 120
seeds = 2
seeds_per_shard = 2
labels = [50, 200]
more = 200
pool = 1000
labelled_batch = 50
noise = 0.3
weight = 1.0
looks = 12

# %% [markdown]
# ## Train all ladders

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) Over training
#
# First the reference run, then the same at the parameters above. A network that only has labels knows the few of them by heart
# after some dozen updates; the rest of its training should do it no good.
#
# ![Test error over training with parts taken out, reference run](../figures/reference/laptop/73_a_courses.png)

# %%
study.show("a", figures.courses)

# %% [markdown]
# TEXT A
#
# ## (b) What taking out costs
#
# The paper ranks what is lost with few labels: lateral connections, noise, combinator. Here is the ranking for networks that
# stop when validation says so, and beside it for networks that train to the end.
#
# ![Damage of taking out each part, reference run](../figures/reference/laptop/73_b_damage.png)

# %%
study.show("b", figures.damage)

# %% [markdown]
# TEXT B
#
# ## (c) With more labels
#
# ![Errors against the number of labels, reference run](../figures/reference/laptop/73_c_gains.png)

# %%
study.show("c", figures.gains)

# %% [markdown]
# TEXT C
#
# ## (d) Combinators
#
# ![Combinators compared, reference run](../figures/reference/laptop/73_d_combinators.png)

# %%
study.show("d", figures.combinators)

# %% [markdown]
# TEXT D
#
# ## What this cannot say
#
# TEXT E
#
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies outside,
# *inconclusive* otherwise. A seed draws the pool, the labelled images, the networks and the noise; the test images are always the
# same. At the defaults (two seeds, few updates) little is decided.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
ends = study.results["stopped"].groupby(["arm", "labels"]).test.mean()
print(
    "with few labels a ladder errs less than a plain network:",
    bool(ends["full ladder", 50] < ends["plain network", 50]),
)
print("and a plain network errs less with more labels:", bool(ends["plain network", 200] < ends["plain network", 50]))
