"""The figures of notebook 04. Each returns the picture and the numbers behind it; its docstring is the caption."""

import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes

from butterfly.papers.altintas2025.threshold import ALL, BATCH, ONE, PARTS, as_it_is, rescaled, rounding_digits
from butterfly.study import Tables
from butterfly.study.figures import LOG_BAND, Drawn, colours, legend, panels, percent, root_axis, scope

KINDS = (ALL, BATCH)
THRESHOLD = "threshold (norms of the initial weights)"
FORMATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def by_time(tables: Tables) -> Drawn:
    """Smallest kick that ends with a barrier above the level, against the time of the kick, in float64; dotted: the
    kick that rounding to a number format is. Lines are geometric means over seeds and only join the times that were
    tried; bands are 95 % bootstrap intervals of the mean. Where a band vanishes, all seeds end in the same cell of the
    search."""
    numbers = _sizes(as_it_is(tables["thresholds"])).query("kind in @KINDS")
    figure, (axis,) = panels(1, width=7.0, height=4.4)
    sns.lineplot(numbers, x="time", y="size", hue="kind", palette="colorblind", marker="o", ax=axis, **LOG_BAND)
    axis.set(yscale="log", xlabel="time of the kick (% of training; square-root axis)", ylabel=THRESHOLD)
    root_axis(axis, numbers.time, sorted(numbers.time.unique()))
    axis.xaxis.set_major_formatter("{x:g}")
    _formats(axis)
    digits = axis.secondary_yaxis("right")
    digits.set_yticks([2.0**-count for count in range(0, 33, 4)], [str(count) for count in range(0, 33, 4)])
    digits.set_yticks([], minor=True)
    digits.set_ylabel("the same in binary digits of the initial scale")
    figure.suptitle(f"The smallest kick that matters ({scope(numbers)})")
    axis.legend(title="kick", loc="upper left")
    return figure, numbers[["seed", "time", "kind", "size", "bits", "beyond"]]


def probes(tables: Tables) -> Drawn:
    """Barrier at the end against the size of Gaussian kicks; each point is a network that was tried, colours are kick
    times, the line is the level."""
    numbers = as_it_is(tables["probes"]).query("kind == @ALL")
    figure, (axis,) = panels(1, width=7.0, height=4.1)
    floor, level, when = 1e-4, tables.params.level, numbers.time.map(percent)
    for name, color in colours(when).items():
        tried = numbers[when == name]
        axis.scatter(tried["size"], tried.barrier.clip(lower=floor), color=color, s=16, label=name)
    axis.axhline(level, color="black", linewidth=1)
    axis.set(xscale="log", yscale="log", ylabel="loss barrier at the end (train, nats)")
    axis.set_xlabel("size of the kick (1 = norm of the initial weights)")
    figure.suptitle(f"What the search tried, with the level {level:g} ({scope(tables['thresholds'])})")
    axis.set_title(f"barriers below {floor:g} are drawn there", fontsize="small")
    legend(axis, "kicked at")
    return figure, numbers.drop(columns=["model", "init_scale", "kind"])


def parts(tables: Tables) -> Drawn:
    """Threshold at the start for kicks of equal L2. Grey: seeds; black: geometric mean over seeds with its 95 %
    bootstrap interval; dotted: the kick that rounding to a number format is."""
    numbers = _sizes(as_it_is(tables["thresholds"])).query("time == 0")
    order = [kind for kind in (ALL, *PARTS, ONE) if kind in set(numbers.kind)]
    figure, (axis,) = panels(1, width=7.0, height=3.4)
    sns.stripplot(numbers, x="kind", y="size", order=order, color="gray", size=4, jitter=0.12, ax=axis)
    options = {key: LOG_BAND[key] for key in ("errorbar", "estimator")}
    sns.pointplot(numbers, x="kind", y="size", order=order, color="black", linestyle="none", ax=axis, **options)
    axis.set_yscale("log")
    _formats(axis)
    axis.set(xlabel="what is kicked, at the start", ylabel=THRESHOLD, xlim=(-0.5, len(order) + 0.4))
    figure.suptitle(f"The smallest kick that matters, kicks of equal L2 ({scope(numbers)})")
    return figure, numbers[["seed", "kind", "size", "bits", "beyond"]]


def variants(tables: Tables) -> Drawn:
    """Threshold at the start. Left: one network, its initial weights multiplied by a factor (sizes still count in the
    norm before). Right: networks of equal depth. Dots are seeds, on the grid of the search; lines geometric means over
    seeds, bands 95 % bootstrap intervals of the mean."""
    numbers = _sizes(tables["thresholds"]).query("kind == @ALL and time == 0")
    figure, axes = panels(2, height=3.9)
    scaled, unscaled = rescaled(numbers), numbers[numbers.init_scale == 1]
    _against(axes[0], scaled, "init_scale")
    _against(axes[1], unscaled, "count")
    axes[0].set(xlabel="factor on the initial weights", ylabel=THRESHOLD, title=", ".join(scaled.model.unique()))
    axes[1].set(xlabel="number of parameters", ylabel="", title="MLPs of 4 hidden layers")
    for axis in axes:
        axis.set_ylim(numbers["size"].min() / 2, numbers["size"].max() * 2)
    figure.suptitle(f"The smallest kick that matters at the start ({scope(numbers)})")
    return figure, numbers[["model", "seed", "init_scale", "count", "size", "bits", "beyond"]]


def _against(axis: Axes, numbers: pd.DataFrame, column: str) -> None:
    """Sizes against a column, both logarithmic: seeds, and their geometric mean."""
    sns.lineplot(numbers, x=column, y="size", marker="o", color="black", ax=axis, **LOG_BAND)
    jitter = 1 + 0.06 * (numbers.seed / numbers.seed.max() - 0.5)  # seeds fall on the grid of the search
    axis.scatter(numbers[column] * jitter, numbers["size"], color="gray", s=12)
    axis.set(xscale="log", yscale="log")
    axis.margins(x=0.1)
    ticks = sorted(numbers[column].unique())
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _formats(axis: Axes) -> None:
    for name, dtype in FORMATS.items():
        size = 2.0 ** -rounding_digits(dtype)
        axis.axhline(size, color="gray", linestyle=":", linewidth=1)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axis.annotate(f"rounding to {name}", (1, size), (-3, 2), ha="right", fontsize="small", **place)


def _sizes(thresholds: pd.DataFrame) -> pd.DataFrame:
    return thresholds.assign(size=10**thresholds.threshold)
