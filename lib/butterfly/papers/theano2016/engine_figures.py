"""The figures of notebook 80. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator

from butterfly.papers.theano2016.engine import EXAMPLES, FAR, MEMBERS, PRODUCTS, SWEPT, WIDTH, totals
from butterfly.papers.theano2016.ways import BOTH, COMPILED, LOOP, STACK, VMAP, WAYS
from butterfly.study import Tables
from butterfly.study.figures import LOG_BAND, Drawn, panels, title

_GRAY, _ORANGE, _BLUE, _PINK, _GREEN = "black", *(sns.color_palette("colorblind")[k] for k in (1, 0, 4, 2))
COLOURS = dict(zip(WAYS, (_GRAY, _ORANGE, _BLUE, _PINK, _GREEN), strict=True)) | {PRODUCTS: "gray"}
MARKS = dict(zip((*WAYS, PRODUCTS), "osDv^X", strict=True))
NAMES = {LOOP: "plain loop", COMPILED: "compiled, in a loop", VMAP: "vmap", BOTH: "vmap, compiled", STACK: "our stack"}
NAMES |= {PRODUCTS: "matrix products alone"}
_NOTHING = 1e-18  # where the figure draws no distance at all


def _scope(tables: Tables, network: str = "") -> str:
    own = f", {network}" if network else ""
    return f"{title(tables.params.setting)}{own}, n = {tables['contest'].seed.nunique()} repetitions"


def _line(axis: Axes, own: pd.DataFrame, x: str, y: str, way: str, **style: object) -> None:
    """The geometric mean over repetitions with its band, in the colour and the mark of a way."""
    look = {"color": COLOURS[way], "marker": MARKS[way], "label": NAMES[way], "markeredgecolor": "white"} | style
    sns.lineplot(own, x=x, y=y, ax=axis, **LOG_BAND, **look)


def contest(tables: Tables) -> Drawn:
    """Milliseconds a network and update by every way, for each architecture; light: repetitions, dark: the geometric
    mean with its 95 % bootstrap interval, with how many times faster than the plain loop it is; dashed: the loop."""
    times = tables["contest"].dropna(subset="seconds").assign(ms=lambda t: 1000 * t.seconds)
    networks = tables.params.networks
    figure, axes = panels(len(networks), width=5.2, height=3.2)
    for axis, network in zip(axes, networks, strict=True):
        own = times[times.network == network].assign(way=lambda t: t.way.map(NAMES))
        order = [NAMES[way] for way in WAYS if NAMES[way] in set(own.way)]
        places = {"x": "ms", "y": "way", "order": order, "hue": "way", "hue_order": order, "legend": False, "ax": axis}
        palette = [COLOURS[way] for way in WAYS if NAMES[way] in order]
        sns.stripplot(own, palette=palette, alpha=0.35, size=4, jitter=0.15, **places)
        mean = {key: LOG_BAND[key] for key in ("errorbar", "estimator")}
        sns.pointplot(own, palette=palette, linestyle="none", markersize=6, **places, **mean)
        means = np.exp(np.log(own.ms).groupby(own.way).mean())
        axis.axvline(means[NAMES[LOOP]], color="black", linestyle="--", linewidth=1)
        axis.set_xscale("log")
        low, high = own.ms.min(), own.ms.max()
        axis.set_xlim(low / 1.3, high * 3.2)  # room for the factors at the right
        for place, name in enumerate(order):
            factor = means[NAMES[LOOP]] / means[name]
            axis.text(high * 3, place, f"{factor:.2g} x", ha="right", va="center", color="dimgray")
        _plain_numbers(axis.xaxis)
        axis.set(xlabel="ms a network and update (log axis)", ylabel="", title=network)
    figure.suptitle(f"How long one update of one network takes ({_scope(tables)})")
    return figure, times[["network", "way", "seed", "ms", "apart"]]


def agreement(tables: Tables) -> Drawn:
    """How far a network of the stack is from the same network of the plain loop, as a share of the norm of its weights,
    against the number of updates, in float32 and in float64; a line a network; dashed: a millionth and, above which
    networks count as far apart, a thousandth. Distances of exactly 0 are drawn at the bottom."""
    apart = tables["agreement"]
    apart = apart[apart.network == tables.params.main.model]
    figure, (axis,) = panels(1, width=7.0, height=4.2)
    for kind, color, mark in (("float32", _BLUE, "o"), ("float64", _ORANGE, "s")):
        label = kind
        for _, one in apart[apart.format == kind].groupby("seed"):
            style = {"color": color, "marker": mark, "markersize": 4, "alpha": 0.6, "linewidth": 1}
            axis.plot(one.updates, one.apart.clip(lower=_NOTHING), label=label, **style)
            label = None  # named once
    for level in (1e-6, FAR):
        axis.axhline(level, color="gray", linestyle="--", linewidth=1)
    axis.set(xscale="log", yscale="log", xlabel="updates (log axis)")
    axis.set_ylabel("distance from the loop / norm of the weights")
    _plain_numbers(axis.xaxis)
    axis.legend(title="precision", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"Does a stack end where a loop ends? ({_scope(tables, tables.params.main.model)})")
    return figure, apart[["format", "updates", "seed", "apart"]]


def sizes(tables: Tables) -> Drawn:
    """Milliseconds a network and update of the plain loop, of the stack, and of the matrix products of an update alone,
    against the number of networks in the stack, their width, and the examples in a minibatch; bands are 95 % bootstrap
    intervals of the geometric mean over repetitions."""
    swept = tables["sizes"].assign(ms=lambda t: 1000 * t.seconds)
    params, base = tables.params, tables.params.main
    figure, axes = panels(3, width=4.4, height=3.8)
    width = int(base.model.partition("x")[2].partition("-")[0])
    at = {MEMBERS: params.members, WIDTH: width, EXAMPLES: base.recipe.batch_size}
    for axis, name in zip(axes, at, strict=True):
        own = swept[swept.axis == name]
        for way in SWEPT:
            _line(axis, own[own.way == way], "value", "ms", way)
        axis.set_yscale("log")
        axis.set_ylim(swept.ms.min() / 1.5, swept.ms.max() * 1.5)
        _plain_numbers(axis.yaxis, (1, 2, 5))
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(own.value.unique()))
        axis.xaxis.set_major_formatter("{x:g}")
        others = [f"{what}: {value}" for what, value in at.items() if what != name]
        axis.set(xlabel=name, ylabel="", title="\n".join(others))
        axis.get_legend().remove()
    axes[0].set_ylabel("ms a network and update (log axis)")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"How the cost grows ({_scope(tables, base.model)})")
    return figure, swept[["axis", "value", "way", "seed", "ms"]]


def bill(tables: Tables) -> Drawn:
    """Seconds of computing that training some number of networks to their end takes by every way, compiling included:
    from the times a network and update of the contest; bands are 95 % bootstrap intervals of the geometric mean over
    repetitions. Ways that train many at once begin at the size of their stack. Right: the same for a whole figure."""
    params, main = tables.params, tables.params.main.model
    counts = sorted({1, 10, 100, params.figure, params.members} | {int(params.figure ** (k / 12)) for k in range(13)})
    parts = [totals(tables, main, count).assign(networks=count) for count in counts]
    shown = pd.concat(parts, ignore_index=True).dropna(subset="total")
    begins = shown.way.map({VMAP: params.members, BOTH: params.members, STACK: params.members}).fillna(1)
    shown = shown[shown.networks >= begins]
    figure, axes = panels(2, width=5.2, height=3.8)
    for way in WAYS:
        if way in set(shown.way):
            _line(axes[0], shown[shown.way == way], "networks", "total", way, markevery=[-1])
    axes[0].set(
        xscale="log", yscale="log", xlabel="networks trained (log axis)", ylabel="seconds of computing (log axis)"
    )
    _plain_numbers(axes[0].xaxis)
    _plain_numbers(axes[0].yaxis)
    last = shown[shown.networks == params.figure].assign(
        minutes=lambda t: t.total / 60, name=lambda t: t.way.map(NAMES)
    )
    order = [NAMES[way] for way in WAYS if way in set(last.way)]
    palette = [COLOURS[way] for way in WAYS if way in set(last.way)]
    bars = {"x": "minutes", "y": "name", "hue": "name", "order": order, "hue_order": order, "palette": palette}
    sns.barplot(
        last, legend=False, ax=axes[1], alpha=0.8, **bars, **{k: LOG_BAND[k] for k in ("errorbar", "estimator")}
    )
    axes[1].set(xlabel=f"minutes of computing for {params.figure:,} networks", ylabel="")
    axes[0].legend(fontsize="small")
    steps = params.main.recipe.steps
    figure.suptitle(f"What a figure costs: {steps:,} updates a network ({_scope(tables, main)})")
    return figure, shown[["way", "networks", "seed", "total"]]


def _plain_numbers(side: Axis, parts: tuple[float, ...] = (1,)) -> None:
    """Numbers of a logarithmic axis as they are read, not as powers; `parts` of each power of ten are named."""
    side.set_major_locator(LogLocator(10, parts))
    side.set_major_formatter("{x:g}")
    side.set_minor_formatter("")
