"""Figures of notebook 51: what twins find, what it is good for, when, with which settings, and where it fails."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.papers.pezeshki2023.environments import ADOPT, APART, ASKED, DRAWN, FOUND, KNOWN, MAIN, NOISY, OWN, PALER
from butterfly.papers.pezeshki2023.environments import (
    PLAIN,
    SHUFFLED,
    TIMES,
    TRAINING,
    UNDECIDED,
    VALIDATION,
    Params,
    pale,
)
from butterfly.study import Tables, intervals
from butterfly.study.figures import BAND, Drawn, legend, panels, scope, title
from butterfly.study.intervals import SHARE

PALETTE = sns.color_palette("colorblind")
ARMS = {  # colour, marker and label of each way to train networks
    PLAIN: (PALETTE[7], "s", "no groups (plain training)"),
    SHUFFLED: (PALETTE[1], "v", "groups drawn at random"),
    FOUND: (PALETTE[0], "o", "groups that twins found"),
    KNOWN: (PALETTE[2], "D", "recorded groups"),
}


TWINS = {ADOPT: "adopting twins", APART: "twins that do not adopt"}


def _points(axis: Axes, places: np.ndarray, columns: list[pd.Series], shift: float, **look: object) -> None:
    """Means with their 95 % intervals, and every seed as a small dot, at places along the vertical axis."""
    for row, (place, values) in enumerate(zip(places, columns, strict=True)):
        found = intervals.mean(values, SHARE)
        axis.scatter(values, np.full(len(values), place + shift), s=8, alpha=0.3, color=look["color"], linewidth=0)
        bars = np.nan_to_num([[found.estimate - found.low], [found.high - found.estimate]])
        label = None if row else look["label"]
        axis.errorbar(found.estimate, place + shift, xerr=bars, capsize=2, linestyle="", **(look | {"label": label}))


def _rows(axis: Axes, names: list[str]) -> np.ndarray:
    """A row for each name, from above."""
    axis.set_yticks(range(len(names)), names)
    axis.set(ylim=(len(names) - 0.5, -0.5), xlim=(-0.03, 1.03))
    return np.arange(len(names))


def _names(params: Params) -> dict[str, str]:
    """What the worlds with strong colours are called in figures."""
    named = {MAIN: f"{100 * params.breaking:g} % break"}
    named[NOISY] = f"{100 * params.noisy_breaking:g} % break,\n{100 * params.moved:g} % of labels flipped"
    order = sorted(params.strong, key=lambda world: (world == NOISY, params.worlds[world]["breaking"]))
    return {world: named.get(world, world) for world in order}


def groups(tables: Tables) -> Drawn:
    """What twins take for the images on which shape and colour part: those that one or the other gets wrong after
    training. How many of these are such images (left) and how many of such images are among these (middle), by the
    share of images that break the rule, for twins that adopt each other's confident mistakes and for twins that do
    not. Right: the share of labels that adopting twins have flipped, against the share of images that break the rule
    (dashed: the two are equal). Small dots are seeds, large ones means with 95 % intervals; where all seeds are at 1,
    the interval says what so few seeds leave open."""
    names = _names(tables.params)
    table = tables["groups"].query("part == @TRAINING and time == 1 and world in @names")
    figure, axes = panels(3, width=4.6, height=3.6)
    looks = {ADOPT: {"color": PALETTE[0], "marker": "o"}, APART: {"color": PALETTE[1], "marker": "s"}}
    for axis, column, label in zip(axes, ("precision", "recall"), ("precision", "recall"), strict=False):
        places = _rows(axis, list(names.values()))
        for shift, (twins, look) in zip((-0.12, 0.12), looks.items(), strict=True):
            own = table[table.twins == twins]
            columns = [own[own.world == world][column].fillna(0) for world in names]
            _points(axis, places, columns, shift, label=TWINS[twins], **look)
        axis.set(xlabel=label, title={"precision": "of those found", "recall": "of those there are"}[column])
    shares = [tables.params.worlds[world]["breaking"] for world in names]
    axes[0].scatter(shares, np.arange(len(shares)), marker="|", s=200, color="black", label="by chance")
    axes[1].set_yticks(range(len(names)), [])
    axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize="x-small", loc="upper left", markerscale=0.6)
    own = table[table.twins == ADOPT]
    rate = own.world.map(lambda world: tables.params.worlds[world]["breaking"])
    axes[2].plot([0, max(shares)], [0, max(shares)], color="black", linestyle="--", linewidth=1, label="equal")
    for noisy, marker in ((False, "o"), (True, "^")):
        some = (own.world == NOISY) == noisy
        label = "with labels flipped at random" if noisy else "labels as they are"
        axes[2].scatter(rate[some], own.flipped[some], s=18, alpha=0.6, color=PALETTE[0], marker=marker, label=label)
    axes[2].set(xlabel="share of images that break the rule", ylabel="share of labels flipped by twins", title="flips")
    axes[2].legend(fontsize="x-small")
    figure.suptitle(f"Do twins find the images on which shape and colour part? ({scope(table)})")
    return figure, table[["world", "twins", "seed", "precision", "recall", "f1", "flipped"]]


def worst(tables: Tables) -> Drawn:
    """The share of test images that networks get right in their worst of four groups (label and colour), by the
    groups for which they were trained with GroupDRO, in four worlds. Small dots are seeds, large ones means with 95 %
    intervals; the dotted line is what the flipped labels allow."""
    names = _names(tables.params)
    table = tables["networks"].query("time == 1 and world in @names")
    figure, (axis,) = panels(1, width=8.2, height=4.4)
    places = _rows(axis, list(names.values()))
    for shift, (arm, (color, marker, label)) in zip((-0.27, -0.09, 0.09, 0.27), ARMS.items(), strict=True):
        own = table[table.arm == arm]
        columns = [own[own.world == world].worst for world in names]
        _points(axis, places, columns, shift, color=color, marker=marker, label=label)
    last = list(names).index(NOISY)
    axis.plot([1 - tables.params.moved] * 2, [last - 0.5, last + 0.5], color="black", linestyle=":", linewidth=1)
    axis.set(xlabel="share right in the worst group of test images")
    legend(axis, "trained for")
    figure.suptitle(f"What found groups are good for ({scope(table)})")
    return figure, table[["world", "arm", "seed", "train", "held", "held_worst", "agree", "part", "worst"]]


def times(tables: Tables) -> Drawn:
    """How well mistakes tell the images on which shape and colour part (F1: the harmonic mean of precision and
    recall) along training, in lengths of the usual training. Adopting twins, in training images and in validation
    images, which neither learned; twins that adopt nothing; and a plain network's mistakes in what it learns itself.
    Bands are 95 % bootstrap intervals of the mean over seeds."""
    table = tables["groups"][tables["groups"].world == MAIN]
    figure, (axis,) = panels(1, width=7.6, height=4.0)
    lines = [
        (ADOPT, TRAINING, PALETTE[0], "-", "o", "adopting twins, training images"),
        (ADOPT, VALIDATION, PALETTE[9], "--", "D", "adopting twins, validation images"),
        (APART, TRAINING, PALETTE[1], "-", "s", TWINS[APART]),
        (APART, OWN, PALETTE[7], "-", "v", "one network, images it learns"),
    ]
    kept = []
    for twins, part, color, line, marker, label in lines:
        some = table[(table.twins == twins) & (table.part == part)]
        sns.lineplot(some, x="time", y="f1", color=color, linestyle=line, marker=marker, label=label, ax=axis, **BAND)
        kept.append(some)
    axis.set(xscale="log", xlabel="updates, in lengths of the usual training", ylabel="F1", ylim=(-0.03, 1.05))
    ticks = [time for time in TIMES if time <= table.time.max()]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    legend(axis, "mistakes of")
    figure.suptitle(f"When to stop ({scope(table)})")
    return figure, pd.concat(kept)[["twins", "part", "time", "seed", "precision", "recall", "f1"]]


def tuning(tables: Tables) -> Drawn:
    """Twins with other learning rates (colours) and weight decays (shapes): how good networks trained for the groups
    that they find are in the worst group of test images, against the share of labels that the twins flip. Left, twins
    that start as they are drawn; middle, twins that start with all answers equally likely; right, these in paler
    colours. Dots are means over seeds, bars 95 % intervals; the dashed line is the share of images that break the rule;
    bands are networks trained for recorded groups and plain ones, means with 95 % intervals. Many settings find the
    same groups, and their dots lie on each other."""
    table, params = tables["tuned"], tables.params
    figure, axes = panels(3, width=4.4, height=4.2)
    colors = dict(zip(params.lrs, sns.color_palette("viridis_r", len(params.lrs)), strict=True))
    markers = dict(zip(params.decays, "osD^v<>", strict=False))
    titles = {DRAWN: "start as drawn", UNDECIDED: "start undecided", PALER: f"undecided, tint {params.paler:g}"}
    for axis, (twins, name) in zip(axes, titles.items(), strict=True):
        for (lr, decay), own in table[table.twins == twins].groupby(["lr", "decay"]):
            over, up = intervals.mean(own.flipped, SHARE), intervals.mean(own.worst, SHARE)
            bars = [np.nan_to_num([[f.estimate - f.low], [f.high - f.estimate]]) for f in (up, over)]
            look = {"color": colors[lr], "marker": markers[decay], "markersize": 7, "markeredgecolor": "black"}
            axis.errorbar(over.estimate, up.estimate, *bars, elinewidth=1, markeredgewidth=0.5, **look)
        networks = tables["networks"][tables["networks"].time == 1]
        networks = networks[networks.world == (pale(params.paler) if twins == PALER else MAIN)]
        for arm in (PLAIN, KNOWN):
            found = intervals.mean(networks[networks.arm == arm].worst, SHARE)
            axis.axhspan(found.low, found.high, color=ARMS[arm][0], alpha=0.3, linewidth=0, label=ARMS[arm][2])
        axis.axvline(params.breaking, color="black", linestyle="--", linewidth=1)
        axis.set(xlabel="share of labels flipped by twins", xlim=(-0.02, 0.65), ylim=(0.45, 1.0), title=name)
    axes[0].set_ylabel("share right in the worst group")
    for lr, color in colors.items():
        axes[-1].scatter([], [], color=color, label=f"learning rate {lr:g}")
    for decay, marker in markers.items():
        axes[-1].scatter([], [], color="white", edgecolor="black", marker=marker, label=f"weight decay {decay:g}")
    legend(axes[-1], "")
    figure.suptitle(f"Does the share of flipped labels say which twins to trust? ({scope(table)})")
    return figure, table[["twins", "lr", "decay", "seed", "flipped", "f1", "worst"]]


def harder(tables: Tables) -> Drawn:
    """What happens when the colour is not the easier cue: paler and paler colours from the right to the left, and on
    the far left full colours that give the label while the shape mostly agrees. Left: how well adopting twins find
    the images on which shape and colour part, and on how many such test images plain networks go by the misleading
    cue early in training (above the dotted line it is the easier one). Right: the share right in the worst group of
    test images. Means with 95 % bootstrap bands over seeds."""
    params = tables.params
    order = [ASKED, *map(pale, params.tints), MAIN]
    place = dict(zip(order, range(len(order)), strict=True))
    found = tables["groups"].query("world in @order and twins == @ADOPT and part == @TRAINING and time == 1")
    networks = tables["networks"][tables["networks"].world.isin(order)]
    early = networks[(networks.arm == PLAIN) & (networks.time == TIMES[0])]
    early = early.assign(misled=1 - early.part)
    figure, axes = panels(2, width=5.4, height=4.2)
    lines = [(found, "f1", PALETTE[0], "o", "twins find the groups (F1)"),
             (early, "misled", PALETTE[3], "X", "plain networks go by the\nmisleading cue, early on")]  # fmt: skip
    ends = networks[networks.time == 1]
    ways = [(ends[ends.arm == arm], "worst", *ARMS[arm]) for arm in (PLAIN, FOUND, KNOWN)]
    for axis, own in zip(axes, (lines, ways), strict=True):
        for table, column, color, marker, label in own:
            rows = table.assign(place=table.world.map(place))
            look = {"color": color, "marker": marker, "ax": axis} | BAND
            sns.lineplot(rows[rows.place > 0], x="place", y=column, label=label, **look)
            apart = rows[rows.place == 0][column]
            axis.scatter(0, apart.mean(), color=color, marker=marker, s=36)
        axis.set_xticks(range(len(order)), ["colour\nasked", *(f"{tint:g}" for tint in params.tints), "1"])
        axis.axvline(0.5, color="black", linewidth=0.8)
        axis.set(xlabel="strength of the colours (shape asked)", ylim=(-0.03, 1.03))
    axes[0].axhline(0.5, color="black", linestyle=":", linewidth=1)
    axes[0].set(ylabel="F1, share of images", title="what twins find")
    axes[1].set(ylabel="share right in the worst group", title="what it is good for")
    axes[0].legend(fontsize="x-small", loc="lower right", bbox_to_anchor=(1.0, 0.12))
    legend(axes[1], "trained for")
    n = found.groupby("world").seed.nunique()
    figure.suptitle(
        f"When the colour is the harder cue ({title(found.setting.iloc[0])}, n = {n.min()} to {n.max()} seeds)"
    )
    kept = found.assign(arm=ADOPT, time=1.0)[["world", "arm", "time", "seed", "f1", "flipped"]]
    return figure, pd.concat([kept, networks[["world", "arm", "time", "seed", "worst", "agree", "part"]]])
