"""The figures of notebook 71. Each returns the picture and the numbers behind it; its docstring is the caption."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from butterfly.papers.shabanian2017.future import (
    FRAMES,
    MEMORYLESS,
    MIXTURE,
    NEXT,
    NO_PARTS,
    NO_SKIP,
    SILENT,
    SYMBOLS,
    TIED,
    UNTIED,
)
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, band, log_band, panels

PLACES = (SYMBOLS, FRAMES, MEMORYLESS)
_PALETTE = sns.color_palette("colorblind")
PARTS = (NEXT, SILENT, NO_SKIP, NO_PARTS)
COLOURS = {UNTIED: _PALETTE[7], MIXTURE: _PALETTE[1], TIED: _PALETTE[0]} | {
    arm: _PALETTE[place] for arm, place in zip(PARTS, (2, 3, 4, 5), strict=True)
}
ACTIVE, SMALL = _PALETTE[9], (0.25, 0.25, 0.25)  # all strengths of activity regularisation, tied and untied
KNOWN = {"truth": ("-", "who knows the law"), "single": ("--", "one Gaussian at best"), "blind": (":", "without past")}


def what_the_future_tells(tables: Tables) -> Drawn:
    """One series of frames (left: the four values of each step), and how probable each of the four regimes is to one
    who knows the law but not this step: from the steps before it (middle), and from those before and after (right).
    A regime comes back after some steps nine times out of ten or so; the first ones are known from the future only."""
    table = tables["example"]
    figure, axes = panels(3, width=4.2, height=3.0)
    kinds = (("value", "what is seen", "vlag", -2, 2), ("past", "regime, from the past", "cividis", 0, 1))
    kinds += (("both", "regime, from past and future", "cividis", 0, 1),)
    for axis, (name, what, colours, low, high) in zip(axes, kinds, strict=True):
        picture = table.pivot(index="number", columns="step", values=name)
        sns.heatmap(picture, cmap=colours, vmin=low, vmax=high, ax=axis, square=False, cbar_kws={"shrink": 0.8})
        axis.set(title=what, xlabel="step", ylabel="regime")
        axis.tick_params(axis="both", rotation=0)
        axis.set_xticks([0.5, len(picture.columns) / 2, len(picture.columns) - 0.5],
                        [1, len(picture.columns) // 2, len(picture.columns)])  # fmt: skip
    axes[0].set_ylabel("value")
    figure.suptitle("A series of frames, and what is known of each step without having seen it")
    return figure, table


def training(tables: Tables) -> Drawn:
    """What networks say of validation series while they train, in nats a step: exact log-likelihoods of untied networks
    and lower bounds, with the backward path, of tied ones. Black: what those say who know the law; the best forward
    model that tells a frame by one Gaussian; the same without the past. Bands are 95 % bootstrap intervals of the mean
    over seeds; the start is left out."""
    arms = (UNTIED, MIXTURE, TIED)
    table = tables["courses"][tables["courses"].arm.isin(arms) & (tables["courses"].step > 0)]
    figure, axes = panels(len(PLACES), width=4.2)
    for axis, place in zip(axes, PLACES, strict=True):
        for arm in arms:
            some = table[(table.place == place) & (table.arm == arm)]
            if len(some):
                sns.lineplot(some, x="step", y="valid", color=COLOURS[arm], label=arm, ax=axis, **BAND)
        _known(axis, tables, place, "horizontal")
        axis.set(title=place, xlabel="updates", ylabel="")
    axes[0].set_ylabel("log-likelihood or bound [nats a step]")
    figure.suptitle(f"Series that were not learned from, during training ({_scope(table)})")
    _legend(axes, 1)
    return figure, table[["place", "arm", "seed", "step", "valid"]]


def parts(tables: Tables) -> Drawn:
    """What a forward model says of test series without a backward path, in nats a step, at the look where it was best
    on validation series. Untied: exact; tied: lower bound by a particle filter. A point a seed, bars are 95 % bootstrap
    intervals of the mean. Lines: those who know the law, the best forward model that tells a frame by one Gaussian, and
    the mean of the untied networks."""
    table = tables["tests"]
    figure, axes = panels(len(PLACES), width=4.4, height=4.2)
    arms = [arm for arm in COLOURS if arm in set(table.arm)]
    arms += [arm for arm in dict.fromkeys(table.arm) if arm not in arms]
    for axis, place in zip(axes, PLACES, strict=True):
        here = table[table.place == place]
        _dots(axis, here, "forward", arms)
        axis.axvline(here[here.arm == UNTIED].forward.mean(), color=COLOURS[UNTIED], linewidth=1, label="untied, mean")
        axis.xaxis.set_major_locator(MaxNLocator(5))
        _known(axis, tables, place, "vertical", ("truth", "single"))
        axis.set(title=place, xlabel="log-likelihood or bound [nats a step]")
    for axis in axes[1:]:
        axis.set_yticklabels([])
    figure.suptitle(f"What forward models say of new series ({_scope(table)})")
    _legend(axes, 1)
    return figure, table[["place", "arm", "seed", "forward", "at"]]


def without_the_backward_path(tables: Tables) -> Drawn:
    """What tied networks say of test series, less what untied ones say, in nats a step: with the mean of the prior in
    place of draws (exact), by a particle filter of so many draws from the prior (lower bound), and by the bound that
    uses the backward path. Points are means over seeds with 95 % bootstrap intervals; at 0 an untied network."""
    tests, filters = tables["tests"], tables["filters"]
    key = ["place", "seed"]
    own = tests[tests.arm == TIED][[*key, "fixed", "bound"]]
    rows = [
        own[key].assign(how=how, told=own[name]) for name, how in (("fixed", "prior's\nmean"), ("bound", "with\nb"))
    ]
    drawn = filters[filters.arm == TIED]
    rows.insert(1, drawn[key].assign(how=drawn.particles.astype(str), told=drawn.forward))
    table = pd.concat(rows).merge(tests[tests.arm == UNTIED][[*key, "forward"]], on=key)
    table = table.assign(gain=table.told - table.forward)
    figure, axes = panels(len(PLACES), width=3.9)
    for axis, place in zip(axes, PLACES, strict=True):
        here = table[table.place == place]
        hows = list(dict.fromkeys(here.how))
        for number, how in enumerate(hows):
            gains = here[here.how == how].gain
            drawn_from_prior = number not in (0, len(hows) - 1)
            axis.vlines(number, *band(gains), color=COLOURS[TIED])
            axis.scatter(number, gains.mean(), s=36, color=COLOURS[TIED], zorder=3,
                         facecolor=COLOURS[TIED] if drawn_from_prior else "white")  # fmt: skip
        axis.axhline(0, color=COLOURS[UNTIED], linewidth=1)
        axis.set_xticks(range(len(hows)), hows)
        axis.set(title=place, xlabel="particles")
        axis.margins(x=0.15)
    axes[0].set_ylabel("tied less untied [nats a step]")
    figure.suptitle(f"The forward model without its backward path ({_scope(table)})")
    return figure, table[["place", "how", "seed", "told", "gain"]].assign(how=table.how.str.replace("\n", " "))


def divergence(tables: Tables) -> Drawn:
    """Kullback-Leibler divergence of posterior and prior on test series: what the latent variable is told about the
    future, in nats a step, in tied networks. A point a seed, bars are 95 % bootstrap intervals of the geometric
    mean."""
    table = tables["tests"][~tables["tests"].arm.str.startswith(UNTIED)]
    figure, axes = panels(len(PLACES), width=4.2, height=3.6, share=True)
    arms = [arm for arm in COLOURS if arm in set(table.arm)]
    arms += [arm for arm in dict.fromkeys(table.arm) if arm not in arms]
    for axis, place in zip(axes, PLACES, strict=True):
        _dots(axis, table[table.place == place], "kl", arms, logarithmic=True)
        axis.set(title=place, xlabel="divergence [nats a step]", xscale="log")
    figure.suptitle(f"How much goes through the latent variable ({_scope(table)})")
    return figure, table[["place", "arm", "seed", "kl"]]


# --- pieces ----------------------------------------------------------------------------------------------------------


def _scope(table: pd.DataFrame) -> str:
    return f"n = {table.seed.nunique()} seeds"


def _dots(axis: Axes, table: pd.DataFrame, name: str, arms: list[str], logarithmic: bool = False) -> None:
    """A row an arm, from the top: seeds as points, and the interval of their mean."""
    for row, arm in enumerate(arms):
        values = table[table.arm == arm][name]
        colour = COLOURS.get(arm, SMALL if arm.startswith(UNTIED) else ACTIVE)
        if len(values):
            axis.hlines(row, *(log_band if logarithmic else band)(values), color=colour, linewidth=5, alpha=0.4)
            axis.scatter(values, [row] * len(values), s=12, color=colour, zorder=3)
    axis.set_yticks(range(len(arms)), arms)
    axis.set_ylim(len(arms) - 0.5, -0.5)


def _known(axis: Axes, tables: Tables, place: str, way: str, names: tuple[str, ...] = tuple(KNOWN)) -> None:
    """Lines for those who know the law, where they say different things."""
    law = tables["known"][tables["known"].place == place]
    draw = axis.axhline if way == "horizontal" else axis.axvline
    for name in names:
        if place == SYMBOLS and name == "single":
            continue
        dash, label = KNOWN[name]
        draw(law[name].mean(), color="black", linewidth=1, linestyle=dash, label=label)


def _legend(axes: list[Axes], most: int) -> None:
    """One legend beside the last panel, with what stands in the panel that has most."""
    handles, labels = axes[most].get_legend_handles_labels()
    for axis in axes:
        if axis.get_legend():
            axis.get_legend().remove()
    axes[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5))
