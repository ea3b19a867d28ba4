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
    OUTPUTS,
    PLAIN,
    SCARCE,
    SLOW,
    SPREAD,
    TWO,
    WEIGHTS,
    largest_rise,
    rise_of_mean,
)
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, colours, legend, panels, scope

ERROR = "test error (half the mean square)"
STEPS = "steps of gradient descent"
TURNS = ["seed", "start", "trough_at", "trough", "peak_at", "peak", "end", "rise", "moves"]
BLUE, ORANGE, GREEN, _, PINK, *_ = sns.color_palette("colorblind")
MEASURED = {"error": ("gradient descent", BLUE), "ridge": ("ridge regression", "black")}
TOLD = {"closed": ("closed form", ORANGE), "limit": ("limit", GREEN)}
DRAWN = {"drawn": ("closed form as drawn", PINK)}
# Where lines of equal error are named in the plane of overlap and size, away from the curves.
LEVELS = {0.1: 0.6, 0.2: 0.88, 0.3: 0.79, 0.4: 0.35, 0.5: 0.15}


def descents(tables: Tables) -> Drawn:
    """Left: test error of the linear student against the steps of gradient descent, for several condition numbers (how
    many times less the slow features vary), mean over draws of data and teacher. Right: how far these mean curves rise
    above a value that they had before, as a share of the error at the start, against the condition number: of gradient
    descent, of ridge regression in the place of time, and, dashed, of two theories of ridge regression, the authors'
    closed form and the limit of many features. Bands and bars are 95 % bootstrap intervals over draws."""
    curves, rises = _main(tables), _rises(tables)
    figure, axes = panels(2, width=5.6)
    named = curves.assign(name=[f"{k:g}" for k in curves.condition])
    _course(axes[0], named, "error", hue="name", palette=colours(named.name))
    axes[0].set(ylim=(0, 0.6), ylabel=ERROR)
    axes[0].legend(title="condition number", fontsize="small", title_fontsize="small", loc="upper left", ncols=3)
    for (name, color), line in zip([*MEASURED.values(), *TOLD.values()], ("-", "-", "--", "--"), strict=True):
        own = rises[rises.of == name]
        ends = np.nan_to_num([own.rise - own.low, own.high - own.rise])
        style = {"color": color, "linestyle": line, "marker": "o", "markersize": 4, "capsize": 3, "label": name}
        axes[1].errorbar(own.condition, own.rise, np.maximum(ends, 0), **style)
    axes[1].set(xscale="log", xlabel="condition number", ylabel="largest rise over the error at the start")
    axes[1].legend()
    figure.suptitle(f"Two speeds: the test error falls, rises, and falls again ({_draws(curves)})")
    return figure, rises


def _rises(tables: Tables) -> pd.DataFrame:
    """The largest rise of each mean curve and each theory in the main proportions, by condition number."""
    rows = []
    for condition, own in _main(tables).groupby("condition"):
        for column, (name, _) in MEASURED.items():
            found = rise_of_mean(own.pivot_table(column, "seed", "step").to_numpy())
            rows.append((name, condition, found.estimate, found.low, found.high))
    for condition, own in tables["formulas"].query("place == @MAIN").groupby("condition"):
        for column, (name, _) in TOLD.items():
            rows.append((name, condition, largest_rise(own.sort_values("step")[column].to_numpy()), np.nan, np.nan))
    return pd.DataFrame(rows, columns=["of", "condition", "rise", "low", "high"])


