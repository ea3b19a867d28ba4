"""The figures of notebook 22. Each returns the picture and the numbers behind it."""

import warnings

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from sklearn.manifold import MDS

from butterfly.experiments.network_paths import MEASURES, Tables
from butterfly.study.figures import Drawn, colours, legend, root_axis
from butterfly.study.figures import BAND, panels

PROPERTIES = {
    "length": "length (rad)",
    "tortuosity": "length / chord",
    "target_angle": "angle of steps to the targets (degrees)",
    "end": "how far towards the targets the logits are",
}


def over_training(tables: Tables) -> Drawn:
    """(a) Four properties of paths over training; a line a depth, the widest networks."""
    table = tables["paths"].query("width == width.max()").assign(layers=lambda t: t.depth.astype(str))
    figure, axes = panels(4, width=3.5)
    palette = colours(table.layers)
    for axis, (name, label) in zip(axes, PROPERTIES.items(), strict=True):
        sns.lineplot(table, x="time", y=name, hue="layers", palette=palette, marker="o", ax=axis, **BAND)
        axis.set(xlabel="time (% of training; square-root axis)", ylabel=label)
        root_axis(axis, table.time, sorted(table.time.unique()))
        axis.xaxis.set_major_formatter("{x:g}")
        if axis is not axes[-1]:
            axis.get_legend().remove()
    axes[2].axhline(90, color="black", linewidth=1, linestyle=":")
    figure.suptitle(f"Paths of networks of width {table.width.max()} over training ({_scope(tables)})")
    legend(axes[-1], "hidden layers")
    return figure, table[["model", "depth", "width", "seed", "time", *PROPERTIES]]


def towards_the_targets(tables: Tables) -> Drawn:
    """(b) Distance to the targets along the path, before and after training; a panel a depth, the widest networks."""
    table = tables["points"].query("width == width.max() and time in [0, 100]")
    table = table.assign(when=table.time.map({0.0: "before training", 100.0: "after training"}))
    depths = sorted(table.depth.unique())
    figure, axes = panels(len(depths), width=4.0, share=True)
    for axis, depth in zip(axes, depths, strict=True):
        some = table[table.depth == depth]
        sns.lineplot(some, x="point", y="to_target", hue="when", palette="colorblind", marker="o", ax=axis, **BAND)
        axis.axhline(np.pi / 2, color="black", linewidth=1, linestyle=":")
        axis.set(title=f"{depth} hidden layers", xlabel="point of the path (0: input; last: logits)")
        if axis is not axes[-1]:
            axis.get_legend().remove()
    axes[0].set_ylabel("distance to the targets (rad)")
    figure.suptitle(f"Distance to the targets along the path; dotted: unrelated ({_scope(tables)})")
    legend(axes[-1], "")
    return figure, table[["model", "depth", "seed", "time", "point", "to_target", "fraction", "off"]]


def winding(tables: Tables) -> Drawn:
    """(c) Length over chord before and after training, by four measures of distance; beside it, orthogonal steps."""
    table = tables["measures"].assign(when=lambda t: t.time.map({0.0: "before", 100.0: "after training"}))
    figure, axes = panels(len(MEASURES), width=3.4, share=True)
    for axis, measure in zip(axes, MEASURES, strict=True):
        some = table[table.measure == measure]
        sns.lineplot(some, x="depth", y="tortuosity", hue="when", palette="colorblind", marker="o", ax=axis, **BAND)
        depths = np.array(sorted(some.depth.unique()))
        # A path of k equal orthogonal steps in a flat space is sqrt(k) times as long as its chord; k = layers + 1.
        axis.plot(depths, np.sqrt(depths + 1), color="black", linestyle=":", label="orthogonal steps")
        axis.set(title=measure, xlabel="hidden layers")
        axis.set_xticks(depths)
        if axis is not axes[-1] and axis.get_legend():
            axis.get_legend().remove()
    axes[0].set_ylabel("length / chord")
    figure.suptitle(f"How winding paths are, by four measures of distance (all widths; {_scope(tables)})")
    legend(axes[-1], "")
    return figure, table[["model", "depth", "width", "seed", "time", "measure", "tortuosity"]]


