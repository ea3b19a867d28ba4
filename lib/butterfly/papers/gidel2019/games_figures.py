"""The figures of notebook 60. Each returns the picture and the numbers behind it; its docstring is the caption."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.papers.gidel2019 import ring
from butterfly.papers.gidel2019.games import BILINEAR, MOMENTA, PORTRAITS, SATURATING, TWINNED
from butterfly.papers.gidel2019.plays import AROUND, AT_ONCE, BY_TURNS, EITHER, ORDERS
from butterfly.study import Tables, intervals
from butterfly.study.figures import BAND, LOG_BAND, Drawn, legend, panels, style

COLOURS = "RdBu_r"
FEW = 0.25, 0.5, 1.0, 2.0  # steps whose radii are kept as numbers
REAL = 1 - np.exp(-(ring.NEAR**2) / 2)  # part of a Gaussian in the plane that is near its middle


def radius_maps(tables: Tables) -> Drawn:
    """The bilinear game of one parameter a player: logarithm of the spectral radius of one update,
    against step (in units of 1 / singular value) and momentum; blue converges, red diverges, black is the border.
    White and dotted: step 2 (1 + momentum). Right: the spectral radius at step 0.5."""
    table = tables["map"]
    figure, axes = panels(3, width=4.6)
    for axis, order in zip(axes, ORDERS, strict=False):
        own = table[table.order == order].pivot(index="momentum", columns="step", values="radius")
        values = np.log(own).clip(-0.5, 0.5)
        picture = axis.pcolormesh(own.columns, own.index, values, cmap=COLOURS, vmin=-0.5, vmax=0.5, shading="nearest")
        if (own < 1 - 1e-6).any(axis=None):
            # On the line without momentum the radius is 1 but for rounding.
            axis.contour(
                own.columns, own.index, own.mask((own - 1).abs() < 1e-9, 1.0), levels=[1 + 1e-7], colors="black"
            )
        axis.set(title=order, xlabel="step x singular value", ylabel="momentum", xlim=(0, own.columns.max()))
        axis.grid(False)
    axes[1].plot(2 * (1 + MOMENTA), MOMENTA, color="white", linestyle=":", linewidth=1.5)
    figure.colorbar(picture, ax=axes[:2], label="log of the spectral radius")
    some = table[np.isclose(table.step, 0.5)]
    sns.lineplot(some, x="momentum", y="radius", hue="order", palette="colorblind", ax=axes[2])
    axes[2].axhline(1, color="black", linewidth=1, linestyle=":")
    axes[2].set(title="step 0.5", ylabel="spectral radius")
    axes[2].legend(title="")
    figure.suptitle("One update of the bilinear game: does it converge?")
    return figure, table[table.step.round(6).isin(FEW)]


def played(tables: Tables) -> Drawn:
    """Left: the game of one parameter a player, 60 updates from the same start (dot); the equilibrium is the cross.
    Middle and right: distance from the equilibrium over that at the start, of bilinear games drawn at random, by
    momentum; dashed at 1. Bands are 95 % bootstrap intervals of the geometric mean over games."""
    course = tables["course"][(tables["course"].game == BILINEAR) & (tables["course"].step >= 0)]
    figure, axes = panels(3, width=4.6)
    palette = sns.color_palette("colorblind", len(PORTRAITS))
    for color, (order, momentum) in zip(palette, PORTRAITS, strict=True):
        own = tables["portraits"]
        own = own[(own.order == order) & (own.momentum == momentum)]
        axes[0].plot(own.x, own.y, color=color, marker=".", markersize=3, linewidth=0.8, label=f"{order}, {momentum:g}")
    axes[0].scatter([own.x.iloc[0]], [own.y.iloc[0]], color="black", s=25, zorder=3)
    axes[0].scatter([0], [0], color="black", marker="x", s=40, zorder=3)
    axes[0].set(xlabel="first player", ylabel="second player", aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
    axes[0].legend(title="order, momentum", fontsize="x-small", title_fontsize="x-small", loc="lower left")
    for axis, order in zip(axes[1:], ORDERS, strict=True):
        own = course[course.order == order]
        sns.lineplot(own, x="step", y="distance", hue="momentum", palette="viridis", ax=axis, **LOG_BAND)
        axis.axhline(1, color="black", linewidth=1, linestyle="--")
        axis.set(yscale="log", title=order, xlabel="updates", ylabel="distance over that at the start")
        axis.set_ylim(1e-12, 1e12)
        axis.legend(title="momentum", fontsize="small")
    figure.suptitle(f"Bilinear games, played ({_count(course, 'games')}, {tables.params.square})")
    rates = tables["plays"][tables["plays"].game == BILINEAR]
    return figure, rates[["seed", "order", "momentum", "radius", "slope", "largest"]]


def random_games(tables: Tables) -> Drawn:
    """Left: alternating against simultaneous updates, one dot a game with rotation, step and momentum drawn at random:
    below 0 alternating updates are more stable. Middle: the best momentum of a game, tuned with the step on a grid.
    Right: the rate of convergence at best. Rotation is the share of what turns, the rest being curvature. Middle and
    right: zero-sum games, bands are 95 % bootstrap intervals of the mean over games."""
    once, tuned = tables["once"], tables["tuned"]
    figure, axes = panels(3, width=4.6)
    difference = np.log(once[BY_TURNS] / once[AT_ONCE])
    shown = once.assign(difference=difference.clip(-0.5, 0.5))
    sns.scatterplot(shown, x="rotation", y="difference", hue="kind", hue_order=[AROUND, EITHER],
                    style="kind", style_order=[AROUND, EITHER], palette="colorblind", s=22, ax=axes[0])  # fmt: skip
    axes[0].axhline(0, color="black", linewidth=1, linestyle=":")
    axes[0].set(ylabel="log of the ratio of spectral radii,\nalternating over simultaneous", xlabel="rotation")
    axes[0].legend(title="")
    rates = tuned.assign(rate=-np.log(tuned.radius.clip(upper=1.0)))
    for axis, column, label in ((axes[1], "momentum", "best momentum"), (axes[2], "rate", "best rate by update")):
        sns.lineplot(rates, x="rotation", y=column, hue="order", hue_order=ORDERS, palette="colorblind", marker="o",
                     ax=axis, **BAND)  # fmt: skip
        axis.set(xlabel="rotation", ylabel=label)
        axis.legend(title="")
    axes[1].axhline(0, color="black", linewidth=1, linestyle=":")
    figure.suptitle(f"Games with linear gradients, drawn at random ({_count(tuned, 'games')}, {tables.params.square})")
    return figure, tuned[["seed", "rotation", "order", "radius", "lr", "momentum"]]


def noise(tables: Tables) -> Drawn:
    """Alternating plays of bilinear games whose matrix is disturbed anew in every update: slope of log distance from
    the equilibrium, by update, against the size of the noise (0: without); above 0 they diverge. Dots are games, lines
    their means with 95 % intervals."""
    figure, (axis,) = panels(1, width=6.4, height=4.2)
    plays, noisy = tables["plays"], tables["noisy"]
    still = plays[(plays.game == BILINEAR) & (plays.order == BY_TURNS) & plays.momentum.isin(noisy.momentum.unique())]
    still = still[["momentum", "seed", "slope"]].rename(columns={"slope": "rate"}).assign(noise=0.0)
    table = pd.concat([still, noisy], ignore_index=True)
    levels = sorted(table.noise.unique())
    for shift, (momentum, own) in zip((-0.06, 0.06), table.groupby("momentum"), strict=True):
        color = sns.color_palette("colorblind")[0 if shift < 0 else 1]
        found = [intervals.mean(own[own.noise == level].rate) for level in levels]
        at = np.arange(len(levels)) + shift
        axis.scatter(own.noise.map(levels.index) + shift, own.rate, color=color, s=8, alpha=0.3)
        _bars(axis, at, found, color, f"momentum {momentum:g}")
    axis.axhline(0, color="black", linewidth=1, linestyle=":")
    axis.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    axis.set(xlabel="noise (over the largest singular value)", ylabel="growth rate of the distance by update")
    axis.set_yscale("symlog", linthresh=0.01)
    legend(axis, "")
    figure.suptitle(f"Noise in every update ({_count(noisy, 'games')}, {tables.params.square})")
    return figure, table


def instrument(tables: Tables) -> Drawn:
    """The growth of a kick as an instrument. Left: growth rate measured over the log of the spectral radius (1: right;
    gray: within a tenth), mean over games with 95 % intervals. Middle: distance of twins over that after the kick,
    simultaneous play without momentum; dashed: as the radius says. Right: kicks in single precision, without momentum:
    how far their growth is off that in double precision, against their size; dotted: a factor of 1.26. Bands are 95 %
    bootstrap intervals over games."""
    plays, single = tables["plays"], tables["single"]
    figure, axes = panels(3, width=4.8)
    negative = tables.params.negative
    arms = [(BILINEAR, AT_ONCE, 0.0), (BILINEAR, BY_TURNS, negative), (SATURATING, AT_ONCE, 0.0),
            (SATURATING, BY_TURNS, negative)]  # fmt: skip
    axes[0].axvspan(0.9, 1.1, color="gray", alpha=0.25, linewidth=0)
    for shift, column, label in ((0.12, "rate", "whole play"), (-0.12, "early", "first 5 %")):
        color = sns.color_palette("colorblind")[0 if column == "rate" else 1]
        found = []
        for game, order, momentum in arms:
            own = plays[(plays.game == game) & (plays.order == order) & (plays.momentum == momentum)]
            found.append(intervals.mean(own[column] / np.log(own.radius)))
        middle, ends = _ends(found)
        axes[0].errorbar(middle, np.arange(len(arms)) + shift, xerr=ends, color=color, marker="o", linestyle="",
                         label=label)  # fmt: skip
    axes[0].set_yticks(range(len(arms)), [f"{game}\n{order}, {momentum:g}" for game, order, momentum in arms])
    axes[0].set(xlabel="growth rate of a kick over log radius")
    axes[0].legend(fontsize="small")
    _courses(axes[1], tables)
    some = single[single.momentum == 0].assign(off=single.off.abs().clip(lower=1e-9))
    sns.lineplot(some, x="size", y="off", hue="order", hue_order=ORDERS, palette="colorblind", marker="o",
                 ax=axes[2], **LOG_BAND)  # fmt: skip
    axes[2].axhline(0.1, color="black", linewidth=1, linestyle=":")
    axes[2].set(xscale="log", yscale="log", xlabel="size of the kick (over the start's distance)")
    axes[2].set(ylabel="growth off that in double precision (power of ten)")
    axes[2].legend(title="")
    figure.suptitle(f"Does the growth of a kick give the spectral radius? ({_count(plays, 'games')})")
    return figure, plays[["seed", "game", "order", "momentum", "radius", "rate", "early"]]


def _courses(axis: Axes, tables: Tables) -> None:
    """Twins of simultaneous plays without momentum, in both kinds of game, and what the radius says."""
    twins = tables["twins"]
    own = twins[(twins.order == AT_ONCE) & (twins.momentum == 0)]
    first = own.groupby(["game", "seed"]).distance.transform("first")
    own = own.assign(grown=own.distance / first)
    sns.lineplot(own, x="step", y="grown", hue="game", palette="colorblind", ax=axis, **LOG_BAND)
    plays = tables["plays"]
    radius = plays[(plays.order == AT_ONCE) & (plays.momentum == 0)].radius.mean()
    ends = np.array([0, own.step.max()])
    axis.plot(ends, radius**ends, color="black", linestyle="--", linewidth=1)
    axis.set(yscale="log", xlabel="updates", ylabel="distance of twins over that of the kick")
    axis.legend(title="")


def _bars(axis: Axes, at: np.ndarray, found: list[intervals.Interval], color, label: str) -> None:
    """Means with their intervals."""
    middle, ends = _ends(found)
    axis.errorbar(at, middle, ends, color=color, marker="o", capsize=2, label=label)


def _ends(found: list[intervals.Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Estimates `[K]`, and how far below and above them their intervals reach `[2, K]`."""
    middle = np.array([one.estimate for one in found])
    return middle, np.array([[one.estimate - one.low, one.high - one.estimate] for one in found]).T


