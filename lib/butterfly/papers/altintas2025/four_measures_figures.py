"""The figures of notebook 02. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, colours, legend, panels, per_seed, percent, root_axis, title

MEASURES = {
    "distance": "L2 distance of the weights",
    "barrier": "loss barrier (train, nats)",
    "angle": "angle of the last hidden layers (rad)",
    "disagreement": "test examples answered differently",
}
LEAST = 1e-3  # barriers below are drawn there on a logarithmic axis
ALIGNED = {"barrier_weights": "weight matching", "barrier_activations": "activation matching"}
PAIR = ["setting", "seed", "kind", "time", "size"]


def four_measures(tables: Tables) -> Drawn:
    """The four measures against the time of the kick, mean over Gaussian kicks of all sizes; the angle is Angular CKA
    of the last hidden layer on test examples. Colours are optimisers; dashed: mean of independent networks, in the
    colour of the optimiser; bands are 95 % bootstrap intervals of the mean over seeds."""
    pairs = tables["pairs"].assign(arm=tables["pairs"].setting.map(_arm))
    twins = per_seed(pairs[pairs.kind == "twin"], ["arm", "time"], list(MEASURES))
    far = per_seed(pairs[pairs.kind == "independent"], ["arm"], list(MEASURES))
    palette = dict(zip(pairs.arm.unique(), sns.color_palette("colorblind"), strict=False))
    figure, axes = panels(4, width=3.6)
    for axis, (name, label) in zip(axes, MEASURES.items(), strict=True):
        sns.lineplot(twins, x="time", y=name, hue="arm", palette=palette, marker="o", ax=axis, legend=False, **BAND)
        for arm, value in far.groupby("arm")[name].mean().items():
            axis.axhline(value, color=palette[arm], linestyle="--", linewidth=1)
        axis.set(xlabel="time of the kick (%; square-root axis)", ylabel=label)
        root_axis(axis, twins.time, sorted(twins.time.unique()))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_ylim(bottom=0)
    for arm, color in palette.items():
        axes[-1].plot([], [], color=color, marker="o", label=arm)
    axes[-1].plot([], [], color="gray", linestyle="--", label="independent networks")
    figure.suptitle(f"Four measures of twins against the time of the kick ({_seeds(twins)})")
    legend(axes[-1], "")
    return figure, pd.concat([twins, far])


def barrier_by_distance(tables: Tables) -> Drawn:
    """Loss barrier (logarithmic) against L2 distance at the end; each point is a pair of networks. Colours are kick
    times, crosses are independent networks. Barriers below 0.001 are drawn at 0.001."""
    shown = _kicked(tables["pairs"])
    figure, axes = panels(2, share=True)
    for axis, (setting, arm) in zip(axes, shown.groupby("setting", sort=False), strict=True):
        _points(axis, arm, "distance", "barrier")
        axis.set(yscale="log", title=_arm(setting), xlabel=MEASURES["distance"])
    axes[0].set_ylabel(MEASURES["barrier"])
    figure.suptitle(f"Barrier against distance; those below {LEAST:g} drawn there ({_seeds(shown)})")
    legend(axes[1], "kicked at")
    return figure, shown[[*PAIR, "distance", "barrier"]]


def aligned(tables: Tables) -> Drawn:
    """Loss barrier after alignment against that before; each point is a pair of networks, and on the line nothing
    changes. Colours are kick times, crosses are independent networks. Barriers below 0.001 are drawn at 0.001."""
    shown = _kicked(tables["pairs"])
    figure, axes = panels(4, width=3.5, share=True)
    arms = [(s, arm, column) for s, arm in shown.groupby("setting", sort=False) for column in ALIGNED]
    top = 2 * shown.barrier.max()
    for axis, (setting, arm, column) in zip(axes, arms, strict=True):
        axis.plot([LEAST, top], [LEAST, top], color="black", linewidth=1)
        _points(axis, arm, "barrier", column)
        axis.set(xscale="log", yscale="log", xlim=(0.7 * LEAST, top), ylim=(0.7 * LEAST, top))
        axis.set(title=f"{_arm(setting)}\n{ALIGNED[column]}", xlabel="loss barrier before (nats)")
    axes[0].set_ylabel("loss barrier after alignment (nats)")
    figure.suptitle(f"Barrier after and before alignment; those below {LEAST:g} drawn there ({_seeds(shown)})")
    legend(axes[-1], "kicked at")
    return figure, shown[[*PAIR, "barrier", *ALIGNED]]


def fixed_points(tables: Tables) -> Drawn:
    """Share of all hidden units that alignment leaves in place, against the loss barrier before alignment; each point
    is a pair of networks. Colours are kick times, crosses are independent networks; circles SGD, squares AdamW."""
    shown = _kicked(tables["pairs"])
    figure, axes = panels(2, share=True)
    columns = ("unmoved", "unmoved_activations")
    for axis, column, matching in zip(axes, columns, ALIGNED.values(), strict=True):
        for (_, arm), marker in zip(shown.groupby("setting", sort=False), "os", strict=False):
            _points(axis, arm, "barrier", column, marker)
        axis.set(xscale="log", xlim=(0.7 * LEAST, 2 * shown.barrier.max()), ylim=(-0.03, 1.03), title=matching)
        axis.set_xlabel("loss barrier before alignment (train, nats)")
    axes[0].set_ylabel("share of units left in place")
    first, second = (_arm(name) for name in shown.setting.unique())
    figure.suptitle(f"Units left in place; circles {first}, squares {second} ({_seeds(shown)})")
    handles, labels = axes[1].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes[1].legend(once.values(), once.keys(), title="kicked at", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, shown[[*PAIR, "barrier", *columns]]


def layers(tables: Tables) -> Drawn:
    """Angular CKA between twin and parent in every layer, on test examples; colours are kick times, black is between
    independent networks; bands are 95 % bootstrap intervals of the mean over seeds."""
    shown = _kicked(tables["layers"])
    shown = shown.assign(when=_when(shown))
    numbers = per_seed(shown, ["setting", "when", "time", "depth", "layer"], ["angle"])
    shown = shown.groupby(["setting", "when", "depth", "layer", "seed"], sort=False).angle.mean().reset_index()
    palette = colours(shown.when[shown.when != "another seed"]) | {"another seed": "black"}
    figure, axes = panels(2, share=True)
    for axis, (setting, arm) in zip(axes, shown.groupby("setting", sort=False), strict=True):
        sns.lineplot(arm, x="depth", y="angle", hue="when", palette=palette, marker="o", ax=axis, **BAND)
        names = arm.drop_duplicates("depth").sort_values("depth")
        axis.set_xticks(names.depth, names.layer, rotation=30, ha="right")
        axis.set(title=_arm(setting), xlabel="layer", ylabel="angle between representations (rad)")
    axes[0].set_ylim(0, 1.15 * shown.angle.groupby([shown.setting, shown.when, shown.depth]).mean().max())
    figure.suptitle(f"Angular CKA between twin and parent, layer by layer ({_seeds(shown)})")
    legend(axes[1], "kicked at", remove=axes[0])
    return figure, numbers


# --- pieces ----------------------------------------------------------------------------------------------------------


def _kicked(table: pd.DataFrame) -> pd.DataFrame:
    return table[table.kind != "control"]


def _points(axis: Axes, pairs: pd.DataFrame, x: str, y: str, marker: str = "o") -> None:
    """The pairs as points, coloured by kick time, independent networks as crosses; small barriers at the least."""
    barriers = [name for name in (x, y) if name.startswith("barrier")]
    pairs = pairs.assign(**pairs[barriers].clip(lower=LEAST))
    when = _when(pairs)
    for name, color in colours(when[pairs.kind == "twin"]).items():
        some = pairs[when == name]
        axis.scatter(some[x], some[y], color=color, s=14, marker=marker, linewidth=0, alpha=0.8, label=name)
    far = pairs[pairs.kind == "independent"]
    axis.scatter(far[x], far[y], color="black", s=22, marker="x", linewidth=1, label="another seed")


def _arm(setting: str) -> str:
    return title(setting) if setting.endswith("adamw") else f"{title(setting)}, SGD"


def _seeds(table: pd.DataFrame) -> str:
    return f"n = {table.seed.nunique()} seeds"


def _when(pairs: pd.DataFrame) -> pd.Series:
    """What a pair is: the time of the kick, or networks of different seeds."""
    return pairs.time.map(lambda time: "another seed" if np.isnan(time) else percent(time))
