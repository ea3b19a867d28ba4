"""The figures of notebook 14. Each returns the picture and the numbers behind it."""

import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly.experiments.uses import RULES, Tables
from butterfly.study.figures import TITLES, Drawn, legend
from butterfly.figures.difficulty import abreast, architecture, palette
from butterfly.study.figures import BAND, panels

RULE_NAMES = {
    "easy": "the easiest",
    "hard": "the hardest",
    "insensitive": "least sensitive to family",
    "random": "random",
}


def pruning(tables: Tables) -> Drawn:
    """(a) Test accuracy against the fraction of examples that each rule keeps."""
    keys = ["setting", "model", "rule", "fraction", "block"]
    numbers = tables["pruned"].groupby(keys, sort=False).accuracy.mean().reset_index()
    places = list(dict.fromkeys(zip(numbers.setting, numbers.model, strict=True)))
    figure, axes = abreast(len(places), width=3.7, height=3.7)
    for axis, (setting, model) in zip(axes, places, strict=True):
        some = numbers[(numbers.setting == setting) & (numbers.model == model)]
        whole = some[some.rule == "all"].accuracy.mean()
        axis.axhline(whole, color="black", linestyle=":", linewidth=1, label="all examples")
        for rule, colour in palette(list(RULES)).items():
            line = some[some.rule == rule]
            sns.lineplot(
                line, x="fraction", y="accuracy", color=colour, marker="o", ax=axis, label=RULE_NAMES[rule], **BAND
            )
        axis.set(title=f"{architecture(model)}, {TITLES[setting]}", xlabel="examples kept", ylabel="")
        axis.set_xticks(sorted(some.fraction[some.rule != "all"].unique()))
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.get_legend().remove()
    axes[0].set_ylabel("test accuracy")
    legend(axes[-1], "which are kept")
    figure.suptitle(
        f"Training on some of the examples, chosen by the first network's EL2N (n = {_blocks(tables)} choices)"
    )
    return figure, numbers


def labels(tables: Tables) -> Drawn:
    """(b) How well each score finds labels that were moved before training."""
    numbers = tables["scores"]
    names = list(numbers.setting.unique())
    order = list(numbers[numbers.setting == names[0]].groupby("score").found_one.mean().sort_values().index)
    figure, axes = abreast(len(names), width=4.4, height=0.24 * len(order) + 1.4)
    both = numbers.melt(["setting", "score", "block"], ["found_one", "found"], "from", "area")
    both["from"] = both["from"].map({"found_one": "one run", "found": "mean over runs"})
    for axis, name in zip(axes, names, strict=True):
        sns.pointplot(
            both[both.setting == name], x="area", y="score", hue="from", order=order[::-1], linestyle="none", dodge=0.3,
            errorbar=BAND["errorbar"], markersize=4, err_kws={"linewidth": 1.5}, ax=axis,
        )  # fmt: skip
        axis.axvline(0.5, color="grey", linewidth=1)
        axis.set(title=TITLES[name], xlabel="area under the ROC curve", ylabel="")
        axis.get_legend().remove()
    if len(axes) > 1:
        axes[1].set_yticklabels([])
    legend(axes[-1], "score of")
    figure.suptitle(f"Finding labels that were moved to another class (n = {_blocks(tables)} sets of moved labels)")
    return figure, numbers


def people(tables: Tables) -> Drawn:
    """(c) What people say about what networks find hard; a note where the human labels are not there."""
    human, deciles = tables["human"], tables["deciles"]
    if human.empty:
        figure, (axis,) = panels(1, width=8.4, height=1.0)
        axis.axis("off")
        axis.text(0, 0.5, "Nothing to show: human_images is 0, or the human labels are not in BUTTERFLY_DATA.")
        return figure, human
    figure, axes = panels(2, width=5.0, height=3.8)
    sns.lineplot(deciles, x="decile", y="wrong", marker="o", ax=axes[0], **BAND)
    axes[0].set(xlabel="decile of EL2N averaged over training (10: hardest)", ylabel="wrong labels by people")
    axes[0].set(ylim=(0, None), title="training images, CIFAR-10N")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    names = {
        "votes": "wrong labels,\ntraining images",
        "within": "the same\nwithin classes",
        "entropy": "entropy of votes,\ntest images",
    }
    long = human.melt("run", list(names), "against", "correlation")
    long["against"] = long.against.map(names)
    sns.pointplot(long, x="against", y="correlation", linestyle="none", ax=axes[1], **{"errorbar": BAND["errorbar"]})
    ceiling = human.ceiling.iloc[0]
    axes[1].hlines(ceiling, 1.6, 2.4, color="black", linestyle="--", label="ceiling set by\npeople's disagreement")
    axes[1].axhline(0, color="grey", linewidth=1)
    axes[1].set(xlabel="", ylabel="rank correlation with EL2N", ylim=(-0.05, 1))
    legend(axes[1], "")
    figure.suptitle(f"Networks and people, CIFAR-10 (n = {len(human)} runs, test accuracy {human.accuracy.mean():.0%})")
    return figure, human


def _blocks(tables: Tables) -> int:
    return tables["scores"].block.nunique()


def advice(tables: Tables) -> pd.DataFrame:
    """A line a score: how many runs to average, and how well one run finds wrong labels."""
    return tables["advice"].round(2)
