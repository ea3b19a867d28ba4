"""The figures of notebook 15. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns

from butterfly.papers.kwok2024.flips import SCORES, UNRELATED
from butterfly.papers.kwok2024.naming import abreast, network, palette
from butterfly.study import Tables
from butterfly.study.figures import BAND, SEQUENCE, Drawn, legend, root_axis

ELSE = {"order": "another order of the data", "init": "other initial weights", "seed": "another seed (both)"}
DASHES = {"order": ":", "init": "--", "seed": "-"}
SHARE = "{x:.0%}"
BINS = 10


def noise(tables: Tables) -> Drawn:
    """Variance over relatives of an example's rank, relative to that over other seeds, against the time at which one
    weight is moved; for EL2N averaged over training and at the end. Black lines: relatives with another order, other
    initial weights, or both. Means over seeds, bands are 95 % bootstrap intervals."""
    numbers = tables["noise"]
    names = list(numbers.network.unique())
    figure, axes = abreast(len(names), width=4.8, height=3.7, share=True)
    for axis, name in zip(axes, names, strict=True):
        some = numbers[numbers.network == name]
        kicked = some[some.kind.str.startswith("weight")]
        kicked = kicked.assign(time=kicked.kind.str.removeprefix("weight ").astype(float))
        for score, colour in palette(list(SCORES)).items():
            look = {"marker": "o", "color": colour, "label": f"one weight, {score}", **BAND}
            sns.lineplot(kicked[kicked.score == score], x="time", y="ratio", ax=axis, **look)
        for kind, dash in DASHES.items():
            level = some[(some.kind == kind) & (some.score == "el2n.mean")].ratio.mean()
            axis.axhline(level, color="black", linestyle=dash, linewidth=1, label=f"{ELSE[kind]}, el2n.mean")
        root_axis(axis, kicked.time)
        axis.set(title=network(name), xlabel="weight moved at (% of training)", ylim=(0, 1.25))
        axis.yaxis.set_major_formatter(SHARE)
        axis.get_legend().remove()
    axes[0].set_ylabel("noise of a rank, of that between seeds")
    legend(axes[-1], "what differs, and score")
    figure.suptitle(f"How much of a score's noise one moved weight makes ({_scope(tables)})")
    return figure, numbers


def flips(tables: Tables) -> Drawn:
    """Share of relatives that answer a test example otherwise than the parent, by tenths of difficulty (EL2N over
    unrelated networks), for one weight moved at different times (colours) and other differences (black)."""
    numbers = _by_difficulty(tables["flips"][tables["flips"].test])
    names = list(numbers.network.unique())
    figure, axes = abreast(len(names), width=4.8, height=3.7)
    weights = [kind for kind in dict.fromkeys(numbers.kind) if kind not in UNRELATED]
    colours = dict(zip(weights, sns.color_palette(SEQUENCE, len(weights)), strict=True))
    for axis, name in zip(axes, names, strict=True):
        for kind, line in numbers[numbers.network == name].groupby("kind", sort=False):
            label = ELSE.get(kind) or f"one weight at {kind.removeprefix('weight ')} %"
            look = {"marker": "o", "markersize": 3, "color": colours.get(kind, "black"), "label": label}
            axis.plot(line.decile, line.flips, DASHES.get(kind, "-"), **look)
        axis.set(title=network(name), xlabel="decile of difficulty (10: hardest)", ylim=(0, None))
        axis.set_xticks(range(1, BINS + 1))
        axis.yaxis.set_major_formatter(SHARE)
    axes[0].set_ylabel("test examples answered otherwise")
    legend(axes[-1], "than the parent, by")
    figure.suptitle(f"Which test examples flip (difficulty: EL2N over unrelated networks; {_scope(tables)})")
    return figure, numbers


def _by_difficulty(examples: pd.DataFrame) -> pd.DataFrame:
    """Share of flips in each tenth of the examples, by difficulty and kind of relative."""
    rows = []
    for name, some in examples.groupby("network", sort=False):
        kinds = [column for column in some if column in UNRELATED or column.startswith("weight")]
        for decile, place in enumerate(np.array_split(np.argsort(some.difficulty.to_numpy(), kind="stable"), BINS)):
            rows += [(name, decile + 1, kind, some[kind].to_numpy()[place].mean()) for kind in kinds]
    return pd.DataFrame(rows, columns=["network", "decile", "kind", "flips"])


def same(tables: Tables) -> Drawn:
    """For each test example, the share of twins kicked at the start that answer it otherwise than their parent, against
    the share of unrelated networks that do; points are moved a little so as not to hide each other."""
    numbers = tables["flips"][tables["flips"].test]
    names = list(numbers.network.unique())
    figure, axes = abreast(len(names), width=4.2, height=4.0)
    for axis, (name, colour) in zip(axes, palette(names).items(), strict=True):
        some = numbers.loc[numbers.network == name, ["seed", "weight 0"]]
        x, y = some.to_numpy().T + np.random.default_rng(0).normal(0, 0.006, (2, len(some)))
        axis.scatter(x, y, s=6, alpha=0.4, color=colour, linewidth=0)
        axis.plot([0, 1], [0, 1], color="grey", linewidth=1)
        rho = some.corr("spearman").iloc[0, 1]
        axis.set(title=f"{network(name)}\nrank correlation {rho:.2f}", xlabel="flips between unrelated networks")
        axis.xaxis.set_major_formatter(SHARE)
        axis.yaxis.set_major_formatter(SHARE)
    axes[0].set_ylabel("flips after one weight moved at the start")
    figure.suptitle(f"The same examples flip (each point a test example; {_scope(tables)})")
    return figure, numbers


def _scope(tables: Tables) -> str:
    return f"n = {tables['noise'].seed.nunique()} seeds"
