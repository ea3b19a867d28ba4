"""The figures of notebook 03. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly.papers.altintas2025.growth import growth_left
from butterfly.study import Tables
from butterfly.study.figures import BAND, LOG_BAND, Drawn, colours, kick_name, legend, panels, per_seed, percent
from butterfly.study.figures import root_axis, title

UPDATE = "update (square-root axis)"


def tangents(tables: Tables) -> Drawn:
    """L2 distance between twin and parent, kicked at the start, logarithmic; dashed, in the same colour: the tangent of
    the kick, cut off at the top. Left ReLU, right GELU. Lines are geometric means over seeds, bands 95 % bootstrap
    intervals of the mean. Mind the square-root axis: on it exponential growth bends upwards; figure (d) shows the rate
    itself."""
    start = tables["growth"].query("time == 0 and kind != 'control'")
    numbers = _named(per_seed(start, ["setting", "kind", "size", "step"], ["distance"]))
    carried = _carried(start, tables["tangents"])
    figure, axes = panels(2, share=True)
    palette = colours(numbers.kick)
    for axis, (setting, arm) in zip(axes, numbers.groupby("setting", sort=False), strict=True):
        seen = arm[arm.distance > 0]
        sns.lineplot(seen, x="step", y="distance", hue="kick", palette=palette, ax=axis, **LOG_BAND)
        for size, line in carried[carried.setting == setting].groupby("size"):
            mean = np.exp(np.log(line.distance).groupby(line.step).mean())
            axis.plot(mean.index, mean, color=palette[kick_name("gaussian", size)], linestyle="--", linewidth=1.5)
        axis.set(title=_network(setting), xlabel=UPDATE, ylabel="L2 distance of the weights")
        root_axis(axis, numbers.step)
    # Not before all lines are drawn: on a logarithmic axis seaborn would take means of logarithms of logarithms.
    axes[0].set(yscale="log", ylim=(numbers.distance[numbers.distance > 0].min() / 2, numbers.distance.max() * 10))
    axes[1].plot([], [], color="gray", linestyle="--", label="tangent")
    figure.suptitle(f"Distance between twin and parent beside the linearised training ({_seeds(numbers)})")
    legend(axes[1], "kick at the start", remove=axes[0])
    return figure, pd.concat([numbers.drop(columns="kick"), carried.assign(kind="tangent")])


def shapes(tables: Tables) -> Drawn:
    """Akaike's criterion of each shape of growth above the best for the same twin, for each kick at the start. Left
    pair of panels: whole run; right pair: before saturation. Dots are means, lines 95 % bootstrap intervals of the mean
    over seeds."""
    numbers = _named(tables["fits"])
    best = numbers.groupby(["setting", "part", "seed", "kick"]).criterion.transform("min")
    numbers["excess"] = numbers.criterion - best
    figure, axes = panels(4, width=3.5, share=True)
    options = {"dodge": 0.4, "linestyle": "none", "order": list(dict.fromkeys(numbers.kick)), "markersize": 5}
    options |= {"palette": "colorblind", "errorbar": BAND["errorbar"]}
    cells = [(part, setting) for part in ("whole run", "before saturation") for setting in numbers.setting.unique()]
    for axis, (part, setting) in zip(axes, cells, strict=True):
        arm = numbers[(numbers.setting == setting) & (numbers.part == part)]
        sns.pointplot(arm, x="kick", y="excess", hue="shape", ax=axis, **options)
        axis.set(title=f"{_network(setting)}\n{part}", xlabel="kick at the start")
        if axis.get_legend():
            axis.get_legend().remove()
    axes[0].set_ylabel("excess of Akaike's criterion, a look")
    figure.suptitle(f"How much worse than the best each shape of growth fits ({_seeds(numbers)})")
    shapes = axes[0].get_legend_handles_labels()
    axes[-1].legend(*shapes, title="shape", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, numbers[["setting", "part", "seed", "kind", "size", "shape", "criterion", "excess"]]


def during_training(tables: Tables) -> Drawn:
    """Left: loss barrier between twin and parent as they are at that update. Right: share of test examples that they
    answer differently. Kicks at the start; ReLU; bands are 95 % bootstrap intervals of the mean over seeds."""
    setting = tables["growth"].setting.iloc[0]
    kicked = "time == 0 and kind != 'control' and setting == @setting"
    barriers = _named(per_seed(tables["barriers"].query(kicked), ["kind", "size", "step"], ["barrier"]))
    answers = _named(per_seed(tables["growth"].query(kicked), ["kind", "size", "step"], ["disagreement"]))
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
    """Left: local Lyapunov exponent, the growth of a tangent from the start between two looks. Right: sharpness times
    learning rate over 2, of the training loss (on some of the examples) and of the loss on the minibatch to come; above
    1 plain gradient descent would be unstable (with momentum 0.9, above 1.9). Bands are 95 % bootstrap intervals of the
    mean over seeds."""
    start = tables["tangents"].query("time == 0").sort_values(["setting", "seed", "step"]).copy()
    between = start.groupby(["setting", "seed"])
    start["exponent"] = 100 * between.growth.diff() / between.step.diff()
    start["middle"] = start.step - between.step.diff() / 2
    sharpness = _by_loss(tables["sharpness"])
    figure, axes = panels(2, height=4.2)
    options = {"hue": "network", "palette": "colorblind", **BAND}
    growth, curved = (table.assign(network=table.setting.map(_network)) for table in (start.dropna(), sharpness))
    sns.lineplot(growth, x="middle", y="exponent", ax=axes[0], **options)
    sns.lineplot(curved, x="step", y="relative", style="loss of the", ax=axes[1], **options)
    for axis, height in zip(axes, (0, 1), strict=True):
        axis.axhline(height, color="black", linewidth=1)
        axis.set_xlabel(UPDATE)
        root_axis(axis, tables["tangents"].step)
    axes[0].set_ylabel("growth of a tangent per 100 updates (natural log)")
    axes[1].set_ylabel("sharpness x learning rate / 2")
    figure.suptitle(f"Growth of infinitely small kicks, and sharpness ({_seeds(start)})")
    axes[1].set_title("line at 1: limit of plain gradient descent", fontsize="small")
    legend(axes[1], "", remove=axes[0])
    return figure, pd.concat([start[["setting", "seed", "step", "growth", "exponent"]], sharpness])


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


def _by_loss(sharpness: pd.DataFrame) -> pd.DataFrame:
    """A row for the training loss, one for the loss on the next minibatch; relative to the limit of stability."""
    named = sharpness.rename(columns={"sharpness": "training set", "batch_sharpness": "next minibatch"})
    losses = ["training set", "next minibatch"]
    table = named.melt(["setting", "seed", "step", "lr"], losses, "loss of the", "sharpness")
    return table.assign(relative=table.sharpness * table.lr / 2)


def _carried(start: pd.DataFrame, tangents: pd.DataFrame) -> pd.DataFrame:
    """Where each Gaussian kick would be, had it grown like its tangent."""
    kicks = start[(start.kind == "gaussian") & (start.step == 0)][["setting", "seed", "size", "distance"]]
    merged = kicks.merge(tangents[tangents.time == 0][["setting", "seed", "step", "growth"]], on=["setting", "seed"])
    merged["distance"] *= np.exp(merged.growth)
    return merged.drop(columns="growth")


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With the name of each kick, the smallest first (the size of one ulp is 0, having none)."""
    named = table.assign(kick=[kick_name(k, s) for k, s in zip(table.kind, table["size"], strict=True)])
    return named.sort_values("size", kind="stable")


def _network(setting: str) -> str:
    return title(setting) if setting.endswith("gelu") else f"{title(setting)}, ReLU"


def _seeds(table: pd.DataFrame) -> str:
    return f"n = {table.seed.nunique()} seeds"