def apart(tables: Tables) -> Drawn:
    """Left: test error of a student with features of both speeds (broad gray line), of one that sees the fast ones
    alone, of one whose fast features are fitted from the start while it learns the slow ones, and of one that has fewer
    examples than fast features. Right: of the first, what the fast and what the slow features' weights add to the
    error. Means over draws; bands are 95 % bootstrap intervals."""
    slowest = tables.params.slowest
    both = _main(tables).query("condition == @slowest")
    figure, axes = panels(2, width=5.6)
    _course(axes[0], both, "error", color="black", label="both", linewidth=6, alpha=0.3)
    for color, arm in zip((BLUE, ORANGE, GREEN), (FAST, SLOW, SCARCE), strict=True):
        _course(axes[0], tables["apart"][tables["apart"].arm == arm], "error", color=color, label=arm)
    axes[0].set(ylim=(0, None), ylabel=ERROR)
    axes[0].legend(fontsize="small")
    mean = both.groupby("step")[["fast", "slow"]].mean()
    mean = mean[mean.index > 0]
    names = ["in the weights of fast features", "in the weights of slow features"]
    axes[1].stackplot(mean.index, mean.fast, mean.slow, labels=names, colors=[BLUE, ORANGE], alpha=0.7)
    axes[1].set(xscale="log", xlabel=STEPS, ylabel="test error, both speeds")
    axes[1].legend(fontsize="small", loc="upper right")
    figure.suptitle(f"Each speed alone, condition number {slowest:g} ({_draws(both)})")
    return figure, tables["apart_turns"][["arm", *TURNS]]


def plane(tables: Tables) -> Drawn:
    """The way of the student through the plane of its overlap with the teacher (R) and its size (Q), from the origin
    on, for several condition numbers, mean over draws; dashed: by the authors' rule that the error is (1 - 2R + Q) /
    2, lines of equal error. The cross is the mean teacher of these draws, a dot is where gradient descent has come at
    the end."""
    curves = _main(tables)
    figure, (axis,) = panels(1, width=6.4, height=4.6)
    mean = curves.groupby(["condition", "step"])[["overlap", "size"]].mean().reset_index()
    palette = sns.color_palette("viridis_r", mean.condition.nunique())
    for color, (condition, own) in zip(palette, mean.groupby("condition"), strict=True):
        axis.plot(own.overlap, own["size"], color=color, label=f"{condition:g}", linewidth=1.8)
        axis.plot(own.overlap.iloc[-1], own["size"].iloc[-1], color=color, marker="o", markersize=5)
    overlaps, sizes = np.meshgrid(np.linspace(0, 1.05, 60), np.linspace(0, 1.05 * mean["size"].max(), 60))
    equal = {"levels": list(LEVELS), "colors": "gray", "linestyles": "--", "linewidths": 0.8}
    lines = axis.contour(overlaps, sizes, (1 - 2 * overlaps + sizes) / 2, **equal)
    named = [(overlap, 2 * overlap - 1 + 2 * error) for error, overlap in LEVELS.items()]
    axis.clabel(lines, fmt="error %.1f", fontsize=7, manual=named)
    teacher = 2 * curves[curves.step == 0].error.mean()  # R and Q at the end are |w|^2 / D, the first error half of it
    axis.plot(teacher, teacher, color="black", marker="x", markersize=9, markeredgewidth=2)
    axis.set(xlabel="R: overlap with the teacher", ylabel="Q: size of the student")
    legend(axis, "condition number")
    figure.suptitle(f"Overlap and size of the student ({_draws(curves)})")
    return figure, mean


