# %% [markdown]
# # 81 · Is my training chaotic?
#
# All other notebooks train networks of this library. This one asks its first question of networks that were written as
# anybody would write them, as plain `torch.nn` modules: a small convolutional network and a tiny transformer. And it asks
# it in two ways, one for those who bring a network, one for those who bring a training loop as well.
#
# > **The question** (after Altıntaş, Kwok, Raffel, Rolnick: *The Butterfly Effect: Neural Network Training Trajectories Are
# > Highly Sensitive to Initial Conditions*, [arXiv 2506.13234](https://arxiv.org/abs/2506.13234)). Does a network that is
# > kicked a little, and trains on exactly like its twin, end in another valley of the loss?
#
# The claims are our own: they are about two networks that the paper does not have, and about the tools of this library.
#
# **In short**: the answer hangs on the network. By one and the same recipe, a kick at the start leaves the convolutional
# network behind a barrier that we call chaotic (OW01 supported), and the transformer does not come near it (OW01b
# contradicted, OW03 supported). In both, early kicks end behind higher barriers than late ones (OW02 supported, OW02b
# supported). Twins that nobody kicked are the same to the last bit (OW06 supported).
#
# - `models.of(module, example)` makes a module an *architecture of the stack*: many copies of it are then trained, kicked,
#   compared, aligned and scored at once. The module is run by `torch.func.functional_call` under `torch.vmap`. So it must be
#   a function of its weights and of each input alone; that is found out by running it, and what is not is refused with what
#   to use instead: buffers that change (batch norm in training), noise of its own (dropout), shared weights, examples that are
#   mixed. Each seed starts as the module starts itself, from a random stream of its own.
# - `butterfly.twin` leaves the training to you. It copies network, optimiser and scheduler exactly, kicks the copy, runs your
#   loop for both, and for a *control* that nobody kicked. If the control does not end equal to its parent to the last bit, the
#   loop is not deterministic, and that is the verdict. Otherwise the barrier between the twins decides: training is called
#   *chaotic* when it is above 5 % of *what was learned*, the loss of answers that do not look at the inputs (each example gets
#   the mean answer) minus the loss at the end.

# %%
from torch.nn.functional import cross_entropy

from butterfly import data, models, twin
from butterfly.papers.altintas2025 import own_networks_figures as figures
from butterfly.papers.altintas2025.own_networks import Transformer, convolutional, study
from butterfly.papers.altintas2025.own_trainer import Trainer
from butterfly.perturb import Kick
from butterfly.train import Fork, Recipe, train

# %% [markdown]
# ## The idea in ten lines
#
# First a network of one's own in the stack: a parent, its control, and a twin that is kicked at the start. The kick is a
# hundredth of the size that the weights have at their start.

# %% tags=["nbval-ignore-output"]
task = data.load("mnist1d")
model = models.of(Transformer, task.x[:8])
recipe = Recipe(steps=100, batch_size=32, lr=0.02, optimizer="adamw")
theta = train(model, task, recipe, [0], [Fork(0, 0, Kick(size=size)) for size in (0.0, 0.01)]).theta
{name: float((row - theta[0]).norm()) for name, row in zip(("control", "twin"), theta[1:], strict=True)}

# %% [markdown]
# Then a loop of one's own. `Trainer` is a class as many libraries have it: it holds the model, the optimiser, the scheduler,
# and the generator of its random numbers, so it is forked as a whole. `shared` says what need not be copied, here the data.

# %% tags=["nbval-ignore-output"]
x, y = task.x[:1000], task.y[:1000]
trainer = Trainer(convolutional(), (x, y), steps=100)
print(twin.trial(Trainer.train, trainer, x=x, y=y, loss=cross_entropy, size=0.1, shared=[trainer.data]))

# %% [markdown]
# A loop that draws from somewhere that it did not hand over is told by its control. Here the three runs share one generator:

# %%
trainer = Trainer(convolutional(), (x, y), steps=5)
print(twin.trial(Trainer.train, trainer, x=x, y=y, loss=cross_entropy, shared=[trainer.generator]).word)

# %% [markdown]
# ## Parameters
#
# The smallest values at which the figures still mean something; `params/<profile>.yaml` holds larger ones. Both networks train
# by one recipe (AdamW at 0.02, batches of 32, warm-up of a tenth), which `recipe` changes.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0
recipe = {}
data_set = None
setting = "mnist1d"
steps = 60
seeds = 2
seeds_per_shard = 2
size = 0.1
kick_times = [0.0, 60.0]
points = 7
examples = 300

# %% [markdown]
# ## Train both, both ways

# %% tags=["nbval-ignore-output"]
study.open(globals())

# %% [markdown]
# ## (a) When does a kick still matter?
#
# If training is chaotic early and calm later, barrier and disagreement should fall with the time of the kick. The dotted line
# is the level of the verdict.
#
# ![Barrier and disagreement by time of the kick, reference run](../figures/reference/laptop/81_a_by_time.png)

# %%
study.show("a", figures.by_time)

# %% [markdown]
# OW01 and OW01b ask the verdict's own question of each network, OW02 and OW02b whether early kicks end behind higher barriers
# than late ones, OW07 and OW07b whether they change more answers, OW03 which of the two networks is the more chaotic. That one
# is does not tell why: they differ in everything but the recipe, and at another rate the answer may be another one.
#
# The cross is about something else. Two twins may compute the same and have their units in another order, and then a
# permutation would undo the barrier. Which units may be permuted follows from the module where it is a `torch.nn.Sequential` of
# known layers; for the transformer one would have to say, and as long as nobody does, `align` refuses it. OW05 asks whether
# matching the units by their weights takes a tenth or more off the barrier.
#
# ## (b) The stack and a plain loop
#
# Do the two ways give one answer? The convolutional network is trained once more, one copy after another. The plain loop has the same start and the same minibatches as the stack. Its kick has the
# same size, but another direction, and rounding is another one too: in a chaotic phase that alone would part the two. So only
# the heights of barriers can be compared.
#
# ![Barriers from the stack and from a plain loop, reference run](../figures/reference/laptop/81_b_two_ways.png)

# %%
study.show("b", figures.two_ways)

# %% [markdown]
# OW04 asks whether the two agree within a factor of three on average. Dots of single seeds scatter by more than that,
# since one twin is one draw: to judge a training of your own, kick it several times (`seed`).
#
# ## Claims
#
# *Supported* when the whole 95 % interval over seeds lies in the region fixed beforehand, *contradicted* when it lies outside,
# *inconclusive* otherwise; two seeds trained for 60 updates decide nothing. Barriers under 0.001 nats are bounds, not numbers.
#
# What this cannot say: both networks are small, trained briefly, and on easy signals. The level of 5 % is ours; the trial says
# the barrier, so that anybody can hold it against another one.

# %% tags=["nbval-ignore-output"]
study.verdicts()

# %% [markdown]
# What holds on every machine, even at these defaults:

# %%
twins, loops = study.results["twins"], study.results["loops"]
print("control twins that differ from their parent:", int((twins.control != 0).sum() + (loops.control != 0).sum()))
