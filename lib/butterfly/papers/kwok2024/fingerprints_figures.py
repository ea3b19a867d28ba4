"""The figures of notebook 13. Each returns the picture and the numbers behind it."""

import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly import claims
from butterfly.experiments.fingerprints import METHODS, Tables
from butterfly.study.figures import TITLES, Drawn, legend
from butterfly.figures.difficulty import FAMILIES, abreast, architecture, palette

CHOICES = {
    "chosen": "chosen by association, clumped",
    "unclumped": "chosen by association",
    "random": "random",
    "hardest": "hardest",
    "noisiest": "noisiest",
    "answers": "chosen, but right or wrong only",
}
LEVELS = {"mean score": "mean score alone", "accuracy": "accuracy alone"}


def identification(tables: Tables) -> Drawn:
    """(a) How often the architecture is named right, against the number of examples."""
    answers = tables["answers"]
    numbers = _shares(answers, ["setting", "choice", "count", "method"])
    some = numbers[numbers.method == "logistic"]
    names = list(some.setting.unique())
    figure, axes = abreast(len(names), width=4.6, height=4.0, share=True)
    colours = palette(list(CHOICES))
    for axis, name in zip(axes, names, strict=True):
        here = some[some.setting == name]
        for choice, label in CHOICES.items():
            line = here[here.choice == choice].sort_values("count")
            axis.plot(line["count"], line.share, "o-", markersize=4, color=colours[choice], label=label)
            if choice in ("chosen", "random"):
                axis.fill_between(line["count"], line.low, line.high, color=colours[choice], alpha=0.18, linewidth=0)
        for choice, dash in zip(LEVELS, ("--", ":"), strict=True):
            level = here[here.choice == choice].share.iloc[0]
            axis.axhline(level, color="black", linestyle=dash, linewidth=1, label=LEVELS[choice])
        chance = 1 / answers.model.nunique()
        axis.axhline(chance, color="grey", linewidth=1, label="chance")
        axis.set(title=TITLES[name], xlabel="examples", xscale="log", ylim=(0, 1.02))
        counts = sorted(here["count"].unique())
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0].set_ylabel(f"test networks whose architecture\n(of {answers.model.nunique()}) is named")
    legend(axes[-1], "by which examples")
    figure.suptitle(f"Fingerprints of architectures (logistic regression; {_tests(answers)} test networks)")
    return figure, numbers


def transfer(tables: Tables) -> Drawn:
    """(b) Of which family? Named from examples chosen and fitted at another depth or width."""
    numbers = _shares(tables["transfer"], ["setting", "kind", "count", "method"])
    names = list(numbers.setting.unique())
    figure, axes = abreast(len(names), width=4.2, height=3.6, share=True)
    colours = palette(["width", "depth"])
    for axis, name in zip(axes, names, strict=True):
        for kind, colour in colours.items():
            for method, dash in zip(METHODS, ("--", "-"), strict=True):
                line = numbers[(numbers.setting == name) & (numbers.kind == kind) & (numbers.method == method)]
                label = f"another {kind}, {METHODS[method]}"
                axis.plot(line["count"], line.share, dash, marker="o", markersize=4, color=colour, label=label)
                if method == "logistic":
                    axis.fill_between(line["count"], line.low, line.high, color=colour, alpha=0.18, linewidth=0)
        axis.axhline(0.5, color="grey", linewidth=1, label="chance")
        axis.set(title=TITLES[name], xlabel="examples", xscale="log", ylim=(0, 1.02))
        counts = sorted(numbers["count"].unique())
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0].set_ylabel(f"test networks named {_two(tables)} rightly")
    legend(axes[-1], "fitted at")
    figure.suptitle("Fingerprints carried over to networks of sizes that were not fitted (bands: 95 % exact intervals)")
    return figure, numbers


def _two(tables: Tables) -> str:
    return " or ".join(FAMILIES.get(name, name) for name in dict.fromkeys(tables["transfer"].family))


def confusion(tables: Tables) -> Drawn:
    """(c) Which architecture is taken for which."""
    numbers = tables["confusion"]
    names = list(numbers.setting.unique())
    order = list(dict.fromkeys(numbers.model))
    labels = [architecture(model) for model in order]
    figure, axes = abreast(len(names), width=4.7, height=4.3)
    for axis, name in zip(axes, names, strict=True):
        matrix = (
            numbers[numbers.setting == name].pivot(index="model", columns="named", values="share").loc[order, order]
        )
        sns.heatmap(
            matrix, ax=axis, vmin=0, vmax=1, cmap="viridis", square=True, annot=100 * matrix, fmt=".0f",
            annot_kws={"size": 7}, cbar=False, xticklabels=labels, yticklabels=labels,
        )  # fmt: skip
        axis.set(title=TITLES[name], xlabel="named", ylabel="is" if axis is axes[0] else "")
    most = tables["answers"]["count"].max()
    figure.suptitle(f"Which architecture is taken for which, from {most} chosen examples (% of test networks)")
    return figure, numbers


def controls(tables: Tables) -> pd.DataFrame:
    """What is named where there is nothing to find, with exact 95 % intervals."""
    found = _shares(tables["controls"], ["setting", "control", "method", "chance"])
    return found.set_index(["setting", "control", "method"]).round(3)


def _shares(answers: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Share of right answers in each cell with its interval: exact, or Student's t where several draws are averaged."""
    rows = []
    for key, some in answers.groupby(by, sort=False):
        if "draw" in some and some.draw.nunique() > 1:
            interval = claims.mean(some.groupby(["model", "run"]).right.mean())
        else:
            interval = claims.share(some.right)
        rows.append((*key, interval.estimate, interval.low, interval.high, interval.n))
    return pd.DataFrame(rows, columns=[*by, "share", "low", "high", "n"])


def _tests(answers: pd.DataFrame) -> int:
    return len(answers[answers.setting == answers.setting.iloc[0]][["model", "run"]].drop_duplicates())
