"""The figures of notebook 43. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.papers.pezeshki2022.two_speeds import (
    COMPARED,
    FAST,
    LEAST,
    MAIN,
    NOISY,
    OUTPUTS,
    PLAIN,
    SCARCE,
    SLOW,
    SPREAD,
    TWO,
    WEIGHTS,
    largest_rise,
)
from butterfly.study import Tables, intervals
from butterfly.study.figures import BAND, Drawn, colours, legend, panels, scope

ERROR = "test error (half the mean square)"
STEPS = "steps of gradient descent"
TURNS = ["seed", "start", "trough_at", "trough", "peak_at", "peak", "end", "rise", "moves"]


def descents(tables: Tables) -> Drawn:
    """Left: test error of the linear student against the steps of gradient descent, for several condition numbers (how
    many times less the slow features vary), mean over draws of data and teacher; dashed gray: one speed, and noise in
    the labels as strong as the slow features. Right: the largest rise of the error, as a share of the error at the
    start, mean over draws; dashed: of the authors' closed form and of the limit of many features, both for ridge
    regression. Bands and bars are 95 % intervals over draws."""
    curves, noisy = _main(tables), tables["apart"][tables["apart"].arm == NOISY]
    turns = tables["turns"][(tables["turns"].place == MAIN) & (tables["turns"].solver == "descent")]
    figure, axes = panels(2, width=5.6)
    named = curves.assign(name=[f"{k:g}" for k in curves.condition])
    _course(axes[0], named, "error", hue="name", palette=colours(named.name))
    _course(axes[0], noisy, "error", color="gray", linestyle="--", label="1, noisy labels")
    axes[0].set(ylim=(0, 0.75), ylabel=ERROR)
    axes[0].legend(title="condition number", fontsize="x-small", title_fontsize="x-small", loc="upper left", ncols=2)
    conditions = sorted(turns.condition.unique())
    _bars(axes[1], conditions, [turns[turns.condition == k].rise for k in conditions], "black", "gradient descent")
    known = tables["formulas"][tables["formulas"].place == MAIN]
    palette = sns.color_palette("colorblind")
    for color, column, label in ((palette[1], "closed", "closed form"), (palette[2], "limit", "limit")):
        rises = [largest_rise(known[known.condition == k].sort_values("step")[column].to_numpy()) for k in conditions]
        axes[1].plot(conditions, rises, color=color, marker="o", markersize=4, linestyle="--", label=label)
    axes[1].set(xscale="log", xlabel="condition number", ylabel="largest rise over the error at the start")
    axes[1].legend()
    figure.suptitle(f"Two speeds: the test error falls, rises, and falls again ({_draws(turns)})")
    return figure, turns[["condition", *TURNS]]


def apart(tables: Tables) -> Drawn:
    """Left: test error of a student with features of both speeds, of one that sees the fast ones alone, of one whose
    fast features are fitted from the start while it learns the slow ones, and of one that has fewer examples than fast
    features. Right: of the first, what the fast and what the slow features' weights add to the error. Means over
    draws; bands are 95 % bootstrap intervals."""
    slowest = tables.params.slowest
    both = _main(tables).query("condition == @slowest")
    figure, axes = panels(2, width=5.6)
    palette = sns.color_palette("colorblind")
    _course(axes[0], both, "error", color="black", label="both")
    for color, arm in zip(palette, (FAST, SLOW, SCARCE), strict=False):
        _course(axes[0], tables["apart"][tables["apart"].arm == arm], "error", color=color, label=arm)
    axes[0].set(ylim=(0, None), ylabel=ERROR)
    axes[0].legend(fontsize="small")
    mean = both.groupby("step")[["fast", "slow"]].mean()
    mean = mean[mean.index > 0]
    names = ["in the weights of fast features", "in the weights of slow features"]
    axes[1].stackplot(mean.index, mean.fast, mean.slow, labels=names, colors=[palette[0], palette[1]], alpha=0.7)
    axes[1].set(xscale="log", xlabel=STEPS, ylabel="test error, both speeds")
    axes[1].legend(fontsize="small")
    figure.suptitle(f"Each speed alone, condition number {slowest:g} ({_draws(both)})")
    shown = tables["apart_turns"]
    return figure, shown[["arm", *TURNS]]


def plane(tables: Tables) -> Drawn:
    """The way of the student through the plane of its overlap with the teacher (R) and its size (Q), from the origin
    on, for several condition numbers, mean over draws; dashed: by the authors' rule that the error is (1 - 2R + Q) /
    2, lines of equal error. A cross is where the teacher is, a dot where gradient descent has come at the end."""
    curves = _main(tables)
    figure, axes = panels(1, width=6.4, height=4.6)
    axis = axes[0]
    mean = curves.groupby(["condition", "step"])[["overlap", "size"]].mean().reset_index()
    palette = sns.color_palette("viridis_r", mean.condition.nunique())
    for color, (condition, own) in zip(palette, mean.groupby("condition"), strict=True):
        axis.plot(own.overlap, own["size"], color=color, label=f"{condition:g}", linewidth=1.8)
        axis.plot(own.overlap.iloc[-1], own["size"].iloc[-1], color=color, marker="o", markersize=5)
    overlaps, sizes = np.meshgrid(np.linspace(0, 1.05, 60), np.linspace(0, 1.05 * mean["size"].max(), 60))
    lines = axis.contour(
        overlaps,
        sizes,
        (1 - 2 * overlaps + sizes) / 2,
        levels=[0.1, 0.2, 0.3, 0.4, 0.5],
        colors="gray",
        linestyles="--",
        linewidths=0.8,
    )
    axis.clabel(lines, fmt="error %.1f", fontsize=7)
    axis.plot(1, 1, color="black", marker="x", markersize=9, markeredgewidth=2)
    axis.set(xlabel="R: overlap with the teacher", ylabel="Q: size of the student")
    legend(axis, "condition number")
    figure.suptitle(f"Overlap and size of the student ({_draws(curves)})")
    return figure, mean


def theory(tables: Tables) -> Drawn:
    """Left: mean test error of ridge regression against the inverse of its strength, in steps of gradient descent
    (strength: 1 over steps times learning rate), with the authors' closed form, the same with the penalty of the slow
    features doubled as in the code of their figure, the limit of many features, and gradient descent, in the
    proportions of the authors' comparison. Middle: what each of them is above ridge regression, as a share of the
    error at the start; gray: 5 %. Right: ridge regression, closed form and limit in the proportions of the other
    figures, for two condition numbers. Bands are 95 % bootstrap intervals over draws."""
    table, known = tables["curves"], tables["formulas"]
    condition = tables.params.compared_condition
    held = table[(table.place == COMPARED) & (table.condition == condition) & (table.step > 0)]
    told = known[(known.place == COMPARED) & (known.condition == condition) & (known.step > 0)].set_index("step")
    figure, axes = panels(3, width=4.6)
    palette = sns.color_palette("colorblind")
    lines = {"closed": ("closed form", palette[1]), "drawn": ("closed form as drawn", palette[4])}
    lines |= {"limit": ("limit", palette[2])}
    _course(axes[0], held, "ridge", color="black", label="ridge regression")
    _course(axes[0], held, "error", color=palette[0], label="gradient descent")
    ridge = held.groupby("step").ridge.mean()
    axes[1].axhspan(-LEAST, LEAST, color="gray", alpha=0.15, linewidth=0)
    axes[1].plot(ridge.index, 2 * (held.groupby("step").error.mean() - ridge), color=palette[0])
    for column, (label, color) in lines.items():
        axes[0].plot(told.index, told[column], color=color, linestyle="--", label=label)
        axes[1].plot(told.index, 2 * (told[column] - ridge), color=color, linestyle="--")
    axes[0].set(ylim=(0, None), ylabel=ERROR, title=f"condition number {condition:g}, {_sizes(tables, COMPARED)}")
    axes[0].legend(fontsize="x-small")
    axes[1].set(xscale="log", xlabel=STEPS, ylabel="above ridge regression, over the start", title="the same: gaps")
    _two_conditions(axes[2], tables, palette)
    figure.suptitle(f"Theory against ridge regression ({_draws(held)})")
    gaps = pd.DataFrame({name: 2 * (told[name] - ridge) for name in lines})
    gaps["gradient descent"] = 2 * (held.groupby("step").error.mean() - ridge)
    return figure, gaps.reset_index().assign(condition=condition)


def _two_conditions(axis: Axes, tables: Tables, palette: list) -> None:
    """Ridge regression, closed form and limit in the main proportions, at the mild and the slowest condition number."""
    for condition, line in ((tables.params.mild, ":"), (tables.params.slowest, "-")):
        some = _main(tables).query("condition == @condition")
        _course(axis, some, "ridge", color="black", linestyle=line, label=f"ridge regression, {condition:g}")
        told = tables["formulas"].query("place == @MAIN and condition == @condition and step > 0")
        for column, label, color in (("closed", "closed form", palette[1]), ("limit", "limit", palette[2])):
            axis.plot(told.step, told[column], color=color, linestyle=line, label=f"{label}, {condition:g}")
    axis.set(ylim=(0, None), ylabel="", title=_sizes(tables, MAIN))
    axis.legend(fontsize="x-small")


def penalty(tables: Tables) -> Drawn:
    """Left: test error of the linear student without a penalty, with one on the squared outputs on the training
    examples, and with one on the squared weights that is as strong in the mean over modes; both fade within some
    thousand steps (dotted: the time of fading). Mean over draws, bands are 95 % bootstrap intervals. Right: the
    largest rise of each draw's error, as a share of its start, with a penalty against without; dotted: as large, and 5
    %."""
    table, turns = tables["penalty"], tables["penalty_turns"]
    figure, axes = panels(2, width=5.4)
    palette = dict(zip((PLAIN, OUTPUTS, WEIGHTS), ["black", *sns.color_palette("colorblind")[:2]], strict=True))
    for arm, color in palette.items():
        _course(axes[0], table[table.arm == arm], "error", color=color, label=arm)
    axes[0].axvline(tables.params.penalty_time, color="gray", linestyle=":", linewidth=1)
    axes[0].set(ylim=(0, None), ylabel=ERROR)
    axes[0].legend(fontsize="small")
    rises = turns.pivot_table("rise", "seed", "arm")
    for arm in (OUTPUTS, WEIGHTS):
        axes[1].scatter(rises[PLAIN], rises[arm], color=palette[arm], s=14, alpha=0.7, label=arm)
    top = [0, 1.05 * rises[PLAIN].max()]
    axes[1].plot(top, top, color="gray", linestyle=":", linewidth=1)
    axes[1].axhline(LEAST, color="gray", linestyle=":", linewidth=1)
    axes[1].set(xlim=top, xlabel="largest rise without a penalty", ylabel="largest rise with it")
    axes[1].legend(fontsize="small")
    condition = tables.params.penalty_condition
    figure.suptitle(f"A penalty that fades, condition number {condition:g} ({_draws(turns)})")
    return figure, turns[["arm", *TURNS, "tenth_at"]]


def networks(tables: Tables) -> Drawn:
    """Networks on images, a fifth of whose training labels is wrong (another share if so set). Left: error on test
    images with right labels against updates, for several weight decays; middle: with the classes in two halves, without
    and with a penalty on the spread of the outputs; dotted: error on the training images with the labels learned.
    Right: the largest rise of each network's test error, as a share of its start; gray: 5 %. Means over seeds, bands
    are 95 % bootstrap intervals."""
    table, turns = tables["networks"], tables["network_turns"]
    figure, axes = panels(3, width=4.8)
    palette = colours(table.arm)
    halves = table.arm.isin([TWO, SPREAD])
    for axis, some, label in ((axes[0], table[~halves], "ten classes"), (axes[1], table[halves], "two classes")):
        own = {arm: palette[arm] for arm in some.arm.unique()}
        _course(axis, some, "test", hue="arm", palette=own)
        _course(axis, some, "train", hue="arm", palette=own, linestyle=":", linewidth=1, legend=False)
        axis.set(ylabel="error", xlabel="updates", ylim=(0, 0.5), title=label)
        axis.legend(fontsize="x-small")
    sns.stripplot(turns, x="rise", y="arm", hue="arm", palette=palette, legend=False, ax=axes[2], alpha=0.8)
    axes[2].axvspan(0, LEAST, color="gray", alpha=0.15, linewidth=0)
    axes[2].set(xlim=(0, None), ylabel="", xlabel="largest rise over the error at the start")
    figure.suptitle(f"Networks with wrong labels, trained long ({scope(table)})")
    return figure, turns[["arm", *TURNS, "train"]]


# --- pieces ----------------------------------------------------------------------------------------------------------


def _main(tables: Tables) -> pd.DataFrame:
    return tables["curves"][tables["curves"].place == MAIN]


def _draws(table: pd.DataFrame) -> str:
    return f"n = {table.seed.nunique()} draws"


def _sizes(tables: Tables, place: str) -> str:
    params = tables.params
    pair = (params.examples, params.fast) if place == MAIN else (params.compared_examples, params.compared_fast)
    return f"{pair[0]} examples, {pair[1]} of {params.features} fast"


def _course(axis: Axes, table: pd.DataFrame, column: str, **style) -> None:
    """An error against steps, from the first on, with its band."""
    sns.lineplot(table[table.step > 0], x="step", y=column, ax=axis, **BAND, **style)
    axis.set(xscale="log", xlabel=STEPS)


def _bars(axis: Axes, places: list, values: list[pd.Series], color: str, label: str) -> None:
    found = [intervals.mean(own) for own in values]
    middle = np.array([i.estimate for i in found])
    ends = np.array([[max(i.estimate - i.low, 0.0), max(i.high - i.estimate, 0.0)] for i in found]).T
    axis.errorbar(places, middle, np.nan_to_num(ends), color=color, marker="o", capsize=3, label=label)
