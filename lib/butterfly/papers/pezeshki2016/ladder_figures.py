"""The figures of notebook 73. Each returns the picture and the numbers behind it; its docstring is the caption."""

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.papers.pezeshki2016.ladder import (
    ARMS,
    FORMS,
    FULL,
    INPUT,
    LATERAL,
    NOISE,
    PLAIN,
    PLANE,
    RECONSTRUCTION,
)
from butterfly.study import Tables
from butterfly.study.figures import BAND, LOG_BAND, Drawn, band, legend, panels, scope

_PALETTE = sns.color_palette("colorblind")
COLOURS = {arm: _PALETTE[place] for arm, place in zip(ARMS, (0, 1, 3, 2, 7, 8, 4, 9, 5), strict=True)}  # plain is grey
LAYERS = ("image", *(f"hidden {layer}" for layer in range(1, 9)))
SPREAD = 0.15  # how far apart the numbers of labels lie within a row
FACTOR = {name: value for name, value in LOG_BAND.items() if name != "err_kws"} | {"err_style": "bars"}


def courses(tables: Tables) -> Drawn:
    """Test error over training, of the clean run; means over seeds, bands are 95 % bootstrap intervals. Circles: where
    validation stops each arm, its middle seed, and what that gives on average. One panel a number of labels, each with
    its own axis."""
    arms = (PLAIN, NOISE, RECONSTRUCTION, LATERAL, PLANE, FULL)
    table, ends = (tables[name][tables[name].arm.isin(arms)] for name in ("course", "stopped"))
    counts = list(dict.fromkeys(table.labels))
    figure, axes = panels(len(counts), width=4.4)
    for axis, count in zip(axes, counts, strict=True):
        for arm in arms:
            some = table[(table.arm == arm) & (table.labels == count)]
            sns.lineplot(some, x="update", y="test", color=COLOURS[arm], label=arm, ax=axis, **BAND)
            end = ends[(ends.arm == arm) & (ends.labels == count)]
            axis.plot(
                end["update"].median(), end.test.mean(), "o", color=COLOURS[arm], markeredgecolor="black", zorder=4
            )
        axis.set(title=f"{count} labels", xscale="log", xlabel="updates", ylabel="")
        axis.set_ylim(0, min(1.0, 1.6 * table[(table.labels == count) & (table["update"] > 5)].test.quantile(0.9)))
        axis.get_legend().remove()
    axes[0].set_ylabel("test error")
    figure.suptitle(f"Ladders, whole and with parts taken out ({scope(table)})")
    legend(axes[-1], "")
    return figure, table[["arm", "labels", "seed", "update", "validation", "test"]]


def damage(tables: Tables) -> Drawn:
    """What each change adds to the test error of the whole ladder of the same seed: points are seeds, bars means with
    95 % bootstrap intervals. Left: each network stopped where its validation error is lowest; right: at the end of
    training. Note the axes: the right one is longer."""
    arms = (LATERAL, NOISE, RECONSTRUCTION, PLANE, INPUT)
    table = _against_full(tables, arms)
    figure, axes = panels(2, width=5.6, height=4.2)
    for axis, name, when in zip(
        axes, ("stopped", "at the end"), ("stopped by validation", "end of training"), strict=True
    ):
        _rows(axis, table, name, arms)
        axis.set(title=when, xlabel="test error minus that of the whole ladder")
    axes[1].set_yticklabels([])
    figure.suptitle(f"What taking out costs ({scope(table)})")
    legend(axes[1], "labels")
    return figure, table


