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
# # 13 · Can a few examples tell the architecture?
#
# If some examples betray the architecture, a few of them are its fingerprint. Kwok, Anand, Frankle, Dziugaite and Rolnick
# (*Dataset Difficulty and the Role of Inductive Bias*, [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) identify architectures
# from few sensitive examples. That is easily fooled: examples chosen on the runs that are then identified would work for pure
# noise, and a network's accuracy alone tells something. So every baseline stands beside the fingerprint.
#
# **In plain words, the claims tested here**
#
# - A few chosen examples identify the architecture better than as many random ones (D12), and better than accuracy alone (D12b).
# - Where runs are dealt to architectures at random, nothing is identified (D12c), and two halves of the runs of one
#   architecture are not told apart (D12d).
# - Fingerprints carry over to widths (D12e) and depths (D12f) that were not fitted.
# - Ours: scores averaged over training tell more than final answers (X41).
#
# **How it is measured**
#
# - The runs of notebook 12. 20 of each architecture *choose* examples by association; 10 others are *fitted*; the other 18 are
#   *tested*. Nothing is chosen or fitted on a test run.
# - *Clumped*: an example is passed over if its noise over runs goes with that of one chosen before (r squared above 0.2).
# - *Classifier*: logistic regression with an L2 penalty chosen by cross-validation among the fitted runs; beside it the nearest
#   centroid.
# - Intervals: exact (Clopper-Pearson) over test runs, or Student's t where draws of random examples are averaged.

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import fingerprints as experiment
from butterfly.figures import fingerprints as figures

# %% [markdown]
# ## Parameters
#
# Those of notebook 12, whose runs are found again; and how the runs are used.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
setting = "mnist1d-scores"
real = ""
first = ["mlp-1x8", "mlp-1x16", "mlp-2x8", "mlp-2x16"]
second = ["cnn-1x4", "cnn-1x8", "cnn-2x4", "cnn-2x8"]
third = ["gru-4", "gru-8"]
steps = 80
runs = 16
runs_per_shard = 16
looks = 8
examples = 200
discover = 6
fit = 4
counts = [1, 2, 5, 10]
draws = 3

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %% tags=["nbval-ignore-output"]
figures.controls(tables)  # what is named where there is nothing to find; chance: column "chance"

# %% [markdown]
# ## (a) Which of ten architectures?
#
# Against the number of examples, by how they are chosen.

# %%
plots.save(*figures.identification(tables), "13_a_identification", params.profile)

# %% [markdown]
# ![Identified architectures against the number of examples, reference run](../figures/reference/laptop/13_a_identification.png)
#
# **Figure (a), reference run on a laptop.** Share of test networks whose architecture, of ten, is named, against the number of
# examples; logistic regression, 180 test networks (18 of each), bands are 95 % intervals. Dashed and dotted: from one number alone,
# the mean score or the accuracy.
#
# On MNIST-1D, five chosen examples are worth ten random ones; clumping changes nothing, and with fifty it does not matter which.
# On digits chosen ones are no better than random. In both, the mean score of the network or its accuracy alone, one number, names
# the architecture more often: widths and depths differ in *how well* they learn more than in *what* they find hard. Ranks, which
# leave the level out on purpose, are the harder road.

# %% [markdown]
# ## (b) Carried over to other sizes
#
# Chosen and fitted on networks of one width (or depth), tested on the other: is the family named?

# %%
plots.save(*figures.transfer(tables), "13_b_transfer", params.profile)

# %% [markdown]
# ![Fingerprints carried over to other widths and depths, reference run](../figures/reference/laptop/13_b_transfer.png)
#
# **Figure (b), reference run.** Share of MLPs and CNNs of a width or depth that was not fitted whose family is named rightly, against
# the number of examples; bands are exact 95 % intervals over 384 test networks.
#
# On MNIST-1D a single example names the family of 95 networks in a hundred and five name that of all: here the fingerprint keeps its
# promise. On digits, where MLP and CNN hardly differ (notebook 12), it takes fifty.

# %% [markdown]
# ## (c) Which is taken for which?
#
# From the largest number of chosen examples.

# %%
plots.save(*figures.confusion(tables), "13_c_confusion", params.profile)

# %% [markdown]
# ![Confusion of architectures, reference run](../figures/reference/laptop/13_c_confusion.png)
#
# **Figure (c), reference run.** Of the test networks of each architecture (rows), the share named as each (columns), in per cent,
# from 50 chosen examples; logistic regression.
#
# On MNIST-1D no network is taken for one of another family: only neighbours in width and depth are confused. On digits the GRUs
# stand apart, and MLPs and CNNs mix.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside. At
# the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
claims.write(paths.FIGURES / params.profile / "13_fingerprints.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# **Advice.** To learn the family of an unknown network from its scores, five well chosen examples can be enough, whatever its size, if the
# families differ on these data (notebook 12 tells). To learn its size, look at its accuracy. And never choose examples on the runs to be tested.
#
# What holds on every machine, even at these defaults:

# %%
answers, controls = tables["answers"], tables["controls"]
print("test networks:", len(answers[["model", "run"]].drop_duplicates()))
print("choices of examples compared:", answers.choice.nunique(), "controls:", sorted(controls.control.unique()))
