# %% [markdown]
# # How neural networks train: a companion to read and to run
#
# Papers on training dynamics make claims about *many* networks: how far two runs drift apart, how noisy a score is from
# run to run, whether two solutions lie in one valley. This companion states such claims in plain words, shows the
# figure that tests each one, and lets you run it: on a laptop in minutes, and with the same code at a larger scale on a
# GPU (those profiles have not been run at full size yet).
#
# No verdict in the ledger is typed by hand; the prose comments on the reference run. Every claim has a statistic with
# an interval over independent units, a region, and a verdict that follows from the two. A claim that does not reproduce
# is reported as it is. Claims were worked out on one run, written down, and judged on another, the reference run, whose
# seeds nobody had looked at. The ledger (the table below, and [LEDGER.md](../LEDGER.md)) says of each claim who makes
# it: a paper's abstract, its authors' code or notebooks, another paper, or us.
#
# ## The papers
#
# | paper | what it says | notebook |
# |---|---|---|
# | Altıntaş, Kwok, Raffel, Rolnick: *The Butterfly Effect* (ICML 2025, [arXiv 2506.13234](https://arxiv.org/abs/2506.13234)) | early in training, tiny changes make identical runs diverge; the effect fades quickly | [01 the effect](01_butterfly_effect.ipynb), [02 four measures](02_four_measures.ipynb), [03 growth](03_growth.ipynb), [04 threshold](04_threshold.ipynb), [05 stability](05_stability.ipynb), [06 transfer](06_transfer.ipynb), [07 ensembles](07_ensembles.ipynb), [08 the machine](08_machine.ipynb), [09 a map](09_map_of_chaos.ipynb), [81 your own network](81_own_networks.ipynb) |
# | Kwok, Anand, Frankle, Dziugaite, Rolnick: *Dataset Difficulty and the Role of Inductive Bias* ([arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) | scores of example difficulty are noisy, share one notion, and betray the architecture | [10 noise](10_noise.ipynb), [11 one notion](11_one_notion.ipynb), [12 inductive bias](12_inductive_bias.ipynb), [13 fingerprints](13_fingerprints.ipynb), [14 uses](14_uses.ipynb), [15 flips](15_flips.ipynb), [16 every example](16_every_image.ipynb) |
# | Sharma, Kwok, Denton, Roy, Rolnick, Dziugaite: *Simultaneous Linear Connectivity of Neural Networks Modulo Permutation* ([arXiv 2404.06498](https://arxiv.org/abs/2404.06498)) | one permutation aligns two whole training runs | [20 trajectory](20_trajectory.ipynb), [21 connectivity](21_connectivity.ipynb) |
# | Lange, Kwok, Matelsky, Wang, Rolnick, Kording: *Deep Networks as Paths on the Manifold of Neural Representations* ([arXiv 2206.10999](https://arxiv.org/abs/2206.10999)) | layers are steps of a path from the inputs to the answers | [22 paths](22_network_paths.ipynb), [23 chaos as paths](23_chaos_paths.ipynb) |
# | Jastrzębski, Kenton, Arpit, Ballas, Fischer, Bengio, Storkey: *Three Factors Influencing Minima in SGD* ([arXiv 1711.04623](https://arxiv.org/abs/1711.04623)) | the ratio of step to batch decides how wide the place is where SGD lands | [30 noise and minima](30_noise_minima.ipynb) |
# | Arpit, Jastrzębski, Ballas, Krueger, Bengio, Kanwal, Maharaj, Fischer, Courville, Bengio, Lacoste-Julien: *A Closer Look at Memorization in Deep Networks* (ICML 2017, [arXiv 1706.05394](https://arxiv.org/abs/1706.05394)) | networks learn patterns first and memorise noise later, and differently | [31 memorisation](31_memorisation.ipynb) |
# | Rahaman, Baratin, Arpit, Draxler, Lin, Hamprecht, Bengio, Courville: *On the Spectral Bias of Neural Networks* (ICML 2019, [arXiv 1806.08734](https://arxiv.org/abs/1806.08734)) | low frequencies are learned first, and hold best against kicks | [32 frequencies](32_frequencies.ipynb) |
# | Pezeshki, Kaba, Bengio, Courville, Precup, Lajoie: *Gradient Starvation* (NeurIPS 2021, [arXiv 2011.09468](https://arxiv.org/abs/2011.09468)); Tachet des Combes and others ([arXiv 1809.06848](https://arxiv.org/abs/1809.06848)) | features that suffice keep others from being learned | [40 starvation](40_starvation.ipynb) |
# | George, Lajoie, Baratin: *Lazy vs Hasty* (TMLR 2022, [arXiv 2209.09658](https://arxiv.org/abs/2209.09658)) | networks that learn features hurry to the easy examples | [41 lazy or hasty](41_lazy_or_hasty.ipynb) |
# | Baratin, George, Laurent, Hjelm, Lajoie, Vincent, Lacoste-Julien: *Implicit Regularization via Neural Feature Alignment* (AISTATS 2021, [arXiv 2008.00938](https://arxiv.org/abs/2008.00938)) | the tangent kernel turns towards the task | [42 alignment](42_alignment.ipynb) |
# | Pezeshki, Mitra, Bengio, Lajoie: *Multi-scale Feature Learning Dynamics* (ICML 2022, [arXiv 2112.03215](https://arxiv.org/abs/2112.03215)) | features of two speeds make the test error fall twice | [43 two speeds](43_two_speeds.ipynb) |
# | Kim, Baratin, Zhang, Lacoste-Julien: *CrossSplit* (ICML 2023, [arXiv 2212.01674](https://arxiv.org/abs/2212.01674)) | twins on separate halves repair each other's labels | [50 twins that repair labels](50_crosssplit.ipynb) |
# | Pezeshki, Bouchacourt, Ibrahim, Ballas, Vincent, Lopez-Paz: *Discovering Environments with XRM* ([arXiv 2309.16748](https://arxiv.org/abs/2309.16748)) | twins that adopt each other's mistakes find the groups on which a shortcut fails | [51 environments](51_environments.ipynb) |
# | Gidel, Askari Hemmat, Pezeshki, Le Priol, Huang, Lacoste-Julien, Mitliagkas: *Negative Momentum for Improved Game Dynamics* (AISTATS 2019, [arXiv 1807.04740](https://arxiv.org/abs/1807.04740)) | in games of two players, taking part of the last move back calms the dynamics | [60 games](60_games.ipynb) |
# | Belghazi, Baratin, Rajeswar, Ozair, Bengio, Courville, Hjelm: *Mutual Information Neural Estimation* (ICML 2018, [arXiv 1801.04062](https://arxiv.org/abs/1801.04062)) | a network can find out how much two vectors say about each other | [61 information](61_information.ipynb) |
# | Erraqabi, Baratin, Bengio, Lacoste-Julien: *A3T* ([arXiv 1801.04055](https://arxiv.org/abs/1801.04055)) | a network can learn to hide worst-case changes of its input from its own features | [62 worst cases](62_worst_cases.ipynb) |
# | Krueger, Maharaj, Kramár, Pezeshki, Ballas, Ke, Goyal, Bengio, Courville, Pal: *Zoneout* (ICLR 2017, [arXiv 1606.01305](https://arxiv.org/abs/1606.01305)) | units that by chance keep their value train better recurrent networks | [70 zoneout](70_zoneout.ipynb) |
# | Shabanian, Arpit, Trischler, Bengio: *Variational Bi-LSTMs* ([arXiv 1711.05717](https://arxiv.org/abs/1711.05717)) | a path from the future, dropped after training, helps a model of what comes next | [71 both ways](71_future.ipynb) |
# | Zhang, Pezeshki, Brakel, Zhang, Laurent, Bengio, Courville: *Towards End-to-End Speech Recognition with Deep Convolutional Neural Networks* (Interspeech 2016, [arXiv 1701.02720](https://arxiv.org/abs/1701.02720)) | convolutions transcribe as well as recurrent networks, and cost less | [72 convolutions](72_convolutions_ctc.ipynb) |
# | Pezeshki, Fan, Brakel, Courville, Bengio: *Deconstructing the Ladder Network Architecture* (ICML 2016, [arXiv 1511.06430](https://arxiv.org/abs/1511.06430)) | which part of a ladder network learns from few labels | [73 the ladder](73_ladder.ipynb) |
# | Al-Rfou and many others: *Theano* ([arXiv 1605.02688](https://arxiv.org/abs/1605.02688)) | what compiling and batching are worth, asked of our own engine | [80 the engine](80_engine.ipynb) |
#
# ## The one idea in the code
#
# A **stack** is many networks of one architecture, held as the rows of one matrix. Training, kicking, interpolating and
# comparing take stacks to stacks, so a whole figure (seeds x kick times x kick sizes) is one computation, not a loop of
# runs. A kick of your own is a few lines:

# %%
from butterfly import data, interpolate, models
from butterfly.perturb import Kick
from butterfly.study import index, ledger
from butterfly.train import Fork, Recipe, train

# %%
task = data.load("mnist1d")
network = models.build("mlp-4x64", task.input_shape, task.classes)
forks = [Fork(seed=0, step=step, kick=Kick(size=1e-4)) for step in (0, 60, 300)]
stack = train(network, task, Recipe(steps=600, batch_size=64, lr=0.2), seeds=[0], forks=forks).theta
late_is_lower = interpolate.barriers(network, stack[[0, 0, 0]], stack[1:], task.x, task.y).of_loss.diff() < 0
print("a parent and three twins; the later the kick, the lower the barrier:", late_is_lower.tolist())

# %% [markdown]
# Read `lib/butterfly` in this order: `stack`, `models`, `train`, `perturb`, `interpolate`, then `study/study.py` and
# `papers/lange2023/chaos_paths.py`, a whole study; then `align`, `represent`, `tangent`, `prune` and `geometry`, each with a
# notebook that uses it; and for scores of examples `score`, `probe`, `reliability` and `association`.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
first_seed = 0

# %% [markdown]
# ## The ledger at a glance
#
# *Supported*: the whole 95 % interval lies in the claimed region. *Contradicted*: it lies wholly outside.
# *Inconclusive*: neither, or the claim could not be judged; the ledger then says why.

# %% tags=["nbval-ignore-output"]
claims, source = index.latest(profile)
print(f"from {source}:", ledger.summary(claims))
ledger.markdown(claims)

# %% [markdown]
# ## Where to go from here
#
# - **Read**: open [01](01_butterfly_effect.ipynb), and go on in order. Every figure of the reference run comes first, then
#   the same at the notebook's own small parameters.
# - **Run**: `make figure-01` redoes one notebook at laptop scale; `make figures` redoes all of them and then says
#   whether the verdicts agree with the reference. `make figures PROFILE=gpu DEVICE=cuda` does the same on a GPU.
# - **Change**: `make figure-01 SET="recipe.lr=0.1 seeds=5"`, or write `params/mine.yaml` with the line `base: laptop` and what
#   you change, and `make figures PROFILE=mine`.
# - **Build**: the primitives know no notebook; `pip install .` gives them to your own program.
