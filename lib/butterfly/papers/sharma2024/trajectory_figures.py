"""The figures of notebook 20. Each returns the picture and the numbers behind it."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.experiments.trajectory import Tables
from butterfly.study.figures import TITLES, Drawn, colours, legend, percent, root_axis
from butterfly.study.figures import BAND, panels

METHODS = {"weights": "weight matching", "activations": "activation matching"}
LEVELS = {
    "none": "no permutation",
    "dense_weights": "dense, by weights",
    "dense_activations": "dense, by activations",
    "own_weights": "own, by weights",
    "own_activations": "own, by activations",
}
CHECKPOINT = "checkpoint (% of training; square-root axis)"


def along(tables: Tables) -> Drawn:
    """(a) Barrier at every checkpoint under permutations fitted at one; a panel a matching."""
    numbers = tables["along"].query("metric == 'error'")
    controls = numbers[numbers.method.isin(["none", "random"])]
    figure, axes = panels(2, share=True)
    fitted = numbers[numbers.method.isin(METHODS)].copy()
    fitted["when"] = fitted.fitted.map(percent)
    palette = colours(fitted.when)
    for axis, (method, title) in zip(axes, METHODS.items(), strict=True):
        some = fitted[fitted.method == method]
        sns.lineplot(some, x="at", y="value", hue="when", palette=palette, ax=axis, marker=".", **BAND)
        for control, dashes in (("none", "--"), ("random", ":")):
            mean = controls[controls.method == control].groupby("at").value.mean()
            axis.plot(mean.index, mean, color="black", linestyle=dashes, label=f"{control} (control)")
        _checkpoints(axis, some["at"])
        axis.set(title=title, ylabel="error barrier (train)")
    figure.suptitle(f"Barrier between two networks along their training ({_scope(tables)})")
    legend(axes[1], "permutation fitted at", remove=axes[0])
    return figure, numbers.drop(columns="setting")


def at_the_end(tables: Tables) -> Drawn:
    """(b) Barrier at the end, and units placed as by the last permutation, against the checkpoint fitted at."""
    end = tables["along"].query("metric == 'error' and at == 100")
    fitted = end[end.method.isin(METHODS)].assign(matching=lambda t: t.method.map(METHODS))
    same = tables["same"].assign(matching=lambda t: t.method.map(METHODS), layer=lambda t: t.layer.astype(str))
    figure, axes = panels(2)
    palette = dict(zip(METHODS.values(), sns.color_palette("colorblind"), strict=False))
    sns.lineplot(fitted, x="fitted", y="value", hue="matching", palette=palette, marker="o", ax=axes[0], **BAND)
    axes[0].axhline(end[end.method == "none"].value.mean(), color="black", linestyle="--", linewidth=1)
    axes[0].set(ylabel="error barrier at the end (train)", ylim=(0, None))
    options = {"x": "fitted", "y": "value", "hue": "matching", "style": "layer", "palette": palette}
    sns.lineplot(same, **options, markers=True, ax=axes[1], **BAND)
    axes[1].set(ylabel="units placed as by the last permutation", ylim=(0, 1.03))
    for axis in axes:
        _checkpoints(axis, fitted.fitted)
    figure.suptitle(f"Permutations fitted along the way; dashed: none ({_scope(tables)})")
    legend(axes[1], "", remove=axes[0])
    columns = ["pair", "method", "fitted", "value"]
    numbers = [fitted[columns].assign(quantity="barrier"), same[[*columns, "layer"]].assign(quantity="same")]
    return figure, pd.concat(numbers)


def pruned(tables: Tables) -> Drawn:
    """(c) Barrier between pruned networks, and what permutations fitted to them share with the dense one."""
    levels = tables["levels"].query("metric == 'error'").assign(permutation=lambda t: t.method.map(LEVELS))
    shares = tables["level_same"].query("level > 0").groupby(["pair", "method", "density"]).value.mean().reset_index()
    shares["permutation"] = shares.method.map({name: f"own, by {name}" for name in METHODS})
    figure, axes = panels(2)
    palette = dict(zip(LEVELS.values(), ["black", *sns.color_palette("colorblind", 4)], strict=True))
    for axis, table in ((axes[0], levels), (axes[1], shares)):
        sns.lineplot(table, x="density", y="value", hue="permutation", palette=palette, marker="o", ax=axis, **BAND)
        _densities(axis, levels.density)
    axes[0].set(ylabel="error barrier (train)", ylim=(0, None))
    axes[1].set(ylabel="units placed as by the dense permutation", ylim=(0, 1.03))
    figure.suptitle(f"Networks pruned level by level ({_scope(tables)})")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].get_legend().remove()
    axes[1].legend(handles, labels, title="permutation", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, pd.concat([levels.assign(quantity="barrier"), shares.assign(quantity="same")]).drop(
        columns=["permutation", "setting", "metric"]
    )


def transported(tables: Tables) -> Drawn:
    """(d) Test error of networks trained with masks of another network, carried over in several ways."""
    numbers = tables["transport"]
    order = ["own", "permuted", "permuted by activations", "one shot", "unpermuted", "random"]
    figure, (axis,) = panels(1, width=6.6, height=4.2)
    options = {"hue_order": order, "style_order": order, "palette": "colorblind"}
    sns.lineplot(
        numbers, x="density", y="value", hue="method", style="method", **options, markers=True, ax=axis, **BAND
    )
    _densities(axis, numbers.density)
    axis.set(ylabel="test error of the network trained with the mask")
    figure.suptitle(f"Masks carried from one network to another ({_scope(tables)})")
    legend(axis, "mask")
    return figure, numbers.drop(columns="setting")


def _checkpoints(axis: Axes, times: pd.Series) -> None:
    root_axis(axis, times, [time for time in sorted(times.unique()) if time == 0 or time >= 5])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel(CHECKPOINT)


def _densities(axis: Axes, density: pd.Series) -> None:
    axis.set_xscale("log")
    ticks = sorted(density.round(2).unique())
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.invert_xaxis()
    axis.set_xlabel("share of the weights that is left")


def _scope(tables: Tables) -> str:
    setting = TITLES[tables["along"].setting.iloc[0]]
    return f"{setting}, n = {tables['along'].pair.nunique()} pairs"