# --- GANs ------------------------------------------------------------------------------------------------------------


def made(tables: Tables) -> Drawn:
    """What GANs of the first seed make at the end of training, at the step where arms are compared, one panel an arm;
    crosses are the middles of the eight modes."""
    points, arms = tables["points"], list(ring.arms(tables.params.gan_momentum))
    points = points[points.lr == tables.params.gan_lr]
    style()
    figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), sharex=True, sharey=True)
    middles = ring.centres().numpy()
    for axis, arm in zip(axes.flat, arms, strict=False):
        own = points[points.arm == arm]
        axis.scatter(own.x, own.y, s=5, alpha=0.4, color=sns.color_palette("colorblind")[0], linewidth=0)
        axis.scatter(*middles.T, marker="x", color="black", s=30)
        axis.set(title=arm, xlim=(-1.8, 1.8), ylim=(-1.8, 1.8), aspect="equal")
        if not own.x.between(-1.8, 1.8).any():
            axis.text(0, 0, "its points lie\nfar outside", ha="center", va="center")
    for axis in axes[:, 0]:
        axis.set_ylabel("second coordinate")
    for axis in axes[-1]:
        axis.set_xlabel("first coordinate")
    about = f"{tables.params.network}, saturating loss, step {tables.params.gan_lr:g}"
    figure.suptitle(f"Points made by GANs of one seed ({about})")
    return figure, points[points.point <= 50]


