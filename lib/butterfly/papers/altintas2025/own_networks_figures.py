"""The figures of notebook 81. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import seaborn as sns

from butterfly.interpolate import EPSILON
from butterfly.papers.altintas2025.own_networks import CONVOLUTION
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, colours, legend, panels
from butterfly.twin import LEVEL


def by_time(tables: Tables) -> Drawn:
    """Twins of two networks written as plain modules, kicked at several times of training: the barrier at the end as a
    share of what was learned (dotted: from here on `butterfly.twin` says "chaotic"; cross: the convolutional network's
    earliest twins with their units in the order of their parents'), and the share of examples on which twin and parent
    disagree; bands are 95 % bootstrap intervals of the mean over seeds."""
    table = tables["twins"]
    figure, axes = panels(2, width=4.6)
    palette = colours(table.network)
    for axis, column in zip(axes, ("share", "disagreement"), strict=True):
        sns.lineplot(table, x="time", y=column, hue="network", palette=palette, marker="o", ax=axis, **BAND)
        axis.set(xlabel="time of the kick (% of training)", ylim=(0, None))
        axis.set_xticks(sorted(table.time.unique()))
        axis.xaxis.set_major_formatter("{x:g}")
    early = table[(table.time == 0) & (table.network == CONVOLUTION)]
    matched = (early.matched / early.learned).mean()
    axes[0].scatter([0], [matched], marker="x", color=palette[CONVOLUTION], s=70, zorder=3, clip_on=False)
    axes[0].axhline(LEVEL, color="black", linewidth=1, linestyle=":")
    axes[0].set_ylabel("barrier, as a share of what was learned")
    axes[1].set_ylabel("disagreement of the twins")
    figure.suptitle(f"Is it chaotic? Two networks of one's own (MNIST-1D, n = {table.seed.nunique()} seeds)")
    axes[0].get_legend().remove()
    legend(axes[1], "")
    return figure, table[
        ["network", "seed", "time", "barrier", "share", "disagreement", "distance", "matched", "error"]
    ]


def two_ways(tables: Tables) -> Drawn:
    """Barrier of a twin of the convolutional network that is kicked at the start of a plain PyTorch loop
    (`butterfly.twin`) against that of a twin in the stack, a dot a seed: same start, same minibatches, a kick of the
    same size in another direction; on the line both are the same. Where dotted lines are in sight, barriers
    below them are not told from 0."""
    start = tables["twins"].query("time == 0")[["network", "seed", "barrier"]]
    table = tables["loops"].merge(start, on=["network", "seed"], suffixes=("_loop", "_stack"))
    figure, (axis,) = panels(1, width=5.0, height=4.4)
    dots = table[["barrier_stack", "barrier_loop"]].clip(lower=EPSILON / 3)
    axis.scatter(dots.barrier_stack, dots.barrier_loop, s=45)
    ends = np.array([dots.min(axis=None) / 2, 2 * dots.max(axis=None)])
    axis.plot(ends, ends, color="black", linewidth=1)
    for line in (axis.axhline, axis.axvline):
        line(EPSILON, color="gray", linewidth=1, linestyle=":")
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    axis.set(xlabel="barrier, twin in the stack (nats)", ylabel="barrier, twin in a plain loop (nats)")
    figure.suptitle(f"The stack and a plain loop ({CONVOLUTION}, n = {table.seed.nunique()} seeds)")
    return figure, table[["network", "seed", "barrier_stack", "barrier_loop", "share"]]
