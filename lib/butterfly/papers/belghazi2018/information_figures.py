"""The figures of notebook 61. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly import information
from butterfly.papers.belghazi2018.information import REACHED, learned
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, band, legend, panels

NATS = "information (nats)"


def by_correlation(tables: Tables) -> Drawn:
    """What statistics networks find between Gaussian vectors, pairs being new in every minibatch, against the closed
    form (black); one panel for each dimension, the bound by f-divergence and larger minibatches on the right only.
    Dotted: the logarithm of the number of pairs on which a bound is read. Bars, mostly smaller than the dots, are 95 %
    bootstrap intervals of the mean over seeds."""
    params = tables.params
    arms = {"Donsker-Varadhan": ("dv", params.batch), "f-divergence": ("f", params.batch)}
    arms[f"Donsker-Varadhan, minibatch x {params.larger}"] = ("dv", params.larger * params.batch)
    figure, axes = panels(2, width=4.8)
    numbers = []
    for axis, dimensions in zip(axes, params.dimensions, strict=True):
        _closed_form(axis, dimensions, params.top)
        table = pd.concat([learned(tables, dimensions, *arm).assign(by=name) for name, arm in arms.items()])
        _dots(axis, table, "correlation", dict(zip(arms, sns.color_palette("colorblind"), strict=False)))
        if information.of_gaussians(params.top, dimensions) > params.limit:
            axis.axhline(params.limit, color="black", linestyle=":", linewidth=1, label=f"log of {params.examples}")
        axis.set(title=f"{dimensions} dimensions", xlabel="correlation of each coordinate", ylabel=NATS)
        numbers.append(table)
    legend(axes[1], "")
    figure.suptitle(f"Information between Gaussian vectors, {_scope(numbers[0])}")
    return figure, pd.concat(numbers)[["dimensions", "bound", "batch", "correlation", "seed", "value", "truth"]]


def _closed_form(axis: Axes, dimensions: int, top: float) -> None:
    r = np.linspace(0, top, 100)
    truth = [information.of_gaussians(float(own), dimensions) for own in r]
    axis.plot(r, truth, color="black", linewidth=1, label="closed form")


def _dots(axis: Axes, table: pd.DataFrame, x: str, palette: dict, join: bool = False) -> None:
    """Means over seeds with their intervals; the first filled, the others hollow around it where they fall together."""
    for place, ((name, color), marker) in enumerate(zip(palette.items(), "osD", strict=True)):
        own = table[table.by == name].groupby(x).value
        if not len(own):
            continue
        means, ends = own.mean(), np.array([band(values) for _, values in own]).T
        face = {"markerfacecolor": color if place == 0 else "none", "markersize": 5 if place == 0 else 8}
        style = {"color": color, "marker": marker, "linestyle": "-" if join else "none", **face}
        axis.errorbar(means.index, means, np.abs(ends - means.to_numpy()), linewidth=1.5, label=name, **style)


def same_pairs(tables: Tables) -> Drawn:
    """The network and nearest neighbours from the same pairs of Gaussian vectors, against the closed form (black). Left
    and middle: by correlation. Right: by the number of pairs; beside the estimate read on the half of the pairs that
    was not learned from, at the best time, what the network says at the end of the half that it learned from. Bars,
    mostly smaller than the dots, are 95 % bootstrap intervals of the mean over seeds."""
    params, table = tables.params, tables["samples"]
    names = {"best": "network", "neighbours": "nearest neighbours", "own": "network, on the pairs it learned from"}
    keys = ["dimensions", "size", "correlation", "seed", "truth"]
    table = table.melt(keys, list(names), "by", "value").replace({"by": names})
    palette = dict(zip(names.values(), sns.color_palette("colorblind"), strict=False))
    figure, axes = panels(3, width=4.2)
    for axis, dimensions in zip(axes, params.dimensions, strict=False):
        _closed_form(axis, dimensions, params.top)
        some = table.query("dimensions == @dimensions and size == @params.compared and by != @names['own']")
        _dots(axis, some, "correlation", palette)
        axis.set(title=f"{dimensions} dimensions, {params.compared} pairs", xlabel="correlation of each coordinate")
    some = table.query("dimensions == @params.high and correlation == @params.middle")
    axes[2].axhline(some.truth.iloc[0], color="black", linewidth=1, label="closed form")
    _dots(axes[2], some, "size", palette, join=True)
    axes[2].set(xscale="log", xlabel="pairs", title=f"{params.high} dimensions, correlation {params.middle:g}")
    axes[2].set_xticks(params.sizes, [str(size) for size in params.sizes])
    axes[2].minorticks_off()
    axes[0].set_ylabel(NATS)
    legend(axes[2], "")
    figure.suptitle(f"The same pairs for a network and for nearest neighbours, {_scope(table)}")
    return figure, table


def functions(tables: Tables) -> Drawn:
    """What the network finds between a uniform number and a function of it under noise (large dots, means over seeds;
    small ones, seeds), beside what quadrature gives (black bars). In the last group, both numbers of the first were
    cubed, which changes no information. Hollow triangles: seeds whose estimate is negative; no mean is drawn there."""
    table = tables["functions"]
    noises = sorted(table.noise.unique())
    names = list(dict.fromkeys(table.function))
    palette = dict(zip(noises, sns.color_palette("colorblind"), strict=False))
    figure, (axis,) = panels(1, width=7.0, height=4.0)
    shifts = np.linspace(-0.2, 0.2, len(noises)) if len(noises) > 1 else [0.0]
    for (name, noise), own in table.groupby(["function", "noise"]):
        at, color = names.index(name) + shifts[noises.index(noise)], palette[noise]
        seeds = at + np.linspace(-0.06, 0.06, len(own))
        inside = (own.value >= 0).to_numpy()
        axis.plot([at - 0.12, at + 0.12], [own.truth.iloc[0]] * 2, color="black", linewidth=2)
        axis.plot(seeds[inside], own.value[inside], "o", color=color, markersize=3, alpha=0.5)
        axis.plot(seeds[~inside], np.zeros((~inside).sum()), "v", color=color, markersize=6, markerfacecolor="none")
        if inside.all():
            axis.plot(at, own.value.mean(), "o", color=color, markersize=7)
    for noise in noises:
        axis.plot([], [], "o", color=palette[noise], label=f"noise {noise:g}")
    axis.plot([], [], color="black", linewidth=2, label="quadrature")
    axis.set_xticks(range(len(names)), names)
    axis.set(ylabel=NATS, xlabel="function", ylim=(-0.06, None))
    legend(axis, "")
    figure.suptitle(f"Information between a number and a noisy function of it, {_scope(table)}")
    return figure, table


def learning(tables: Tables) -> Drawn:
    """Left: the bound along learning, where vectors of different dimension hold the same information (black; dashed:
    four fifths of it). Right: where learning ends, by the size of the minibatch, with the moving average in the
    gradient and without, against the closed form (black). Bands are 95 % bootstrap intervals of the mean over seeds."""
    params, table = tables.params, tables["gaussians"]
    truth = information.of_gaussians(params.top, params.low)
    same = table[np.isclose(table.truth, truth)]
    curves = same.query("bound == 'dv' and batch == @params.batch")
    ends = same.query("batch in @params.small_batches and update == update.max()")
    ends = ends.assign(gradient=ends.bound.map({"dv": "moving average", "plain": "each minibatch by itself"}))
    figure, axes = panels(2, width=4.8)
    names = curves.assign(dimensions=curves.dimensions.astype(str))
    order = [str(k) for k in sorted(curves.dimensions.unique())]
    sns.lineplot(names, x="update", y="value", hue="dimensions", hue_order=order, palette="colorblind", ax=axes[0],
                 **BAND)  # fmt: skip
    axes[0].axhline(REACHED * truth, color="black", linestyle="--", linewidth=1)
    axes[0].set(xscale="log", xlabel="updates", ylabel=NATS, title="equal information")
    sns.lineplot(ends, x="batch", y="value", hue="gradient", style="gradient", markers=True, palette="colorblind",
                 ax=axes[1], err_style="bars", errorbar=BAND["errorbar"])  # fmt: skip
    axes[1].set(
        xscale="log", xlabel="pairs in a minibatch", ylabel="", title=f"{params.low} dimensions, small minibatches"
    )
    axes[1].set_xticks(params.small_batches, [str(size) for size in params.small_batches])
    axes[1].minorticks_off()
    for axis in axes:
        axis.axhline(truth, color="black", linewidth=1)
    axes[1].legend(title="gradient", fontsize="small")
    axes[0].legend(title="dimensions", fontsize="small")
    figure.suptitle(f"How the bound is learned, {_scope(table)}")
    return figure, pd.concat([curves, ends])[["dimensions", "bound", "batch", "update", "seed", "value", "truth"]]


def layers(tables: Tables) -> Drawn:
    """The last hidden layer of a classifier along training. Left: its information on the input under noise, as the
    network estimates it and as it is (both for examples drawn from the same test examples). Right: its CKA with the
    input. Bands are 95 % bootstrap intervals of the mean over seeds."""
    table = tables["layers"]
    names = {"exact": "exact", "value": "network"}
    both = table.melt(["time", "seed"], list(names), "by", "information").replace({"by": names})
    figure, axes = panels(2, width=4.8)
    sns.lineplot(both, x="time", y="information", hue="by", style="by", markers=True, dashes=False, ax=axes[0],
                 palette={"exact": "black", "network": sns.color_palette("colorblind")[0]}, **BAND)  # fmt: skip
    sns.lineplot(table, x="time", y="cka", marker="o", color=sns.color_palette("colorblind")[2], ax=axes[1], **BAND)
    times = sorted(table.time.unique())
    for axis in axes:
        # From the start to the first checkpoint the axis is straight, then logarithmic.
        axis.set_xscale("symlog", linthresh=times[1])
        axis.set_xticks(times, [f"{time:g}" for time in times])
        axis.minorticks_off()
        axis.set(xlabel="time (% of training)", xlim=(-times[1] / 5, 120))
    axes[0].set(ylabel=NATS, title=f"under noise of {tables.params.layer_noise:g} standard deviations")
    axes[0].set_ylim(0, None)
    axes[0].legend(title="")
    axes[1].set(ylabel="CKA with the input", title="without noise", ylim=(0, None))
    figure.suptitle(f"Input and last hidden layer along training, {_scope(table)}")
    return figure, table


def _scope(table: pd.DataFrame) -> str:
    return f"n = {table.seed.nunique()} seeds"
