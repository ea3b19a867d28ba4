"""The figures of notebook 07. Each returns the picture and the numbers behind it."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from butterfly.experiments.ensembles import INDEPENDENT, Tables
from butterfly.study.figures import TITLES, Drawn, colours, legend, percent, root_axis
from butterfly.study.figures import BAND, panels

WHO = {"member": "single members", "logits": "mean of logits", "probabilities": "mean of probabilities"}
AVERAGES = {"member": "single members", "average": "average of the weights", "aligned": "average after alignment"}
PARTED = "members part at (% of training)"


def ensembles(tables: Tables) -> Drawn:
    """(a) Accuracy, loss and calibration of members and ensembles against the time at which the members part."""
    numbers = _long(tables, WHO, ("accuracy", "loss", "calibration"))
    labels = {"accuracy": "test accuracy", "loss": "test loss (nats)", "calibration": "expected calibration error"}
    figure, axes = panels(3, width=4.0)
    for axis, (measure, label) in zip(axes, labels.items(), strict=True):
        _against_time(axis, numbers[numbers.measure == measure], WHO)
        axis.set_ylabel(label)
        if axis is not axes[-1]:
            axis.get_legend().remove()
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    legend(axes[-1], "who answers\n(dashed: networks\nof different seeds)")
    figure.suptitle(f"Ensembles of a parent and its twins ({_scope(tables)})")
    return figure, numbers


def diversity(tables: Tables) -> Drawn:
    """(b) What an ensemble gains, against the angle between representations and against disagreement."""
    numbers = tables["groups"].copy()
    numbers["parted"] = numbers.time.map(_parted)
    palette = colours(numbers[numbers.time != INDEPENDENT].parted) | {_parted(INDEPENDENT): "black"}
    figure, axes = panels(2)
    for axis, measure, label in (
        (axes[0], "angle", "Angular CKA between members, last hidden layer (rad)"),
        (axes[1], "disagreement", "test examples that two members answer differently"),
    ):
        sns.scatterplot(numbers, x=measure, y="loss_gain", hue="parted", palette=palette, ax=axis)
        axis.set(xlabel=label, ylabel="gain of the ensemble in test loss (nats)")
    axes[1].xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[1].set_ylabel("")
    legend(axes[1], "members part at", remove=axes[0])
    figure.suptitle(f"The further apart, the larger the gain ({_scope(tables)})")
    return figure, numbers[["seed", "time", "angle", "disagreement", "loss_gain", "gain"]]


def averages(tables: Tables) -> Drawn:
    """(c) Test accuracy of the average of all weights, plain and aligned, against the time at which members part."""
    numbers = _long(tables, AVERAGES, ("accuracy",))
    figure, (axis,) = panels(1, width=6.4, height=4.1)
    _against_time(axis, numbers, AVERAGES)
    axis.set_ylabel("test accuracy")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    legend(axis, "who answers\n(dashed: networks\nof different seeds)")
    figure.suptitle(f"Averaging weights instead of answers ({_scope(tables)})")
    return figure, numbers


def savings(tables: Tables) -> Drawn:
    """(d) The gain that is kept when members share the way to some time, against what training them then costs."""
    every = tables["groups"].set_index(["seed", "time"])
    whole = every.xs(INDEPENDENT, level="time")
    kept = every.join(whole[["loss_gain", "gain", "cost"]].rename(columns=lambda name: f"whole_{name}"), on="seed")
    kept["loss"], kept["accuracy"] = kept.loss_gain / kept.whole_loss_gain, kept.gain / kept.whole_gain
    kept["paid"] = kept.cost / kept.whole_cost
    numbers = kept.reset_index().query("time != @INDEPENDENT")[["seed", "time", "paid", "loss", "accuracy"]]
    long = numbers.melt(["seed", "time", "paid"], var_name="in", value_name="kept")
    figure, (axis,) = panels(1, width=6.4, height=4.1)
    sns.lineplot(long, x="paid", y="kept", hue="in", palette="colorblind", marker="o", ax=axis, **BAND)
    axis.axhline(1, color="black", linewidth=1)
    for (time, paid), kept in long.groupby(["time", "paid"]).kept.mean().items():
        if time == 0 or time >= 10:
            axis.annotate(percent(time), (paid, kept), (6, -12), textcoords="offset points", fontsize="small")
    axis.set(xlabel="cost of training, as a share of theirs (beside the dots: when members part)")
    axis.set_ylabel("gain, as a share of that of independent networks")
    for direction in (axis.xaxis, axis.yaxis):
        direction.set_major_formatter(PercentFormatter(1.0, decimals=0))
    legend(axis, "gain in test")
    figure.suptitle(f"What sharing the beginning saves, and loses ({_scope(tables)})")
    return figure, numbers


def _long(tables: Tables, who: dict[str, str], measures: tuple[str, ...]) -> pd.DataFrame:
    """One row a seed, time, kind of answer and measure."""
    every = tables["groups"]
    parts = [
        every[["seed", "time"]].assign(measure=measure, who=name, value=every[f"{key}_{measure}"])
        for measure in measures
        for key, name in who.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _against_time(axis: Axes, numbers: pd.DataFrame, who: dict[str, str]) -> None:
    palette = dict(zip(who.values(), ["black", *sns.color_palette("colorblind", 2)], strict=True))
    kicked = numbers[numbers.time != INDEPENDENT]
    sns.lineplot(kicked, x="time", y="value", hue="who", palette=palette, marker="o", ax=axis, **BAND)
    for name, one in numbers[numbers.time == INDEPENDENT].groupby("who"):
        axis.axhline(one.value.mean(), color=palette[name], linestyle="--", linewidth=1)
    axis.set_xlabel(PARTED)
    root_axis(axis, kicked.time, [time for time in sorted(kicked.time.unique()) if time == 0 or time >= 5])
    axis.xaxis.set_major_formatter("{x:g}")


def _parted(time: float) -> str:
    return "different seeds" if time == INDEPENDENT else percent(time)


def _scope(tables: Tables) -> str:
    groups = tables["groups"]
    return f"{TITLES[groups.setting.iloc[0]]}, {groups.members.iloc[0]} members, n = {groups.seed.nunique()} seeds"
