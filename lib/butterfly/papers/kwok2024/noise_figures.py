"""The figures of notebook 10. Each returns the picture and the numbers behind it."""

import numpy as np
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly import reliability
from butterfly.experiments.noise import AVERAGES, SHOWN, Tables
from butterfly.study.figures import Drawn, legend
from butterfly.figures.difficulty import abreast, network, palette
from butterfly.study.figures import BAND, panels


def spread(tables: Tables) -> Drawn:
    """(a) What single runs say about an example, against its rank by the mean over runs."""
    numbers = tables["spread"]
    first = numbers.network.iloc[0]
    figure, axes = abreast(len(SHOWN), width=2.9, height=3.4)
    for axis, score in zip(axes, SHOWN, strict=True):
        for colour, (name, one) in zip(
            palette(list(numbers.network.unique())).values(), numbers.groupby("network", sort=False), strict=True
        ):
            some = one[one.score == score]
            axis.plot(some["rank"], some["mean"], color=colour, label=network(name))
            if name == first:
                axis.fill_between(some["rank"], some.low, some.high, color=colour, alpha=0.18, linewidth=0)
        axis.set(title=score, xlabel="rank of the example")
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0].set_ylabel("score in single runs")
    legend(axes[-1], "mean over runs\n(band: 5 to 95 % of runs)")
    figure.suptitle(f"What one run says about an example, from easy to hard by the mean over runs ({_scope(tables)})")
    return figure, numbers


def single(tables: Tables) -> Drawn:
    """(b) Reliability of one run, and how many runs an average needs, for every score."""
    numbers = tables["reliability"]
    order = list(numbers[numbers.network == numbers.network.iloc[0]].sort_values("single").score)
    place = {score: row for row, score in enumerate(order)}
    figure, axes = panels(2, width=5.2, height=0.24 * len(order) + 1.4, share=False)
    colours = palette(list(numbers.network.unique()))
    for shift, (name, one) in zip((0.0, 0.22, -0.22), numbers.groupby("network", sort=False), strict=False):
        y = one.score.map(place) + shift
        error = [(one.single - one.low).clip(lower=0), (one.high - one.single).clip(lower=0)]
        style = {"fmt": "o", "markersize": 4, "color": colours[name], "label": network(name)}
        axes[0].errorbar(one.single, y, xerr=error, **style)
        axes[1].plot(one.runs_90, y, "o", markersize=4, color=colours[name], label=network(name))
    for axis in axes:
        axis.set_yticks(range(len(order)), order)
        axis.margins(y=0.01)
    axes[1].set_yticklabels([])
    axes[1].set_xscale("log", base=2)
    axes[1].set_xticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
    axes[0].set(xlabel="rank correlation between two runs", xlim=(0, 1))
    axes[1].set_xlabel("runs to average for a reliability of 0.9")
    legend(axes[1], "")
    figure.suptitle(f"How reliable one run is ({_scope(tables)})")
    return figure, numbers


def averages(tables: Tables) -> Drawn:
    """(c) Reliability of means over runs, and what Spearman-Brown predicts from single runs."""
    numbers = tables["pairs"]
    numbers = numbers[numbers.score.isin(SHOWN)]
    names = list(numbers.network.unique())
    figure, axes = abreast(len(names), width=3.9, height=3.7, share=True)
    colours = palette(list(SHOWN))
    k = np.geomspace(1, max(AVERAGES), 50)
    for axis, name in zip(axes, names, strict=True):
        reliable = tables["reliability"][tables["reliability"].network == name].set_index("score").single.dropna()
        some = numbers[(numbers.network == name) & numbers.score.isin(reliable.index)]
        style = {"hue": "score", "hue_order": SHOWN, "palette": colours, "marker": "o", "linestyle": ""}
        sns.lineplot(some, x="averaged", y="correlation", ax=axis, err_style="bars", errorbar=BAND["errorbar"], **style)
        for score in SHOWN:
            if score in reliable:
                axis.plot(k, reliability.spearman_brown(reliable[score], k), color=colours[score], linewidth=1)
        axis.set(title=network(name), xlabel="runs averaged", xscale="log", ylim=(0, 1))
        axis.set_xticks(AVERAGES, [str(k) for k in AVERAGES])
        axis.minorticks_off()
        if axis is not axes[-1]:
            axis.get_legend().remove()
    axes[0].set_ylabel("rank correlation between two averages")
    legend(axes[-1], "score\n(lines: Spearman-Brown)")
    figure.suptitle(f"Averaging runs, and what the Spearman-Brown formula predicts ({_scope(tables)})")
    return figure, numbers


def noise(tables: Tables) -> Drawn:
    """(d) Standard deviation over runs of early EL2N, against its mean."""
    numbers = tables["noise"]
    names = list(numbers.network.unique())
    figure, (axis,) = panels(1, width=6.6, height=3.9)
    for name, colour in palette(names).items():
        one = numbers[numbers.network == name]
        axis.plot(one["mean"], one.middle, color=colour, marker="o", markersize=3, label=network(name))
        axis.fill_between(one["mean"], one.low, one.high, color=colour, alpha=0.18, linewidth=0)
    axis.set(xlabel="mean over runs of early EL2N", ylabel="standard deviation over runs", ylim=(0, None))
    legend(axis, "median of examples\n(band: quartiles)")
    figure.suptitle("Where the noise is: EL2N after an eighth of training")
    return figure, numbers


def _scope(tables: Tables) -> str:
    return f"n = {tables['runs'].groupby('network').size().min()} runs"