def pictures(tables: Tables) -> Drawn:
    """(d) Paths of one seed drawn in the plane by multidimensional scaling; a panel a depth, the widest networks."""
    paths = tables["paths"].query("width == width.max()")
    seed, depths = paths.seed.min(), sorted(paths.depth.unique())
    figure, axes = panels(len(depths), width=4.2, height=4.2)
    numbers = []
    for axis, depth in zip(axes, depths, strict=True):
        model = paths[paths.depth == depth].model.iloc[0]
        for time, color in (("before", "gray"), ("after", sns.color_palette("colorblind")[0])):
            matrix = tables.cosines[model, seed, 0.0 if time == "before" else 100.0]
            places = _plane(matrix)
            numbers.append(pd.DataFrame(places, columns=["x", "y"]).assign(depth=depth, when=time, seed=seed))
            axis.plot(*places[:-1].T, color=color, marker="o", markersize=4, label=f"{time} training")
            axis.annotate("input", places[0], (4, 4), textcoords="offset points", fontsize="small", color=color)
            axis.scatter(*places[-1], color=color, marker="*", s=120)
        axis.set(title=f"{depth} hidden layers", xlabel="radians", ylabel="radians", aspect="equal")
    axes[-1].scatter([], [], color="gray", marker="*", s=80, label="targets")
    figure.suptitle(f"Paths in the plane, distances kept as well as can be (seed {seed})")
    legend(axes[-1], "")
    return figure, pd.concat(numbers)


def _plane(cosines: np.ndarray) -> np.ndarray:
    """Points in the plane whose distances come nearest to the arcs, the input at 0 and the targets to the right."""
    distances = np.arccos(np.clip(cosines, -1, 1))
    np.fill_diagonal(distances, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-learn announces other defaults
        scaling = MDS(2, dissimilarity="precomputed", random_state=0, n_init=8, normalized_stress="auto")
        places = scaling.fit_transform((distances + distances.T) / 2)
    places = places - places[0]
    angle = np.arctan2(*places[-1][::-1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return places @ turn


def bias(tables: Tables) -> Drawn:
    """(e) Length of the path against the number of examples, biased and debiased; the widest networks, by depth."""
    table = tables["subsets"].query("width == width.max()")
    depths = sorted(table.depth.unique())
    figure, axes = panels(len(depths), width=4.0)
    for axis, depth in zip(axes, depths, strict=True):
        some = table[table.depth == depth]
        sns.lineplot(some, x="examples", y="length", hue="kind", palette="colorblind", marker="o", ax=axis, **BAND)
        _examples(axis, some.examples)
        axis.set(title=f"{depth} hidden layers", ylabel="length of the path (rad)" if axis is axes[0] else "")
        if axis is not axes[-1]:
            axis.get_legend().remove()
    figure.suptitle(f"Length of trained paths against the number of examples ({_scope(tables)})")
    legend(axes[-1], "estimate")
    return figure, table[["model", "depth", "seed", "kind", "examples", "length"]]


def between(tables: Tables) -> Drawn:
    """(f) Distance between the paths of networks of different seeds, by architecture."""
    table = tables["between"]
    names = list(dict.fromkeys(table.one))
    mean = table.groupby(["one", "other"]).distance.mean().unstack().loc[names, names]
    figure, (axis,) = panels(1, width=5.8, height=4.6)
    sns.heatmap(mean, annot=True, fmt=".2f", cmap="viridis_r", ax=axis, cbar_kws={"label": "distance (rad)"})
    axis.set(xlabel="network of another seed", ylabel="network")
    axis.tick_params(axis="x", rotation=30)
    axis.tick_params(axis="y", rotation=0)
    figure.suptitle(f"Distance between paths, points matched in order ({_scope(tables)})")
    return figure, table[["one", "other", "seed", "distance"]]


def _examples(axis: Axes, examples: pd.Series) -> None:
    ticks = sorted(examples.unique())
    axis.set_xscale("log")
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("test examples")


def _scope(tables: Tables) -> str:
    return f"MNIST-1D, n = {tables['paths'].seed.nunique()} seeds"
