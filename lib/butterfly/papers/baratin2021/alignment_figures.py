"""The figures of notebook 42. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullLocator

from butterfly.papers.baratin2021.alignment import EASY, GIVEN, HARD, REFERENCE, RIGHT, SHUFFLED, SLOWER, TEST, TRAIN
from butterfly.papers.baratin2021.alignment import TRUE, WRONG
from butterfly.study import Tables
from butterfly.study.figures import BAND, LOG_BAND, SEQUENCE, Drawn, legend, panels, root_axis, scope

UPDATES = "updates (logarithmic axis, start at 0.5)"
ALIGNED = "centred kernel alignment"
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, *_ = sns.color_palette("colorblind")


def alignment(tables: Tables) -> Drawn:
    """How the tangent kernel is aligned with the labels while networks learn; left with true labels, right with many
    wrong ones. Training images with the labels they are given, test images with their labels, and training images with
    labels in random order (chance). Lines are means over seeds, bands 95 % bootstrap intervals."""
    table = tables["alignments"]
    shares = sorted(table.noise.unique())
    figure, axes = panels(len(shares), width=4.6, share=True)
    lines = [(TRAIN, GIVEN, BLUE, "training images, given labels"), (TEST, TRUE, ORANGE, "test images, their labels")]
    lines += [(TRAIN, SHUFFLED, "gray", "training images, random order")]
    for axis, share in zip(axes, shares, strict=True):
        for examples, labels, color, label in lines:
            _line(axis, table, share, examples, labels, color, label)
        axis.set(title=_wrong(share), ylabel=ALIGNED)
        _updates(axis)
    axes[0].set_ylim(bottom=0)
    figure.suptitle(f"The kernel turns towards the labels ({scope(table)})")
    legend(axes[-1], "kernel of", remove=axes[0])
    some = table[table.labels.isin([GIVEN, TRUE, SHUFFLED]) & table.examples.isin([TRAIN, TEST])]
    return figure, some[["noise", "seed", "step", "examples", "labels", "alignment"]]


def spectrum(tables: Tables) -> Drawn:
    """In how many directions the tangent kernel of training images lies. Left: its effective rank, the exponential of
    the entropy of the spectrum, by the share of wrong labels. Right: the share of its trace that lies in the largest
    directions, with true labels (lines) and with the most wrong ones (dashed). Means over seeds; bands are 95 %
    bootstrap intervals."""
    table = tables["spectra"]
    shares = sorted(table.noise.unique())
    tops = [name for name in table if name.startswith("top")]
    figure, axes = panels(2, width=5.0)
    for share, color in zip(shares, sns.color_palette("colorblind"), strict=False):
        some = _drawn(table[table.noise == share])
        sns.lineplot(some, x="at", y="rank", color=color, label=_wrong(share), marker="o", ax=axes[0], **BAND)
    for top, color in zip(tops, sns.color_palette(SEQUENCE, len(tops)), strict=True):
        for share, dash in ((shares[0], "-"), (shares[-1], "--")):
            some = _drawn(table[table.noise == share])
            label = top.removeprefix("top") if dash == "-" else None
            sns.lineplot(some, x="at", y=top, color=color, linestyle=dash, label=label, ax=axes[1], **BAND)
    for axis, label in zip(axes, ("effective rank", "share of the trace"), strict=True):
        _updates(axis)
        axis.set_ylabel(label)
    axes[0].set_ylim(bottom=0)
    axes[0].legend(title="labels", fontsize="small")
    axes[1].set_ylim(0, 1)
    for share, dash in ((shares[0], "-"), (shares[-1], "--")):
        axes[1].plot([], [], color="gray", linestyle=dash, label=_wrong(share))
    axes[1].legend(title="largest directions", fontsize="small", ncol=2)
    figure.suptitle(f"Directions of the kernel ({scope(table)})")
    return figure, table[["noise", "seed", "step", "rank", *tops, "largest", "mean", "median"]]


def noise(tables: Tables) -> Drawn:
    """Networks that learn many wrong labels. Left: shares of test images answered rightly, and of wrong labels learned.
    Middle: alignment of the kernel of test images with their true labels, beside that of networks that learn true
    labels only. Right: the kernel of images with wrong labels, aligned with what they are and with what they are
    called. Dotted: the median look at which test accuracy is highest. Means over seeds; bands are 95 % bootstrap
    intervals."""
    table, seen = tables["alignments"], tables["answers"]
    most = table.noise.max()
    figure, axes = panels(3, width=4.3)
    noisy = _drawn(seen[seen.noise == most])
    for column, color, label in (("right", BLUE, "test images, right"), ("fitted_wrong", RED, "wrong labels, learned")):
        sns.lineplot(noisy, x="at", y=column, color=color, label=label, ax=axes[0], **BAND)
    axes[0].set(ylabel="share", ylim=(0, 1), title=_wrong(most))
    for share, color in ((most, BLUE), (0.0, "gray")):
        _line(axes[1], table, share, TEST, TRUE, color, _wrong(share))
    axes[1].set(ylabel=ALIGNED, title="test images, true labels")
    for labels, color, label in ((TRUE, BLUE, "what they are"), (GIVEN, RED, "what they are called")):
        _line(axes[2], table, most, WRONG, labels, color, label)
    axes[2].set(ylabel=ALIGNED, title="images with wrong labels")
    peaks = noisy.pivot(index="seed", columns="at", values="right").idxmax(axis=1)
    for axis in axes:
        axis.axvline(peaks.median(), color="black", linestyle=":", linewidth=1)
        axis.legend(title="", fontsize="small")
        _updates(axis)
    for axis in axes[1:]:
        axis.set_ylim(bottom=0)
    figure.suptitle(f"With wrong labels, alignment rises and falls? ({scope(table)})")
    some = table[(table.noise == most) & (table.examples.isin([TEST, WRONG])) & (table.labels != SHUFFLED)]
    return figure, some[["seed", "step", "examples", "labels", "alignment"]]


def easy_and_hard(tables: Tables) -> Drawn:
    """Alignment of the kernel with the labels it learns, of easy and of difficult images, each set a kernel of its own.
    Left: images with right and with wrong labels, in networks that learn both. Right: with true labels only, the third
    of each class that other networks find easiest and the third that they find hardest. Means over seeds; bands are
    95 % bootstrap intervals."""
    table = tables["alignments"]
    figure, axes = panels(2, width=4.8)
    pairs = ((table.noise.max(), RIGHT, WRONG, "right and wrong labels"), (0.0, EASY, HARD, "true labels only"))
    for axis, (share, easy, hard, label) in zip(axes, pairs, strict=True):
        for examples, color in ((easy, BLUE), (hard, ORANGE)):
            _line(axis, table, share, examples, GIVEN, color, examples)
        axis.set(title=label, ylabel=ALIGNED)
        axis.set_ylim(bottom=0)
        axis.legend(title="images", fontsize="small")
        _updates(axis)
    figure.suptitle(f"Easy before hard? ({scope(table)})")
    some = table[table.examples.isin([RIGHT, WRONG, EASY, HARD]) & (table.labels == GIVEN)]
    return figure, some[["noise", "seed", "step", "examples", "alignment"]]


def layers(tables: Tables) -> Drawn:
    """The part of each layer in the tangent kernel, from the first to the last, and how it is aligned with the labels;
    true labels. Left: against updates, means over seeds with 95 % bootstrap intervals. Right: at the start and at the
    end, a dot a seed."""
    table = tables["layers"][tables["layers"].noise == 0]
    names = {name: f"{place + 1}" for place, name in enumerate(dict.fromkeys(table.layer))}
    table = table.assign(layer=table.layer.map(names))
    figure, axes = panels(2, width=4.8, share=False)
    palette = dict(zip(names.values(), sns.color_palette(SEQUENCE, len(names)), strict=True))
    sns.lineplot(_drawn(table), x="at", y="alignment", hue="layer", palette=palette, ax=axes[0], **BAND)
    _updates(axes[0])
    axes[0].legend(title="layer", fontsize="small")
    ends = {"start": table.step.min(), "end": table.step.max()}
    for (when, step), color in zip(ends.items(), ("gray", BLUE), strict=True):
        some = table[table.step == step]
        axes[1].scatter(some.layer, some.alignment, color=color, s=14, alpha=0.6, label=when)
        mean = some.groupby("layer", sort=False).alignment.mean()
        axes[1].plot(mean.index, mean, color=color)
    axes[1].set(xlabel="layer")
    axes[1].legend(title="", fontsize="small")
    for axis in axes:
        axis.set_ylabel(ALIGNED)
        axis.set_ylim(bottom=0)
    figure.suptitle(f"Layer by layer ({scope(table)})")
    return figure, table[["seed", "step", "layer", "alignment"]]


def complexity(tables: Tables) -> Drawn:
    """Test error against the complexity of the path (left: root of the kernel's trace times displacement, added up) and
    against the mere distance from the start (right), both where the training loss first reaches the level, or at
    the end; a dot a network, colours are shares of wrong labels, marks are architectures."""
    table = tables["paths"]
    figure, axes = panels(2, width=4.8)
    shares, models = sorted(table.noise.unique()), list(dict.fromkeys(table.model))
    palette = dict(zip(shares, sns.color_palette(SEQUENCE, len(shares)), strict=True))
    for axis, (column, label) in zip(
        axes, (("complexity", "complexity of the path"), ("distance", "distance from the start (L2)")), strict=True
    ):
        for mark, model in zip("os^Dv", models, strict=False):
            some = table[table.model == model]
            axis.scatter(
                some[column], 100 * some.error, c=some.noise.map(palette).tolist(), marker=mark, s=22, alpha=0.8
            )
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel="test error (%)")
        _ticks(axis.xaxis, axis.yaxis)
    for share, color in palette.items():
        axes[1].scatter([], [], color=color, label=_wrong(share))
    for mark, model in zip("os^Dv", models, strict=False):
        axes[1].scatter([], [], color="gray", marker=mark, label=model)
    figure.suptitle(f"Does the way tell the error? ({scope(table)})")
    legend(axes[1], "")
    return figure, table[["model", "noise", "seed", "complexity", "distance", "error", "step", "reached"]]


def chaos(tables: Tables) -> Drawn:
    """Does the kernel stop turning when chaos ends? Left: barrier at the end between a parent and its twin, by the time
    of the kick. Middle: angle from the parents' kernel at each time to that at the end. Right: how far the kernel turns
    from one look to the next, by unit of summed learning rate. All with the common learning rate and with a smaller
    one, on a square-root axis. Dashed: the median time at which a kick leaves half of what the first kick leaves.
    Means over seeds (left and right geometric); bands are 95 % bootstrap intervals."""
    twins, turning, ends = tables["twins"].query("kind == 'twin'"), tables["turning"], tables["ends"]
    figure, axes = panels(3, width=4.4)
    for arm, color in ((REFERENCE, BLUE), (SLOWER, ORANGE)):
        some = twins[twins.arm == arm].assign(barrier=lambda t: t.barrier + 1e-3)
        sns.lineplot(some, x="time", y="barrier", color=color, label=arm, marker="o", ax=axes[0], **LOG_BAND)
        own = turning[turning.arm == arm].sort_values(["seed", "step"])
        sns.lineplot(own, x="percent", y="to_end", color=color, label=arm, ax=axes[1], **BAND)
        spent = -own.groupby("seed").summed_lr.diff(-1)
        rate = own.assign(rate=own.to_next / spent).dropna(subset="rate")
        sns.lineplot(rate, x="percent", y="rate", color=color, label=arm, ax=axes[2], **LOG_BAND)
        half = ends[ends.arm == arm].half_barrier.median()
        for axis in axes:
            if np.isfinite(half):
                axis.axvline(half, color=color, linestyle="--", linewidth=1)
    axes[0].set(yscale="log", xlabel="kick (% of training)", ylabel="barrier (nats, + 0.001)", title="what kicks leave")
    axes[1].set(xlabel="% of training", ylabel="angle (radians)", title="from the kernel to that at the end")
    axes[2].set(
        yscale="log", xlabel="% of training", ylabel="radians by unit of learning rate", title="from look to look"
    )
    for axis in axes:
        root_axis(axis, turning.percent, [0, 5, 20, 50, 100])
        axis.legend(title="", fontsize="small")
    _ticks(axes[2].yaxis)
    axes[1].set_ylim(bottom=0)
    figure.suptitle(f"Does the kernel stop turning when chaos ends? ({scope(twins)})")
    return figure, turning[["arm", "seed", "step", "percent", "to_start", "to_end", "to_next", "summed_lr"]]


def _line(axis: Axes, table: pd.DataFrame, share: float, examples: str, labels: str, color: object, label: str) -> None:
    """Alignment of one set of images with one kind of labels, against updates."""
    some = table[(table.noise == share) & (table.examples == examples) & (table.labels == labels)]
    sns.lineplot(_drawn(some), x="at", y="alignment", color=color, label=label, ax=axis, **BAND)


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    """With a place on a logarithmic axis: the start stands at half an update."""
    return table.assign(at=table.step.clip(lower=0.5))


def _updates(axis: Axes) -> None:
    axis.set(xscale="log", xlabel=UPDATES)


def _ticks(*axes: Axis) -> None:
    """Plain numbers on logarithmic axes that span little more than a decade."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def _wrong(share: float) -> str:
    return f"{100 * share:g} % wrong" if share else "true labels"