def covered(tables: Tables) -> Drawn:
    """GANs on the ring: the part of it that is covered (1: every mode has its share of the points made). Left: over
    training, at the step where arms are compared. Middle: mean over the last quarter of training, against the step.
    Right: the same at that one step, for all arms; dots are seeds. Bands are 95 % bootstrap intervals over seeds,
    bars 95 % intervals of the mean. Dashed: what real points cover."""
    step, arms = tables.params.gan_lr, list(ring.arms(tables.params.gan_momentum))
    gans, table = tables["gans"], tables["ends"]
    palette = dict(zip(arms, sns.color_palette("colorblind", len(arms)), strict=True))
    figure, axes = panels(3, width=5.0, height=4.2)
    hues = {"hue": "arm", "hue_order": ring.SWEPT, "palette": palette}
    sns.lineplot(gans[gans.lr == step], x="step", y="covered", ax=axes[0], **hues, **BAND)
    axes[0].set(xlabel="updates", title=f"step {step:g}")
    sns.lineplot(table[table.arm.isin(ring.SWEPT)], x="lr", y="covered", marker="o", ax=axes[1], **hues, **BAND)
    axes[1].set(xlabel="step", title="last quarter of training")
    for axis in axes[:2]:
        axis.axhline(REAL, color="black", linewidth=1, linestyle="--")
        axis.set(ylabel="part of the ring covered", ylim=(0, 1))
        axis.legend(title="", fontsize="small")
    own = table[table.lr == step]
    _by_arm(axes[2], [(arm, own[own.arm == arm].covered, palette[arm]) for arm in arms], intervals.SHARE)
    axes[2].set(xlabel="part of the ring covered", title=f"last quarter of training, step {step:g}", xlim=(0, 1))
    figure.suptitle(f"GANs on a ring of 8 Gaussians ({tables.params.network}, {_count(table, 'seeds')})")
    return figure, table[["seed", "arm", "lr", "covered", "modes", "begun"]]


