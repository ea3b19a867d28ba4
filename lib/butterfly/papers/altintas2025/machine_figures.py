"""The figures of notebook 08. Each returns the picture and the numbers behind it."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.experiments.machine import Tables
from butterfly.study.figures import TITLES, Drawn, legend
from butterfly.study.figures import BAND, LOG_BAND, panels

NOTHING = 1e-10  # where the figure draws what makes no difference at all
SIZE = "worth a Gaussian kick at the start of size (1 = norm of the initial weights)"


def worth(tables: Tables) -> Drawn:
    """(a) The size of the kick that each difference is worth: a dot a seed, the geometric mean with its interval."""
    numbers = _variants(tables)
    order = numbers.groupby("variant", sort=False).shown.mean().sort_values(kind="stable").index
    figure, (axis,) = panels(1, width=8.0, height=1.4 + 0.3 * len(order))
    sns.stripplot(numbers, x="shown", y="variant", order=order, color="gray", size=4, jitter=0.12, ax=axis)
    options = {key: LOG_BAND[key] for key in ("errorbar", "estimator")}
    sns.pointplot(
        numbers, x="shown", y="variant", order=order, color="black", linestyle="none", markersize=5, ax=axis, **options
    )
    _sizes(axis)
    axis.set(xlabel=SIZE, ylabel="")
    digits = axis.secondary_xaxis("top")
    places = range(0, 33, 4)
    digits.set_xticks([2.0**-count for count in places], [str(count) for count in places])
    digits.set_xticks([], minor=True)
    digits.set_xlabel("the same in binary digits of the initial scale")
    figure.suptitle(f"How large a kick is the machine? ({_scope(tables)})")
    return figure, numbers[["world", "variant", "seed", "early", "worth", "bits"]]


def consequences(tables: Tables) -> Drawn:
    """(b) What becomes of each difference: barrier and disagreement at the end, beside Gaussian kicks of that size."""
    pairs = tables["pairs"].query("world == 'machine'")
    ruler = pairs.query("variant == 'ruler' and size > 0").assign(worth=lambda t: t["size"])
    numbers = _variants(tables).query("world == 'machine'").copy()
    same = numbers.groupby("variant").worth.transform("max") == 0
    shown = f"the same bits ({numbers.variant[same].nunique()} variants)"
    numbers["what"] = numbers.variant.where(~same, shown)
    names = list(dict.fromkeys(numbers.sort_values("shown", kind="stable").what))
    palette = dict(zip(names, sns.husl_palette(len(names), s=0.85, l=0.55), strict=True))
    figure, axes = panels(2)
    for axis, measure, label in (
        (axes[0], "barrier", "loss barrier at the end (train, nats)"),
        (axes[1], "disagreement", "test examples answered differently"),
    ):
        sns.lineplot(ruler, x="worth", y=measure, color="black", ax=axis, label="Gaussian kicks", **BAND)
        means = numbers.groupby("what")[["shown", measure]].agg({"shown": LOG_BAND["estimator"], measure: "mean"})
        options = {"hue_order": names, "style_order": names, "palette": palette}
        sns.scatterplot(means.reset_index(), x="shown", y=measure, hue="what", style="what", s=70, ax=axis, **options)
        _sizes(axis)
        axis.set(xlabel="size, or worth (1 = norm of the initial weights)", ylabel=label)
    legend(axes[1], "", remove=axes[0])
    figure.suptitle(f"What becomes of a difference ({_scope(tables)})")
    return figure, pd.concat([ruler, numbers])[["variant", "seed", "size", "worth", "barrier", "disagreement"]]


def _variants(tables: Tables) -> pd.DataFrame:
    pairs = tables["pairs"].query("variant != 'ruler' and world != 'first rate'")
    return pairs.assign(shown=pairs.worth.clip(lower=NOTHING))


def _sizes(axis: Axes) -> None:
    axis.set_xscale("log")
    ticks = [NOTHING, *(10.0**power for power in range(-8, 1, 2))]
    axis.set_xticks(ticks, ["none", *(f"$10^{{{round(np.log10(tick))}}}$" for tick in ticks[1:])])
    axis.minorticks_off()
    axis.set_xlim(NOTHING / 2, 1)


def _scope(tables: Tables) -> str:
    pairs = tables["pairs"]
    return f"{TITLES[pairs.setting.iloc[0]]}, n = {pairs.seed.nunique()} seeds"
