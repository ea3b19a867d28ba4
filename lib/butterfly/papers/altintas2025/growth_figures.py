"""The figures of notebook 03. Each returns the picture and the numbers behind it; its docstring is the caption."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from butterfly.papers.altintas2025.growth import BETTER, LONGER, NORMALISED, growth_left
from butterfly.papers.altintas2025.shapes import CLOCKS, MISFIT
from butterfly.study import Tables, intervals
from butterfly.study.figures import BAND, LOG_BAND, Drawn, colours, kick_name, legend, panels, per_seed, percent
from butterfly.study.figures import root_axis, style, title

UPDATE = "update (square-root axis)"
SUMMED = "learning rate summed over updates"
HUES = sns.color_palette("colorblind")


def tangents(tables: Tables) -> Drawn:
    """L2 distance between twin and parent, kicked at the start, logarithmic; dashed, in the same colour: the tangent of
    the kick, cut off at the top. Left ReLU, right smooth units. Above against updates, on a square-root axis, where
    exponential growth bends upwards; below against the summed learning rate, where what is exponential in it is a
    straight line. Lines are geometric means over seeds, bands 95 % bootstrap intervals of the mean."""
    start = _thinned(_main(tables["growth"])).query("time == 0 and kind != 'control'")
    numbers = _named(per_seed(start, ["setting", "kind", "size", "step", "summed_lr"], ["distance"]))
    carried = _carried(start, tables["tangents"])
    style()
    figure, axes = plt.subplots(2, 2, figsize=(10.5, 7.4), sharey=True, sharex="row")
    palette = colours(numbers.kick)
    for column, (setting, arm) in enumerate(numbers.groupby("setting", sort=False)):
        seen, dashed = arm[arm.distance > 0], carried[carried.setting == setting]
        for axis, clock in zip(axes[:, column], CLOCKS.values(), strict=True):
            sns.lineplot(seen, x=clock, y="distance", hue="kick", palette=palette, ax=axis, legend=False, **LOG_BAND)
            for size, line in dashed.groupby("size"):
                mean = np.exp(np.log(line.distance).groupby(line[clock]).mean())
                axis.plot(mean.index, mean, color=palette[kick_name("gaussian", size)], linestyle="--", linewidth=1.5)
        axes[0, column].set(title=_network(setting), xlabel=UPDATE)
        axes[1, column].set(xlabel=SUMMED)
        root_axis(axes[0, column], numbers.step)
    # Not before all lines are drawn: on a logarithmic axis seaborn would take means of logarithms of logarithms.
    axes[0, 0].set(yscale="log", ylim=(numbers.distance[numbers.distance > 0].min() / 2, numbers.distance.max() * 10))
    for axis in axes[:, 0]:
        axis.set_ylabel("L2 distance of the weights")
    for kick, color in palette.items():
        axes[0, 1].plot([], [], color=color, label=kick)
    axes[0, 1].plot([], [], color="gray", linestyle="--", label="tangent")
    figure.suptitle(f"Distance between twin and parent beside the linearised training ({_seeds(numbers)})")
    legend(axes[0, 1], "kick at the start")
    return figure, pd.concat([numbers.drop(columns="kick"), carried.assign(kind="tangent")])


def shapes(tables: Tables) -> Drawn:
    """Is growth exponential, before the distance reaches a tenth of that at the end? For each kick at the start: how
    much worse an exponential fits than the better of power law and logistic curve, in Akaike's criterion a look
    (about the logarithm of the ratio of the variances that the fits leave). Above the dotted line another shape is
    better by the margin asked; below 0 an exponential is as good and simpler. Colours are clocks: exponential in
    updates, or in the summed learning rate. Points are means over seeds, lines 95 % intervals; hollow where fewer than
    four in five twins have looks enough before they saturate, a cross where no shape fits: the best leaves 0.5 of the
    natural logarithm or more in the median of the twins."""
    numbers = _named(tables["shapes"])
    everyone = tables["growth"].groupby("setting").seed.nunique()
    places = list(dict.fromkeys(tables["growth"].setting))
    figure, axes = panels(len(places), width=3.4, height=4.2, share=True)
    kicks = list(dict.fromkeys(numbers.kick))
    for axis, place in zip(axes, places, strict=True):
        arm = numbers[numbers.setting == place]
        for side, (clock, color) in enumerate(zip(CLOCKS, HUES, strict=False)):
            for at, kick in enumerate(kicks):
                twins = arm[(arm.clock == clock) & (arm.kick == kick)]
                if len(twins):
                    whole, marker = len(twins) >= 0.8 * everyone[place], "X" if twins.misfit.median() >= MISFIT else "o"
                    found = intervals.mean(twins.excess)
                    _interval(axis, at + 0.25 * (side - 0.5), found, color, whole, marker)
        axis.axhline(0, color="black", linewidth=1)
        axis.axhline(BETTER, color="black", linewidth=1, linestyle=":")
        axis.set(xlabel="kick at the start", xticks=range(len(kicks)), xticklabels=kicks)
        axis.set_title(textwrap.fill(_network(place), 28))
    axes[0].set_yscale("symlog", linthresh=1.0)
    axes[0].set_ylabel(
        "exponential fits better  ←  0  →  another shape does\n(difference of Akaike's criterion a look)"
    )
    handles = [Line2D([], [], color=c, marker="o", label=clock) for clock, c in zip(CLOCKS, HUES, strict=False)]
    handles.append(Line2D([], [], color="gray", marker="o", markerfacecolor="white", label="few looks"))
    handles.append(Line2D([], [], color="gray", marker="X", label="no shape fits"))
    axes[-1].legend(handles=handles, title="growth as a function of", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"Is growth exponential before it saturates? ({_seeds(numbers)})")
    return figure, numbers.drop(columns="kick")


def during_training(tables: Tables) -> Drawn:
    """Left: loss barrier between twin and parent as they are at that update. Right: share of test examples that they
    answer differently. Kicks at the start; ReLU; bands are 95 % bootstrap intervals of the mean over seeds."""
    setting = tables["answers"].setting.iloc[0]
    kicked = "time == 0 and kind != 'control' and setting == @setting"
    barriers = _named(per_seed(tables["barriers"].query(kicked), ["kind", "size", "step"], ["barrier"]))
    answers = _named(per_seed(tables["answers"].query(kicked), ["kind", "size", "step"], ["disagreement"]))
    figure, axes = panels(2)
    palette = colours(answers.kick)
    sns.lineplot(barriers, x="step", y="barrier", hue="kick", palette=palette, marker="o", ax=axes[0], **BAND)
    sns.lineplot(answers, x="step", y="disagreement", hue="kick", palette=palette, ax=axes[1], **BAND)
    axes[0].set(xlabel=UPDATE, ylabel="loss barrier at that moment (train, nats)")
    axes[1].set(xlabel=UPDATE, ylabel="test examples answered differently")
    axes[1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for axis in axes:
        root_axis(axis, answers.step)
    figure.suptitle(f"Twins while they train ({_network(setting)}, {_seeds(answers)})")
    legend(axes[1], "kick at the start", remove=axes[0])
    return figure, pd.concat([barriers, answers]).drop(columns="kick")


def exponents(tables: Tables) -> Drawn:
    """Left: local Lyapunov exponent, the growth of a tangent from the start by update, over the learning rate; dashed:
    what the most negative curvature alone would make of a difference along it, likewise; without looks at which the
    learning rate is less than a tenth of its highest. Middle: sharpness times learning rate, logarithmic. Solid: of
    the training loss; full-batch gradient descent with momentum is stable below the upper line, 2 (1 + momentum).
    Dashed: batch sharpness, the curvature of minibatch losses along their own gradients; small batches are said to
    settle at the lower line, 2 (1 - momentum). Right: least eigenvalue of the Hessian of the training loss. Bands are
    95 % bootstrap intervals of the mean over seeds."""
    numbers = tables["curvature"].assign(network=tables["curvature"].setting.map(_network))
    for name in ("highest", "batch"):
        numbers[f"{name} x lr"] = numbers[name] * numbers.lr
    figure, axes = panels(3, width=4.6, height=4.2)
    options = {"x": "step", "hue": "network", "palette": "colorblind", "legend": False}
    slow = numbers.lr < 0.1 * numbers.groupby("setting").lr.transform("max")
    for name in ("exponent", "predicted"):
        numbers[f"{name} / lr"] = (numbers[name] / numbers.lr).mask(slow)
    lines = [(0, "exponent / lr", "-"), (0, "predicted / lr", "--"), (1, "highest x lr", "-"), (1, "batch x lr", "--")]
    for at, column, drawn in [*lines, (2, "lowest", "-")]:
        seen = numbers[numbers[column] > 0] if at == 1 else numbers
        sns.lineplot(seen, y=column, ax=axes[at], linestyle=drawn, **options, **(LOG_BAND if at == 1 else BAND))
    momentum = numbers.momentum.iloc[0]
    for sign, text in ((1, "full batch: 2 (1 + momentum)"), (-1, "small batches: 2 (1 - momentum)")):
        limit = 2 * (1 + sign * momentum)
        axes[1].axhline(limit, color="black", linewidth=1)
        axes[1].annotate(
            text, (0.02, limit), (0, 3 if sign > 0 else -10), ("axes fraction", "data"), "offset points", size=8
        )
    for axis in (axes[0], axes[2]):
        axis.axhline(0, color="black", linewidth=1)
    for axis in axes:
        axis.set_xlabel(UPDATE)
        root_axis(axis, numbers.step)
    axes[0].set_yscale("symlog", linthresh=0.1)
    axes[1].set_yscale("log")
    axes[0].set(
        ylabel="growth by unit of learning rate (natural log)", title="solid: tangent; dashed: along lowest curvature"
    )
    axes[1].set(ylabel="sharpness x learning rate", title="solid: training loss; dashed: minibatches")
    axes[2].set(ylabel="least eigenvalue of the Hessian", title="most negative curvature")
    for name, color in zip(dict.fromkeys(numbers.network), HUES, strict=False):
        axes[2].plot([], [], color=color, label=name)
    figure.suptitle(f"Growth of infinitely small kicks, and curvature ({_seeds(numbers)})")
    legend(axes[2], "")
    return figure, numbers.drop(columns="network")


def what_is_left(tables: Tables) -> Drawn:
    """Barrier at the end of twins that were kicked alike at all kick times, against the growth of a tangent started
    with the kick; colours are kick times, each point is a twin. Mind the scales: they differ."""
    numbers = growth_left(tables)
    figure, axes = panels(2)
    for axis, (setting, arm) in zip(axes, numbers.groupby("setting", sort=False), strict=True):
        for when, color in colours(arm.time.map(percent)).items():
            twins = arm[arm.time.map(percent) == when]
            axis.scatter(twins.growth, twins.barrier, color=color, s=18, label=when)
        axis.set(title=_network(setting), xlabel="growth of the tangent from kick to end (natural log)")
        axis.set_ylabel("loss barrier at the end (train, nats)")
    kick = f"Gaussian, {numbers['size'].iloc[0]:g}"
    figure.suptitle(f"Barrier against the growth that was left at the kick ({kick}; {_seeds(numbers)})")
    legend(axes[1], "kicked at")
    return figure, numbers


def first_flips(tables: Tables) -> Drawn:
    """Left: ReLU twins in float64; the update after which a twin has left its tangent twofold, against the update whose
    minibatch first has an example for which a unit is on in one of twin and parent, and off in the other. On the line
    they are the same; hollow: not left while watched. Right: how far twins are from their tangents, as a power of ten,
    before and after that update; means over the twins of a seed, bands 95 % bootstrap intervals of the mean over
    seeds."""
    twins = tables["kinks"][tables["kinks"].kind != "control"].dropna(subset="flip")
    setting = tables["growth"].setting.iloc[0]
    relu = twins[twins.setting == setting].sort_values("size")
    near = tables["aligned"].assign(network=tables["aligned"].setting.map(_network))
    figure, axes = panels(2, height=4.2)
    for size, color in colours(relu["size"]).items():
        own = relu[relu["size"] == size]
        seen, unseen = own.dropna(subset="takeoff"), own[own.takeoff.isna()]
        axes[0].scatter(seen.flip, seen.takeoff, color=[color], s=20, label=f"{size:.0e}")
        axes[0].scatter(unseen.flip, unseen.watched, edgecolor=[color], facecolor="none", s=20)
    top = relu.watched.max()
    axes[0].plot([1, top], [1, top], color="black", linewidth=1, zorder=0)
    axes[0].set(xscale="log", yscale="log", title=_network(setting))
    axes[0].set(xlabel="update with the first flip", ylabel="update of leaving the tangent")
    axes[0].legend(title="kick at the start", loc="lower right")
    order = [_network(place) for place in dict.fromkeys(twins.setting)]
    if len(near):
        hues = {name: hue for name, hue in zip(order, HUES, strict=False) if name in set(near.network)}
        sns.lineplot(near, x="since", y="excess", hue="network", palette=hues, ax=axes[1], **BAND)
        axes[1].legend(title="")
    else:
        axes[1].text(0, 0, "no unit switched while twins were watched", ha="center", va="center")
    axes[1].axvline(0, color="black", linewidth=1)
    axes[1].set(xlabel="updates since the first flip", ylabel="growth over that of the tangent (power of ten)")
    axes[1].set_title("line: the update with the first flip")
    figure.suptitle(f"The first unit that switches in one of two twins ({_seeds(twins)}, float64)")
    return figure, pd.concat([twins, near.drop(columns="network")])


def late_kicks(tables: Tables) -> Drawn:
    """Distance between twin and parent over that just after the kick, logarithmic, against the learning rate summed
    since the kick; colours are kick times. Left ReLU, right smooth units. The dotted line is twofold growth. Lines are
    geometric means over seeds, bands 95 % bootstrap intervals of the mean."""
    table = _thinned(_main(tables["growth"]))
    size = tables.params.size
    table = table[(table.kind == "gaussian") & (table["size"] == size)].sort_values(["time", "step"])
    first = table.groupby(["setting", "seed", "time"])[["distance", "summed_lr"]].transform("first")
    numbers = table.assign(factor=table.distance / first.distance, since=table.summed_lr - first.summed_lr)
    numbers = numbers[["setting", "seed", "time", "step", "since", "factor"]]
    figure, axes = panels(2, share=True, height=4.2)
    names = numbers.assign(kicked=numbers.time.map(percent))
    palette = colours(names.kicked)
    for axis, (setting, arm) in zip(axes, names.groupby("setting", sort=False), strict=True):
        sns.lineplot(arm, x="since", y="factor", hue="kicked", palette=palette, ax=axis, **LOG_BAND)
        axis.axhline(2, color="black", linewidth=1, linestyle=":")
        axis.set(title=_network(setting), xlabel="learning rate summed since the kick")
    axes[0].set(yscale="log", ylabel="distance over that just after the kick")
    figure.suptitle(f"Growth after kicks of {size:g} at different times ({_seeds(numbers)})")
    legend(axes[1], "kicked at", remove=axes[0])
    return figure, numbers


def _interval(axis: Axes, x: float, found: intervals.Interval, color: tuple, whole: bool, marker: str) -> None:
    """A mean and its interval, hollow where some units are missing."""
    axis.plot([x, x], [found.low, found.high], color=color, linewidth=1.5)
    axis.plot(x, found.estimate, marker, color=color, markersize=6, markerfacecolor=color if whole else "white")


def _main(table: pd.DataFrame) -> pd.DataFrame:
    """The two networks that are followed by tangents."""
    return table[~table.setting.isin([NORMALISED, LONGER])]


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """About fifty of the looks, with all kicks and the last: enough to draw."""
    looks = np.sort(table.step.unique())
    return table[table.step.isin({*looks[:: max(1, len(looks) // 50)], *table.kicked.unique(), looks[-1]})]


def _carried(start: pd.DataFrame, tangents: pd.DataFrame) -> pd.DataFrame:
    """Where each Gaussian kick would be, had it grown like its tangent."""
    clock = start[["setting", "step", "summed_lr"]].drop_duplicates()
    kicks = start[(start.kind == "gaussian") & (start.step == 0)][["setting", "seed", "size", "distance"]]
    merged = kicks.merge(tangents[tangents.time == 0][["setting", "seed", "step", "growth"]], on=["setting", "seed"])
    merged["distance"] *= np.exp(merged.growth)
    return merged.drop(columns="growth").merge(clock, on=["setting", "step"])


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With the name of each kick, the smallest first (the size of one ulp is 0, having none)."""
    named = table.assign(kick=[kick_name(k, s) for k, s in zip(table.kind, table["size"], strict=True)])
    return named.sort_values("size", kind="stable")


def _network(setting: str) -> str:
    if setting in (NORMALISED, LONGER):
        return {NORMALISED: "ReLU, normalised layers", LONGER: "ReLU, longer training"}[setting]
    return title(setting) if setting.endswith("gelu") else f"{title(setting)}, ReLU"


def _seeds(table: pd.DataFrame) -> str:
    return f"n = {table.seed.nunique()} seeds"
