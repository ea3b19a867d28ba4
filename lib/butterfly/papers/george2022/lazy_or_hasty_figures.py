"""The figures of notebook 41. Each returns the picture and the numbers behind it; its docstring is the caption."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from butterfly.data import yinyang
from butterfly.milestones import at_levels
from butterfly.papers.george2022 import modes
from butterfly.papers.george2022.lazy_or_hasty import READINGS, apart, by_features, by_steps
from butterfly.study import Interval, Tables, intervals
from butterfly.study.figures import BAND, Drawn, panels, scope

_BLUE, _ORANGE, _GREEN, *_ = sns.color_palette("colorblind")
GRID = 40  # readings along a curve


def places(tables: Tables) -> Drawn:
    """Two halves with two discs. First: the classes, and the hard places in the discs. Second: training loss of hard
    and of easy places against the mean training loss, which falls to the right; lines are means over seeds, bands 95 %
    bootstrap intervals. Third: loss of hard over that of easy places, learning features over lazy, at each level (1: no
    difference), also from larger weights; small dots are seeds, large ones geometric means with 95 % intervals. Fourth:
    the difference in loss at places not trained on, learning features minus lazy, at the middle level, all seeds turned
    alike; dashed: the discs."""
    toy, course, again = _usual(tables, "toy", "course", "restarted")
    figure, axes = panels(4, width=4.3)
    _draw_pattern(axes[0])
    levels = np.linspace(course["mean"].max() * 0.99, min(tables.params.levels), GRID)
    for group, style in (("hard", "-"), ("easy", "--")):
        _along(axes[1], tables, course, "mean", group, levels, style, group)
    for level in tables.params.levels:
        axes[1].axvline(level, color="gray", linewidth=0.8)
    axes[1].invert_xaxis()
    axes[1].set(xlabel="mean training loss", ylabel="training loss of the group", title="hard and easy places")
    axes[1].legend(fontsize="x-small")
    shown = []
    for shift, label, table, part, color in (
        (-0.2, "trained on", toy, "", _BLUE),
        (0.0, "not trained on", toy, "unseen_", _GREEN),
        (0.2, "trained on, larger start", again, "", _ORANGE),
    ):
        logs = _pairs(tables, table, np.log(table[f"{part}hard"] / table[f"{part}easy"]))
        _at_levels(axes[2], np.exp(logs), intervals.geometric_mean, tables.params.levels, shift, color, label)
        shown.append(np.exp(logs).stack().rename("ratio").reset_index().assign(places=label))
    axes[2].axhline(1, color="black", linewidth=1, linestyle=":")
    _log_axis(axes[2])
    axes[2].set(xlabel="mean training loss", ylabel="loss of hard over easy,\nfeatures over lazy")
    axes[2].legend(title="places", fontsize="x-small", title_fontsize="x-small")
    _draw_map(figure, axes[3], tables)
    figure.suptitle(f"Same mean loss, other examples? ({scope(toy)})")
    return figure, pd.concat(shown)[["seed", "level", "places", "ratio"]]


def solved(tables: Tables) -> Drawn:
    """The model that can be solved. Left: how much of each mode there is, against time in units of that at which the
    strongest mode has 90 %; solid: nonlinear, dashed: linearised. Right: data drawn at random; squared error of points
    with flipped labels over that of the others, at the same mean error; small dots are draws, large ones geometric
    means with 95 % intervals."""
    table, drawn = tables["modes"], tables["drawn"]
    figure, axes = panels(2, width=5.2)
    palette = dict(zip(sorted(table.strength.unique()), sns.color_palette("viridis_r", table.strength.nunique()),
                       strict=True))  # fmt: skip
    for dynamics, style in zip(modes.DYNAMICS, ("-", "--"), strict=True):
        for strength, own in table[table.dynamics == dynamics].groupby("strength"):
            label = f"{strength:g}" if style == "-" else None
            axes[0].plot(own.time, own.learned, color=palette[strength], linestyle=style, label=label)
    axes[0].axvline(1, color="gray", linewidth=0.8)
    axes[0].set(xlim=(0, 2.5), xlabel="time (1: the strongest mode has 90 %)", ylabel="share of the mode learned")
    axes[0].legend(title="strength", fontsize="x-small", title_fontsize="x-small")
    order = sorted(drawn.level.unique(), reverse=True)
    wide = drawn.assign(ratio=drawn.flipped / drawn.others).pivot_table("ratio", "seed", ["dynamics", "level"])
    for shift, dynamics, color in zip((-0.1, 0.1), modes.DYNAMICS, (_BLUE, _ORANGE), strict=True):
        _at_levels(axes[1], wide[dynamics], intervals.geometric_mean, order, shift, color, dynamics)
    _log_axis(axes[1])
    axes[1].set(xlabel="mean squared error", ylabel="error of flipped over others")
    axes[1].legend(fontsize="x-small")
    figure.suptitle(f"A model that can be solved (right: n = {drawn.seed.nunique()} draws)")
    return figure, drawn[["seed", "dynamics", "level", "flipped", "others"]]


def scored(tables: Tables) -> Drawn:
    """Examples by their consistency. Left: accuracy on the least consistent bin, a middle one and the most consistent
    one, against the accuracy on all; solid: learning features, dashed: lazy; bands are 95 % bootstrap intervals over
    seeds. Middle: accuracy on each bin, learning features minus lazy, at the same accuracy on all. Right: loss of the
    least consistent bin over that of the most consistent one, learning features over lazy, at the same mean training
    loss. Small dots are seeds, large ones means with 95 % intervals, geometric for ratios."""
    table, course, losses = _usual(tables, "bins", "bin_course", "bin_losses")
    figure, axes = panels(3, width=4.8)
    last = int(table.bin.max())
    levels = np.linspace(course.accuracy.min() + 0.02, max(tables.params.accuracies), GRID)
    colors = dict(zip((1, (last + 1) // 2, last), sns.color_palette("viridis_r", 3), strict=True))
    for place, color in colors.items():
        own = course[course.bin == place]
        for scale, style in ((tables.params.hasty, "-"), (tables.params.lazy, "--")):
            found = _progress(own[own.scale == scale], "accuracy", "right", levels, rising=True)
            label = f"{place}" if style == "-" else None
            sns.lineplot(found, x="level", y="value", color=color, linestyle=style, label=label, ax=axes[0], **BAND)
    axes[0].set(xlabel="accuracy on all", ylabel="accuracy on the bin", title="solid: features; dashed: lazy")
    axes[0].legend(title="bin (1: least consistent)", fontsize="x-small", title_fontsize="x-small")
    means = table.groupby(["scale", "seed", "bin"]).right.mean()
    ahead = (means[tables.params.hasty] - means[tables.params.lazy]).unstack("bin")
    _at_levels(axes[1], ahead, intervals.mean, list(ahead))
    axes[1].axhline(0, color="black", linewidth=1, linestyle=":")
    axes[1].set(xlabel="bin (1: least consistent)", ylabel="accuracy, features minus lazy")
    score = tables["consistency"].groupby("bin").consistency.mean()
    top = axes[1].secondary_xaxis("top")
    top.set_xticks(range(len(score)), [f"{value:.2f}" for value in score], fontsize="x-small")
    top.set_xlabel("mean consistency", fontsize="x-small")
    _loss_ratios(axes[2], tables, losses, "scores", "loss of least over most consistent,\nfeatures over lazy")
    figure.suptitle(f"Consistent examples first? ({scope(table)})")
    return figure, ahead.stack().rename("ahead").reset_index()


def labels(tables: Tables) -> Drawn:
    """Wrong labels. Left: share of the wrong labels that are fitted (the wrong label is the answer) against the
    accuracy on all training labels; blue: learning features, orange: lazy; bands are 95 % bootstrap intervals over
    seeds. Middle: its difference, learning features minus lazy, at the accuracies that claims take. Right: loss on
    wrong labels over that on right ones, learning features over lazy, at the same mean training loss. Small dots are
    seeds, large ones means with 95 % intervals."""
    table, losses, course = _usual(tables, "wrong", "wrong_losses", "wrong_course")
    figure, axes = panels(3, width=4.6)
    levels = np.linspace(course.accuracy.min() + 0.02, table.level.max(), GRID)
    _along(axes[0], tables, course, "accuracy", "wrong_accuracy", levels, "-", "", rising=True)
    axes[0].set(xlabel="accuracy on all training labels", ylabel="share of wrong labels fitted")
    axes[0].legend(fontsize="x-small")
    ahead = _pairs(tables, table, table.wrong_accuracy)
    _at_levels(axes[1], ahead, intervals.mean, list(ahead))
    axes[1].axhline(0, color="black", linewidth=1, linestyle=":")
    axes[1].set(xlabel="accuracy on all training labels", ylabel="share fitted, features minus lazy")
    _loss_ratios(axes[2], tables, losses, "labels", "loss on wrong over right labels,\nfeatures over lazy")
    figure.suptitle(f"Wrong labels last? ({scope(table)})")
    return figure, ahead.stack().rename("ahead").reset_index()


def colours(tables: Tables) -> Drawn:
    """Images in two colours that agree with the class for most of the training set. First: accuracy on training images
    whose colour breaks with it (solid), and on all test images in the colour of the other class (dashed), against the
    mean training loss, which falls to the right; blue: learning features, orange: lazy; bands are 95 % bootstrap
    intervals over seeds. Second: their differences, learning features minus lazy. Third: loss on training images whose
    colour breaks with the class over that on the others, and how widely the log odds of the right class are spread over
    the former, learning features over lazy. Small dots are seeds, large ones means with 95 % intervals, geometric for
    ratios."""
    table, course = _usual(tables, "colours", "colour_course")
    figure, axes = panels(3, width=4.8)
    levels = np.linspace(0.35, min(tables.params.colour_levels), GRID)
    shown = []
    for part, title, style, shift, color in (
        ("breaking", "trained on", "-", -0.1, _BLUE),
        ("unseen_breaking", "not trained on", "--", 0.1, _GREEN),
    ):
        _along(axes[0], tables, course, "loss", f"{part}_accuracy", levels, style, title)
        ahead = _pairs(tables, table, table[f"{part}_accuracy"])
        _at_levels(axes[1], ahead, intervals.mean, tables.params.colour_levels, shift, color, title)
        shown.append(ahead.stack().rename("ahead").reset_index().assign(images=title))
    axes[0].invert_xaxis()
    axes[0].set(xlabel="mean training loss", ylabel="accuracy where the colour misleads", ylim=(-0.02, None))
    axes[1].axhline(0, color="black", linewidth=1, linestyle=":")
    axes[1].set(xlabel="mean training loss", ylabel="accuracy, features minus lazy")
    _loss_ratios(axes[2], tables, table, "colours", "features over lazy", -0.1, "loss, misleading over others")
    spread = np.exp(_pairs(tables, table, np.log(table.breaking_spread)))
    order = tables.params.colour_levels
    _at_levels(axes[2], spread, intervals.geometric_mean, order, 0.1, _GREEN, "spread of answers, misleading")
    for axis in axes:
        axis.legend(fontsize="x-small")
    figure.suptitle(f"Broken correlations last? ({scope(table)})")
    return figure, pd.concat(shown)[["seed", "level", "images", "ahead"]]


def laziness(tables: Tables) -> Drawn:
    """How lazy is lazy? First: share of the rectified units that are on or off as at the start. Second: alignment of
    the tangent kernel with that at the start (both 1 for a linear model); against the mean training loss, which falls
    to the right; bands are 95 % bootstrap intervals over seeds. Third: loss of hard over that of easy places, geometric
    mean over levels, by output scale. Fourth: by how much the loss of hard over that of easy examples is larger, for
    each kind of difficulty; blue: learning features over lazy, orange: steps half as large over whole ones (grey: what
    a control may make). Small dots are seeds, large ones geometric means with 95 % intervals."""
    (usual,) = _usual(tables, "course")
    figure, axes = panels(4, width=4.3)
    scales = sorted(usual.scale.unique())
    levels = np.linspace(usual["mean"].max() * 0.99, min(tables.params.levels), GRID)
    for axis, value, label in (
        (axes[0], "signs", "share of units as at the start"),
        (axes[1], "kernel", "alignment with the kernel at the start"),
    ):
        for scale, color in zip(scales, sns.color_palette("viridis_r", len(scales)), strict=True):
            found = _progress(usual[usual.scale == scale], "mean", value, levels)
            sns.lineplot(found, x="level", y="value", color=color, label=f"{scale:g}", ax=axis, **BAND)
        axis.invert_xaxis()
        axis.set(xlabel="mean training loss", ylabel=label)
        axis.legend(title="output scale", fontsize="x-small", title_fontsize="x-small")
    logs = apart(tables, "places").xs(1.0, level="pace")
    _at_levels(axes[2], np.exp(logs).unstack("scale"), intervals.geometric_mean, scales)
    _log_axis(axes[2])
    axes[2].set(xlabel="output scale", ylabel="loss of hard over easy places")
    shown = _draw_controls(axes[3], tables)
    figure.suptitle(f"How lazy is lazy? ({scope(usual)})")
    return figure, shown


# --- pieces ----------------------------------------------------------------------------------------------------------


def _usual(tables: Tables, *names: str) -> list[pd.DataFrame]:
    """The rows of tables about networks that take whole steps."""
    return [tables[name][tables[name].pace == 1] for name in names]


def _pairs(tables: Tables, table: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """Values at the first output scale minus those at the last, a row a seed and a column a level."""
    means = values.groupby([table.scale, table.seed, table.level]).mean()
    return (means[tables.params.hasty] - means[tables.params.lazy]).unstack("level")


def _progress(course: pd.DataFrame, by: str, value: str, levels: Sequence[float], rising: bool = False) -> pd.DataFrame:
    """A statistic of each seed when another first reaches each level."""
    wide = [course.pivot_table(name, "step", "seed", dropna=False) for name in (value, by)]
    found = pd.DataFrame(at_levels(*(w.to_numpy() for w in wide), levels, rising), columns=wide[0].columns)
    return found.assign(level=levels).melt("level", var_name="seed")


def _along(
    axis: Axes,
    tables: Tables,
    course: pd.DataFrame,
    by: str,
    value: str,
    levels: Sequence[float],
    style: str,
    name: str,
    rising: bool = False,
) -> None:
    """A statistic against progress, at the first output scale and at the last."""
    arms = ((tables.params.hasty, _BLUE, "features"), (tables.params.lazy, _ORANGE, "lazy"))
    for scale, color, arm in arms:
        found = _progress(course[course.scale == scale], by, value, levels, rising)
        label = f"{name}, {arm}" if name else f"{arm} (scale {scale:g})"
        sns.lineplot(found, x="level", y="value", color=color, linestyle=style, label=label, ax=axis, **BAND)


def _point(axis: Axes, x: float, values: pd.Series, color: tuple, how) -> None:
    """Seeds as small dots, and their mean with its interval."""
    axis.scatter(np.full(len(values), x), values, color=color, s=8, alpha=0.35)
    found: Interval = how(values.to_numpy())
    ends = [[max(found.estimate - found.low, 0)], [max(found.high - found.estimate, 0)]]
    axis.errorbar([x], [found.estimate], None if np.isnan(ends).any() else ends, color=color, marker="o", capsize=3)


def _at_levels(
    axis: Axes, wide: pd.DataFrame, how, order: Sequence, shift: float = 0.0, color: tuple = _BLUE, label: str = ""
) -> None:
    """Values by level, accuracy or bin, in order and evenly apart."""
    for place, level in enumerate(order):
        _point(axis, place + shift, wide[level], color, how)
    axis.set_xticks(range(len(order)), [f"{level:g}" for level in order])
    if label:
        axis.plot([], [], color=color, marker="o", label=label)


def _log_axis(axis: Axes) -> None:
    """A logarithmic axis of ratios, with plain numbers."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(MaxNLocator(6))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")


