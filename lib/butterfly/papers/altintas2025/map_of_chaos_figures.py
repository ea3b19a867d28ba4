"""The figures of notebook 09. Each returns the picture and the numbers behind it; its docstring is the caption."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from butterfly.interpolate import EPSILON
from butterfly.papers.altintas2025.map_of_chaos import (
    CLOCKS,
    LENGTH,
    PLANES,
    Cell,
    cells,
    clock_of,
    curve,
    decades,
    departed,
    early,
    faded,
    lasting,
    lines,
    on_planes,
    predicted,
)
from butterfly.papers.altintas2025.twins import BARRIER
from butterfly.study import Tables
from butterfly.study.figures import Drawn, kick_name, legend, panels, style, title

HUES = sns.color_palette("colorblind")
GREY = "0.85"  # what did not learn


def _about(tables: Tables, n: int) -> str:
    """What a figure was made from, for its title."""
    return f"{title(tables.params.setting)}, n = {n} seeds"


# --- the map ---------------------------------------------------------------------------------------------------------


def atlas(tables: Tables) -> Drawn:
    """The map of chaos. Colour and number: the barrier (nats) between twins kicked a little at the start and their
    parents, when the parent falls to the common training loss; geometric mean over seeds, logarithmic colours, dark is
    calm. Each panel changes two things about the same network, whose cell is framed. Hatched: fewer than three in four
    networks came to the common loss, so there is nothing to compare."""
    style()
    numbers = _atlas(tables)
    figure, axes = plt.subplots(2, 2, figsize=(10.4, 8.0))
    norm, palette = LogNorm(EPSILON, max(1.0, numbers.barrier.max())), mpl.colormaps["inferno"]
    for axis, (plane, names) in zip(axes.flat, PLANES.items(), strict=True):
        own = numbers[numbers.plane == plane]
        across, up = (list(dict.fromkeys(own[side])) for side in ("x", "y"))
        for row in own.itertuples():
            _tile(axis, across.index(row.x), up.index(row.y), row, norm, palette)
        axis.set(xlim=(0, len(across)), ylim=(0, len(up)), xlabel=names[0], ylabel=names[1])
        axis.set_xticks(np.arange(len(across)) + 0.5, [_value(v) for v in across])
        axis.set_yticks(np.arange(len(up)) + 0.5, [_value(v) for v in up])
        axis.grid(False)
        axis.tick_params(length=0)
        sns.despine(ax=axis, left=True, bottom=True)
    scale = figure.colorbar(mpl.cm.ScalarMappable(norm, palette), ax=axes, shrink=0.75, pad=0.02)
    scale.ax.axhline(BARRIER, color="white", linewidth=2)
    scale.set_label(f"barrier at the common loss (nats); white line: {BARRIER:g}, the level of chaos")
    params = tables.params
    figure.suptitle(
        f"Where does a kick of {params.smallest:g} at the start end across a barrier? "
        f"({_about(tables, numbers.n.max())}, training loss {params.level:g})"
    )
    return figure, numbers


def _atlas(tables: Tables) -> pd.DataFrame:
    """A row a plane and place: geometric mean of the early barrier (NaN where nothing was learned), and n."""
    found = early(tables).groupby("cell").level_barrier
    table = pd.DataFrame({"barrier": 10 ** found.agg(lambda some: decades(some).mean()), "n": found.size()})
    where = tables["places"][tables["places"].plane != LENGTH].merge(table.reset_index(), on="cell", how="left")
    return where.assign(n=where.n.fillna(0).astype(int), middle=where.cell == Cell(tables.params.middle).name)


def _tile(axis: Axes, x: int, y: int, row: tuple, norm: LogNorm, palette: mpl.colors.Colormap) -> None:
    """One cell of a plane, with its number."""
    known = np.isfinite(row.barrier)
    look = {"facecolor": palette(norm(max(row.barrier, EPSILON)))} if known else {"facecolor": GREY, "hatch": "///"}
    axis.add_patch(Rectangle((x, y), 1, 1, edgecolor="white", linewidth=1.5, **look))
    if known:
        text = f"< {EPSILON:g}" if row.barrier <= EPSILON * 1.0001 else f"{row.barrier:.2g}"
        light = sum(palette(norm(max(row.barrier, EPSILON)))[:3]) > 1.5
        axis.text(x + 0.5, y + 0.5, text, ha="center", va="center", color="black" if light else "white", fontsize=11)
    if row.middle:
        inside = Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fill=False, edgecolor="#56b4e9", linewidth=3, zorder=3)
        axis.add_patch(inside)


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


# --- durations -------------------------------------------------------------------------------------------------------


def durations(tables: Tables) -> Drawn:
    """How long each cell is chaotic: the time of the latest tiny kick that still ends across a barrier, by the end of
    training, on three clocks. Each block changes one thing about the network in the middle (blue: its own value); dots
    are from the geometric mean barrier over seeds, bars 95 % bootstrap intervals over seeds. An arrow: the last kick
    still does. A cross at 0: not even the first one does. Cells that did not learn are left out."""
    numbers = _durations(tables)
    figure, axes = panels(3, width=4.3, height=0.24 * len(numbers) + 1.6, share=False)
    places = np.arange(len(numbers))[::-1]
    for axis, clock in zip(axes, CLOCKS, strict=True):
        for place, row in zip(places, numbers.itertuples(), strict=True):
            color = HUES[0] if row.middle else "0.25"
            low, here, high = (getattr(row, f"{side}_{CLOCKS.index(clock)}") for side in ("low", "at", "high"))
            axis.plot([low, high], [place, place], color=color, linewidth=1.5, alpha=0.5)
            axis.plot(here, place, _mark(row), color=color, markersize=6)
        axis.set(xlabel=f"chaotic until ({clock})", ylim=(-0.7, len(numbers) - 0.3))
        axis.set_xlim(left=-0.02 * axis.get_xlim()[1])
        axis.set_yticks(places, [])
    names = [f"{row.axis} {_value(row.value)}" for row in numbers.itertuples()]
    axes[0].set_yticks(places, [name + " x" * name.startswith(LENGTH) for name in names])
    figure.suptitle(f"How long is training chaotic? ({_about(tables, tables.params.seeds)})")
    return figure, numbers


def _mark(row: tuple) -> str:
    return "x" if row.lasted == 0 else ">" if np.isinf(row.lasted) else "o"


def _durations(tables: Tables) -> pd.DataFrame:
    """A row an axis and value: how long that cell is chaotic in percent, and on three clocks with intervals."""
    known, last = cells(tables.params), tables.params.last
    learned = set(tables["places"].cell[tables["places"].learned])
    rows = []
    for axis, line in lines(tables).items():
        for value, name in line.items():
            if name not in learned:
                continue
            logs = faded(tables, name)
            draws = np.random.default_rng(0).integers(0, len(logs), (500, len(logs)))
            lasted = lasting(logs)
            drawn = np.quantile(np.minimum([lasting(logs, some) for some in draws], last), [0.025, 0.975])
            row = {"axis": axis, "value": value, "lasted": lasted, "middle": name == Cell(tables.params.middle).name}
            for at, clock in enumerate(CLOCKS):
                sides, shown = (
                    {"low": drawn[0], "at": min(lasted, last), "high": drawn[1]},
                    clock_of(known[name], clock),
                )
                row |= {f"{side}_{at}": shown(time) for side, time in sides.items()}
            rows.append(row)
    return pd.DataFrame(rows)


# --- one curve -------------------------------------------------------------------------------------------------------

UNITS = {"ReLU": "o", "GELU": "D"}


def one_curve(tables: Tables) -> Drawn:
    """Does the tangent tell the fate of a twin? A dot a twin, all cells, kick times and sizes, at the common loss;
    those of all planes (the middle of the map) in grey. Across: the distance that the tangent predicts, over the
    parent's way since the kick. Left, the barrier against it, with the rising curve that fits all best; below the
    dotted line barriers are not told from 0, the dashed line is the level of chaos. Right, the measured distance; on
    the line a twin is where its tangent says."""
    twins = on_planes(tables, predicted(tables))
    middle = twins.cell == Cell(tables.params.middle).name
    twins = twins.assign(group=np.where(middle, "the middle", twins.plane)).drop_duplicates(
        ["cell", "seed", "time", "size", "group"]
    )
    twins["units"] = np.where(twins.cell.str.contains("gelu"), "GELU", "ReLU")
    figure, axes = panels(2, width=5.4, height=4.6)
    palette = {"the middle": "0.55"} | dict(zip(PLANES, (HUES[0], HUES[1], HUES[2], HUES[4]), strict=True))
    for name, color in palette.items():
        for units, marker in UNITS.items():
            own = twins[(twins.group == name) & (twins.units == units)]
            look = {"s": 13 if units == "ReLU" else 20, "color": color, "alpha": 0.6, "linewidths": 0, "marker": marker}
            axes[0].scatter(own.predicted, own.barrier.clip(lower=EPSILON / 1.5), **look)
            axes[1].scatter(own.predicted, own.measured, **look)
        axes[1].scatter([], [], color=color, label=name, s=25)
    axes[1].scatter([], [], color="0.25", marker="D", label="smooth units", s=25)
    span = np.linspace(twins.predicted.min(), twins.predicted.max(), 300)
    once = twins.drop_duplicates(["cell", "seed", "time", "size"])
    axes[0].plot(span, 10 ** curve(once).predict(span), color="black", linewidth=2)
    axes[0].axhline(BARRIER, color="black", linewidth=1, linestyle="--")
    axes[0].axhline(EPSILON, color="grey", linewidth=1, linestyle=":")
    axes[0].set(yscale="log", ylabel="barrier at the common loss (nats)")
    axes[1].plot(span, span, color="black", linewidth=1.5)
    axes[1].set(ylabel="log10 of measured distance over the parent's way")
    for axis in axes:
        axis.set_xlabel("log10 of predicted distance over the parent's way")
    legend(axes[1], "")
    figure.suptitle(f"Barrier against predicted growth ({_about(tables, twins.seed.nunique())})")
    return figure, once[["group", "cell", "seed", "time", "size", "predicted", "measured", "barrier"]]


# --- flips -----------------------------------------------------------------------------------------------------------


def take_off(tables: Tables) -> Drawn:
    """Twins in float64. Left: how far each is from where its tangent says, over the course of training, a line a twin;
    the smallest kicks stay on their tangents throughout. Right: the update at which a twin leaves its tangent by a
    factor of two against that of its first flip, a unit that is on in one and off in the other for an example of the
    minibatch; on the line, it leaves there. Hollow: it never does, drawn at the last update; only flips between
    warm-up and the last tenth of training."""
    courses, table = tables["courses"], departed(tables)
    rate = courses.rate.max()
    figure, axes = panels(2, width=5.2, height=4.4)
    sizes = sorted(courses["size"].unique())
    palette = dict(zip(sizes, (HUES[0], HUES[1], HUES[2], HUES[4], HUES[3]), strict=False))
    for (size, _), line in courses[courses.rate == rate].groupby(["size", "seed"]):
        axes[0].plot(line.step, 10**line.excess, color=palette[size], linewidth=1.1, alpha=0.7)
    axes[0].set(yscale="log", xlabel="update", ylabel="distance over that of the tangent")
    for row in table.itertuples():
        face = "none" if np.isnan(row.takeoff) else palette[row.size]
        axes[1].scatter(row.flip, row.left, s=38, facecolor=face, edgecolor=palette[row.size], zorder=3)
    ends = [tables.params.middle.recipe.warmup * tables["kinks"].watched.max() * 0.8, tables["kinks"].watched.max()]
    axes[1].plot(ends, ends, color="black", linewidth=1)
    axes[1].set(xscale="log", yscale="log", xlabel="update of the first flip", ylabel="update of leaving the tangent")
    for size in sizes:
        axes[1].plot([], [], "o", color=palette[size], label=kick_name("gaussian", size))
    legend(axes[1], "kick at the start")
    figure.suptitle(f"Where twins leave their tangents ({_about(tables, tables['kinks'].seed.nunique())}, float64)")
    return figure, tables["kinks"]
