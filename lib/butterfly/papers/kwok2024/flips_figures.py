"""The figures of notebook 15. Each returns the picture and the numbers behind it."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly.experiments.flips import UNRELATED, Tables
from butterfly.study.figures import Drawn, legend, root_axis
from butterfly.figures.difficulty import abreast, network, palette
from butterfly.study.figures import BAND

ELSE = {"order": "another order of the data", "init": "other initial weights", "seed": "another seed (both)"}
BINS = 10


def noise(tables: Tables) -> Drawn:
    """(a) How much of the run-to-run noise of a score each change explains."""
    numbers = tables["noise"]
    names = list(numbers.network.unique())
    figure, axes = abreast(len(names), width=4.8, height=3.7, share=True)
    for axis, name in zip(axes, names, strict=True):
        some = numbers[numbers.network == name]
        kicked = some[some.kind.str.startswith("weight")]
        kicked = kicked.assign(time=kicked.kind.str.removeprefix("weight ").astype(float))
        for (score, line), colour in zip(
            kicked.groupby("score", sort=False), sns.color_palette("colorblind"), strict=False
        ):
            label = f"one weight, {score}"
            sns.lineplot(line, x="time", y="ratio", marker="o", color=colour, label=label, ax=axis, **BAND)
        for kind, dash in zip(UNRELATED, (":", "--", "-"), strict=True):
            level = some[(some.kind == kind) & (some.score == "el2n.mean")].ratio.mean()
            axis.axhline(level, color="black", linestyle=dash, linewidth=1, label=f"{ELSE[kind]}, el2n.mean")
        root_axis(axis, kicked.time)
        axis.set(title=network(name), xlabel="weight moved at (% of training)", ylim=(0, 1.25))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.get_legend().remove()
    axes[0].set_ylabel("noise of a rank, of that between seeds")
    legend(axes[-1], "what differs, and score")
    figure.suptitle(f"How much of a score's noise one moved weight makes ({_scope(tables)})")
    return figure, numbers


def flips(tables: Tables) -> Drawn:
    """(b) How often twins answer a test example differently, against its difficulty."""
    numbers = _by_difficulty(tables)
    names = list(numbers.network.unique())
    figure, axes = abreast(len(names), width=4.8, height=3.7)
    kinds = list(dict.fromkeys(numbers.kind))
    labels = {kind: _label(kind) for kind in kinds}
    weights = [kind for kind in kinds if kind.startswith("weight")]
    colours = dict(zip(weights, sns.color_palette("viridis_r", len(weights)), strict=True))
    for axis, name in zip(axes, names, strict=True):
        for kind, line in numbers[numbers.network == name].groupby("kind", sort=False):
            dash = {"order": ":", "init": "--"}.get(kind, "-")
            axis.plot(
                line.decile,
                line.flips,
                dash,
                marker="o",
                markersize=3,
                color=colours.get(kind, "black"),
                label=labels[kind],
            )
        axis.set(title=network(name), xlabel="decile of difficulty (10: hardest)", ylim=(0, None))
        axis.set_xticks(range(1, BINS + 1))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0].set_ylabel("test examples answered otherwise")
    legend(axes[-1], "than the parent, by")
    figure.suptitle(f"Which test examples flip (difficulty: EL2N over unrelated networks; {_scope(tables)})")
    return figure, numbers


def same(tables: Tables) -> Drawn:
    """(c) Test examples: how often they flip after a kicked weight, and between unrelated networks."""
    numbers = tables["flips"][tables["flips"].test]
    names = list(numbers.network.unique())
    figure, axes = abreast(len(names), width=4.2, height=4.0)
    for axis, (name, colour) in zip(axes, palette(names).items(), strict=True):
        some = numbers[numbers.network == name]
        jitter = np.random.default_rng(0).normal(0, 0.006, (2, len(some)))
        axis.scatter(some["seed"] + jitter[0], some["weight 0"] + jitter[1], s=6, alpha=0.4, color=colour, linewidth=0)
        axis.plot([0, 1], [0, 1], color="grey", linewidth=1)
        rho = some[["seed", "weight 0"]].rank().corr().iloc[0, 1]
        axis.set(title=f"{network(name)}\nrank correlation {rho:.2f}", xlabel="flips between unrelated networks")
        for one in (axis.xaxis, axis.yaxis):
            one.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0].set_ylabel("flips after one weight moved at the start")
    figure.suptitle(f"The same examples flip (each point a test example; {_scope(tables)})")
    return figure, numbers


def _by_difficulty(tables: Tables) -> pd.DataFrame:
    """Share of flips in each tenth of the test examples, by difficulty and kind of relative."""
    rows = []
    for name, some in tables["flips"][tables["flips"].test].groupby("network", sort=False):
        kinds = [column for column in some if column in UNRELATED or column.startswith("weight")]
        for decile, place in enumerate(np.array_split(np.argsort(some.difficulty.to_numpy(), kind="stable"), BINS)):
            rows += [(name, decile + 1, kind, some[kind].to_numpy()[place].mean()) for kind in kinds]
    return pd.DataFrame(rows, columns=["network", "decile", "kind", "flips"])


def _label(kind: str) -> str:
    return f"one weight at {kind.removeprefix('weight ')} %" if kind.startswith("weight") else ELSE[kind]


def _scope(tables: Tables) -> str:
    return f"n = {tables['noise'].seed.nunique()} seeds"
