"""The figures of notebook 21. Each returns the picture and the numbers behind it."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.experiments.connectivity import FRAMED, WAYS, Tables
from butterfly.study.figures import TITLES, Drawn, legend
from butterfly.study.figures import BAND, panels

NAMES = {
    "none": "not aligned",
    "random": "random permutation",
    "direct": "aligned directly",
    "through one": "through a third",
    "through two": "through two others",
    "joint": "aligned jointly",
}
COLORS = dict(zip(NAMES.values(), ["black", "gray", *sns.color_palette("colorblind", 4)], strict=True))


def by_width(tables: Tables) -> Drawn:
    """(a) Barrier between pairs of networks against their width, aligned in every way; error and loss."""
    numbers = tables["barriers"].assign(name=lambda t: t.way.map(NAMES))
    figure, axes = panels(2)
    order = [NAMES[way] for way in WAYS]
    for axis, (metric, table) in zip(axes, numbers.groupby("metric", sort=False), strict=True):
        options = {"hue_order": order, "style_order": order, "palette": COLORS}
        sns.lineplot(table, x="width", y="value", hue="name", style="name", **options, markers=True, ax=axis, **BAND)
        axis.set(yscale="log", ylabel=f"{metric} barrier (train{', nats' if metric == 'loss' else ''})")
        _widths(axis, table.width)
    figure.suptitle(f"Barrier between pairs of networks against their width ({_scope(tables)})")
    legend(axes[1], "", remove=axes[0])
    return figure, numbers.drop(columns=["name", "setting"])


def in_the_middle(tables: Tables) -> Drawn:
    """(b) Excess error inside the simplex of three networks, and test error of averages of the widest networks."""
    simplex = tables["simplex"].assign(name=lambda t: t.way.map(NAMES))
    average = tables["average"].query("width == width.max()").assign(name=lambda t: t.way.map(NAMES))
    order = [NAMES[way] for way in FRAMED]
    figure, axes = panels(2)
    for axis, table, x in ((axes[0], simplex, "width"), (axes[1], average, "k")):
        options = {"hue_order": order, "style_order": order, "palette": COLORS}
        sns.lineplot(table, x=x, y="value", hue="name", style="name", **options, markers=True, ax=axis, **BAND)
    _widths(axes[0], simplex.width)
    axes[0].set(ylabel="largest excess of the error inside (train)")
    axes[1].set(xlabel="networks averaged", ylabel="test error of the average", title=f"width {average.width.max()}")
    axes[1].set_xticks(sorted(average.k.unique()))
    figure.suptitle(f"Between networks, and the mean of k ({_scope(tables)})")
    legend(axes[1], "", remove=axes[0])
    return figure, pd.concat([simplex.assign(quantity="simplex"), average.assign(quantity="average")]).drop(
        columns=["name", "setting"]
    )


def tiny(tables: Tables) -> Drawn:
    """(c) Tiny networks: barrier as they are, after weight matching, and the lowest over all permutations."""
    names = {
        "plain": "not aligned",
        "matched": "weight matching",
        "best_objective": "best weight match\nof all permutations",
        "lowest": "lowest barrier\nof all permutations",
    }
    numbers = tables["tiny"].melt("group", list(names), "way", "barrier")
    figure, (axis,) = panels(1, width=6.6, height=3.8)
    table = tables["tiny"][list(names)]
    for _, row in table.iterrows():
        axis.plot(range(len(names)), row, color="gray", linewidth=0.8, marker="o", markersize=4)
    axis.plot(range(len(names)), table.mean(), color="black", linewidth=2, marker="o", label="mean")
    axis.set_xticks(range(len(names)), names.values())
    axis.set(ylabel="error barrier (train)", ylim=(0, None))
    axis.legend()
    width = tables["tiny"].width.iloc[0]
    figure.suptitle(f"All permutations of networks of width {width} ({_scope(tables)})")
    return figure, numbers


def _widths(axis: Axes, widths: pd.Series) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(widths.unique()), [str(width) for width in sorted(widths.unique())])
    axis.set_xlabel("width of the hidden layers")


def _scope(tables: Tables) -> str:
    found = tables["barriers"]
    return f"{TITLES[found.setting.iloc[0]]}, n = {found.group.nunique()} groups"
