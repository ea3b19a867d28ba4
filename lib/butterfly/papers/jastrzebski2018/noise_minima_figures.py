"""The figures of notebook 30. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter

from butterfly.papers.jastrzebski2018 import swaps
from butterfly.papers.jastrzebski2018.noise_minima import (
    BASE, HALF, SAME, SQUARE, arrived, at_crossing, between_seeds, breaks, kicked_by,
)  # fmt: skip
from butterfly.study import Tables, intervals
from butterfly.study.figures import BAND, LOG_BAND, Drawn, colours, legend, panels, root_axis, scope, title

RATIO = "step / batch"
SHARP = "largest eigenvalue of the Hessian"
PERCENT = PercentFormatter(1.0)
ROLES = {BASE: "step and batch as they are", SAME: "both times 4", SQUARE: "batch times 4, step times 2"}


def flatness(tables: Tables) -> Drawn:
    """Curvature against the ratio of step to batch, all networks read when they first reach one training loss. Left:
    the largest eigenvalue of the Hessian; right: its trace. A line joins settings of one step size; large dots are
    geometric means over seeds with their 95 % intervals, small dots single networks. If only the ratio counted, the
    lines would lie on one another."""
    table = arrived(tables, "networks").assign(step_size=lambda t: t.lr.map("{:g}".format))
    palette = colours(table.sort_values("lr").step_size)
    figure, axes = panels(2)
    for axis, column, label in ((axes[0], "sharpness", SHARP), (axes[1], "trace", "trace of the Hessian")):
        for shift, (name, color) in zip(np.linspace(0.96, 1.04, len(palette)), palette.items(), strict=True):
            own = table[table.step_size == name]
            _means(axis, own.assign(ratio=own.ratio * shift), "ratio", column, color, name)
        axis.set(xlabel=RATIO, ylabel=label)
        _log(axis.xaxis)
        _log(axis.yaxis)
    legend(axes[1], "step")
    figure.suptitle(f"Flatness at a training loss of {tables.params.level:g} ({scope(table)})")
    columns = ["seed", "lr", "batch", "ratio", "step", "loss", "sharpness", "sharpness_error", "trace", "trace_half"]
    return figure, table[columns]


def generalisation(tables: Tables) -> Drawn:
    """Left and middle: test accuracy and test loss against the largest eigenvalue; a small dot is a network, a large
    one the mean of a setting, coloured by the ratio of step to batch. Right: sharpness that counts changes of a
    weight in its own size, against the ordinary one; stars are the networks of the highest ratio, rewritten
    to compute the same with a larger first layer and a smaller second one."""
    table = arrived(tables, "networks").assign(noise=lambda t: t.ratio.map("{:.2g}".format))
    palette = colours(table.sort_values("ratio").noise)
    figure, axes = panels(3, width=4.3)
    for axis, column, label in (
        (axes[0], "accuracy", "test accuracy"),
        (axes[1], "test_loss", "test loss (nats)"),
        (axes[2], "relative", "relative sharpness"),
    ):
        sns.scatterplot(
            table, x="sharpness", y=column, hue="noise", palette=palette, s=12, alpha=0.5, ax=axis, legend=False
        )
        means = table.groupby(["ratio", "noise"])[["sharpness", column]].mean().reset_index()
        sns.scatterplot(means, x="sharpness", y=column, hue="noise", palette=palette, s=80, edgecolor="black", ax=axis)
        axis.set(xlabel=SHARP, ylabel=label)
        _log(axis.xaxis)
    other = arrived(tables, "rescaled")
    if np.isfinite(other.rescaled).all():
        axes[2].plot(other.rescaled, other.rescaled_relative, "*", color="black", label="rewritten")
    _log(axes[2].yaxis)
    axes[0].yaxis.set_major_formatter(PERCENT)
    axes[0].get_legend().remove()
    legend(axes[2], RATIO, remove=axes[1])
    figure.suptitle(f"Flatness, generalisation and scale ({scope(table)})")
    numbers = table[["seed", "lr", "batch", "ratio", "sharpness", "relative", "accuracy", "test_loss"]]
    again = other.assign(sharpness=other.rescaled, relative=other.rescaled_relative, lr=np.nan, batch=np.nan)
    return figure, pd.concat([numbers, again.reindex(columns=numbers.columns)], ignore_index=True)


def lines(tables: Tables) -> Drawn:
    """Training loss on the straight line through two networks of one seed, from -1 to 2; one lies at 0, the other at 1
    (dotted). Left: the batch of the second is larger; middle: its step is smaller; right: step and batch differ, their
    ratio does not. Thin lines are seeds, the thick one their geometric mean. The narrower end is the one beyond which
    the loss is higher."""
    table, params = arrived(tables, "lines"), tables.params
    figure, axes = panels(3, width=4.0, height=3.8, share=True)
    for axis, (pair, cells) in zip(axes, params.pairs.items(), strict=True):
        wide = table[table.pair == pair].pivot_table("loss", "alpha", "seed")
        axis.plot(wide.index, wide, color="gray", linewidth=0.7, alpha=0.7)
        axis.plot(wide.index, np.exp(np.log(wide).mean(axis=1)), color="black", linewidth=2.5)
        for place, (lr, batch) in enumerate(cells):
            axis.axvline(place, color="black", linewidth=1, linestyle=":")
            axis.annotate(
                f" {lr:g} / {batch}", (place, 1), xycoords=("data", "axes fraction"), va="top", fontsize="small"
            )
        titles = {"batch": "batch differs", "step": "step differs", SAME: "ratio is the same"}
        axis.set(yscale="log", xlabel="place on the line", title=titles[pair])
    axes[0].set_ylabel("training loss (nats)")
    figure.suptitle(f"Lines through two networks, step / batch at their places ({scope(table)})")
    return figure, table[["seed", "pair", "alpha", "loss"]]


def along(tables: Tables) -> Drawn:
    """Left: training accuracy over epochs with step and batch as they are, with both four times as large, and with four
    times the batch and twice the step; bands are 95 % bootstrap intervals of the mean over seeds. Right: the mean
    gap between two such curves of a seed, or between those of two seeds as they are; dots are seeds or pairs of seeds,
    bars geometric means with 95 % intervals."""
    table = tables["curves"].assign(what=tables["curves"].role.map(ROLES))
    figure, axes = panels(2)
    sns.lineplot(table, x="epoch", y="accuracy", hue="what", style="what", palette="colorblind", ax=axes[0], **BAND)
    axes[0].set(xlabel="epoch (square-root axis)", ylabel="training accuracy")
    root_axis(axes[0], table.epoch, [epoch for epoch in (0, 1, 2, 5, 10, 20, 50, 100) if epoch <= table.epoch.max()])
    axes[0].xaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_major_formatter(PERCENT)
    axes[0].legend(title="")
    wide = {role: table[table.role == role].pivot_table("accuracy", "seed", "epoch").to_numpy() for role in ROLES}
    gaps = {
        "both times 4": np.abs(wide[SAME] - wide[BASE]).mean(1),
        "batch times 4,\nstep times 2": np.abs(wide[SQUARE] - wide[BASE]).mean(1),
        "another seed": between_seeds(wide[BASE]),
    }
    for place, values in enumerate(gaps.values()):
        _column(axes[1], place, 100 * values, "black")
    axes[1].set_xticks(range(len(gaps)), gaps)
    axes[1].set(ylabel="mean gap (points of accuracy)", xlim=(-0.5, len(gaps) - 0.5))
    _log(axes[1].yaxis)
    figure.suptitle(f"Linear and square-root scaling along the way ({scope(table)})")
    return figure, table[["seed", "role", "epoch", "accuracy"]]


def schedules(tables: Tables) -> Drawn:
    """Test accuracy at the ends of phases of equal numbers of epochs, and (right) at the end. Cyclic schedules
    alternate between a high ratio of step to batch and a lower one, by their steps or by their batches; the others
    hold the lower ratio, by a small step or a large batch, or the mean step. Bands and bars are 95 % intervals of
    the mean over seeds; dots are seeds."""
    table = tables["schedules"]
    palette = dict(zip(swaps.ARMS, sns.color_palette("colorblind"), strict=False))
    figure, axes = panels(2, share=False)
    sns.lineplot(
        table, x="epoch", y="accuracy", hue="arm", style="arm", palette=palette, markers=True, ax=axes[0], **BAND
    )
    ends = table[table.phase == table.phase.max()]
    for place, arm in enumerate(swaps.ARMS):
        values = ends[ends.arm == arm].accuracy.to_numpy()
        _column(axes[1], place, values, palette[arm], log=False)
    axes[1].set_xticks(range(len(swaps.ARMS)), [arm.replace(" ", "\n") for arm in swaps.ARMS])
    axes[0].set(xlabel="epoch", ylabel="test accuracy")
    axes[1].set(ylabel="test accuracy at the end")
    for axis in axes:
        axis.yaxis.set_major_formatter(PERCENT)
    axes[0].legend(title="")
    figure.suptitle(f"Cyclic steps and cyclic batches ({scope(table)})")
    return figure, table[["seed", "arm", "phase", "epoch", "accuracy", "loss"]]


def wrong_labels(tables: Tables) -> Drawn:
    """Training with wrong labels. Left: share of the wrong labels that are fitted against the sum of steps, mean over
    seeds, coloured by the ratio of step to batch; dotted: where FM07b reads it. Middle: test accuracy against that
    share; dotted: half of them. Right: test accuracy there against the ratio; dots are seeds, bars means with 95 %
    intervals; settings in which a seed never gets there are left out."""
    table = tables["memory"].assign(noise=tables["memory"].ratio.map("{:.2g}".format))
    palette = colours(table.sort_values("ratio").noise)
    figure, axes = panels(3, width=4.2)
    columns = ["wrong", "accuracy"]
    means = table.groupby(["lr", "batch", "noise", "time"], sort=True)[columns].mean().reset_index()
    for (_, _, noise), own in means.groupby(["lr", "batch", "noise"]):
        axes[0].plot(own.time, own.wrong, color=palette[noise], label=noise)
        axes[1].plot(own.wrong, own.accuracy, marker=".", color=palette[noise])
    axes[0].axvline(tables.params.noisy_half, color="black", linestyle=":", linewidth=1)
    axes[1].axvline(HALF, color="black", linestyle=":", linewidth=1)
    found = at_crossing(tables, "wrong", HALF, "accuracy")
    for place, (ratio, column) in enumerate(zip(found.columns, found.to_numpy().T, strict=True)):
        shift = 0.3 * list(found.columns[:place]).count(ratio)  # settings of one ratio stand side by side
        _column(axes[2], ratio + shift, column, palette[f"{2.0**ratio:.2g}"], log=False)
    axes[0].set(xlabel="sum of steps", ylabel="wrong labels that are fitted")
    axes[1].set(xlabel="wrong labels that are fitted", ylabel="test accuracy (right labels)")
    axes[2].set(xlabel=f"log2({RATIO})", ylabel="test accuracy (right labels)")
    axes[1].xaxis.set_major_formatter(PERCENT)
    axes[2].set_title(f"when {HALF:.0%} of the wrong labels are fitted")
    for axis in axes:
        axis.yaxis.set_major_formatter(PERCENT)
    handles, names = axes[0].get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    axes[2].legend([once[noise] for noise in palette], palette, title=RATIO, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"Noise and wrong labels, {tables.params.noise:.0%} of the training labels ({scope(table)})")
    return figure, table[["seed", "lr", "batch", "ratio", "time", "wrong", "right", "accuracy"]]


def breaking(tables: Tables) -> Drawn:
    """Left: test accuracy after the same number of epochs with step and batch multiplied by one factor, for training
    sets of several sizes; bands are 95 % bootstrap intervals of the mean over draws of the training set. Right: the
    factor at which accuracy has dropped by a fixed amount; dots are draws, triangles draws that never drop as far, bars
    geometric means with 95 % intervals (up to the frame where a draw is only a bound)."""
    table = tables["breaking"].assign(size=tables["breaking"].examples.astype(str))
    palette = colours(table.sort_values("examples")["size"])
    figure, axes = panels(2)
    sns.lineplot(table, x="factor", y="accuracy", hue="size", palette=palette, marker="o", ax=axes[0], **BAND)
    axes[0].set(xscale="log", xlabel="factor on step and batch", ylabel="test accuracy")
    axes[0].set_xscale("log", base=2)
    axes[0].yaxis.set_major_formatter(PERCENT)
    axes[0].legend(title="training examples")
    found = breaks(tables)
    for place, (size, color) in enumerate(palette.items()):
        own = found[found.examples == int(size)]
        mean = intervals.between_bounds(own.lower.to_numpy(), own.upper.to_numpy())
        sure = np.isfinite(own.upper)
        jitter = place + np.linspace(-0.15, 0.15, len(own))
        axes[1].plot(jitter[sure], own.lower[sure], "o", color=color, markersize=4, alpha=0.6)
        axes[1].plot(jitter[~sure], own.lower[~sure], "^", color=color, markersize=6, markerfacecolor="none")
        if np.isfinite(mean.low):
            top = mean.high if np.isfinite(mean.high) else tables.params.factors[-1] * 1.5
            axes[1].plot([place, place], [mean.low, top], color=color, linewidth=2)
            axes[1].plot(place, mean.estimate, "o", color=color, markersize=9)
    axes[1].set_yscale("log", base=2)
    axes[1].set_xticks(range(len(palette)), palette)
    axes[1].set(xlabel="training examples", ylabel=f"factor at a drop of {tables.params.drop:g}")
    axes[1].set_xlim(-0.5, len(palette) - 0.5)
    draws = f"{title(table.setting.iloc[0])}, n = {table.seed.nunique()} draws of the training sets"
    figure.suptitle(f"Where swapping batch for step breaks ({draws})")
    return figure, table[["seed", "examples", "factor", "accuracy", "loss"]]


def regression(tables: Tables) -> Drawn:
    """Linear regression: excess loss at which SGD settles over what a law predicts, against the step; bars are 95 %
    intervals of the geometric mean over seeds, the grey band is 10 % either way. Left: noise that is the same
    everywhere, batches drawn independently or from shuffled epochs, over the law of three factors; dashed: the closed
    form for any step. Right: noise that grows with the first feature, over the law with the trace of the Hessian and
    that with the covariance of the gradients."""
    table = tables["regression"]
    batches = sorted(table.batch.unique())
    figure, axes = panels(2)
    palette = dict(zip(["independent", "epochs", "three", "four"], sns.color_palette("colorblind"), strict=False))
    markers = dict(zip(batches, ["o", "s", "^", "D", "v"], strict=False))
    for way, name in (("independent", "independent batches"), ("epochs", "shuffled epochs")):
        for batch in batches:
            own = table.query("world == 'right' and way == @way and batch == @batch")
            _ratios(axes[0], own, "three", palette[way], markers[batch], f"{name}, batch {batch}")
    exact = table.query("world == 'right' and way == 'independent'")
    for batch in batches:
        own = exact[exact.batch == batch]
        ratio = np.exp(np.log(own.exact / own.three).groupby(own.lr).mean())
        axes[0].plot(ratio.index, ratio, color="black", linestyle="--", linewidth=1)
    for law, name in (("three", "trace of the Hessian"), ("four", "covariance of gradients")):
        for batch in batches:
            own = table.query("world == 'wrong' and way == 'independent' and batch == @batch")
            _ratios(axes[1], own, law, palette[law], markers[batch], f"{name}, batch {batch}")
    for axis, what in zip(axes, ("noise the same everywhere", "noise grows with a feature"), strict=True):
        axis.axhspan(0.9, 1.1, color="gray", alpha=0.15, linewidth=0)
        axis.axhline(1, color="black", linewidth=1, linestyle=":")
        axis.set(xlabel="step", ylabel="excess loss / prediction", title=what)
        _log(axis.xaxis)
        _log(axis.yaxis)
        axis.legend(fontsize="x-small")
    figure.suptitle(f"Where SGD settles on linear regression (n = {table.seed.nunique()} seeds)")
    return figure, table[["seed", "world", "way", "batch", "lr", "measured", "three", "four", "exact"]]


def kicks(tables: Tables) -> Drawn:
    """Networks kicked where they reached the training loss, which then train on with their own step and batch. Left:
    distance of twins from their parents, over that at a small kick, against the sum of steps since; geometric means
    over seeds with 95 % bootstrap bands. Middle: what is left at the end, against the largest eigenvalue where the kick
    fell; right: the same for the outputs on test examples. A dot is a network, coloured by the ratio of step to batch;
    dotted: as far apart as at the kick."""
    small = min(tables.params.kick_sizes)
    over = arrived(tables, "left").query("size == @small")
    over = over.assign(noise=over.ratio.map("{:.2g}".format))
    table = kicked_by(tables, small)
    table = table.assign(noise=table.ratio.map("{:.2g}".format))
    palette = colours(table.sort_values("ratio").noise)
    figure, axes = panels(3, width=4.3)
    sns.lineplot(over, x="time", y="left", hue="noise", palette=palette, ax=axes[0], legend=False, **LOG_BAND)
    axes[0].set(xlabel="sum of steps since the kick", ylabel="share that is left, weights")
    _log(axes[0].yaxis)
    for axis, column, label in ((axes[1], "left", "share that is left, weights"),
                                (axes[2], "gap", "share that is left, outputs")):  # fmt: skip
        sns.scatterplot(table, x="sharpness", y=column, hue="noise", hue_order=palette, palette=palette, s=25, ax=axis)
        axis.set(xlabel=SHARP, ylabel=label)
        _log(axis.xaxis)
        _log(axis.yaxis)
    for axis in axes:
        axis.axhline(1, color="black", linestyle=":", linewidth=1)
    legend(axes[2], RATIO, remove=axes[1])
    figure.suptitle(
        f"What is left of a kick of {small:g}, from a training loss of {tables.params.level:g} ({scope(table)})"
    )
    columns = ["seed", "lr", "batch", "ratio", "size", "sharpness", "left", "gap", "twin_barrier"]
    large = kicked_by(tables, max(tables.params.kick_sizes))
    return figure, pd.concat([table[columns], large[columns]], ignore_index=True)


# --- pieces ----------------------------------------------------------------------------------------------------------


def _log(axis: Axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _means(axis: Axes, table: pd.DataFrame, x: str, y: str, color: tuple, label: str) -> None:
    """Single values, and a line through geometric means with their intervals."""
    axis.plot(table[x], table[y], ".", color=color, alpha=0.4, markersize=4)
    found = [(place, intervals.geometric_mean(own[y])) for place, own in table.groupby(x)]
    places, means = [place for place, _ in found], [mean.estimate for _, mean in found]
    axis.plot(places, means, "o-", color=color, markersize=6, label=label)
    for place, mean in found:
        axis.plot([place, place], [mean.low, mean.high], color=color, linewidth=2)


def _column(axis: Axes, place: float, values: np.ndarray, color: str | tuple, log: bool = True) -> None:
    """Values of seeds at one place, and their mean with its interval."""
    width = 0.12
    axis.plot(place + width * np.linspace(-1, 1, len(values)), values, ".", color=color, alpha=0.5)
    mean = intervals.geometric_mean(values) if log else intervals.mean(values)
    axis.plot(place, mean.estimate, "o", color=color, markersize=8)
    axis.plot([place, place], [mean.low, mean.high], color=color, linewidth=2)


def _ratios(axis: Axes, table: pd.DataFrame, law: str, color: tuple, marker: str, label: str) -> None:
    """Measured over predicted excess loss against the step: geometric means with their intervals."""
    found = [(lr, intervals.geometric_mean(own.measured / own[law])) for lr, own in table.groupby("lr")]
    axis.plot([lr for lr, _ in found], [mean.estimate for _, mean in found], marker=marker, color=color, label=label,
              linestyle="-" if marker == "o" else "--")  # fmt: skip
    for lr, mean in found:
        axis.plot([lr, lr], [mean.low, mean.high], color=color, linewidth=2)