def theory(tables: Tables) -> Drawn:
    """Left: mean test error of ridge regression against the inverse of its strength, in steps of gradient descent
    (strength: 1 over steps times learning rate), with the authors' closed form, the same with the penalty of the slow
    features doubled as in the code of their figure, the limit of many features, and gradient descent, in the
    proportions of the authors' comparison. Middle, in the same colours: how far each of them is above ridge regression,
    as a share of the error at the start; dotted: 5 %. Right: the same without the doubled penalty in the proportions of
    the other figures, for two condition numbers. Bands are 95 % bootstrap intervals over draws."""
    condition = tables.params.compared_condition
    held, told = (_later(tables[name], COMPARED, condition) for name in ("curves", "formulas"))
    figure, axes = panels(3, width=4.6)
    _lines(axes[0], held, told, TOLD | DRAWN, "--")
    axes[0].set(title=f"condition number {condition:g}, {_sizes(tables, COMPARED)}")
    axes[0].legend(fontsize="x-small")
    gaps, ridge = pd.DataFrame(), held.groupby("step").ridge.mean()
    for level in (-LEAST, LEAST):
        axes[1].axhline(level, color="gray", linestyle=":", linewidth=1)
    for column, (name, color) in ({"error": MEASURED["error"]} | TOLD | DRAWN).items():
        gaps[name] = 2 * ((held if column == "error" else told).groupby("step")[column].mean() - ridge)
        axes[1].plot(gaps.index, gaps[name], color=color, linestyle="-" if column == "error" else "--")
    axes[1].set(xscale="log", xlabel=STEPS, ylabel="above ridge regression, over the start", title="the same: gaps")
    pair = {tables.params.slowest: "-", tables.params.mild: ":"}
    for other, line in pair.items():
        _lines(axes[2], *(_later(tables[name], MAIN, other) for name in ("curves", "formulas")), TOLD, line, line)
    axes[2].set(title=_sizes(tables, MAIN))
    both = " and ".join(f"{other:g} ({'solid' if line == '-' else 'dotted'})" for other, line in pair.items())
    handles, names = axes[2].get_legend_handles_labels()
    half = len(names) // 2  # the other half has the same colours
    axes[2].legend(handles[:half], names[:half], title=both, fontsize="x-small", title_fontsize="x-small")
    figure.suptitle(f"Theory against ridge regression ({_draws(held)})")
    return figure, gaps.reset_index().assign(condition=condition)


def _later(table: pd.DataFrame, place: str, condition: float) -> pd.DataFrame:
    """The rows of one condition number after the start."""
    return table[(table.place == place) & (table.condition == condition) & (table.step > 0)]


def _lines(axis: Axes, held: pd.DataFrame, told: pd.DataFrame, theories: dict, line: str, measured: str = "-") -> None:
    """Errors measured, and those told by theories, in time."""
    for column, (name, color) in MEASURED.items():
        _course(axis, held, column, color=color, linestyle=measured, label=name)
    for column, (name, color) in theories.items():
        axis.plot(told.step, told[column], color=color, linestyle=line, label=name)
    axis.set(ylim=(0, None), ylabel=ERROR)


def penalty(tables: Tables) -> Drawn:
    """Left: test error of the linear student without a penalty, with one on the squared outputs on the training
    examples, and with one on the squared weights that is as strong in the mean over modes; both fade within some
    thousand steps (dotted: the time of fading). Mean over draws, bands are 95 % bootstrap intervals. Right: the
    largest rise of each draw's error, as a share of its start, with a penalty against without; dotted: as large, and 5
    %."""
    table, turns = tables["penalty"], tables["penalty_turns"]
    figure, axes = panels(2, width=5.4)
    palette = {PLAIN: "black", OUTPUTS: BLUE, WEIGHTS: ORANGE}
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
    images with right labels against updates, without and with weight decay; middle: with the classes in two halves,
    without and with a penalty on the spread of the outputs; dotted: error on the training images with the labels
    learned. What is above 0.5 is not shown. Right: the largest rise of each network's test error, as a share of its
    start; gray: less than 5 %. Means over seeds, bands are 95 % bootstrap intervals."""
    table, turns = tables["networks"], tables["network_turns"]
    figure, axes = panels(3, width=4.8)
    halves = table.arm.isin([TWO, SPREAD])
    palette = colours(table[~halves].arm) | {TWO: BLUE, SPREAD: ORANGE}
    for axis, some, label in ((axes[0], table[~halves], "ten classes"), (axes[1], table[halves], "two classes")):
        own = {arm: palette[arm] for arm in some.arm.unique()}
        _course(axis, some, "test", hue="arm", palette=own)
        _course(axis, some, "train", hue="arm", palette=own, linestyle=":", linewidth=1, legend=False)
        axis.set(ylabel="error", xlabel="updates", ylim=(0, 0.5), title=label)
        axis.legend(fontsize="x-small")
    sns.stripplot(turns, x="rise", y="arm", hue="arm", order=list(palette), palette=palette, legend=False, ax=axes[2])
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
