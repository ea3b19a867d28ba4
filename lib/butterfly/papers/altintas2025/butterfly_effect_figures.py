"""The figures of notebook 01. Each returns the picture and the numbers behind it; its docstring is the caption."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from butterfly.interpolate import EPSILON
from butterfly.papers.altintas2025.butterfly_effect import EQUAL, FALLEN, LONG, SOME
from butterfly.papers.altintas2025.twins import BARRIER as LINKED
from butterfly.study import Tables, setting
from butterfly.study.figures import BAND, LOG_BAND, Drawn, colours, kick_name, legend, panels, per_seed, percent
from butterfly.study.figures import root_axis, scope
from butterfly.train import learning_rate

BARRIER = "loss barrier at the end (train, nats)"
LIMITS = {LINKED: "limit from 10 % on (B04)", 0.01: "limit from 50 % on (B04b)"}
# Training barrier of the authors' standard arm by update of the kick, mean over Gaussian sizes from 1e-4 to 1e-2, and
# standard deviation over their 2 to 4 runs (0: not told); their notebooks/butterfly-hparams.ipynb, of 20,000 updates.
AUTHORS = {0: (1.384, 1.53), 100: (0.336, 0.081), 400: (0.156, 0.055), 2000: (0.02, 0.0)}


def barrier_by_size(tables: Tables) -> Drawn:
    """Loss barrier between twin and parent at the end of training, against the size of the kick; colours are kick
    times, in percent of training. Left: Gaussian kicks; triangles are kicks by one ulp and squares by one weight.
    Right, where there are any: kicks along another batch's gradient. The vertical axis is linear up to 0.01 and
    logarithmic beyond; dotted: the limits of B04 and B04b. Bands are 95 % bootstrap intervals of the mean over seeds.
    Sizes are those that the number format lets through."""
    twins = tables["twins"]
    kinds = twins.kind.isin(["gaussian", "batch", "one ulp", "one weight"])
    numbers = per_seed(twins[kinds], ["kind", "time", "size"], ["barrier", "relative_size"])
    numbers["when"] = numbers.time.map(percent)
    # One place on the axis for all seeds of a cell: the tiny kicks differ a little in size.
    place = numbers[numbers.relative_size > 0].groupby(["kind", "time", "size"]).relative_size
    numbers["place"] = np.exp(place.transform(lambda s: np.log(s).mean()))
    titles = {"gaussian": "Gaussian kick", "batch": "batch kick"}
    there = {kind: title for kind, title in titles.items() if (numbers.kind == kind).any()}
    figure, axes = panels(len(there), width=5.0 if len(there) > 1 else 7.2, height=4.4, share=True)
    palette = colours(numbers.when)
    for axis, (kind, title) in zip(axes, there.items(), strict=True):
        chosen = numbers[numbers.kind == kind]
        sns.lineplot(chosen, x="place", y="barrier", hue="when", palette=palette, marker="o", ax=axis, **BAND)
        axis.set(xscale="log", title=title)
        axis.set_xlabel("size of the kick (1 = norm of the weights at initialisation)")
    _limits(axes)
    for kind, marker in (("one ulp", "v"), ("one weight", "s")):
        means = numbers[numbers.kind == kind].groupby(["when", "place"], sort=False).barrier.mean().reset_index()
        colors = [palette[when] for when in means.when]
        axes[0].scatter(means.place, means.barrier, color=colors, marker=marker, s=42, edgecolor="black", zorder=3)
        if len(means):
            top = means.loc[means.barrier.idxmax()]
            axes[0].annotate(kind, (top.place, top.barrier), (0, 9), textcoords="offset points", ha="center")
    axes[0].margins(x=0.12)
    figure.suptitle(f"Barrier at the end against the size of the kick ({scope(twins)})")
    legend(axes[-1], "kicked at", remove=axes[0] if len(axes) > 1 else None)
    return figure, numbers.drop(columns=["when", "place"])


def barrier_by_time(tables: Tables) -> Drawn:
    """Loss barrier at the end against the time of a Gaussian kick; colours are sizes, black is a kick by one ulp. Left:
    number of the update. Right: learning rate summed up to the kick. The vertical axis is linear up to 0.01 and
    logarithmic beyond; dotted: the limits of B04 and B04b. Bands are 95 % bootstrap intervals of the mean over
    seeds."""
    twins = tables["twins"]
    values = ["barrier", "step", "cumulative_lr"]
    repeated = twins.groupby(["kind", "size"]).time.transform("nunique") > 1
    numbers = per_seed(twins[repeated & twins.kind.isin(["gaussian", "one ulp"])], ["kind", "size", "time"], values)
    numbers["kick"] = _names(numbers)
    figure, axes = panels(2, height=4.4)
    axes[1].sharey(axes[0])
    palette = colours(numbers[numbers.kind == "gaussian"].kick) | {"one ulp": "black"}
    clocks = {"step": "update at which the kick comes", "cumulative_lr": "learning rate summed up to the kick"}
    for axis, (clock, label) in zip(axes, clocks.items(), strict=True):
        sns.lineplot(numbers, x=clock, y="barrier", hue="kick", palette=palette, marker="o", ax=axis, **BAND)
        axis.set(xlabel=f"{label} (square-root axis)")
        root_axis(axis, numbers[clock])
    _limits(axes)
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


def number_of_weights(tables: Tables) -> Drawn:
    """Loss barrier at the end against the number of weights that are kicked, from one to all; colours are kick times.
    Left: all kicks are equal in L2, so that fewer weights move further. Right: every weight that moves does so by the
    same share of its initial scale (the paper's Equation 6), so that a kick of more weights is larger. The vertical
    axis is linear up to 0.01 and logarithmic beyond. Bands are 95 % bootstrap intervals of the mean over seeds."""
    twins, params = tables["twins"], tables.params
    sides = {EQUAL: params.count_size, SOME: params.one_weight_size}
    rows = [_counted(twins, kind, size, params.count_times).assign(panel=kind) for kind, size in sides.items()]
    numbers = per_seed(pd.concat(rows), ["panel", "size", "time", "weights"], ["barrier"])
    shown = numbers.assign(when=numbers.time.map(percent))
    figure, axes = panels(2, height=4.2, share=True)
    titles = {EQUAL: "equal L2: {:g} of the initial norm", SOME: "every weight by {:g} of its initial scale"}
    for axis, (kind, size) in zip(axes, sides.items(), strict=True):
        chosen = shown[shown.panel == kind]
        sns.lineplot(
            chosen, x="weights", y="barrier", hue="when", palette=colours(shown.when), marker="o", ax=axis, **BAND
        )
        axis.set(xscale="log", xlabel="number of weights kicked", title=titles[kind].format(size))
    _limits(axes)
    figure.suptitle(f"Barrier at the end against the number of kicked weights ({scope(twins)})")
    legend(axes[1], "kicked at", remove=axes[0])
    return figure, numbers


def clocks(tables: Tables) -> Drawn:
    """Barrier at the end as a share of that after kicks at time 0, against the time of the kick on three clocks. Blue:
    the runs of this notebook; orange: runs with four times the updates, the schedule stretched alike. Lines are
    geometric means over Gaussian kicks of two sizes and over seeds, bands 95 % bootstrap intervals over seeds.
    Dotted: a fifth, where B26e compares the runs. Crosses: the standard arm of the authors (ResNet-20 on CIFAR-10,
    20,000 updates), with the standard deviation over their 2 to 4 runs. Where the lines of one clock lie on each other,
    that clock decides."""
    rows = [(tables["twins"], 1), *([(tables["longer"], LONG)] if len(tables["longer"]) else [])]
    numbers = pd.concat([_falling(table, tables.params.long_sizes, n) for table, n in rows], ignore_index=True)
    names = {n: f"{n} times as many (n = {table.seed.nunique()})" for n, table in numbers.groupby("longer")}
    shown = numbers.assign(run=numbers.longer.map(names | {1: "this notebook's updates"}))
    figure, axes = panels(3, width=4.4, height=4.1)
    recipe = setting("cifar10-paper").recipe
    summed = np.cumsum([0.0, *(learning_rate(recipe, step) for step in range(max(AUTHORS)))])
    authors = {"time": [100 * s / recipe.steps for s in AUTHORS], "step": list(AUTHORS),
               "cumulative_lr": [summed[s] for s in AUTHORS]}  # fmt: skip
    labels = {"time": "% of training", "step": "updates", "cumulative_lr": "summed learning rate"}
    means, spread = (np.array(column) / AUTHORS[0][0] for column in zip(*AUTHORS.values(), strict=True))
    bars = [np.minimum(spread, 0.9 * means), spread]  # on a logarithmic axis, 0 has no place
    for axis, (clock, label) in zip(axes, labels.items(), strict=True):
        sns.lineplot(shown, x=clock, y="share", hue="run", style="run", markers=["o", "s"][: len(rows)], dashes=False,
                     palette="colorblind", ax=axis, **LOG_BAND)  # fmt: skip
        axis.errorbar(authors[clock], means, yerr=bars, color="black", marker="x", linestyle="none", linewidth=1,
                      label="authors' standard arm")  # fmt: skip
        axis.axhline(FALLEN, color="black", linestyle=":", linewidth=1)
        axis.set(yscale="log", xlabel=f"{label} before the kick (square-root axis)", ylabel="")
        root_axis(
            axis, pd.Series([*shown[clock], *authors[clock]]), [0, 2, 10, 25, 50, 80] if clock == "time" else None
        )
    axes[0].set_ylabel("barrier over that of kicks at time 0")
    figure.suptitle(f"Which clock does the end of chaos keep? ({scope(numbers)})")
    axes[0].get_legend().remove()
    legend(axes[2], "", remove=axes[1])
    return figure, numbers


# --- pieces ----------------------------------------------------------------------------------------------------------


def _limits(axes: Sequence[Axes]) -> None:
    """Axes of barriers from 0 on, with the limits below which late kicks are said to end.

    To be called after all panels are drawn: seaborn takes means on the scale that a shared axis has by then.
    """
    for axis in axes:
        axis.set_yscale("symlog", linthresh=0.01, linscale=0.5)
        axis.set_ylim(bottom=0)
        axis.set_yticks([0, 0.01, 0.1, 1], ["0", "0.01", "0.1", "1"])
        axis.set_ylabel(f"{BARRIER}; symlog axis")
        for limit, name in LIMITS.items():
            axis.axhline(limit, color="black", linestyle=":", linewidth=1)
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axis.annotate(name, (0, limit), (3, 2), fontsize="x-small", **place)


def _counted(twins: pd.DataFrame, kind: str, size: float, times: tuple[float, ...]) -> pd.DataFrame:
    """The kicks of one, some and all weights of one size, at the times at which all were tried."""
    one = (twins.kind == "one weight") & (twins.draw == 0) & (kind == SOME)
    chosen = twins[(twins.kind.isin([kind, "gaussian"]) | one) & np.isclose(twins["size"], size)]
    return chosen[chosen.time.isin(times)].assign(size=size)


def _falling(twins: pd.DataFrame, sizes: tuple[float, ...], longer: int) -> pd.DataFrame:
    """Barrier of each seed and kick time over that at time 0; a geometric mean over sizes."""
    chosen = twins[(twins.kind == "gaussian") & twins["size"].isin(sizes)]
    found = chosen.assign(log=np.log(chosen.barrier + EPSILON))
    found = found.groupby(["setting", "seed", "time", "step", "cumulative_lr"]).log.mean().reset_index()
    first = found[found.time == 0].set_index("seed").log
    return found.assign(share=np.exp(found.log - found.seed.map(first)), longer=longer).drop(columns="log")


def _names(numbers: pd.DataFrame) -> list[str]:
    return [kick_name(kind, size) for kind, size in zip(numbers.kind, numbers["size"], strict=True)]


def _of_middle_size(table: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The Gaussian kicks of the size nearest the middle, which figures of one size show; and that size."""
    kicked = table[table.kind == "gaussian"]
    sizes = sorted(kicked["size"].unique())
    size = sizes[len(sizes) // 2]
    return kicked[kicked["size"] == size], size