def _by_arm(axis: Axes, arms: list[tuple], reach: tuple[float, float] = intervals.ANYWHERE) -> None:
    """Values of seeds, a row an arm, with their mean and its interval; `arms` are names, values and colours."""
    for place, (_, values, color) in enumerate(arms):
        axis.scatter(values, np.full(len(values), place), color=color, s=12, alpha=0.5)
        middle, ends = _ends([intervals.mean(values, reach)])
        axis.errorbar(middle, place, xerr=ends, color=color, marker="D", capsize=3)
    axis.set_yticks(range(len(arms)), [name for name, _, _ in arms])
    axis.invert_yaxis()


def gan_kicks(tables: Tables) -> Drawn:
    """Twins of GANs, kicked in training. Left: distance from the parent over that of the kick, by updates since it;
    dotted: where first growth is measured; bands are 95 % bootstrap intervals of the geometric mean over seeds. Middle:
    growth until then, and right: to the end, powers of ten; dots are seeds, bars 95 % intervals of the mean."""
    distance, table, first = tables["distance"], tables["gan_twins"], tables.params.gan_first
    own = distance[distance.kind == "twin"].sort_values("step")
    own = own.assign(
        grown=own.distance / own.groupby(["arm", "seed"]).distance.transform("first"), since=own.step - own.step.min()
    )
    figure, axes = panels(3, width=4.8)
    sns.lineplot(own, x="since", y="grown", hue="arm", hue_order=TWINNED, palette="colorblind", ax=axes[0], **LOG_BAND)
    axes[0].axvline(first, color="black", linewidth=1, linestyle=":")
    axes[0].set_xscale("symlog", linthresh=first)
    axes[0].set_xlim(left=0)
    axes[0].set(yscale="log", xlabel="updates since the kick", ylabel="distance of twins over that of the kick")
    axes[0].legend(title="", fontsize="small")
    twins, colours = table[table.kind == "twin"], sns.color_palette("colorblind")
    for axis, column, when in ((axes[1], "started", f"in {first} updates"), (axes[2], "grown", "to the end")):
        _by_arm(axis, [(arm, twins[twins.arm == arm][column], colours[k]) for k, arm in enumerate(TWINNED)])
        axis.set(xlabel=f"growth of the kick {when} (power of ten)")
    figure.suptitle(f"Kicks to a GAN ({tables.params.network}, {_count(twins, 'seeds')})")
    return figure, twins[["seed", "arm", "started", "grown"]]


def _count(table: pd.DataFrame, what: str) -> str:
    return f"n = {table.seed.nunique()} {what}"