def _loss_ratios(
    axis: Axes, tables: Tables, table: pd.DataFrame, reading: str, title: str, shift: float = 0.0, label: str = ""
) -> None:
    """Loss of hard over that of easy examples at each level, learning features over lazy."""
    _, hard, easy = READINGS[reading]
    ratio = np.exp(_pairs(tables, table, np.log(table[hard] / table[easy])))
    _at_levels(axis, ratio, intervals.geometric_mean, sorted(ratio, reverse=True), shift, _BLUE, label)
    axis.axhline(1, color="black", linewidth=1, linestyle=":")
    _log_axis(axis)
    axis.set(xlabel="mean training loss", ylabel=title)


def _draw_controls(axis: Axes, tables: Tables) -> pd.DataFrame:
    """What learning features makes of the ratio of losses, and what smaller steps do, for each kind of difficulty."""
    shown = []
    for shift, what, color, how in (
        (-0.1, "features over lazy", _BLUE, by_features),
        (0.1, "half steps over whole", _ORANGE, by_steps),
    ):
        axis.plot([], [], color=color, marker="o", label=what)
        for place, reading in enumerate(READINGS):
            ratio = np.exp(how(tables, apart(tables, reading)))
            _point(axis, place + shift, ratio, color, intervals.geometric_mean)
            shown.append(ratio.rename("ratio").reset_index().assign(reading=reading, what=what))
    axis.set_xticks(range(len(READINGS)), list(READINGS))
    axis.axhspan(0.95, 1.05, color="gray", alpha=0.2, linewidth=0)
    axis.axhline(1, color="black", linewidth=1, linestyle=":")
    _log_axis(axis)
    real = tables["wrong"].seed.nunique()
    axis.set(xlabel="kind of difficulty", ylabel="ratio of losses, hard over easy", title=f"digits: n = {real} seeds")
    axis.legend(fontsize="x-small")
    return pd.concat(shown)[["seed", "reading", "what", "ratio"]]


