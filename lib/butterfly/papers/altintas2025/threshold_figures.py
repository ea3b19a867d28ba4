"""The figures of notebook 04. Each returns the picture and the numbers behind it."""

import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes

from butterfly.experiments.threshold import ALL, BATCH, ONE, PARTS, Tables, as_it_is, rescaled, rounding_digits
from butterfly.study.figures import TITLES, Drawn, colours, legend, percent, root_axis
from butterfly.study.figures import LOG_BAND, panels

KINDS = (ALL, BATCH)
THRESHOLD = "threshold (norms of the initial weights)"
FORMATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def by_time(tables: Tables) -> Drawn:
    """(a) Threshold against kick time, Gaussian and batch kicks, with the rounding of number formats for scale."""
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
    figure.suptitle(f"The smallest kick that matters ({_scope(numbers)})")
    axis.legend(title="kick", loc="upper left")
    return figure, numbers[["seed", "time", "kind", "size", "bits", "beyond"]]


def probes(tables: Tables, level: float) -> Drawn:
    """(b) All that was tried: barrier at the end against the size of Gaussian kicks, a point a network."""
    numbers = as_it_is(tables["probes"]).query("kind == @ALL").copy()
    numbers["when"] = numbers.time.map(percent)
    figure, (axis,) = panels(1, width=7.0, height=4.1)
    floor = 1e-4
    shown = numbers.assign(barrier=numbers.barrier.clip(lower=floor))
    for when, color in colours(numbers.when).items():
        some = shown[shown.when == when]
        axis.scatter(some["size"], some.barrier, color=color, s=16, label=when)
    axis.axhline(level, color="black", linewidth=1)
    axis.set(xscale="log", yscale="log", ylabel="loss barrier at the end (train, nats)")
    axis.set_xlabel("size of the kick (1 = norm of the initial weights)")
    figure.suptitle(f"What the search tried, with the level {level:g} ({_scope(tables['thresholds'])})")
    axis.set_title(f"barriers below {floor:g} are drawn there", fontsize="small")
    legend(axis, "kicked at")
    return figure, numbers.drop(columns=["when", "model", "init_scale", "kind"])


def of_parts(tables: Tables) -> Drawn:
    """(c) Threshold at the start for kicks of some of the weights, at equal L2."""
    numbers = _sizes(as_it_is(tables["thresholds"])).query("time == 0")
    order = [kind for kind in (ALL, *PARTS, ONE) if kind in set(numbers.kind)]
    figure, (axis,) = panels(1, width=7.0, height=3.4)
    _dots(axis, numbers, "kind", order)
    _formats(axis)
    axis.set(xlabel="what is kicked, at the start", ylabel=THRESHOLD, xlim=(-0.5, len(order) + 0.4))
    figure.suptitle(f"The smallest kick that matters, kicks of equal L2 ({_scope(numbers)})")
    return figure, numbers[["seed", "kind", "size", "bits", "beyond"]]


def of_variants(tables: Tables) -> Drawn:
    """(d) Threshold at the start against the scale of the initial weights, and against the number of parameters."""
    numbers = _sizes(tables["thresholds"]).query("kind == @ALL and time == 0")
    figure, axes = panels(2, height=3.9)
    for axis, column, some, label in (
        (axes[0], "init_scale", rescaled(numbers), "factor on the initial weights"),
        (axes[1], "count", numbers[numbers.init_scale == 1], "number of parameters"),
    ):
        sns.lineplot(some, x=column, y="size", marker="o", color="black", ax=axis, **LOG_BAND)
        jitter = 1 + 0.06 * (some.seed / some.seed.max() - 0.5)  # seeds fall on the grid of the search
        axis.scatter(some[column] * jitter, some["size"], color="gray", s=12)
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel=THRESHOLD if axis is axes[0] else "")
        axis.set_title(", ".join(some.model.unique()) if column == "init_scale" else "MLPs of 4 hidden layers")
        axis.set_ylim(numbers["size"].min() / 2, numbers["size"].max() * 2)
        axis.margins(x=0.1)
        ticks = sorted(some[column].unique())
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    figure.suptitle(f"The smallest kick that matters at the start ({_scope(numbers)})")
    return figure, numbers[["model", "seed", "init_scale", "count", "size", "bits", "beyond"]]


def _dots(axis: Axes, numbers: pd.DataFrame, column: str, order: list[str]) -> None:
    """A dot a seed, and the mean with its interval beside."""
    sns.stripplot(numbers, x=column, y="size", order=order, color="gray", size=4, jitter=0.12, ax=axis)
    options = {key: LOG_BAND[key] for key in ("errorbar", "estimator")}
    sns.pointplot(numbers, x=column, y="size", order=order, color="black", linestyle="none", ax=axis, **options)
    axis.set_yscale("log")


def _formats(axis: Axes) -> None:
    for name, dtype in FORMATS.items():
        size = 2.0 ** -rounding_digits(dtype)
        axis.axhline(size, color="gray", linestyle=":", linewidth=1)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axis.annotate(f"rounding to {name}", (1, size), (-3, 2), ha="right", fontsize="small", **place)


def _sizes(thresholds: pd.DataFrame) -> pd.DataFrame:
    return thresholds.assign(size=10**thresholds.threshold)


def _scope(table: pd.DataFrame) -> str:
    setting = TITLES[table.setting.iloc[0]]
    return f"{setting}, n = {table.seed.nunique()} seeds"
