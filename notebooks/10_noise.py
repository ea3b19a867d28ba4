# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 · How noisy is a score of difficulty?
#
# Which training examples are hard? A score answers for one run of training: how sure the network is of the label, how often it
# forgets it, how large the gradient is. Kwok, Anand, Frankle, Dziugaite and Rolnick
# (*Dataset Difficulty and the Role of Inductive Bias*, [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) train
# many runs and find that the answer changes from run to run: scores are noisy, and runs have to be averaged.
#
# **In plain words, the claims tested here**
#
# - One run ranks the examples unreliably at the end of training (D01), and being right or wrong is the least reliable of the
#   final scores (D01b).
# - Averages over training are far more reliable than the end (D02), or more reliable at all (D02b).
# - Averaging runs works as the Spearman-Brown formula predicts from single runs (D03 for 10 runs, D03b for 2).
# - EL2N early in training, as Paul et al. (2021, [arXiv 2107.07075](https://arxiv.org/abs/2107.07075)) use it, needs more than
#   three runs (D04).
# - The noise is on the hard examples (D05, D05b). Medians over runs are no better than means (D18).
#
# **How it is measured**
#
# - *Reliability* is the rank correlation (Spearman) of a score between two runs that share nothing but the recipe. Intervals
#   come from pairs or blocks of runs that have no run in common.
# - Mean over *looks*: the network is evaluated on all examples 16 times during training. *Early*: after an eighth of it.
# - *Spearman-Brown*: an average over k runs has reliability k r / (1 + (k - 1) r), if r is that of one. *ICC(1)* is the share of
#   variance that lies between examples (Shrout and Fleiss 1979).
# - The scores are defined in one registry, `butterfly.score.SCORES`; variants that share a name elsewhere have two names there.
#   Which are the papers' own is said in the table below.

# %%
from butterfly import claims, paths, plots, score
from butterfly.experiments import noise as experiment
from butterfly.figures import noise as figures

# %% [markdown]
# ## Parameters
#
# `main`, `conv` and `real` are a setting and an architecture each. The smallest honest values; `params/<profile>/` holds the
# larger grids.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
main = "mnist1d-scores/mlp-4x64"
conv = ""
real = ""
steps = 160
runs = 20
runs_per_shard = 20
looks = 8
examples = 300

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %% tags=["nbval-ignore-output"]
score.catalogue().set_index("name")  # what every score means

# %% [markdown]
# ## (a) What one run says about an example
#
# Examples in the order of their mean over all runs; the line is the mean, the band holds nine tenths of the runs.

# %%
plots.save(*figures.spread(tables), "10_a_spread", params.profile)

# %% [markdown]
# ![What single runs say about examples, reference run](../figures/reference/laptop/10_a_spread.png)
#
# **Figure (a), reference run on a laptop.** Five scores of single runs against the rank of the example by its mean over runs; lines
# are means, bands hold 5 to 95 % of the runs of the first network. MLP 4x64 and CNN 3x16 on MNIST-1D, MLP 2x64 on handwritten
# digits; n = 80 runs each.
#
# The final answer to a hard example is a coin toss: the band of `confidence.last` spans nearly everything. Averaged over training,
# single runs stay close to their mean.

# %% [markdown]
# ## (b) How reliable is one run?
#
# Rank correlation between two runs for every score, and how many runs must be averaged for 0.9.

# %%
plots.save(*figures.single(tables), "10_b_single", params.profile)

# %% [markdown]
# ![Reliability of one run for every score, reference run](../figures/reference/laptop/10_b_single.png)
#
# **Figure (b), reference run.** Left: rank correlation between two runs, mean over all pairs of n = 80 runs; bars are 95 % bootstrap
# intervals over runs. Right: runs to average for a reliability of 0.9, by Spearman-Brown.
#
# On MNIST-1D averages over training of smooth scores (entropy, confidence, EL2N) need two runs, the popular snapshots far more: early
# EL2N about ten, GraNd nearly twenty, forgetting more than twenty. On digits, where every network gets every training example right,
# the end is more reliable than the average over training.

# %% [markdown]
# ## (c) Averaging runs
#
# Points: rank correlation of two means over k runs each. Lines: what the formula predicts from k = 1.

# %%
plots.save(*figures.averages(tables), "10_c_averages", params.profile)

# %% [markdown]
# ![Reliability of means over runs, reference run](../figures/reference/laptop/10_c_averages.png)
#
# **Figure (c), reference run.** Rank correlation of two means over k runs each, against k; bars are 95 % bootstrap intervals over
# disjoint pairs of means, lines the Spearman-Brown formula. n = 80 runs.
#
# The formula holds to a hundredth for EL2N averaged over training on MNIST-1D. For probabilities and answers at the end, and on
# digits, means over runs fall short of it: the mean of raw values is governed by the few runs in which an example goes wrong,
# and its ranks are not the mean of ranks. (On digits all final answers are right and have no ranks.)

# %% [markdown]
# ## (d) Where the noise is
#
# Standard deviation over runs against the mean.

# %%
plots.save(*figures.noise(tables), "10_d_noise", params.profile)

# %% [markdown]
# ![Standard deviation over runs against the mean, reference run](../figures/reference/laptop/10_d_noise.png)
#
# **Figure (d), reference run.** Standard deviation over n = 80 runs of EL2N after an eighth of training, against its mean; lines are
# medians over a fortieth of the examples, bands quartiles.
#
# EL2N lies between 0 and the root of 2, so noise has room in the middle only. On digits few examples are beyond the middle, and the
# noise sits on the hard ones. On MNIST-1D most examples are still wrong at that time, and the hardest are reliably wrong.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside. At
# the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
claims.write(paths.FIGURES / params.profile / "10_noise.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# **Advice.** Average over training, not only over runs: two runs of the mean entropy or confidence rank examples as well as ten of early
# EL2N. Whoever uses snapshots of EL2N, GraNd or counts of forgetting needs ten to twenty runs before the ranks mean much. The mean
# over runs is enough.
#
# What holds on every machine, even at these defaults:

# %%
pairs = tables["pairs"][(tables["pairs"].averaged == 1) & (tables["pairs"].network == params.main)]
single = pairs.pivot(index="pair", columns="score", values="correlation")
print("scores compared:", single.shape[1])
print("probability beats right or wrong:", bool((single["confidence.last"] > single["accuracy.last"]).all()))
