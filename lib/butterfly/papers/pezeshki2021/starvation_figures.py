"""The figures of notebook 40. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.data import moons
from butterfly.papers.pezeshki2021.modes import OUTPUTS, WEIGHTS
from butterfly.papers.pezeshki2021.starvation import (
    ALONE, APART, CALLED, CLEAN, DECOUPLED, DOUBLE, EQUAL, FLOOR, FREQUENCY, FREQUENT, HINGE, NOISY, NORM,
    OVERLAPPING, PLAIN, PROPER, PROPER_NORM, SOLVED, TRAINED,
)  # fmt: skip
from butterfly.study import Tables, intervals
from butterfly.study.figures import BAND, LOG_BAND, Drawn, legend, panels, root_axis, scope

PALETTE = sns.color_palette("colorblind")
LEAST = 1e-5  # share at which smaller ones are drawn


def maps(tables: Tables) -> Drawn:
    """The probability of the upper moon at every place, mean over seeds (as the authors show it), and where it is a
    half (black line); points are those of the first seed. From left to right: moons that no straight line tells apart,
    moons that one does, and these again with a penalty on the squared outputs. The wave that the moons bend around is
    dotted."""
    table, shares, points = (tables[name] for name in ("maps", "shares", "points"))
    points = points[points.seed == points.seed.min()]
    cases = [
        (OVERLAPPING, PLAIN, "overlapping, plain"),
        (APART, PLAIN, "apart, plain"),
        (APART, DECOUPLED, "apart, penalty on the outputs"),
    ]
    figure, axes = panels(len(cases), width=4.4, height=4.2, share=True)
    along = np.linspace(-moons.WIDTH, moons.WIDTH, 200)
    for axis, (where, arm, title) in zip(axes, cases, strict=True):
        some = table[(table.moons == where) & (table.arm == arm)].pivot_table("p", "second", "first")
        grid = some.columns.to_numpy(), some.index.to_numpy(), some.to_numpy()
        picture = axis.contourf(*grid, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.7)
        axis.contour(*grid, levels=[0.5], colors="black", linewidths=2)
        for label, color in ((0, "navy"), (1, "darkred")):
            own = points[(points.moons == where) & (points.label == label)]
            axis.scatter(own["first"], own.second, s=6, color=color, linewidth=0)
        axis.plot(along, -0.5 * np.sin(np.pi * along), color="black", linestyle=":", linewidth=1)
        axis.set(title=title, xlabel="first input", ylabel="second input", xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
        axis.grid(False)
    figure.colorbar(picture, ax=axes, label="probability of the upper moon, mean over seeds")
    figure.suptitle(f"Where networks draw the line ({scope(shares)})")
    return figure, shares[["moons", "arm", "seed", "share", "train", "test"]]


def shares(tables: Tables) -> Drawn:
    """The share of the variance of the outputs that the curved feature explains. Left: along training, of plain and
    decoupled networks (geometric mean over seeds, bands are 95 % bootstrap intervals). Right: at the end, for every way
    to train; small dots are seeds, large ones geometric means with 95 % intervals. Dashed: plain networks on moons that
    overlap. Grey: less than a thousandth counts as none; less than a hundredth of that is drawn at the edge."""
    table, course = tables["shares"], tables["course"]
    figure, axes = panels(2, width=5.6)
    shown = course[course.arm.isin([PLAIN, DECOUPLED]) & (course.step > 0)].copy()
    shown["share"], shown["way"] = shown.share.clip(lower=LEAST), shown.moons + ", " + shown.arm
    sns.lineplot(shown, x="step", y="share", hue="way", palette="colorblind", ax=axes[0], **LOG_BAND)
    axes[0].axhspan(LEAST, FLOOR, color="gray", alpha=0.15, linewidth=0)
    root_axis(axes[0], shown.step)
    axes[0].set(yscale="log", xlabel="updates (square-root axis)", ylabel="share that the curve explains")
    axes[0].legend(title="moons, training", fontsize="x-small", title_fontsize="x-small", loc="upper left")
    ways = table.groupby(["arm", "moons"], sort=False).share
    ends = {f"{arm}, {where}": np.maximum(own.to_numpy(), LEAST) for (arm, where), own in ways}
    _dots(axes[1], ends)
    usual = intervals.geometric_mean(ends[f"{PLAIN}, {OVERLAPPING}"]).estimate
    axes[1].axvline(usual, color="gray", linestyle="--", linewidth=1)
    axes[1].axvspan(LEAST, FLOOR, color="gray", alpha=0.15, linewidth=0)
    axes[1].set(xscale="log", xlabel="share that the curve explains, after training")
    figure.suptitle(f"What networks make of the curve ({scope(table)})")
    return figure, table[["moons", "arm", "seed", "share", "train", "test"]]


def _dots(axis: Axes, values: dict[str, np.ndarray]) -> None:
    """A row for each name, from above: all values, and their geometric mean with its interval."""
    for place, own in enumerate(values.values()):
        found = intervals.geometric_mean(own)
        axis.scatter(own, np.full(len(own), place), s=10, alpha=0.4, color=PALETTE[0])
        bars = [[found.estimate - found.low], [found.high - found.estimate]]
        axis.errorbar(found.estimate, place, xerr=np.nan_to_num(bars), color="black", marker="o", capsize=3)
    axis.set_yticks(range(len(values)), list(values))
    axis.set_ylim(len(values) - 0.5, -0.5)


def pairs(tables: Tables) -> Drawn:
    """Two coupled modes, of which the first becomes stronger and the second does not. Left: the response to the second
    along gradient flow of the linearised problem, for the weakest and the strongest first mode (first seed). Middle:
    where that problem comes to rest; thin lines are problems of random coupling, thick ones their means. Right: trained
    networks of rectified linear units, each on a problem of its own; bands are 95 % bootstrap intervals over them."""
    table, way = tables["responses"], tables["way"]
    figure, axes = panels(3, width=4.6)
    styles = {WEIGHTS: PALETTE[1], OUTPUTS: PALETTE[0]}
    ends = {way.strength.min(): "-", way.strength.max(): "--"}
    for on, color in styles.items():
        for strength, line in ends.items():
            own = way[(way.on == on) & (way.strength == strength) & (way.time > 0)]
            axes[0].plot(own.time, own.second, color=color, linestyle=line, label=f"{on}, strength {strength:g}")
    axes[0].set(xscale="log", xlabel="time (updates times step)", title="linearised, on the way")
    axes[0].legend(fontsize="x-small")
    for axis, who in zip(axes[1:], (SOLVED, TRAINED), strict=True):
        some = table[table.who == who]
        if who == SOLVED:
            for (on, _), own in some.groupby(["on", "seed"]):
                axis.plot(own.strength, own.second, color=styles[on], linewidth=0.5, alpha=0.4)
        sns.lineplot(some, x="strength", y="second", hue="on", palette=styles, marker="o", ax=axis, **BAND)
        axis.set(title={SOLVED: "linearised, at rest", TRAINED: "trained networks"}[who], ylim=(0, None))
        axis.legend(title="penalty", fontsize="x-small", title_fontsize="x-small")
    for axis in axes:
        axis.set_ylabel("response to the second mode")
    for axis in axes[1:]:
        axis.set_xlabel("strength of the first mode (second: 1)")
    figure.suptitle(f"Does a strong mode starve another? ({scope(table)})")
    return figure, table[["who", "on", "seed", "strength", "first", "second"]]


def digits(tables: Tables) -> Drawn:
    """Digits in two colours, 0 to 4 against 5 to 9: the share of test images that networks get right when colours are
    as in training and when they are reversed, for plain networks, penalties on the squared outputs, and networks that
    saw colours at random. Left, labels are flipped so that the colour says more than the shape; right,
    the shape says all and the colour nearly all. Small dots are seeds, large ones means with 95 % intervals; grey:
    chance."""
    table = tables["digits"]
    figure, axes = panels(2, width=5.6)
    palette = {"alike": PALETTE[2], "reversed": PALETTE[3]}
    for axis, kind in zip(axes, (NOISY, CLEAN), strict=True):
        some = table[table.kind == kind]
        arms = list(dict.fromkeys(some.arm))
        for shift, (column, color) in zip((-0.12, 0.12), palette.items(), strict=True):
            for place, arm in enumerate(arms):
                own = some[some.arm == arm][column].to_numpy()
                found = intervals.mean(own, (0.0, 1.0))
                axis.scatter(own, np.full(len(own), place + shift), s=8, alpha=0.4, color=color)
                bars = np.nan_to_num([[found.estimate - found.low], [found.high - found.estimate]])
                label = f"colours {column}" if place == 0 else None
                axis.errorbar(found.estimate, place + shift, xerr=bars, color=color, marker="o", capsize=2, label=label)
        axis.axvline(0.5, color="gray", linewidth=1)
        axis.set_yticks(range(len(arms)), arms)
        axis.set(ylim=(len(arms) - 0.5, -0.5), title=kind, xlabel="share of test images right")
    legend(axes[1], "test set")
    figure.suptitle(f"When the colours turn ({scope(table)})")
    return figure, table[["kind", "arm", "seed", "train", "alike", "reversed"]]


WORLDS = {EQUAL: "equal", NORM: "first: norm x2", FREQUENCY: "first: 4 x as often", HINGE: "equal, hinge loss"}


def rises(tables: Tables) -> Drawn:
    """Small networks that learn two modes at right angles. Left: the probability of the right class against updates,
    for both modes, in four worlds (median over seeds; dotted: a mode counts as learned). Right: when each mode has been
    learned; small dots are seeds, large ones geometric means. Starts where each unit sees one example alone are at the
    bottom: there the second mode takes as long whatever the first is like."""
    curves, times = tables["curves"], tables["times"]
    figure, axes = panels(2, width=5.6)
    for color, (world, name) in zip(PALETTE, WORLDS.items(), strict=False):
        some = curves[curves.world == world].groupby(["mode", "step"]).p.median()
        for mode, line in ((1, "-"), (2, "--")):
            label = name if mode == 1 else None
            axes[0].plot(some[mode].index, some[mode], color=color, linestyle=line, label=label)
    axes[0].axhline(CALLED, color="gray", linestyle=":", linewidth=1)
    axes[0].set(xlabel="updates", ylabel="probability of the right class", title="first mode solid, second dashed")
    axes[0].legend(fontsize="x-small")
    worlds = [*WORLDS, DOUBLE, PROPER, PROPER_NORM]
    for shift, mode in ((-0.12, 1), (0.12, 2)):
        for place, world in enumerate(worlds):
            own = times[(times.world == world) & (times["mode"] == mode)].learned
            own = own[np.isfinite(own)]
            label = f"mode {mode}" if place == 0 else None
            axes[1].scatter(own, np.full(len(own), place + shift), s=8, alpha=0.4, color=PALETTE[mode])
            if len(own):
                mean = np.exp(np.log(own).mean())
                axes[1].plot(mean, place + shift, color=PALETTE[mode], marker="o", linestyle="", label=label)
    axes[1].set_yticks(range(len(worlds)), [WORLDS.get(world, world) for world in worlds])
    axes[1].set(ylim=(len(worlds) - 0.5, -0.5), xscale="log", xlabel="updates until a mode has been learned")
    legend(axes[1], "")
    figure.suptitle(f"How modes are learned, and which sooner ({scope(times)})")
    return figure, times[["world", "seed", "mode", "learned", "sigmoid", "exponential"]]


def rarities(tables: Tables) -> Drawn:
    """A feature that is in some of the examples, beside one that is in all, after training: the margin on each alone,
    against how often the rarer one comes. Dashed: the rarer feature where the examples without it have no other. Means
    over seeds with 95 % bootstrap intervals; dotted: a probability of 0.7."""
    table = tables["rare"]
    figure, axes = panels(1, width=6.4, height=4.2)
    beside, alone = (table[table.world == world] for world in (FREQUENT, ALONE))
    lines = [
        (beside, "frequent", PALETTE[1], "-", "frequent feature"),
        (beside, "rare", PALETTE[0], "-", "rarer feature beside it"),
        (alone, "rare", PALETTE[0], "--", "rarer feature alone in the world"),
    ]
    for some, column, color, line, label in lines:
        sns.lineplot(
            some, x="rarity", y=column, color=color, linestyle=line, marker="o", label=label, ax=axes[0], **BAND
        )
    axes[0].axhline(np.log(CALLED / (1 - CALLED)), color="gray", linestyle=":", linewidth=1)
    ticks = sorted(table.rarity.unique())
    axes[0].set(
        xscale="log", xlabel="share of examples that have the rarer feature", ylabel="margin on a feature alone"
    )
    axes[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0].minorticks_off()
    legend(axes[0], "")
    figure.suptitle(f"A frequent feature and a rarer one ({scope(table)})")
    return figure, table[["world", "rarity", "seed", "frequent", "rare"]]


def starts(tables: Tables) -> Drawn:
    """Starts that never learn: two examples at right angles, one a class, no biases. Left: one hidden unit that does
    not see the second example, from even starts, by its weight towards the first and by what it says for the class of
    that one: did it learn to tell it (coloured) or not (grey)? The line is the rule. Right: the share of random starts
    from which networks learned both classes, against the number of units, with 95 % intervals; dashed: what the rule
    foretells of these starts."""
    even, table = tables["even"], tables["starts"]
    figure, axes = panels(2, width=5.0, height=4.2)
    found = even.pivot_table("learned", "says", "weight")
    grid = found.columns.to_numpy(), found.index.to_numpy(), found.to_numpy(dtype=float)
    axes[0].contourf(*grid, levels=[-0.5, 0.5, 1.5], colors=["lightgray", PALETTE[0]], alpha=0.8)
    axes[0].plot([0, 0, 1], [1, 0, -1], color="black", linewidth=1.5)
    for x, y, text in ((0.5, 0.3, "learns"), (-0.5, 0.3, "does not see it"), (0.3, -0.8, "turned off")):
        axes[0].text(x, y, text, ha="center", va="center", fontsize="small")
    axes[0].set(xlabel="weight of the unit towards the example", ylabel="what it says for the class", title="one unit")
    axes[0].grid(False)
    counts = table.groupby("units")
    shares = counts.learned.apply(lambda own: pd.Series(vars(intervals.share(own)))).unstack()
    low, middle, high = (shares[name].to_numpy(dtype=float) for name in ("low", "estimate", "high"))
    axes[1].errorbar(shares.index, middle, [middle - low, high - middle], marker="o", capsize=3, label="learned")
    foretold = counts.foretold.mean()
    axes[1].plot(foretold.index, foretold, color="black", linestyle="--", label="foretold")
    axes[1].set(
        xscale="log", xlabel="hidden units", ylabel="share of starts that learn both classes", ylim=(-0.03, 1.03)
    )
    axes[1].set_xticks(shares.index, shares.index)
    axes[1].minorticks_off()
    axes[1].legend()
    axes[1].set_title("random starts")
    figure.suptitle(f"Starts that never learn (two examples, n = {counts.size().min()} starts a number of units)")
    return figure, table[["units", "seed", "learned", "foretold"]]
