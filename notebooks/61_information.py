# %% [markdown]
# # 61 · How much do two vectors say about each other?
#
# Correlation sees straight lines only. *Mutual information* sees any dependence: it is the number of nats by which one
# variable narrows down the other, 0 only if they are independent. To compute it one needs densities, which nobody has.
# But the information is also the largest value of a bound over all functions of a pair, and a network is a function that
# can be made to raise a bound.
#
# > **The claims** (Belghazi, Baratin, Rajeswar, Ozair, Bengio, Courville, Hjelm: *MINE: Mutual Information Neural
# > Estimation*, [arXiv 1801.04062](https://arxiv.org/abs/1801.04062), ICML 2018). Gradient ascent on a network estimates the information between high-dimensional
# > vectors, at a cost that grows linearly with dimension and sample, and consistently.
#
# **In short**: TODO (MI01 supported)

# %%
import torch

from butterfly import information, models
from butterfly.papers.belghazi2018 import information_figures as figures
from butterfly.papers.belghazi2018.information import study
from butterfly.streams import generator
from butterfly.train import Recipe

# %% [markdown]
# ## The idea in ten lines
#
# %%
truth, stream = information.of_gaussians(0.8), generator("idea")
model = models.build("mlp-2x32", input_shape=(1, 2), classes=1)


# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
model = None
setting = "mnist1d"
steps = 200
seeds = 3
seeds_per_shard = 3
statistics = "mlp-2x32"
updates = 200
batch = 128
lr = 0.002
examples = 1000
dimensions = [2, 20]
correlations = [0.0, 0.5, 0.9]
between = []
larger = 4
small_batches = [16]
sizes = [200, 400]
compared = 400
sample_updates = 100
noises = [0.5]
checkpoints = [0.0, 10.0, 100.0]
layer_noise = 3.0
inputs = 300

# %%
study.open(globals())
