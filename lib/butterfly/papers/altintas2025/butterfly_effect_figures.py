"""The figures of notebook 01. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import PercentFormatter

from butterfly.study import Tables
from butterfly.study.figures import BAND, LOG_BAND, Drawn, colours, kick_name, legend, panels, per_seed, percent
from butterfly.study.figures import root_axis, scope

BARRIER = "loss barrier at the end (train, nats)"


def barrier_by_size(tables: Tables) -> Drawn:
    """Loss barrier between twin and parent at the end of training, against the size of the kick; colours are kick
    times, in percent of training. Left: Gaussian kicks; squares and triangles are kicks of a single weight. Right:
    kicks along another batch's gradient. Bands are 95 % bootstrap intervals of the mean over seeds."""
    twins = tables["twins"]
    numbers = per_seed(twins[twins.kind != "control"], ["kind", "time", "size"], ["barrier", "relative_size"])
    numbers["when"] = numbers.time.map(percent)
    # One place on the axis for all seeds of a cell: the tiny kicks differ a little in size.
    place = numbers.groupby(["kind", "time", "size"]).relative_size
    numbers["place"] = np.exp(place.transform(lambda s: np.log(s).mean()))
    figure, axes = panels(2, share=True)
    palette = colours(numbers.when)
    for axis, (kind, title) in zip(axes, {"gaussian": "Gaussian kick", "batch": "batch kick"}.items(), strict=True):
        chosen = numbers[numbers.kind == kind]
        sns.lineplot(chosen, x="place", y="barrier", hue="when", palette=palette, marker="o", ax=axis, **BAND)
        axis.set(xscale="log", title=title, ylabel=BARRIER)
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


def barrier_by_time(tables: Tables) -> Drawn:
    """Loss barrier at the end against the time of a Gaussian kick; colours are sizes. Left: number of the update.
    Right: learning rate summed up to the kick. Bands are 95 % bootstrap intervals of the mean over seeds."""
    twins = tables["twins"]
    values = ["barrier", "step", "cumulative_lr"]
    numbers = per_seed(twins[twins.kind.isin(["gaussian", "one ulp"])], ["kind", "size", "time"], values)
    numbers["kick"] = _names(numbers)
    figure, axes = panels(2)
    axes[1].sharey(axes[0])
    palette = colours(numbers.kick)
    clocks = {"step": "update at which the kick comes", "cumulative_lr": "learning rate summed up to the kick"}
    for axis, (clock, label) in zip(axes, clocks.items(), strict=True):
        sns.lineplot(numbers, x=clock, y="barrier", hue="kick", palette=palette, marker="o", ax=axis, **BAND)
        axis.set(xlabel=f"{label} (square-root axis)", ylabel=BARRIER)
        root_axis(axis, numbers[clock])
    figure.suptitle(f"Barrier at the end against the time of the kick ({scope(twins)})")
    legend(axes[1], "Gaussian kick, size", remove=axes[0])
    return figure, numbers.drop(columns="kick")


def growth(tables: Tables) -> Drawn:
    """L2 distance between twin and parent during training after kicks at time 0, on a logarithmic axis; dashed: how far
    the parent has moved from its own start. Lines are geometric means over seeds, bands 95 % bootstrap intervals."""
    seen = tables["growth"]
    start = seen[(seen.time == 0) & seen.kind.isin(["gaussian", "one ulp", "one weight"])]
    numbers = per_seed(start, ["kind", "size", "step"], ["distance", "travelled"])
    numbers["kick"] = _names(numbers)
    figure, (axis,) = panels(1, width=7.2, height=4.3)
    first = numbers[numbers.step == 0].groupby("kick").distance.mean()
    apart = numbers[numbers.distance > 0].sort_values("kick", key=lambda kick: kick.map(first), kind="stable")
    sns.lineplot(apart, x="step", y="distance", hue="kick", palette=colours(apart.kick), ax=axis, **LOG_BAND)
    scale = numbers.groupby("step").travelled.mean()
    axis.plot(scale.index[1:], scale.iloc[1:], color="black", linestyle="--", label="parent from its start")
    axis.set(yscale="log", xlabel="update (square-root axis)", ylabel="L2 distance of the weights")
    root_axis(axis, numbers.step)
    figure.suptitle(f"Distance between twin and parent, kicked at time 0 ({scope(seen)})")
    legend(axis, "kick (Gaussian: size)")
    return figure, numbers.drop(columns="kick")


def path(tables: Tables) -> Drawn:
    """Training loss on the straight line between parent (0) and twin (1), after Gaussian kicks of one size; colours are
    kick times; bands are 95 % bootstrap intervals of the mean over seeds."""
    kicked, size = _of_middle_size(tables["paths"])
    numbers = kicked[["seed", "time", "size", "alpha", "loss"]]
    shown = numbers.assign(when=numbers.time.map(percent))
    figure, (axis,) = panels(1, width=6.4, height=4.1)
    palette = colours(shown.when)
    sns.lineplot(shown, x="alpha", y="loss", hue="when", palette=palette, marker=".", ax=axis, **BAND)
    axis.set(xlabel="place on the line: 0 = parent, 1 = twin", ylabel="training loss (nats)")
    figure.suptitle(f"Loss between parent and twin, Gaussian kick of {size:g} ({scope(kicked)})")
    legend(axis, "kicked at")
    return figure, numbers


def disagreement(tables: Tables) -> Drawn:
    """Left: share of test examples on which twin and parent differ. Right: test accuracy of the twins, and of the
    parent in black. Gaussian kicks of one size; colours are kick times; bands are 95 % bootstrap intervals of the mean
    over seeds."""
    seen = tables["growth"]
    kicked, size = _of_middle_size(seen)
    of_twins = kicked[["seed", "time", "step", "disagreement", "accuracy_during"]]
    control = seen[(seen.kind == "control") & (seen.time == seen.time.min())]
    parents = control[["seed", "step", "accuracy_during"]].assign(time=np.nan, disagreement=0.0)
    numbers = pd.concat([of_twins, parents], ignore_index=True)
    numbers["when"] = numbers.time.map(lambda time: "parent" if np.isnan(time) else percent(time))
    twins = numbers[numbers.when != "parent"]
    figure, axes = panels(2)
    palette = colours(twins.when) | {"parent": "black"}
    sns.lineplot(twins, x="step", y="disagreement", hue="when", palette=palette, ax=axes[0], **BAND)
    sns.lineplot(numbers, x="step", y="accuracy_during", hue="when", palette=palette, ax=axes[1], **BAND)
    figure.suptitle(f"Twins and parent during training, Gaussian kick of size {size:g} ({scope(seen)})")
    for axis, label in zip(axes, ("test examples answered differently", "test accuracy"), strict=True):
        axis.set(xlabel="update", ylabel=label)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    legend(axes[1], "kicked at", remove=axes[0])
    return figure, numbers.drop(columns="when")


# --- pieces ----------------------------------------------------------------------------------------------------------


def _names(numbers: pd.DataFrame) -> list[str]:
    return [kick_name(kind, size) for kind, size in zip(numbers.kind, numbers["size"], strict=True)]


def _of_middle_size(table: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The Gaussian kicks of the size nearest the middle, which figures of one size show; and that size."""
    kicked = table[table.kind == "gaussian"]
    sizes = sorted(kicked["size"].unique())
    size = sizes[len(sizes) // 2]
    return kicked[kicked["size"] == size], size
