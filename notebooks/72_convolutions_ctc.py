# %% [markdown]
# # 72 · Transcripts without recurrence
#
# Somebody speaks, and a network is to write down what was said. It is told the transcript of each utterance it learns from, but not when
# each symbol was said. Networks for this used to be recurrent: they carry a memory along the utterance. Do they need to?
#
# > **The claims** (Zhang, Pezeshki, Brakel, Zhang, Laurent, Bengio, Courville: *Towards End-to-End Speech Recognition with Deep
# > Convolutional Neural Networks*, Interspeech 2016, [arXiv 1701.02720](https://arxiv.org/abs/1701.02720)). Networks of convolutions alone,
# > trained with the same loss, do about as well as recurrent ones; they cost less; and with enough context they model
# > what belongs together in time.
#
# **In short**: SHORT (CT01 supported).
#
# Of the paper the abstract was at hand, and notes of its results at second hand: on the TIMIT corpus, whose use takes a licence, ten
# convolutional layers had about 18.2 % of phonemes wrong and recurrent baselines 18.3 to 18.6 %, and training was about 2.5
# times as fast. Here utterances are made up. Claims that are ours say so.
#
# - **Utterances.** A symbol lasts 4 to 8 frames, and each frame has 12 frequency bands with two bumps of energy, the formants, under
#   noise. The high formant tells two families of three symbols apart; of a family, the low formant rises in one, falls in another and stays in
#   the third. Rising and falling run through the same frequencies: no single frame tells them apart. Where symbols meet, they run into each other.
# - **CTC** (connectionist temporal classification, Graves et al. 2006). The network says of every frame which symbol it is, or *blank*. Runs
#   of a symbol count once, blanks not at all; the loss is -log of the probability of all ways through the frames that are read as the
#   transcript. To decode, one reads the best path, or searches for the most probable transcript.
# - **Symbol error.** The symbols to put in, take out or replace in the network's transcripts, for each symbol that was said.
# - **Networks** of as many parameters: convolutions over time of several depths and kernels, and a long short-term memory that
#   reads both ways. The *receptive field* of a convolutional network is how many frames decide what it says of one.

# %%
import torch

from butterfly.data import Data
from butterfly.papers.zhang2016 import convolutions_ctc_figures as figures
from butterfly.papers.zhang2016.convolutions_ctc import study
from butterfly.papers.zhang2016.listeners import Convolutions
from butterfly.papers.zhang2016.speech import CLASSES, Speech, draw
from butterfly.papers.zhang2016.transcripts import best_path, ctc, symbol_error
from butterfly.train import Recipe, train

_ = torch.manual_seed(0)

# %% [markdown]
# ## The idea in ten lines
#
# A loss that sums over all ways to say a transcript is all that it takes; the rest is ordinary training. What was said in
# the first utterance of the test, what is heard, and the symbol error:

# %% tags=["nbval-ignore-output"]
said = draw(Speech(loud=4.0), 300, torch.Generator().manual_seed(0))
net = Convolutions(said.x.shape[1:], CLASSES, depth=2, kernel=5, width=24)
task = Data("speech", said.x[:250], said.y[:250], said.x[250:], said.y[250:], CLASSES, torch.arange(250))
recipe = Recipe(steps=150, batch_size=16, lr=0.01, optimizer="adam")
theta = train(net, task, recipe, seeds=[0], objective=ctc).theta
heard = best_path(net.logits(theta, task.x_test)[0])
task.y_test[0].tolist(), heard[0], round(symbol_error(heard, task.y_test), 2)

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. `parameters` is how many a
# network has at most, `depths` and `kernels` are those of the convolutional ones, `beam` is how many prefixes the search keeps, `searched`
# how many utterances it decodes, and time is taken in `blocks` of `timed` updates. The last six say how people speak.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
seeds = 2
seeds_per_shard = 2
parameters = 3000
steps = 400
batch = 8
lr = 0.01
recurrent_lr = 0.02
utterances = 512
tests = 40
followed = 20
depths = [1, 2]
kernels = [3, 5]
looks = 6
beam = 8
blocks = 4
timed = 3
fewest = 2
most = 3
shortest = 4
longest = 8
blend = 3
loud = 8.0

# %% [markdown]
# ## Train networks that listen

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) What is there to hear?
#
# EXPECT
#
# ![One utterance, reference run](../figures/reference/laptop/72_a_utterance.png)

# %%
study.show("a", figures.utterance)

# %% [markdown]
# SEEN
#
# ## (b) Is recurrence needed, and what does it cost?
#
# EXPECT
#
# ![Errors along learning and in the end, reference run](../figures/reference/laptop/72_b_errors.png)

# %%
study.show("b", figures.errors)

# %% [markdown]
# SEEN
#
# ## (c) How much must a network see at once?
#
# EXPECT
#
# ![Symbol errors by receptive field, reference run](../figures/reference/laptop/72_c_context.png)

# %%
study.show("c", figures.context)

# %% [markdown]
# SEEN
#
# ## What this cannot say
#
# LIMITS
#
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies
# outside, *inconclusive* otherwise.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