def _draw_pattern(axis: Axes) -> None:
    """The classes of the plane, and where it is hard."""
    x = yinyang.places(40_000)
    y, disc = yinyang.pattern(x, 0.0)
    for group, color, label in ((~disc, "lightgray", "easy"), (disc, _BLUE, "hard")):
        for of, marker in ((0, 0.25), (1, 0.75)):
            some = x[group & (y == of)]
            axis.scatter(*some.T, color=color, alpha=marker, s=1, linewidth=0, label=label if of else None)
    axis.set(aspect="equal", xlabel="first input", ylabel="second input", title="dark and light: two classes")
    axis.legend(fontsize="x-small", loc="upper right", markerscale=6)


def _draw_map(figure, axis: Axes, tables: Tables) -> None:
    """The difference in loss by place in the pattern."""
    (table,), params = _usual(tables, "map"), tables.params
    cells = np.linspace(-1, 1, 15)
    near = table[(table.across.abs() < 1) & (table.up.abs() < 1)]
    found = []
    for scale in (params.hasty, params.lazy):
        own = near[near.scale == scale]
        sums = [np.histogram2d(own.across, own.up, cells, weights=w)[0] for w in (own.loss, None)]
        with np.errstate(invalid="ignore"):
            found.append(sums[0] / sums[1])
    difference = (found[0] - found[1]).T
    most = np.nanmax(np.abs(difference))
    picture = axis.pcolormesh(cells, cells, difference, cmap="PuOr_r", vmin=-most, vmax=most)
    figure.colorbar(picture, ax=axis, label="loss, features minus lazy")
    around = np.linspace(0, 2 * np.pi, 100)
    for sign in (1, -1):
        across = sign * yinyang.CENTRE + yinyang.RADIUS * np.cos(around)
        axis.plot(across, -sign * yinyang.CENTRE + yinyang.RADIUS * np.sin(around), "k--", linewidth=1)
    axis.axhline(0, color="black", linewidth=1, linestyle="--")
    axis.grid(False)
    middle = params.levels[len(params.levels) // 2]
    axis.set(
        aspect="equal", xlabel="first input", ylabel="second input", title=f"at a mean training loss of {middle:g}"
    )
