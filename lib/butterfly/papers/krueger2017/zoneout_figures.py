"""The figures of notebook 70. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns

from butterfly.papers.krueger2017.zoneout import (
    DIGITS,
    DROPOUT,
    GRU,
    GRU_ZONEOUT,
    LETTERS,
    METHODS,
    METRICS,
    NONE,
    NORMED,
    NORMED_ZONEOUT,
    RECURRENT,
    STILL,
    ZONEOUT,
    at_best,
)
from butterfly.study import Tables
from butterfly.study.figures import BAND, LOG_BAND, Drawn, legend, panels, title

_PALETTE = sns.color_palette("colorblind")
COLOURS = {NONE: _PALETTE[7], DROPOUT: _PALETTE[1], RECURRENT: _PALETTE[2], ZONEOUT: _PALETTE[0], STILL: _PALETTE[3]}
COLOURS |= {NORMED: _PALETTE[7], NORMED_ZONEOUT: _PALETTE[0], GRU: _PALETTE[7], GRU_ZONEOUT: _PALETTE[0]}
EVERYTHING = (*METHODS, STILL, NORMED, NORMED_ZONEOUT, GRU, GRU_ZONEOUT)


def course(tables: Tables) -> Drawn:
    """Loss of test (solid) and of training (dashed) over the updates of LSTMs without noise and with three kinds of it,
    each at that of its rates which tests best at the end. Left: scrambled digits, right: a stream of letters, for each
    letter. Bands are 95 % bootstrap intervals of the mean over seeds."""
    table = tables["course"]
    table = table[table.method.isin(METHODS)].assign(test_loss=(table.loss_0 + table.loss_1) / 2)
    last = table[table["update"] == table.groupby("task")["update"].transform("max")]
    ends = last.groupby(["task", "method", "rate"]).test_loss.mean().sort_values().reset_index()
    table = table.merge(ends.drop_duplicates(["task", "method"])[["task", "method", "rate"]])
    figure, axes = panels(2, width=5.0)
    for axis, task in zip(axes, (DIGITS, LETTERS), strict=True):
        own = table[table.task == task]
        for method in METHODS:
            some = own[own.method == method]
            for column, dash in (("test_loss", "-"), ("training_loss", "--")):
                sns.lineplot(some, x="update", y=column, color=COLOURS[method], linestyle=dash, ax=axis,
                             label=f"{_named(method, some.rate.iloc[0])}: {column.split('_')[0]}", legend=False,
                             **BAND)  # fmt: skip
        axis.set(title=title(own.setting.iloc[0]), xlabel="updates", ylabel="loss (bits)")
        axis.set_ylim(bottom=0)
    figure.suptitle(f"Learning few examples by heart, with and without noise (n = {_n(table)} seeds)")
    for axis in axes:
        axis.legend(fontsize="x-small")
    return figure, table[["task", "method", "rate", "seed", "update", "training_loss", "test_loss"]]


def best(tables: Tables) -> Drawn:
    """What networks reach on one half of the test set, at the rate and the look that the other half likes best. Left:
    test error on scrambled digits, of LSTMs, of units that go zoneout's mean way back without noise, of LSTMs with a
    normalised recurrence, and of gated units; right: bits a letter. Small dots are seeds; lines are 95 % bootstrap
    intervals of the mean over seeds."""
    rows = [
        (task, method, seed, value)
        for task in (DIGITS, LETTERS)
        for method in EVERYTHING
        for seed, value in at_best(tables, task, method).items()
    ]
    table = pd.DataFrame(rows, columns=["task", "method", "seed", "value"])
    figure, axes = panels(2, width=5.4, height=4.2)
    for axis, (task, own) in zip(axes, table.groupby("task", sort=False), strict=True):
        names = list(dict.fromkeys(own.method))
        for place, name in enumerate(names):
            values = own[own.method == name].value
            axis.scatter(values, np.full(len(values), place) + 0.18, s=9, color=COLOURS[name], alpha=0.5)
            axis.hlines(place, *BAND["errorbar"](values), color=COLOURS[name], linewidth=2)
            axis.scatter([values.mean()], [place], s=34, color=COLOURS[name], zorder=3)
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        setting = tables["course"][tables["course"].task == task].setting.iloc[0]
        axis.set(title=title(setting), xlabel={"error": "test error", "loss": "bits a letter"}[METRICS[task]])
    figure.suptitle(f"Tested where the other half of the test set likes them best (n = {_n(table)} seeds)")
    return figure, table


def flow(tables: Tables) -> Drawn:
    """Share of the gradient of the loss by the cells of each step, after one epoch of scrambled digits that are read
    pixel by pixel (at the notebook's own parameters, four pixels at a time); logarithmic axis, so that straight lines
    are gradients that vanish geometrically. Left of the dotted line is the first quarter of the steps. Bands are
    95 % bootstrap intervals of the geometric mean over seeds."""
    table = tables["flow"]
    table = table[(table.when == "after") & (table.of == "cells")].copy()
    table = table[table.step < table.step.max()]  # the cells of the last step are not read any more
    cells = ["method", "rate", "seed"]
    table["share"] = table.slope / table.groupby(cells).slope.transform("sum")
    figure, (axis,) = panels(1, width=7.6, height=4.2)
    for (method, rate), some in table.groupby(["method", "rate"], sort=False):
        top = rate == table[table.method == method].rate.max()
        sns.lineplot(some, x="step", y="share", color=COLOURS[method], linestyle="-" if top else "--",
                     label=_named(method, rate), ax=axis, **LOG_BAND)  # fmt: skip
    axis.axvline((table.step.max() + 1) / 4, color="black", linewidth=1, linestyle=":")
    axis.set(yscale="log", xlabel="step of the sequence", ylabel="share of the gradient by the cells")
    figure.suptitle(f"How far the gradient reaches back, after one epoch (n = {_n(table)} seeds)")
    legend(axis, "noise")
    return figure, table[["method", "rate", "seed", "step", "slope", "share"]]


def chaos(tables: Tables) -> Drawn:
    """Two kinds of chaos in networks that learn the stream of letters, over training. Left: largest Lyapunov exponent
    of their state map along new letters (dashed: at rates at which there are no twins); below the dotted line two
    states that read the same come together. Right: distance of twins whose starts differ by a small kick, in kicks.
    Bands are 95 % bootstrap intervals of the mean (right: geometric mean) over seeds."""
    along, twins = tables["along"], tables["twins"]
    solid = set(zip(twins.method, twins.rate, strict=True))
    figure, axes = panels(2, width=5.2, height=4.2)
    for (method, rate), own in along.groupby(["method", "rate"], sort=False):
        dash = "-" if (method, rate) in solid else "--"
        sns.lineplot(own, x="update", y="exponent", color=COLOURS[method], linestyle=dash, label=_named(method, rate),
                     ax=axes[0], **BAND)  # fmt: skip
    for method, own in twins.groupby("method", sort=False):
        sns.lineplot(own, x="update", y="distance", color=COLOURS[method], ax=axes[1], **LOG_BAND)
    axes[0].axhline(0, color="black", linewidth=1, linestyle=":")
    axes[0].set(title="along a sequence", xlabel="updates", ylabel="Lyapunov exponent (per letter)")
    axes[1].set(title="along training", yscale="log", xlabel="updates", ylabel="distance of twins (kicks)")
    figure.suptitle(f"Chaos along a sequence and along training: letters (n = {_n(along)} seeds)")
    handles = axes[0].get_legend_handles_labels()
    axes[0].get_legend().remove()
    axes[1].legend(*handles, title="noise", loc="center left", bbox_to_anchor=(1, 0.5))
    columns = ["method", "rate", "seed", "update"]
    return figure, along[[*columns, "exponent"]].merge(twins[[*columns, "distance"]], how="outer")


def _named(method: str, rate: int) -> str:
    return f"{method}, {rate} %" if rate else method


def _n(table: pd.DataFrame) -> int:
    return table.seed.nunique()
