"""The figures of notebook 13. Each returns the picture and the numbers behind it; its docstring is the caption."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.papers.kwok2024.fingerprints import METHODS
from butterfly.papers.kwok2024.naming import architecture, by_setting, family_name, palette
from butterfly.study import Tables, intervals
from butterfly.study.figures import Drawn, legend

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
    """Share of test networks whose architecture is named, against the number of examples, by how they are chosen;
    logistic regression; bands are 95 % intervals. Dashed and dotted: from one number alone, the mean score or the
    accuracy; grey: chance."""
    answers = tables["answers"]
    numbers = _shares(answers, ["setting", "choice", "count", "method"])
    figure, places = by_setting(numbers[numbers.method == "logistic"], width=4.6, height=4.0, share=True)
    colours, models = palette(list(CHOICES)), answers.model.nunique()
    for axis, rows in places:
        for choice, label in CHOICES.items():
            line = rows[rows.choice == choice].sort_values("count")
            _line(axis, line, "-", colours[choice], label, band=choice in ("chosen", "random"))
        for choice, dash in zip(LEVELS, ("--", ":"), strict=True):
            level = rows[rows.choice == choice].share.iloc[0]
            axis.axhline(level, color="black", linestyle=dash, linewidth=1, label=LEVELS[choice])
        _finish(axis, rows, chance=1 / models)
    figure.axes[0].set_ylabel(f"test networks whose architecture\n(of {models}) is named")
    legend(figure.axes[-1], "by which examples")
    tests = len(answers[["setting", "model", "run"]].drop_duplicates()) // len(places)
    figure.suptitle(f"Fingerprints of architectures (logistic regression; {tests} test networks)")
    return figure, numbers


def transfer(tables: Tables) -> Drawn:
    """Share of networks of a width or depth that was not fitted whose family, of two, is named rightly, against the
    number of examples; bands are exact 95 % intervals over test networks; grey: chance."""
    numbers = _shares(tables["transfer"], ["setting", "kind", "count", "method"])
    figure, places = by_setting(numbers, width=4.2, height=3.6, share=True)
    for axis, rows in places:
        for kind, colour in palette(["width", "depth"]).items():
            for method, dash in zip(METHODS, ("--", "-"), strict=True):
                line = rows[(rows.kind == kind) & (rows.method == method)]
                _line(axis, line, dash, colour, f"another {kind}, {METHODS[method]}", band=method == "logistic")
        _finish(axis, rows, chance=0.5)
    two = " or ".join(map(family_name, tables["transfer"].family.unique()))
    figure.axes[0].set_ylabel(f"test networks named {two} rightly")
    legend(figure.axes[-1], "fitted at")
    figure.suptitle("Fingerprints carried over to networks of sizes that were not fitted (bands: 95 % exact intervals)")
    return figure, numbers


def _line(axis: Axes, line: pd.DataFrame, dash: str, colour: tuple, label: str, band: bool) -> None:
    axis.plot(line["count"], line.share, dash, marker="o", markersize=4, color=colour, label=label)
    if band:
        axis.fill_between(line["count"], line.low, line.high, color=colour, alpha=0.18, linewidth=0)


def _finish(axis: Axes, rows: pd.DataFrame, chance: float) -> None:
    axis.axhline(chance, color="grey", linewidth=1, label="chance")
    axis.set(xlabel="examples", xscale="log", ylim=(0, 1.02))
    counts = sorted(rows["count"].unique())
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter("{x:.0%}")


def confusion(tables: Tables) -> Drawn:
    """Of the test networks of each architecture (rows), the share named as each (columns), in per cent, from the
    largest number of chosen examples; logistic regression."""
    numbers = tables["confusion"]
    order = list(numbers.model.unique())
    labels = [architecture(model) for model in order]
    figure, places = by_setting(numbers, width=4.7, height=4.3)
    for axis, rows in places:
        matrix = rows.pivot(index="model", columns="named", values="share").loc[order, order]
        sns.heatmap(
            matrix, ax=axis, vmin=0, vmax=1, cmap="viridis", square=True, annot=100 * matrix, fmt=".0f",
            annot_kws={"size": 7}, cbar=False, xticklabels=labels, yticklabels=labels,
        )  # fmt: skip
        axis.set(xlabel="named", ylabel="is" if axis is figure.axes[0] else "")
    most = tables["answers"]["count"].max()
    figure.suptitle(f"Which architecture is taken for which, from {most} chosen examples (% of test networks)")
    return figure, numbers


def controls(tables: Tables) -> pd.DataFrame:
    """What is named where there is nothing to find, with exact 95 % intervals."""
    shares = _shares(tables["controls"], ["setting", "control", "method", "chance"])
    return shares.set_index(["setting", "control", "method"]).round(3)


def _shares(answers: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Share of right answers in each cell with its interval: exact, or Student's t where several draws are averaged."""
    rows = []
    for key, cell in answers.groupby(by, sort=False):
        if "draw" in cell and cell.draw.nunique() > 1:
            interval = intervals.mean(cell.groupby(["model", "run"]).right.mean())
        else:
            interval = intervals.share(cell.right)
        rows.append((*key, interval.estimate, interval.low, interval.high, interval.n))
    return pd.DataFrame(rows, columns=[*by, "share", "low", "high", "n"])
