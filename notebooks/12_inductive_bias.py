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
# # 12 · Which examples betray the architecture?
#
# Different architectures find different examples hard. Kwok, Anand, Frankle, Dziugaite and Rolnick (*Dataset Difficulty and the
# Role of Inductive Bias*, [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) find that some examples are highly sensitive to the
# inductive bias of the network and others not at all. The tools are those of genetics: examples are loci, runs individuals, the
# architecture is the trait.
#
# **In plain words, the claims tested here**
#
# - Networks of another family rank more examples otherwise than networks of another depth or width (D10), those more than other
#   runs of the same architecture (D10b), and these none (D10c).
# - Many examples are sensitive to the family (D11), and some not at all (D11b).
# - Width changes the ranks less than depth (D20) and less than the family (D20b). Ours: the test is honest (X40).
#
# **How it is measured**
#
# - An example's *rank* within a run by EL2N averaged over training; ranks remove what a run or an architecture has overall, such
#   as its accuracy. No two architectures share a seed, so none share the order of the data.
# - *Association*: for each example a test whether the mean rank differs between architectures: a moderated F test, whose
#   variance is shrunk towards that of all examples (Smyth 2004, [doi](https://doi.org/10.2202/1544-6115.1027)). Counted are
#   discoveries at a false discovery rate of 5 % (Benjamini and Hochberg 1995).
# - *Genomic control*: the median test statistic over that of chance; 1 where nothing is associated (Devlin and Roeder 1999).
# - *Share of variance* (eta squared): of an example's ranks over runs, what the architecture explains. Groups of 8 runs that share
#   none give the intervals.

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import inductive_bias as experiment
from butterfly.figures import inductive_bias as figures

# %% [markdown]
# ## Parameters
#
# Two families of two depths times two widths, a third of two widths; the last of each stands for its family.

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

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %% tags=["nbval-ignore-output"]
figures.factors(tables)  # share of variance explained, mean over examples

# %% [markdown]
# ## (a) What a rank depends on
#
# The variance of ranks, split into what the example, the architecture and the single run contribute.

# %%
plots.save(*figures.split(tables), "12_a_split", params.profile)

# %% [markdown]
# ![Variance of ranks split, reference run](../figures/reference/laptop/12_a_split.png)
#
# **Figure (a), reference run on a laptop.** Variance of an example's rank, split by the method of moments into examples,
# architectures with examples, and single runs, for sets of architectures. MNIST-1D and handwritten digits, n = 48 runs of each
# architecture.
#
# Most of the variance is the example's own: the common notion of notebook 11. The family decides a tenth of it, depth or width a
# fortieth or less, and a single run more than any of them.

# %% [markdown]
# ## (b) How many examples tell two architectures apart?
#
# With 8 runs of each. Last: two sets of runs of the same architecture.

# %%
plots.save(*figures.contrasts(tables), "12_b_contrasts", params.profile)

# %% [markdown]
# ![Examples that tell two architectures apart, reference run](../figures/reference/laptop/12_b_contrasts.png)
#
# **Figure (b), reference run.** Share of examples whose mean rank differs between two architectures at a false discovery rate of
# 5 %; 8 runs of each, means over 6 disjoint groups of runs with 95 % bootstrap intervals.
#
# On MNIST-1D a fifth to a third of the examples tell families apart, fewer than one in thirty another depth or width, and none two
# sets of runs of the same. On digits the GRU, which reads the image row by row, stands apart; MLP and CNN hardly differ.

# %% [markdown]
# ## (c) Example by example
#
# The genetic picture: each point an example, its height the evidence.

# %%
plots.save(*figures.manhattan(tables), "12_c_manhattan", params.profile)

# %% [markdown]
# ![Evidence of each example, reference run](../figures/reference/laptop/12_c_manhattan.png)
#
# **Figure (c), reference run.** Evidence of each training example that MLP 4x64 and CNN 3x16 rank it differently (left), and that
# two halves of the MLP's runs do (right); all n = 48 runs of each, MNIST-1D, examples in the order of their class; the line is the
# threshold of a false discovery rate of 5 %.
#
# With all runs two thirds of the examples are ranked differently, some beyond any doubt. No example of the right panel reaches the
# threshold: the test does not see what is not there.

# %% [markdown]
# ## (d) Sensitivity is a continuum
#
# Share of the variance of an example's ranks that the family explains.

# %%
plots.save(*figures.sensitivity(tables), "12_d_sensitivity", params.profile)

# %% [markdown]
# ![Distribution of sensitivity, reference run](../figures/reference/laptop/12_d_sensitivity.png)
#
# **Figure (d), reference run.** Share of variance over runs that the family (MLP, CNN, GRU) explains, by example, and the same with
# runs dealt at random; n = 48 runs of each architecture.
#
# There are no two kinds of examples: sensitivity runs from nothing to nearly everything.

# %% [markdown]
# ## (e) What they look like
#
# The most sensitive examples, and hard ones that all families find equally hard.

# %%
plots.save(*figures.pictures(tables), "12_e_pictures", params.profile)

# %% [markdown]
# ![Sensitive and insensitive examples, reference run](../figures/reference/laptop/12_e_pictures.png)
#
# **Figure (e), reference run.** The six examples most sensitive to the family and six hard ones least sensitive, MNIST-1D (signals)
# and digits; above each its label and its mean rank in per cent for MLP, CNN and GRU (0 easy, 100 hard).

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside. At
# the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
claims.write(paths.FIGURES / params.profile / "12_inductive_bias.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# **Advice.** Difficulty is mostly a property of the example, so scores of a small network of the right family are good for a large one. Across
# families a fifth of the examples and more change places: choose data with the family that will be trained, or keep to
# insensitive examples (notebook 14).
#
# What holds on every machine, even at these defaults:

# %%
kinds = tables["contrasts"].groupby("kind").share.mean()
print("architectures:", tables["runs"].model.nunique())
print("another family tells more examples apart than the same network:", bool(kinds["family"] > kinds["nothing"]))
