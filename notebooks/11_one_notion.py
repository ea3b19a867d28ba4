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
# # 11 · Is there one difficulty?
#
# There are dozens of scores of example difficulty. Kwok, Anand, Frankle, Dziugaite and Rolnick (*Dataset Difficulty and the Role
# of Inductive Bias*, [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) find that they share one notion of it: after averaging
# over runs, most of them correlate strongly. Correlations of noisy scores are too low, though, and those of two scores of the
# *same* run are too high, as they share its noise. Both can be mended.
#
# **In plain words, the claims tested here**
#
# - What training says about examples has one dominant axis (D06), and no second one beyond chance (D06b).
# - Most of the disagreement between scores is run noise (D07). Two scores of one run overstate how well they agree (D08).
# - EL2N agrees with C-scores (D09), which come from networks that never saw the example (Jiang et al. 2021,
#   [arXiv 2002.03206](https://arxiv.org/abs/2002.03206)).
# - GraNd at initialisation is no score of difficulty (D13) but the norm of the input (D13b): Kirsch
#   (2023, [arXiv 2303.14753](https://arxiv.org/abs/2303.14753)) could not reproduce its use.
# - Forgetting takes never learned examples for the easiest, unless they are counted as always forgotten (D14, D14b).
# - A margin of probabilities loses the order of easy examples, a margin of logits keeps it (D15).
#
# **How it is measured**
#
# - All scores are turned so that large means hard. *Raw*: rank correlation of one score in one run with another in another run.
#   *Freed of noise*: divided by the root of the two reliabilities, each between different runs as well (Spearman 1904).
# - *Parallel analysis* (Horn 1965): a component counts if its share of variance exceeds the 95th percentile of what shuffled
#   scores give.
# - *C-score*: share of right answers among networks that trained on a random 30 % or 70 % of the examples, this one not among them.

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import one_notion as experiment
from butterfly.figures import one_notion as figures

# %% [markdown]
# ## Parameters
#
# Networks and runs are those of notebook 10, found again if they were computed there; `held_out` networks for each of `ratios` are new.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
main = "mnist1d-scores/mlp-4x64"
real = ""
steps = 160
runs = 20
runs_per_shard = 20
looks = 8
examples = 300
held_out = 20
ratios = [0.3, 0.7]

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %% tags=["nbval-ignore-output"]
tables["axis"].set_index(["network", "score"]).round(2).head(8)  # correlation with EL2N averaged over training

# %% [markdown]
# ## (a) Every score against every other
#
# Left as measured between two runs, right with run noise taken out.

# %%
plots.save(*figures.correlations(tables), "11_a_correlations", params.profile)

# %% [markdown]
# ![Correlations between scores, raw and freed of noise, reference run](../figures/reference/laptop/11_a_correlations.png)
#
# **Figure (a), reference run on a laptop.** Rank correlations between every two of 24 scores: left between different runs, right
# divided by the root of the reliabilities. MLP 4x64 on MNIST-1D, means over all pairs of n = 80 runs.
#
# One large block: averages over training, the end of training, iteration learned, early EL2N and robustness are one thing seen
# through more or less noise. Outside stand GraNd, prototypes and the spread of confidence, and no averaging brings them in.

# %% [markdown]
# ## (b) One axis, or more?
#
# Principal components of the 13 scores that the course of training gives.

# %%
plots.save(*figures.components(tables), "11_b_components", params.profile)

# %% [markdown]
# ![Principal components of scores, reference run](../figures/reference/laptop/11_b_components.png)
#
# **Figure (b), reference run.** Left: shares of variance of the principal components of 13 scores' ranks, means over n = 80 runs;
# dashed, the 95th percentile of shuffled scores. Right: loadings of the first two components.
#
# One axis holds four fifths of the variance on MNIST-1D and nine tenths on digits. On MNIST-1D there is a second one: how much
# confidence and gradients move *while* training, which is largest for examples of middling difficulty. Dataset Cartography draws
# the same plane (Swayamdipta et al. 2020, [arXiv 2009.10795](https://arxiv.org/abs/2009.10795)).

# %% [markdown]
# ## (c) What stands apart
#
# Correlation of each score with EL2N averaged over training: in single runs, freed of noise, and of means over all runs.

# %%
plots.save(*figures.axis(tables), "11_c_axis", params.profile)

# %% [markdown]
# ![Correlation of each score with EL2N, reference run](../figures/reference/laptop/11_c_axis.png)
#
# **Figure (c), reference run.** Rank correlation of every score with EL2N averaged over training: between two single runs, freed of run
# noise, and between means over n = 80 runs (for the scores that only many networks give, the last alone).
#
# Where circles lie left of triangles, the disagreement was noise: weight noise, early EL2N, first learned and forgetting are one
# score badly measured. On MNIST-1D the spread of confidence, GraNd and the distances from prototypes are other things; on digits, where
# everything is learned at once, spread and gradients agree with the rest, and prediction depth and robustness stand apart.

# %% [markdown]
# ## (d) A negative control
#
# GraNd before any training.

# %%
plots.save(*figures.control(tables), "11_d_control", params.profile)

# %% [markdown]
# ![GraNd at initialisation against the norm of the input and EL2N, reference run](../figures/reference/laptop/11_d_control.png)
#
# **Figure (d), reference run.** Ranks of GraNd at initialisation, mean over n = 80 initial networks, against the norm of the input
# and against EL2N averaged over training; a point is an example.
#
# Before training, the size of the gradient knows how large the input is, and nothing of the label. On MNIST-1D signals of large norm
# happen to be easier, so GraNd at initialisation correlates with difficulty, with the wrong sign.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside. At
# the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
claims.write(paths.FIGURES / params.profile / "11_one_notion.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# **Advice.** Any of the smooth averages will do; they are one score. Before two scores are said to disagree, divide by their reliabilities,
# from different runs. Cap forgetting. Do not use gradients at initialisation.
#
# What holds on every machine, even at these defaults:

# %%
axis = tables["axis"][tables["axis"].network == params.main].set_index("score")
print("scores beside EL2N:", len(axis))
print("freed of noise, loss and EL2N agree better than raw:", bool((axis.free > axis.raw)["loss.mean"]))
