"""The figures of notebook 10. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly import reliability
from butterfly.papers.kwok2024.naming import abreast, network, palette
from butterfly.papers.kwok2024.noise import AVERAGES, SHOWN
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, legend, panels


def spread(tables: Tables) -> Drawn:
    """Five scores of single runs against the rank of the example by its mean over runs; lines are means over runs, a
    colour for each network; bands hold 5 to 95 % of the runs of the first network."""
    numbers = tables["spread"]
    figure, axes = abreast(len(SHOWN), width=2.9, height=3.4)
    colours = palette(list(numbers.network.unique()))
    for axis, score in zip(axes, SHOWN, strict=True):
        for name, own in numbers[numbers.score == score].groupby("network", sort=False):
            axis.plot(own["rank"], own["mean"], color=colours[name], label=network(name))
            if name == numbers.network.iloc[0]:
                axis.fill_between(own["rank"], own.low, own.high, color=colours[name], alpha=0.18, linewidth=0)
        axis.set(title=score, xlabel="rank of the example")
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0].set_ylabel("score in single runs")
    legend(axes[-1], "mean over runs\n(band: 5 to 95 % of runs)")
    figure.suptitle(f"What one run says about an example, from easy to hard by the mean over runs ({_scope(tables)})")
    return figure, numbers


def single(tables: Tables) -> Drawn:
    """Left: rank correlation between two runs for every score, mean over all pairs of runs; bars are 95 % bootstrap
    intervals over runs. Right: runs to average for a reliability of 0.9, by the Spearman-Brown formula; no dot where a
    run gives all examples the same value. A colour for each network."""
    numbers = tables["reliability"]
    order = list(numbers[numbers.network == numbers.network.iloc[0]].sort_values("single").score)
    place = {score: row for row, score in enumerate(order)}
    figure, axes = panels(2, width=5.2, height=0.24 * len(order) + 1.4)
    colours = palette(list(numbers.network.unique()))
    for shift, (name, own) in zip((0.0, 0.22, -0.22), numbers.groupby("network", sort=False), strict=False):
        y = own.score.map(place) + shift
        error = [(own.single - own.low).clip(lower=0), (own.high - own.single).clip(lower=0)]
        style = {"markersize": 4, "color": colours[name], "label": network(name)}
        axes[0].errorbar(own.single, y, xerr=error, fmt="o", **style)
        axes[1].plot(own.runs_90, y, "o", **style)
    for axis in axes:
        axis.set_yticks(range(len(order)), order)
        axis.margins(y=0.01)
    axes[1].set_yticklabels([])
    axes[1].set_xscale("log", base=2)
    ticks = [1, 2, 4, 8, 16, 32, 64]
    axes[1].set_xticks(ticks, [str(k) for k in ticks])
    axes[0].set(xlabel="rank correlation between two runs", xlim=(0, 1))
    axes[1].set_xlabel("runs to average for a reliability of 0.9")
    legend(axes[1], "")
    figure.suptitle(f"How reliable one run is ({_scope(tables)})")
    return figure, numbers


def averages(tables: Tables) -> Drawn:
    """Rank correlation of two means over k runs each, against k, a colour for each score; bars are 95 % bootstrap
    intervals of the mean over disjoint pairs of means, lines what the Spearman-Brown formula predicts from k = 1."""
    numbers = tables["pairs"]
    numbers = numbers[numbers.score.isin(SHOWN)]
    names = list(numbers.network.unique())
    figure, axes = abreast(len(names), width=3.9, height=3.7, share=True)
    colours = palette(list(SHOWN))
    k = np.geomspace(1, max(AVERAGES), 50)
    for axis, name in zip(axes, names, strict=True):
        reliable = tables["reliability"][tables["reliability"].network == name].set_index("score").single.dropna()
        own = numbers[(numbers.network == name) & numbers.score.isin(reliable.index)]
        style = {"hue": "score", "hue_order": SHOWN, "palette": colours, "marker": "o", "linestyle": ""}
        sns.lineplot(own, x="averaged", y="correlation", ax=axis, err_style="bars", errorbar=BAND["errorbar"], **style)
        for score in filter(reliable.__contains__, SHOWN):
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
    """Standard deviation over runs of EL2N after an eighth of training, against its mean over runs, a colour for each
    network; lines are medians over a fortieth of the examples, bands quartiles."""
    numbers = tables["noise"]
    figure, (axis,) = panels(1, width=6.6, height=3.9)
    for name, colour in palette(list(numbers.network.unique())).items():
        own = numbers[numbers.network == name]
        axis.plot(own["mean"], own.middle, color=colour, marker="o", markersize=3, label=network(name))
        axis.fill_between(own["mean"], own.low, own.high, color=colour, alpha=0.18, linewidth=0)
    axis.set(xlabel="mean over runs of early EL2N", ylabel="standard deviation over runs", ylim=(0, None))
    legend(axis, "median of examples\n(band: quartiles)")
    figure.suptitle("Where the noise is: EL2N after an eighth of training")
    return figure, numbers


def _scope(tables: Tables) -> str:
    return f"n = {tables['runs'].groupby('network').size().min()} runs"
