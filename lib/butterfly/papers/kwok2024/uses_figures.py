"""The figures of notebook 14. Each returns the picture and the numbers behind it; its docstring is the caption."""

import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly.papers.kwok2024.naming import abreast, architecture, palette
from butterfly.papers.kwok2024.uses import RULES
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, legend, panels, title

RULE_NAMES = dict(zip(RULES, ("the easiest", "the hardest", "least sensitive to family", "random"), strict=True))
AGAINST = {
    "votes": "wrong labels,\ntraining images",
    "within": "the same\nwithin classes",
    "entropy": "entropy of votes,\ntest images",
}


def pruning(tables: Tables) -> Drawn:
    """Test accuracy after training on a share of the examples for as many updates as on all. The first network of each
    data set chose by its own EL2N, the other is trained on the same choice. Means over independent choices with 95 %
    bootstrap bands; dotted, all examples."""
    keys = ["setting", "model", "rule", "fraction", "block"]
    numbers = tables["pruned"].groupby(keys, sort=False).accuracy.mean().reset_index()
    places = numbers.groupby(["setting", "model"], sort=False)
    figure, axes = abreast(len(places), width=3.7, height=3.7)
    for axis, ((setting, model), rows) in zip(axes, places, strict=True):
        kept = rows[rows.rule != "all"]
        whole = rows[rows.rule == "all"].accuracy.mean()
        axis.axhline(whole, color="black", linestyle=":", linewidth=1, label="all examples")
        for rule, colour in palette(list(RULES)).items():
            look = {"color": colour, "marker": "o", "label": RULE_NAMES[rule], **BAND}
            sns.lineplot(kept[kept.rule == rule], x="fraction", y="accuracy", ax=axis, **look)
        axis.set(title=f"{architecture(model)}, {title(setting)}", xlabel="examples kept", ylabel="")
        axis.set_xticks(sorted(kept.fraction.unique()))
        axis.xaxis.set_major_formatter("{x:.0%}")
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.get_legend().remove()
    axes[0].set_ylabel("test accuracy")
    legend(axes[-1], "which are kept")
    count = f"n = {numbers.block.nunique()} choices"
    figure.suptitle(f"Training on some of the examples, chosen by the first network's EL2N ({count})")
    return figure, numbers


def labels(tables: Tables) -> Drawn:
    """Area under the ROC curve with which each score finds labels that were moved to another class before training: of
    one run, and of means over runs; bars are 95 % bootstrap intervals of the mean over sets of moved labels."""
    numbers = tables["scores"]
    names = list(numbers.setting.unique())
    order = list(numbers[numbers.setting == names[0]].groupby("score").found_one.mean().sort_values().index[::-1])
    figure, axes = abreast(len(names), width=4.4, height=0.24 * len(order) + 1.4)
    both = numbers.rename(columns={"found_one": "one run", "found": "mean over runs"})
    both = both.melt(["setting", "score", "block"], ["one run", "mean over runs"], "from", "area")
    look = {"linestyle": "none", "dodge": 0.3, "markersize": 4, "err_kws": {"linewidth": 1.5}}
    for axis, name in zip(axes, names, strict=True):
        some = both[both.setting == name]
        sns.pointplot(some, x="area", y="score", hue="from", order=order, errorbar=BAND["errorbar"], ax=axis, **look)
        axis.axvline(0.5, color="grey", linewidth=1)
        axis.set(title=title(name), xlabel="area under the ROC curve", ylabel="")
        axis.get_legend().remove()
    for axis in axes[1:]:
        axis.set_yticklabels([])
    legend(axes[-1], "score of")
    count = f"n = {numbers.block.nunique()} sets of moved labels"
    figure.suptitle(f"Finding labels that were moved to another class ({count})")
    return figure, numbers


def people(tables: Tables) -> Drawn:
    """Left: share of wrong labels by people against the decile of EL2N, training images of CIFAR-10. Right: rank
    correlation of EL2N with the number of wrong labels (of 3), the same within classes, and on test images with the
    entropy of about 50 votes; dashed, the noise ceiling. Means over runs with 95 % bootstrap intervals."""
    human, deciles = tables["human"], tables["deciles"]
    if human.empty:
        figure, (axis,) = panels(1, width=8.4, height=1.0)
        axis.axis("off")
        axis.text(0, 0.5, "Nothing to show: human_images is 0, or the human labels are not in BUTTERFLY_DATA.")
        return figure, human
    figure, (left, right) = panels(2, width=5.0, height=3.8)
    sns.lineplot(deciles, x="decile", y="wrong", marker="o", ax=left, **BAND)
    left.set(xlabel="decile of EL2N averaged over training (10: hardest)", ylabel="wrong labels by people")
    left.set(ylim=(0, None), title="training images, CIFAR-10N")
    left.yaxis.set_major_formatter("{x:.0%}")
    long = human.rename(columns=AGAINST).melt("run", list(AGAINST.values()), "against", "correlation")
    sns.pointplot(long, x="against", y="correlation", linestyle="none", errorbar=BAND["errorbar"], ax=right)
    label = "ceiling set by\npeople's disagreement"
    right.hlines(human.ceiling.iloc[0], 1.6, 2.4, color="black", linestyle="--", label=label)
    right.axhline(0, color="grey", linewidth=1)
    right.set(xlabel="", ylabel="rank correlation with EL2N", ylim=(-0.05, 1))
    legend(right, "")
    figure.suptitle(f"Networks and people, CIFAR-10 (n = {len(human)} runs, test accuracy {human.accuracy.mean():.0%})")
    return figure, human