def gains(tables: Tables) -> Drawn:
    """Left: test error against the number of labels, with noise and reconstruction added to a plain network one after
    another; bands are 95 % bootstrap intervals of the mean over seeds. Right: by what factor errors grow without a
    part; lines are 95 % bootstrap intervals of the geometric mean, dotted: no difference."""
    table = tables["stopped"]
    figure, axes = panels(2, width=5.2)
    for arm, name in {PLAIN: "plain network", RECONSTRUCTION: "with noise", FULL: "with noise and ladder"}.items():
        some = table[table.arm == arm]
        sns.lineplot(some, x="labels", y="test", color=COLOURS[arm], marker="o", label=name, ax=axes[0], **BAND)
    axes[0].set(xscale="log", yscale="log", xlabel="labels", ylabel="test error", title="what is gained")
    seen = table.assign(test=table.test.clip(lower=1e-3))  # less than one wrong of 500: no factor is 0 or infinite
    whole = seen[seen.arm == FULL].set_index(["labels", "seed"]).test
    kept = []
    for place, arm in enumerate((LATERAL, NOISE, RECONSTRUCTION, PLANE)):
        some = seen[seen.arm == arm].set_index(["labels", "seed"]).test
        factor = (some / whole).rename("factor").reset_index().assign(arm=arm)
        kept.append(factor)
        moved = factor.assign(labels=factor.labels * 1.06 ** (place - 1.5))
        sns.lineplot(moved, x="labels", y="factor", color=COLOURS[arm], marker="o", label=arm, ax=axes[1],
                     **FACTOR)  # fmt: skip
    axes[1].axhline(1, color="black", linewidth=1, linestyle=":")
    axes[1].set(xscale="log", yscale="log", xlabel="labels", ylabel="errors, over those of the whole ladder",
                title="what is lost")  # fmt: skip
    legend(axes[1], "")
    for axis, ticks in zip(axes, ((0.01, 0.02, 0.05, 0.1, 0.2), (0.7, 1, 1.5, 2, 3)), strict=True):
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_xticks(list(tables.params.labels), [f"{count}" for count in tables.params.labels])
        axis.minorticks_off()
    figure.suptitle(f"With more labels ({scope(table)})")
    return figure, pd.concat(kept, ignore_index=True)


def combinators(tables: Tables) -> Drawn:
    """Left: test error of ladders with four combinators, minus that of the original one with the same seed: points are
    seeds, bars means with 95 % bootstrap intervals. Right: mean squared error of the guess of each layer late in
    training, where 1 is the variance of what is guessed, with the fewest labels; also without lateral connections."""
    others = tuple(arm for arm in FORMS if arm != FULL)
    table, costs = _against_full(tables, others), tables["costs"]
    figure, axes = panels(2, width=5.4)
    _rows(axes[0], table, "stopped", others)
    axes[0].set(title="stopped by validation", xlabel="test error minus that of the original combinator")
    axes[0].legend(title="labels", fontsize="x-small")
    few = costs[costs.labels == tables.params.fewest]
    last = few.layer.max()
    for arm in (*FORMS, LATERAL):
        name = "original combinator" if arm == FULL else arm
        sns.lineplot(
            few[few.arm == arm], x="layer", y="cost", color=COLOURS[arm], marker="o", label=name, ax=axes[1], **BAND
        )
    axes[1].set_xticks(range(last + 1), [*LAYERS[:last], "classes"])
    axes[1].set(
        ylim=(0, None), xlabel="layer", ylabel="mean squared error", title=f"guesses, {tables.params.fewest} labels"
    )
    figure.suptitle(f"Combinators ({scope(table)})")
    legend(axes[1], "")
    return figure, pd.concat([table, costs[["arm", "labels", "seed", "layer", "cost"]]], ignore_index=True)


# --- pieces ----------------------------------------------------------------------------------------------------------


def _against_full(tables: Tables, arms: Sequence[str]) -> pd.DataFrame:
    """Test errors minus those of the whole ladder, at the chosen look and at the last."""
    table = tables["stopped"].set_index(["labels", "seed"])
    whole = table[table.arm == FULL]
    kept = []
    for arm in arms:
        some = table[table.arm == arm]
        values = {"arm": arm, "stopped": some.test - whole.test, "at the end": some["last"] - whole["last"]}
        kept.append(some[["setting"]].assign(**values).reset_index())
    return pd.concat(kept, ignore_index=True)


def _rows(axis: Axes, table: pd.DataFrame, name: str, arms: Sequence[str]) -> None:
    """A row an arm, and in it a line of points a number of labels."""
    counts = list(dict.fromkeys(table.labels))
    shades = dict(zip(counts, sns.color_palette("viridis_r", len(counts)), strict=True))
    for place, arm in enumerate(arms):
        for number, count in enumerate(counts):
            values = table[(table.arm == arm) & (table.labels == count)][name]
            y = place + SPREAD * 1.6 * (number - (len(counts) - 1) / 2)
            axis.scatter(
                values, [y] * len(values), s=9, color=shades[count], alpha=0.6, label=None if place else f"{count}"
            )
            axis.plot(band(values), [y, y], color=shades[count], linewidth=2.5, solid_capstyle="butt")
            axis.plot(values.mean(), y, "|", color="black", markersize=9, zorder=4)
    axis.axvline(0, color="black", linewidth=1, linestyle=":")
    axis.set_yticks(range(len(arms)), arms)
    axis.invert_yaxis()
