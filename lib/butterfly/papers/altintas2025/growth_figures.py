"""The figures of notebook 03. Each returns the picture and the numbers behind it."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from butterfly.experiments.growth import Tables, left
from butterfly.study.figures import TITLES, Drawn, colours, kick_name, legend, per_seed, percent, root_axis
from butterfly.study.figures import BAND, LOG_BAND, panels

UPDATE = "update (square-root axis)"


def beside_tangents(tables: Tables) -> Drawn:
    """(a) Distance of twins kicked at the start, with the tangent of each Gaussian kick; a panel a network."""
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
    figure.suptitle(f"Distance between twin and parent beside the linearised training (n = {_seeds(numbers)} seeds)")
    legend(axes[1], "kick at the start", remove=axes[0])
    return figure, pd.concat([numbers.drop(columns="kick"), carried.assign(kind="tangent")])


def shapes(tables: Tables) -> Drawn:
    """(b) How well three shapes of growth fit, for each kick at the start; a panel a network and part of the run."""
    numbers = _named(tables["fits"])
    best = numbers.groupby(["setting", "part", "seed", "kick"]).criterion.transform("min")
    numbers["excess"] = numbers.criterion - best
    figure, axes = panels(4, width=3.5, share=True)
    order = list(dict.fromkeys(numbers.kick))
    cells = [(part, setting) for part in ("whole run", "before saturation") for setting in numbers.setting.unique()]
    for axis, (part, setting) in zip(axes, cells, strict=True):
        arm = numbers[(numbers.setting == setting) & (numbers.part == part)]
        options = {"dodge": 0.4, "linestyle": "none", "order": order, "errorbar": BAND["errorbar"], "markersize": 5}
        sns.pointplot(arm, x="kick", y="excess", hue="shape", palette="colorblind", ax=axis, **options)
        axis.set(title=f"{_network(setting)}\n{part}", xlabel="kick at the start")
    axes[0].set_ylabel("excess of Akaike's criterion, a look")
    figure.suptitle(f"How much worse than the best each shape of growth fits (n = {_seeds(numbers)} seeds)")
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes:
        if axis.get_legend():
            axis.get_legend().remove()
    axes[-1].legend(handles, labels, title="shape", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, numbers[["setting", "part", "seed", "kind", "size", "shape", "criterion", "excess"]]


def during_training(tables: Tables) -> Drawn:
    """(c) Barrier and disagreement while twins train, kicks at the start; of the network with kinks."""
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
    figure.suptitle(f"Twins while they train ({_network(setting)}, n = {_seeds(answers)} seeds)")
    legend(axes[1], "kick at the start", remove=axes[0])
    return figure, pd.concat([barriers, answers]).drop(columns="kick")


def exponents(tables: Tables) -> Drawn:
    """(d) Local Lyapunov exponent, and sharpness against the limit of stability, over training."""
    start = tables["tangents"].query("time == 0").sort_values(["setting", "seed", "step"]).copy()
    between = start.groupby(["setting", "seed"])
    start["exponent"] = 100 * between.growth.diff() / between.step.diff()
    start["middle"] = start.step - between.step.diff() / 2
    sharpness = tables["sharpness"].rename(columns={"sharpness": "training set", "batch_sharpness": "next minibatch"})
    sharpness = sharpness.melt(
        ["setting", "seed", "step", "lr"], ["training set", "next minibatch"], "loss of the", "sharpness"
    )
    sharpness["relative"] = sharpness.sharpness * sharpness.lr / 2
    figure, axes = panels(2, height=4.2)
    for axis, table, x, y in (
        (axes[0], start.dropna(), "middle", "exponent"),
        (axes[1], sharpness, "step", "relative"),
    ):
        shown = table.assign(network=table.setting.map(_network))
        style = {"style": "loss of the"} if y == "relative" else {}
        sns.lineplot(shown, x=x, y=y, hue="network", palette="colorblind", ax=axis, **style, **BAND)
        axis.set_xlabel(UPDATE)
        root_axis(axis, tables["tangents"].step)
    axes[0].axhline(0, color="black", linewidth=1)
    axes[0].set_ylabel("growth of a tangent per 100 updates (natural log)")
    axes[1].axhline(1, color="black", linewidth=1)
    axes[1].set_ylabel("sharpness x learning rate / 2")
    figure.suptitle(f"Growth of infinitely small kicks, and sharpness (n = {_seeds(start)} seeds)")
    axes[1].set_title("line at 1: limit of plain gradient descent", fontsize="small")
    legend(axes[1], "", remove=axes[0])
    return figure, pd.concat([start[["setting", "seed", "step", "growth", "exponent"]], sharpness])


def what_is_left(tables: Tables) -> Drawn:
    """(e) Barrier at the end against the growth that a tangent started at the kick still makes; a point a twin."""
    numbers = left(tables)
    numbers["when"] = numbers.time.map(percent)
    figure, axes = panels(2)
    for axis, (setting, arm) in zip(axes, numbers.groupby("setting", sort=False), strict=True):
        _scatter(axis, arm)
        axis.set(title=_network(setting), xlabel="growth of the tangent from kick to end (natural log)")
        axis.set_ylabel("loss barrier at the end (train, nats)")
    figure.suptitle(
        f"Barrier against the growth that was left at the kick (Gaussian, {numbers['size'].iloc[0]:g}; "
        f"n = {_seeds(numbers)} seeds)"
    )
    legend(axes[1], "kicked at")
    return figure, numbers.drop(columns="when")


def _scatter(axis: Axes, arm: pd.DataFrame) -> None:
    for when, color in colours(arm.when).items():
        some = arm[arm.when == when]
        axis.scatter(some.growth, some.barrier, color=color, s=18, label=when)


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
    return TITLES[setting] if setting.endswith("gelu") else f"{TITLES[setting]}, ReLU"


def _seeds(table: pd.DataFrame) -> int:
    return table.seed.nunique()
