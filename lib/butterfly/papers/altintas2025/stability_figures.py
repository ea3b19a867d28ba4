"""The figures of notebook 05. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import seaborn as sns
from matplotlib.ticker import NullLocator

from butterfly.interpolate import EPSILON
from butterfly.papers.altintas2025.stability import REFERENCE, WHERE, matched
from butterfly.study import Tables
from butterfly.study.figures import BAND, LOG_BAND, Drawn, legend, panels, percent, root_axis, scope, title

SHOWN = (REFERENCE, "wide-shallow", "warm-up x10", "batch x4", "weight decay", "AdamW")


def forest(tables: Tables) -> Drawn:
    """Barrier of each arm over that of the reference, on a logarithmic scale, a panel for each data set: kicks at the
    start, and the mean over later kicks compared at equal readings of four clocks. Right of the line: less stable than
    the reference. Hollow: the arm does not end at the reference's loss. Dots are geometric means over seeds, bars their
    95 % bootstrap intervals."""
    numbers = tables["effects"].query("arm != @REFERENCE").dropna(subset="log_ratio")
    numbers = numbers.assign(ratio=np.exp(numbers.log_ratio))
    settings, arms = list(dict.fromkeys(numbers.setting)), list(dict.fromkeys(numbers.arm))
    equal = tables["losses"].assign(matched=matched).set_index(["setting", "arm"]).matched
    figure, axes = panels(len(settings), width=5.6, height=1.4 + 0.62 * len(arms), share=True)
    palette = dict(zip(WHERE, sns.color_palette("colorblind", len(WHERE)), strict=True))
    for axis, setting in zip(axes, settings, strict=True):
        axis.axvline(1, color="black", linewidth=1)
        for (arm, clock), own in numbers[numbers.setting == setting].groupby(["arm", "clock"], sort=False):
            place = arms.index(arm) + 0.15 * (list(WHERE).index(clock) - 2)
            color, face = palette[clock], palette[clock] if equal[setting, arm] else "white"
            axis.plot(LOG_BAND["errorbar"](own.ratio), [place, place], color=color, linewidth=1.5)
            axis.plot(LOG_BAND["estimator"](own.ratio), place, "o", color=color, markerfacecolor=face, markersize=5)
        axis.set(xscale="log", xlabel="barrier, times the reference's", title=title(setting))
        axis.set_yticks(range(len(arms)), arms)
    axes[0].invert_yaxis()
    for clock, (when, _) in WHERE.items():
        axes[-1].plot([], [], "o-", color=palette[clock], label=when)
    legend(axes[-1], "compared")
    figure.suptitle(f"What makes training stable, at equal final loss ({_seeds(tables)}; 95 % bootstrap intervals)")
    return figure, numbers[["setting", "arm", "clock", "seed", "ratio"]]


def clocks(tables: Tables) -> Drawn:
    """Barrier at the end against the time of the kick, on three clocks, for some arms on the main data set. AdamW
    is left out on the right: its learning rates are in other units. Lines are geometric means over seeds, bands their
    95 % bootstrap intervals."""
    twins = tables["twins"]
    numbers = twins.query("setting == setting.iloc[0] and kind == 'twin' and arm in @SHOWN").copy()
    numbers["height"] = numbers.barrier + EPSILON
    numbers["examples"] /= 1000
    labels = {"step": "updates", "examples": "thousand examples", "cumulative_lr": "summed learning rate"}
    order = [arm for arm in SHOWN if arm in set(numbers.arm)]
    palette = dict(zip(order, ["black", *sns.color_palette("colorblind", len(order) - 1)], strict=True))
    figure, axes = panels(3, width=4.2)
    for axis, (clock, label) in zip(axes, labels.items(), strict=True):
        some = numbers[numbers.arm != "AdamW"] if clock == "cumulative_lr" else numbers
        sns.lineplot(some, x=clock, y="height", hue="arm", palette=palette, marker="o", ax=axis, **LOG_BAND)
        axis.set(yscale="log", xlabel=f"{label} before the kick", ylabel="")
        root_axis(axis, some[clock], _ticks(some[clock].max()))
        axis.sharey(axes[0])
        axis.get_legend().remove()
    axes[0].set_ylabel(f"barrier at the end + {EPSILON:g} (nats)")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), title="arm", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"Barrier against the time of the kick on three clocks, square-root axes ({scope(numbers)})")
    return figure, numbers[["setting", "arm", "seed", "time", *labels, "barrier"]]


def budgets(tables: Tables) -> Drawn:
    """Training loss at the end against the number of updates, a line for each arm and a panel for each data set:
    geometric means over the pilots. The black line is the loss of the reference: where an arm crosses it, it stops."""
    table = tables["budgets"]
    settings = list(dict.fromkeys(table.setting))
    figure, axes = panels(len(settings), width=5.2, height=4.2)
    arms = [arm for arm in dict.fromkeys(table.arm) if arm != REFERENCE]
    palette = dict(zip(arms, sns.husl_palette(len(arms), s=0.8), strict=True))
    for axis, setting in zip(axes, settings, strict=True):
        here = table[table.setting == setting]
        axis.axhline(here.target.iloc[0], color="black", linewidth=1)
        options = {"palette": palette, "style": "arm", "dashes": False, "markers": True}
        sns.lineplot(here[here.arm != REFERENCE], x="steps", y="loss", hue="arm", ax=axis, **options)
        axis.set(xscale="log", yscale="log", xlabel="updates", ylabel="training loss at the end (nats)")
        axis.set_title(f"{title(setting)}; line: the reference's loss")
        axis.set_xticks([t for t in (100, 200, 500, 1000, 2000, 5000) if here.steps.min() <= t <= here.steps.max()])
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(NullLocator())
        axis.get_legend().remove()
    legend(axes[-1], "arm")
    figure.suptitle("Pilot runs that set the number of updates of each arm")
    return figure, table


def looseness(tables: Tables) -> Drawn:
    """Left: looseness of the reference's units when the kick comes; bands are 95 % bootstrap intervals of the mean over
    seeds. Right: barrier at the end against it, a point for each seed and kick time."""
    numbers = tables["twins"].query("arm == @REFERENCE and kind == 'twin'").copy()
    numbers["task"], numbers["when"] = numbers.setting.map(title), numbers.time.map(percent)
    figure, axes = panels(2)
    sns.lineplot(numbers, x="time", y="looseness", hue="task", palette="colorblind", marker="o", ax=axes[0], **BAND)
    sns.scatterplot(numbers, x="looseness", y="barrier", hue="task", style="when", palette="colorblind", ax=axes[1])
    axes[0].set(xlabel="time of the kick (% of training; square-root axis)")
    axes[0].set(ylabel="looseness (1: units can be exchanged)")
    root_axis(axes[0], numbers.time, sorted(numbers.time.unique()))
    axes[0].xaxis.set_major_formatter("{x:g}")
    axes[1].set(xlabel="looseness when the kick comes", ylabel="barrier at the end (train, nats)")
    legend(axes[1], "", remove=axes[0])
    figure.suptitle(f"Can units be exchanged? The reference, {_seeds(tables)}")
    return figure, numbers[["setting", "seed", "time", "looseness", "barrier"]]


def _ticks(top: float) -> list[float]:
    return [round(top * share**2, -1 if top > 100 else 0) for share in (0, 0.35, 0.65, 1)]


def _seeds(tables: Tables) -> str:
    return f"n = {tables['twins'].seed.nunique()} seeds"
