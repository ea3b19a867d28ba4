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
# # 14 · What are scores of difficulty good for?
#
# Kwok, Anand, Frankle, Dziugaite and Rolnick (*Dataset Difficulty and the Role of Inductive Bias*,
# [arXiv 2401.01867](https://arxiv.org/abs/2401.01867)) end with advice: which score, how many runs, which examples. Here their scores
# go to work: choosing a smaller training set, finding wrong labels, and predicting what people find hard.
#
# **In plain words, the claims tested here**
#
# - What is hard for networks is mislabelled by people more often (D16), also within classes (D17), and images that all three
#   annotators mislabelled are found (D16b).
# - Scored on examples they trained on, networks agree with C-scores at least as well as on others (D19).
# - Ours: most of the examples, hard ones first, make a better training set than random ones (X42), few make a worse one (X43), as
#   Sorscher et al. (2022, [arXiv 2206.14486](https://arxiv.org/abs/2206.14486)) explain; examples insensitive to the architecture make a
#   better one for a network that did not choose them (X44). Scores find moved labels (X45), averages over training better than the
#   end (X46). People are unsure of what networks find hard (X47).
#
# **How it is measured**
#
# - *Block*: runs that score, a choice of examples by each rule, and networks trained on them for the same number of updates;
#   no two blocks share a network. *Sensitive to the family*: as in notebook 12, MLP against CNN.
# - *Finding wrong labels*: a tenth of the labels is moved to another class before training. The area under the ROC curve is the
#   probability that a moved label has the larger score than one that was not.
# - *People*: CIFAR-10N (Wei et al. 2022, [arXiv 2110.12088](https://arxiv.org/abs/2110.12088)) has three annotators' labels of each
#   training image, CIFAR-10H (Peterson et al. 2019, [arXiv 1908.07086](https://arxiv.org/abs/1908.07086)) about 50 votes on each test image.
#   Their licences forbid commercial use, so they are not fetched: put `cifar10n_train_labels.npz` and `cifar10h_test_counts.npy` into
#   `$BUTTERFLY_DATA/human`. Without them D16, D17 and X47 get no verdict. *Noise ceiling*: the best that a perfect predictor could reach, the
#   root of the reliability of the votes' entropy.

# %%
from butterfly import claims, paths, plots
from butterfly.experiments import uses as experiment
from butterfly.figures import uses as figures

# %% [markdown]
# ## Parameters
#
# `families`: the first scores, all together tell who is sensitive; `other` is trained on what the first has chosen.

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
setting = "mnist1d-scores"
real = ""
families = ["mlp-1x16", "cnn-1x4"]
other = ""
steps = 80
looks = 8
blocks = 3
runs = 4
seeds = 2
fractions = [0.25, 0.75]
noise = 0.1
noisy_runs = 2
held_out = 8
human_images = 0
human_setting = "cifar10-scores"
human_steps = None
human_runs = 4

# %%
params = experiment.Params.of(globals())

# %% [markdown]
# ## Train and score

# %% tags=["nbval-ignore-output"]
tables = experiment.run(params)

# %% tags=["nbval-ignore-output"]
figures.advice(tables)  # runs needed, and the area under the ROC curve for moved labels in one run

# %% [markdown]
# ## (a) Training on some of the examples
#
# Test accuracy against the share of examples kept, by the rule that keeps them.

# %%
plots.save(*figures.pruning(tables), "14_a_pruning", params.profile)

# %% [markdown]
# ![Test accuracy after pruning, reference run](../figures/reference/laptop/14_a_pruning.png)
#
# **Figure (a), reference run on a laptop.** Test accuracy after training on a share of the examples for as many updates as on all;
# MNIST-1D and handwritten digits. The first network of each pair chose by its own EL2N, the other is a CNN trained on the same
# choice. Means over n = 5 independent choices with 95 % bootstrap bands; dotted, all examples.
#
# On digits, which are nearly solved, the harder half of the examples trains as well as all of them; the easy ones teach little.
# MNIST-1D is far from solved with 4,000 examples, and there no rule beats chance: the hardest quarter alone trains an MLP to hardly more
# than guessing, and examples insensitive to the family do not beat random ones; for the CNN, which did not choose, they are worse.

# %% [markdown]
# ## (b) Finding wrong labels
#
# Area under the ROC curve of every score, for one run and for means over runs.

# %%
plots.save(*figures.labels(tables), "14_b_labels", params.profile)

# %% [markdown]
# ![Finding wrong labels, reference run](../figures/reference/laptop/14_b_labels.png)
#
# **Figure (b), reference run.** Area under the ROC curve with which each score finds the tenth of the labels that was moved; one run,
# and means over 4; n = 5 sets of moved labels, bars are 95 % bootstrap intervals.
#
# Whatever looks at the label and is averaged over training finds moved labels in a single run, and averaging runs brings the rest
# up to it. Scores that do not see the label, entropy and the largest probability, are poor at it. Uncapped forgetting and the
# spread of confidence point the wrong way on MNIST-1D: a wrong label is seldom learned, so it is never forgotten and always steady.

# %% [markdown]
# ## (c) Networks and people
#
# How often people err, by difficulty for networks; and correlations with what people say.

# %%
plots.save(*figures.people(tables), "14_c_people", params.profile)

# %% [markdown]
# ![Networks and people on CIFAR-10, reference run](../figures/reference/laptop/14_c_people.png)
#
# **Figure (c), reference run.** Left: share of wrong labels by people against the decile of EL2N, 5,000 training images of CIFAR-10.
# Right: rank correlation of EL2N with the number of wrong labels (of 3), the same within classes, and on test images with the entropy
# of about 50 votes; dashed, the noise ceiling. MLP 2x128, means over n = 4 runs with 95 % bootstrap intervals.
#
# People err nearly twice as often on the hardest tenth as on the easiest. Yet what a small MLP finds hard says little about a single image:
# the correlations are real, also within classes, and far below the ceiling.

# %% [markdown]
# ## Claims
#
# *Supported* when the whole 95 % interval lies in the region fixed beforehand, *contradicted* when it lies outside. At
# the defaults the verdicts mean little.

# %% tags=["nbval-ignore-output"]
ledger = experiment.make_claims(params, tables)
claims.write(paths.FIGURES / params.profile / "14_uses.claims.json", ledger)
claims.markdown(ledger)

# %% [markdown]
# The reference run:

# %%
claims.markdown(c for c in claims.read(paths.reference("laptop") / "claims.json") if c.notebook == experiment.NOTEBOOK)

# %% [markdown]
# **Advice.** To find wrong labels, average loss or logit margin over training, and a few runs; entropy will not do. Prune only where the task is
# nearly solved, and then keep the hard examples; elsewhere take random ones. For what people find hard, ask people.
#
# What holds on every machine, even at these defaults:

# %%
print("scores compared:", tables["scores"].score.nunique(), "rules:", sorted(tables["pruned"].rule.unique()))
print("independent choices of examples:", tables["pruned"].block.nunique())
