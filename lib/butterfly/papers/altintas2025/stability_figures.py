"""The figures of notebook 05. Each returns the picture and the numbers behind it."""

import numpy as np
import seaborn as sns
from matplotlib.ticker import NullLocator

from butterfly.experiments.stability import REFERENCE, Tables, matched
from butterfly.experiments.twins import EPSILON
from butterfly.study.figures import TITLES, Drawn, legend, percent, root_axis
from butterfly.study.figures import BAND, LOG_BAND, panels

NAMES = {
    "start": "kicks at the start",
    "percent": "later: percent of the updates",
    "step": "later: updates",
    "examples": "later: examples seen",
    "cumulative_lr": "later: learning rate summed up",
}
SHOWN = (REFERENCE, "wide-shallow", "warm-up x10", "batch x4", "weight decay", "AdamW")


def forest(tables: Tables) -> Drawn:
    """(a) How many times higher the barrier of each arm is than the reference's, with intervals, on every clock."""
    effects = tables["effects"].query("arm != @REFERENCE").dropna(subset="log_ratio")
    settings, arms = list(dict.fromkeys(effects.setting)), list(dict.fromkeys(effects.arm))
    told = tables["losses"].assign(matched=matched).set_index(["setting", "arm"]).matched
    figure, axes = panels(len(settings), width=5.6, height=1.4 + 0.62 * len(arms), share=True)
    palette = dict(zip(NAMES, sns.color_palette("colorblind", len(NAMES)), strict=True))
    numbers = effects.assign(ratio=np.exp(effects.log_ratio))
    for axis, setting in zip(axes, settings, strict=True):
        axis.axvline(1, color="black", linewidth=1)
        for (arm, clock), one in numbers[numbers.setting == setting].groupby(["arm", "clock"], sort=False):
            place = arms.index(arm) + 0.15 * (list(NAMES).index(clock) - 2)
            low, high = LOG_BAND["errorbar"](one.ratio)
            axis.plot([low, high], [place, place], color=palette[clock], linewidth=1.5)
            face = palette[clock] if told[setting, arm] else "white"
            middle = LOG_BAND["estimator"](one.ratio)
            axis.plot(middle, place, "o", color=palette[clock], markerfacecolor=face, markersize=5)
        axis.set(xscale="log", xlabel="barrier, times the reference's", title=TITLES[setting])
        axis.set_yticks(range(len(arms)), arms)
    axes[0].invert_yaxis()
    for clock, name in NAMES.items():
        axes[-1].plot([], [], "o-", color=palette[clock], label=name)
    legend(axes[-1], "compared")
    figure.suptitle(f"What makes training stable, at equal final loss ({_scope(tables)})")
    return figure, numbers[["setting", "arm", "clock", "seed", "ratio"]]


def clocks(tables: Tables) -> Drawn:
    """(b) Barrier at the end against the time of the kick, on three clocks, some of the arms."""
    twins = tables["twins"]
    setting = twins.setting.iloc[0]
    numbers = twins.query("setting == @setting and kind == 'twin' and arm in @SHOWN").copy()
    numbers["height"] = numbers.barrier + EPSILON
    figure, axes = panels(3, width=4.2)
    labels = {"step": "updates", "examples": "thousand examples", "cumulative_lr": "summed learning rate"}
    numbers["examples"] /= 1000
    order = [arm for arm in SHOWN if arm in set(numbers.arm)]
    palette = dict(zip(order, ["black", *sns.color_palette("colorblind", len(order) - 1)], strict=True))
    for axis, (clock, label) in zip(axes, labels.items(), strict=True):
        some = numbers[numbers.arm != "AdamW"] if clock == "cumulative_lr" else numbers
        sns.lineplot(some, x=clock, y="height", hue="arm", palette=palette, marker="o", ax=axis, **LOG_BAND)
        axis.set(yscale="log", xlabel=f"{label} before the kick", ylabel=f"barrier at the end + {EPSILON:g} (nats)")
        root_axis(axis, some[clock], _ticks(some[clock].max()))
        axis.sharey(axes[0])
        axis.get_legend().remove()
        if axis is not axes[0]:
            axis.set_ylabel("")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), title="arm", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(
        f"Barrier against the time of the kick on three clocks, square-root axes ({TITLES[setting]}, {_seeds(tables)})"
    )
    return figure, numbers[["setting", "arm", "seed", "time", *labels, "barrier"]]


def budgets(tables: Tables) -> Drawn:
    """(c) How the number of updates of each arm was chosen: final loss of the pilots, and the loss to be reached."""
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
        axis.set_title(f"{TITLES[setting]}; line: the reference's loss")
        ticks = [100, 200, 500, 1000, 2000, 5000]
        axis.set_xticks([t for t in ticks if here.steps.min() <= t <= here.steps.max()])
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(NullLocator())
        axis.get_legend().remove()
    axes[-1].legend(title="arm", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle("Pilot runs that set the number of updates of each arm")
    return figure, table


def looseness(tables: Tables) -> Drawn:
    """(d) How loosely the units of the reference are told apart when the kick comes, and the barrier at the end."""
    numbers = tables["twins"].query("arm == @REFERENCE and kind == 'twin'").copy()
    numbers["task"], numbers["when"] = numbers.setting.map(TITLES), numbers.time.map(percent)
    figure, axes = panels(2)
    sns.lineplot(numbers, x="time", y="looseness", hue="task", palette="colorblind", marker="o", ax=axes[0], **BAND)
    sns.scatterplot(numbers, x="looseness", y="barrier", hue="task", style="when", palette="colorblind", ax=axes[1])
    axes[0].set(
        xlabel="time of the kick (% of training; square-root axis)", ylabel="looseness (1: units can be exchanged)"
    )
    root_axis(axes[0], numbers.time, sorted(numbers.time.unique()))
    axes[0].xaxis.set_major_formatter("{x:g}")
    axes[1].set(xlabel="looseness when the kick comes", ylabel="barrier at the end (train, nats)")
    axes[0].get_legend().remove()
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"Can units be exchanged? The reference, {_seeds(tables)}")
    return figure, numbers[["setting", "seed", "time", "looseness", "barrier"]]


def _ticks(top: float) -> list[float]:
    return [round(top * share**2, -1 if top > 100 else 0) for share in (0, 0.35, 0.65, 1)]


def _seeds(tables: Tables) -> str:
    return f"n = {tables['twins'].seed.nunique()} seeds"


def _scope(tables: Tables) -> str:
    return f"{_seeds(tables)}; 95 % bootstrap intervals"
