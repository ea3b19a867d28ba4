"""The figures of notebook 32. Each returns the picture and the numbers behind it; its docstring is the caption."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import NullLocator

from butterfly.data import waves
from butterfly.papers.rahaman2019.frequencies import CIRCLE, CLEAN, EQUAL, LOW, RISING, WAVE, WHITE
from butterfly.study import Tables, intervals
from butterfly.study.figures import LOG_BAND, Drawn, panels, root_axis, scope

COLOURS = "viridis"


def heat_maps(tables: Tables) -> Drawn:
    """How much of each frequency there is in the network's function, amplitude over that of the target (1: all of it;
    mean over seeds), against the number of updates; dots are the median update at which 80 % are there in the right
    phase. Left, all amplitudes are 1; right, they rise with the frequency from 0.1 to 1."""
    course, components = tables["course"], tables["components"]
    figure, axes = panels(2, width=5.4, share=True)
    for axis, name in zip(axes, (EQUAL, RISING), strict=True):
        some = course[course["sum"] == name]
        mean = some.pivot_table("amplitude", "frequency", "step")
        picture = _heat(axis, mean.clip(upper=1.0), (0, 1))
        learned = components[components["sum"] == name].groupby("frequency").learned.median()
        at = learned[np.isfinite(learned)]
        axis.scatter(at, [mean.index.get_loc(k) for k in at.index], color="white", edgecolor="black", s=28, zorder=3)
        axis.set(title=name, xlabel="updates (square-root axis)", ylabel="frequency (waves in the interval)")
    figure.colorbar(picture, ax=axes, label="amplitude over the target's")
    figure.suptitle(f"Which frequencies are there, and when ({scope(components)})")
    return figure, components[["sum", "seed", "frequency", "learned", "missing"]]


def robustness(tables: Tables) -> Drawn:
    """What a random displacement of all weights and biases leaves of the frequencies that a network learned, means over
    directions and seeds. Left: amplitude after over before. Middle: the part along what was there. Right: the
    displacement after which half of a frequency is in its place; small dots are seeds (triangles: more than was tried),
    large ones medians; dotted: inverse proportion, laid through the highest."""
    components = tables["components"]
    own = components[(components["sum"] == EQUAL) & np.isfinite(components.learned)]
    own = own if len(own) else components[components["sum"] == EQUAL]  # where nothing was learned, what there is
    kept = tables["kept"].merge(own[["seed", "frequency"]])
    figure, axes = panels(3, width=4.6)
    for axis, column, label in ((axes[0], "modulus", "amplitude"), (axes[1], "along", "in its place")):
        mean = kept.pivot_table(column, "frequency", "displacement")
        picture = _heat(axis, mean.clip(0, 1), (0, 1))
        axis.set(xlabel="displacement (L2; square-root axis)", ylabel="frequency (waves in the interval)", title=label)
        axis.set_xticks([0.5, 2, 4, 8, 16], ["0.5", "2", "4", "8", "16"])
        axis.set_xlim(kept.displacement.min(), kept.displacement.max())
    figure.colorbar(picture, ax=axes[:2], label="share that is left (1: all or more)")
    found, ceiling = own[np.isfinite(own.half)], 1.3 * kept.displacement.max()
    axes[2].scatter(found.frequency, found.half, color="gray", s=10, alpha=0.5)
    beyond = own[np.isinf(own.half)]
    axes[2].scatter(beyond.frequency, np.full(len(beyond), ceiling), color="gray", s=14, marker="^", alpha=0.5)
    middle = own.groupby("frequency").half.median()
    middle = middle[np.isfinite(middle)]
    axes[2].scatter(middle.index, middle, color="black", s=40)
    if len(middle):
        line = middle.iloc[-1] * middle.index[-1] / middle.index
        axes[2].plot(middle.index, line, color="black", linestyle=":", linewidth=1)
    axes[2].set(xscale="log", yscale="log", xlabel="frequency (waves in the interval)", title="halved in its place")
    _ticks(axes[2].xaxis, sorted(own.frequency.unique()))
    _ticks(axes[2].yaxis, [0.5, 1, 2, 4, 8, 16])
    axes[2].set_ylim(kept.displacement.min(), 1.5 * ceiling)
    axes[2].set_ylabel("displacement that leaves half (L2)")
    figure.suptitle(f"What a displacement of the weights leaves ({scope(components)})")
    return figure, own[["seed", "frequency", "learned", "half"]]


def noise(tables: Tables) -> Drawn:
    """Two digits told apart under noise in the labels. Left: squared error on test images, whose labels have no noise,
    against updates, mean over seeds. Middle: its lowest value along training. Right: the depth of the dip, the last
    value over the lowest; both against the frequency of the noise, beside white noise and no noise (dashed). Bands and
    bars are 95 % intervals over seeds."""
    course, dips = tables["noise"], tables["dips"]
    figure, axes = panels(3, width=4.6)
    frequencies = sorted(course[course.kind == WAVE].frequency.unique())
    palette = dict(zip(frequencies, sns.color_palette(COLOURS, len(frequencies)), strict=True))
    styles = [(WAVE, k, palette[k], "-", f"{k:g}") for k in frequencies]
    styles += [(WHITE, np.inf, "gray", "--", "white"), (CLEAN, 0.0, "black", "--", "none")]
    for kind, frequency, color, line, label in styles:
        some = course[(course.kind == kind) & (course.frequency == frequency) & (course.step > 0)]
        sns.lineplot(some, x="step", y="validation", color=color, linestyle=line, label=label, ax=axes[0], **LOG_BAND)
    root_axis(axes[0], course.step)
    axes[0].set(yscale="log", xlabel="updates (square-root axis)", ylabel="squared error on clean test images")
    axes[0].legend(title="noise of frequency", fontsize="x-small", title_fontsize="x-small")
    for axis, column, label in (
        (axes[1], "lowest", "lowest error along training"),
        (axes[2], "depth", "last error over lowest"),
    ):
        _against_frequency(axis, dips, column, frequencies)
        axis.set(xlabel="frequency of the noise (turns by unit of distance)", ylabel=label)
    axes[2].legend(loc="lower right", bbox_to_anchor=(1, 0.12), fontsize="x-small")
    figure.suptitle(f"Noise of low and of high frequency ({scope(dips)})")
    return figure, dips[["kind", "frequency", "seed", "lowest", "at", "depth", "half"]]


def _against_frequency(axis: Axes, dips: pd.DataFrame, column: str, frequencies: list[float]) -> None:
    """Geometric means over seeds with their intervals, waves by frequency, other kinds as lines."""
    found = [intervals.geometric_mean(dips[(dips.kind == WAVE) & (dips.frequency == k)][column]) for k in frequencies]
    middle = np.array([interval.estimate for interval in found])
    bars = np.array([[i.estimate - i.low, i.high - i.estimate] for i in found]).T
    axis.errorbar(frequencies, middle, bars, color="black", marker="o", capsize=2, label="waves")
    for kind, color in ((WHITE, "gray"), (CLEAN, sns.color_palette("colorblind")[1])):
        own = intervals.geometric_mean(dips[dips.kind == kind][column])
        axis.axhline(own.estimate, color=color, linestyle="--", label=kind)
        axis.axhspan(own.low, own.high, color=color, alpha=0.15, linewidth=0)
    axis.set_xscale("log")
    _ticks(axis.xaxis, frequencies)
    axis.set_ylim(bottom=0)


def petals(tables: Tables) -> Drawn:
    """The same waves along curves with more or fewer petals. Left: the curves. Middle: the share of the values' power
    that the network misses, against updates (geometric mean over seeds, bands are 95 % bootstrap intervals); dashed:
    circles as long as the flower of the colour. Right: the share of each frequency that is missing at the end, mean
    over seeds (1: all of it)."""
    curves, left = tables["curves"], tables["left"]
    names = list(dict.fromkeys(curves.curve))
    flowers = [name for name in names if not name.startswith(CIRCLE)]
    palette = dict(zip(flowers, sns.color_palette(COLOURS, len(flowers)), strict=True))
    figure, axes = panels(3, width=4.6, height=4.2)
    for name in flowers:
        axes[0].plot(*waves.flower(waves.places(1000), int(name)).T, color=palette[name], linewidth=1.5)
    axes[0].set(aspect="equal", xlabel="first input", ylabel="second input", title="the curves")
    for name in names:
        some, label = curves[(curves.curve == name) & (curves.step > 0)], name if name in flowers else None
        line, color = "-" if name in flowers else "--", palette[name.removeprefix(CIRCLE)]
        sns.lineplot(some, x="step", y="missing", color=color, linestyle=line, label=label, ax=axes[1], **LOG_BAND)
    root_axis(axes[1], curves.step)
    axes[1].set(yscale="log", xlabel="updates (square-root axis)", ylabel="share of the power missing")
    axes[1].plot([], [], color="gray", linestyle="--", label="circle as long")
    axes[1].legend(title="petals", fontsize="x-small", title_fontsize="x-small")
    mean = left.pivot_table("missing", "curve", "frequency").loc[names]
    picture = axes[2].imshow(mean, cmap=COLOURS, vmin=0, aspect="auto")
    axes[2].grid(False)
    axes[2].set_xticks(range(mean.shape[1]), mean.columns)
    axes[2].set_yticks(
        range(len(mean)), [f"{n} petals" if n in flowers else f"circle as {n.split()[-1]}" for n in names]
    )
    axes[2].set(xlabel="frequency (waves around)", title="missing at the end")
    figure.colorbar(picture, ax=axes[2], label="share missing")
    figure.suptitle(f"More petals, the same values along the curve ({scope(left)})")
    return figure, left[["curve", "seed", "frequency", "missing"]]


def norms(tables: Tables) -> Drawn:
    """Spectral norms of the weights against updates. Left: each layer, learning many frequencies of equal amplitude;
    dots on the axis are the median updates at which one frequency after another is there. Right: geometric mean over
    layers, over that at the start, learning many frequencies and learning the lowest alone with as much power. Bands
    are 95 % bootstrap intervals over seeds."""
    table, components = tables["norms"], tables["components"]
    figure, axes = panels(2, width=5.0)
    own = table[(table["sum"] == EQUAL)]
    palette = sns.color_palette(COLOURS, own.layer.nunique())
    sns.lineplot(own, x="step", y="norm", hue="layer", palette=palette, ax=axes[0], **LOG_BAND)
    learned = components[components["sum"] == EQUAL].groupby("frequency").learned.median()
    learned = learned[np.isfinite(learned)]
    axes[0].scatter(learned, np.full(len(learned), own.norm.min()), color="black", s=14, clip_on=False, zorder=3)
    whole = table[table["sum"].isin([EQUAL, LOW])].copy()
    whole["log"] = np.log(whole.norm)
    mean = whole.groupby(["sum", "seed", "step"]).log.mean().reset_index()
    mean["grown"] = np.exp(mean.log - mean.groupby(["sum", "seed"]).log.transform("first"))
    sns.lineplot(mean, x="step", y="grown", hue="sum", palette="colorblind", ax=axes[1], **LOG_BAND)
    for axis, label in zip(axes, ("spectral norm", "growth of the mean spectral norm"), strict=True):
        root_axis(axis, table.step)
        axis.set(xlabel="updates (square-root axis)", ylabel=label)
    axes[0].set_yscale("log")
    _ticks(axes[0].yaxis, [0.5, 1, 2, 4, 8])
    axes[0].legend(title="layer", fontsize="x-small", title_fontsize="x-small")
    axes[1].legend(title="")
    figure.suptitle(f"Norms grow as frequencies are learned? ({scope(table)})")
    last = mean[mean.step == mean.step.max()]
    return figure, last[["sum", "seed", "step", "grown"]]


def twins(tables: Tables) -> Drawn:
    """Kicked twins read in Fourier space. Left and middle: distance between twin and parent at each frequency (of the
    target or not), over that between networks that started elsewhere and learn the same, both root mean squares over
    seeds; one panel a kick time; white lines are the median updates at which the frequencies of the target are learned.
    Right: distances at the end, of twins by the update of their kick, and of strangers; dotted: the highest frequency
    of the target; bands are 95 % bootstrap intervals over seeds."""
    parting, components = tables["parting"], tables["components"]
    times = sorted(parting.kicked.unique())
    figure, axes = panels(len(times) + 1, width=4.6)
    learned = components[components["sum"] == EQUAL].groupby("frequency").learned.median()
    squares = parting.assign(twins=parting.twins**2, strangers=parting.strangers**2)
    for axis, kicked in zip(axes, times, strict=False):
        mean = squares[squares.kicked == kicked].groupby(["frequency", "step"])[["twins", "strangers"]].mean()
        ratio = np.sqrt(mean.twins / mean.strangers).unstack()
        picture = _heat(axis, np.log10(ratio.clip(lower=1e-4)), (-3, 0))
        for frequency, at in learned[np.isfinite(learned)].items():
            place = ratio.index.get_loc(frequency)
            axis.plot([at, at], [place - 0.5, place + 0.5], color="white", linewidth=2.5)
        axis.set(title=f"kicked at update {kicked:g}", xlabel="updates (square-root axis)", ylabel="frequency")
    figure.colorbar(picture, ax=axes[: len(times)], label="log10 of distance of twins over strangers")
    last = parting[parting.step == parting.step.max()]
    strange = last[last.kicked == times[0]].assign(distance=lambda own: own.strangers, who="strangers")
    ends = pd.concat([last.assign(distance=last.twins, who=[f"update {k:g}" for k in last.kicked]), strange])
    sns.lineplot(ends, x="frequency", y="distance", hue="who", palette="colorblind", ax=axes[-1], **LOG_BAND)
    axes[-1].axvline(components.frequency.max(), color="black", linestyle=":", linewidth=1)
    axes[-1].set(yscale="log", xlabel="frequency", ylabel="distance at the end (amplitude)", title="at the end")
    axes[-1].legend(title="kicked at, or", fontsize="small")
    figure.suptitle(f"At which frequencies do twins part? ({scope(components)})")
    return figure, ends[["who", "seed", "frequency", "distance"]]


def _ticks(axis: Axis, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis at these values, as plain numbers."""
    axis.set_ticks(values, labels=[f"{value:g}" for value in values])
    axis.set_minor_locator(NullLocator())


def _heat(axis: Axes, table: pd.DataFrame, limits: tuple[float, float]):
    """A heat map of rows against columns, the columns to scale on a square-root axis, the rows even."""
    columns, rows = table.columns.to_numpy(dtype=float), np.arange(len(table))
    roots = np.sqrt(columns)
    middle = (roots[1:] + roots[:-1]) / 2
    edges = np.concatenate([[roots[0]], middle, [roots[-1]]]) ** 2
    picture = axis.pcolormesh(
        edges, np.arange(len(rows) + 1) - 0.5, table.to_numpy(), cmap=COLOURS, vmin=limits[0], vmax=limits[1]
    )
    axis.grid(False)
    root_axis(axis, pd.Series(columns))
    axis.set_xlim(edges[0], edges[-1])
    some = rows[:: max(1, len(rows) // 12)]
    axis.set_yticks(some, table.index[some])
    return picture
