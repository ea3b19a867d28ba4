"""The figures of notebook 01. Each returns the picture and the numbers behind it."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly.study.figures import Drawn, colours, kick_name, legend, per_seed, percent, root_axis, scope
from butterfly.study.figures import BAND, LOG_BAND, panels


def barrier_by_size(twins: pd.DataFrame) -> Drawn:
    """(a) Barrier at the end against kick size, a line a kick time; Gaussian and batch kicks side by side."""
    numbers = per_seed(twins[twins.kind != "control"], ["kind", "time", "size"], ["barrier", "relative_size"])
    numbers["when"] = numbers.time.map(percent)
    # One place on the axis for all seeds of a cell: the tiny kicks differ a little in size.
    place = numbers.groupby(["kind", "time", "size"]).relative_size
    numbers["place"] = np.exp(place.transform(lambda s: np.log(s).mean()))
    figure, axes = panels(2, share=True)
    palette = colours(numbers.when)
    for axis, kind, title in zip(axes, ("gaussian", "batch"), ("Gaussian kick", "batch kick"), strict=True):
        chosen = numbers[numbers.kind == kind]
        sns.lineplot(chosen, x="place", y="barrier", hue="when", palette=palette, marker="o", ax=axis, **BAND)
        axis.set(xscale="log", title=title, ylabel="loss barrier at the end (train, nats)")
        axis.set_xlabel("size of the kick (1 = norm of the weights at initialisation)")
    for kind, marker in (("one ulp", "v"), ("one weight", "s")):
        means = numbers[numbers.kind == kind].groupby(["when", "place"], sort=False).barrier.mean().reset_index()
        colors = [palette[when] for when in means.when]
        axes[0].scatter(means.place, means.barrier, color=colors, marker=marker, s=42, edgecolor="white", zorder=3)
        if len(means):
            top = means.loc[means.barrier.idxmax()]
            axes[0].annotate(kind, (top.place, top.barrier), (0, 9), textcoords="offset points", ha="center")
    axes[0].margins(x=0.12)
    figure.suptitle(f"Barrier at the end against the size of the kick ({scope(twins)})")
    legend(axes[1], "kicked at", remove=axes[0])
    return figure, numbers.drop(columns="when")


def barrier_by_time(twins: pd.DataFrame) -> Drawn:
    """(b) Barrier at the end against kick time, a line a size; in steps and in cumulative learning rate."""
    values = ["barrier", "step", "cumulative_lr"]
    numbers = per_seed(twins[twins.kind.isin(["gaussian", "one ulp"])], ["kind", "size", "time"], values)
    numbers["kick"] = [kick_name(kind, size) for kind, size in zip(numbers.kind, numbers["size"], strict=True)]
    figure, axes = panels(2)
    axes[1].sharey(axes[0])
    palette = colours(numbers.kick)
    clocks = (
        ("step", "update at which the kick comes (square-root axis)"),
        ("cumulative_lr", "learning rate summed up to the kick (square-root axis)"),
    )
    for axis, (clock, label) in zip(axes, clocks, strict=True):
        sns.lineplot(numbers, x=clock, y="barrier", hue="kick", palette=palette, marker="o", ax=axis, **BAND)
        axis.set(xlabel=label, ylabel="loss barrier at the end (train, nats)")
        root_axis(axis, numbers[clock])
    figure.suptitle(f"Barrier at the end against the time of the kick ({scope(twins)})")
    legend(axes[1], "Gaussian kick, size", remove=axes[0])
    return figure, numbers.drop(columns="kick")


def growth(growth: pd.DataFrame, twins: pd.DataFrame) -> Drawn:
    """(c) Distance between twin and parent during training, kicks at time 0, with the distance travelled as scale."""
    start = growth[(growth.time == 0) & growth.kind.isin(["gaussian", "one ulp", "one weight"])]
    numbers = per_seed(start, ["kind", "size", "step"], ["distance", "travelled"])
    numbers["kick"] = [kick_name(kind, size) for kind, size in zip(numbers.kind, numbers["size"], strict=True)]
    figure, (axis,) = panels(1, width=7.2, height=4.3)
    first = numbers[numbers.step == 0].groupby("kick").distance.mean()
    seen = numbers[numbers.distance > 0].sort_values("kick", key=lambda kick: kick.map(first), kind="stable")
    sns.lineplot(seen, x="step", y="distance", hue="kick", palette=colours(seen.kick), ax=axis, **LOG_BAND)
    scale = numbers.groupby("step").travelled.mean()
    axis.plot(scale.index[1:], scale.iloc[1:], color="black", linestyle="--", label="parent from its start")
    axis.set(yscale="log", xlabel="update (square-root axis)", ylabel="L2 distance of the weights")
    root_axis(axis, numbers.step)
    figure.suptitle(f"Distance between twin and parent, kicked at time 0 ({scope(twins)})")
    axis.legend(title="kick (Gaussian: size)", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, numbers.drop(columns="kick")


def along_the_path(paths: pd.DataFrame, twins: pd.DataFrame) -> Drawn:
    """(d) Loss on the straight line from parent to twin, kicks of one size at different times."""
    kicked = paths[paths.kind == "gaussian"]
    size = _middle(kicked["size"])
    numbers = kicked[kicked["size"] == size][["seed", "time", "size", "alpha", "loss"]].copy()
    numbers["when"] = numbers.time.map(percent)
    figure, (axis,) = panels(1, width=6.4, height=4.1)
    palette = colours(numbers.when)
    sns.lineplot(numbers, x="alpha", y="loss", hue="when", palette=palette, marker=".", ax=axis, **BAND)
    axis.set(xlabel="place on the line: 0 = parent, 1 = twin", ylabel="training loss (nats)")
    figure.suptitle(f"Loss between parent and twin, Gaussian kick of {size:g} ({scope(twins)})")
    axis.legend(title="kicked at", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, numbers.drop(columns="when")


def disagreement(growth: pd.DataFrame, twins: pd.DataFrame) -> Drawn:
    """(e) Twins come to disagree on test examples, while their accuracy stays that of the parent."""
    kicked = growth[growth.kind == "gaussian"]
    size = _middle(kicked["size"])
    of_twins = kicked[kicked["size"] == size][["seed", "time", "step", "disagreement", "accuracy_during"]]
    control = growth[(growth.kind == "control") & (growth.time == growth.time.min())]
    parents = control[["seed", "step", "accuracy_during"]].assign(time=np.nan, disagreement=0.0)
    numbers = pd.concat([of_twins, parents], ignore_index=True)
    numbers["when"] = numbers.time.map(lambda time: "parent" if np.isnan(time) else percent(time))
    figure, axes = panels(2)
    palette = colours(numbers.when[numbers.when != "parent"]) | {"parent": "black"}
    shown = numbers[numbers.when != "parent"]
    sns.lineplot(shown, x="step", y="disagreement", hue="when", palette=palette, ax=axes[0], **BAND)
    sns.lineplot(numbers, x="step", y="accuracy_during", hue="when", palette=palette, ax=axes[1], **BAND)
    axes[0].set(xlabel="update", ylabel="test examples answered differently")
    figure.suptitle(f"Twins and parent during training, Gaussian kick of size {size:g} ({scope(twins)})")
    axes[1].set(xlabel="update", ylabel="test accuracy")
    for axis in axes:
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    legend(axes[1], "kicked at", remove=axes[0])
    return figure, numbers.drop(columns="when")


# --- pieces ----------------------------------------------------------------------------------------------------------


def _middle(sizes: pd.Series) -> float:
    """The size nearest the middle, so that figures of one size show a typical one."""
    values = sorted(sizes.unique())
    return values[len(values) // 2]
