"""Figures of notebook 72: one utterance, what it costs to learn, and how much of it a network must see."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from butterfly.papers.zhang2016.convolutions_ctc import HALF, RECURRENT, cheaper, sees
from butterfly.papers.zhang2016.speech import CLASSES
from butterfly.papers.zhang2016.transcripts import read
from butterfly.study import Tables, intervals
from butterfly.study.figures import BAND, Drawn, colours, legend, panels, style
from butterfly.study.intervals import POSITIVE

PALETTE = sns.color_palette("colorblind")
LOOKS = {False: (PALETTE[0], "o", "convolutional"), True: (PALETTE[1], "s", "recurrent")}  # by whether it is recurrent
COLOURS = ["0.6", *(PALETTE[k] for k in (0, 1, 2, 3, 4, 9))]  # of blank and symbols


def _seeds(table: pd.DataFrame) -> str:
    return f"made-up utterances, n = {table.seed.nunique()} seeds"


def utterance(tables: Tables) -> Drawn:
    """One utterance and what two trained networks say of it. Top: energy by frequency band and frame, with the symbols
    that were said, and where (networks are told which, not where). The high formant is in band 8 in symbols 1 to 3,
    and in band 10 in 4 to 6; the low one rises in 1 and 4, falls in 2 and 5, and stays in 3 and 6. Below: the
    probability of each symbol in each frame, and the transcript read off the best path."""
    style()
    examples, main = tables.kept["examples"], tables.params.main
    figure, axes = plt.subplots(3, 1, figsize=(8.0, 6.2), sharex=True, height_ratios=[1.3, 1, 1])
    one = examples[main]
    frames = np.arange(one["x"].shape[1])
    picture = axes[0].imshow(one["x"], aspect="auto", origin="lower", cmap="cividis", interpolation="nearest")
    figure.colorbar(picture, ax=axes[0], label="energy")
    axes[0].set(ylabel="frequency band")
    axes[0].grid(visible=False)
    changes = np.flatnonzero(np.diff(one["at"], prepend=-1, append=-1))
    for first, last in pairwise(changes):
        if symbol := int(one["at"][first]):
            axes[0].axvline(first - 0.5, color="white", linewidth=0.8)
            axes[0].axvline(last - 0.5, color="white", linewidth=0.8)
            axes[0].text(
                (first + last - 1) / 2,
                one["x"].shape[0] - 0.2,
                str(symbol),
                ha="center",
                va="bottom",
                color=COLOURS[symbol],
            )
    kept = []
    for axis, (network, name) in zip(
        axes[1:], ((main, f"convolutional ({main})"), (RECURRENT, RECURRENT)), strict=True
    ):
        chances = examples[network]["probabilities"]
        for symbol in range(CLASSES):
            color = COLOURS[symbol]
            axis.plot(frames, chances[:, symbol], color=color, linestyle="-" if symbol else "--")
        heard = " ".join(map(str, read(chances.argmax(1))))
        axis.set(ylabel="probability", ylim=(-0.03, 1.05), title=f"{name} reads: {heard or 'nothing'}")
        kept.append(pd.DataFrame(chances, columns=[f"p{symbol}" for symbol in range(CLASSES)]).assign(
            frame=frames, at=one["at"], network=network))  # fmt: skip
    for symbol in range(CLASSES):
        axes[1].plot([], [], color=COLOURS[symbol], linestyle="-" if symbol else "--",
                     label=str(symbol) if symbol else "blank")  # fmt: skip
    legend(axes[1], "symbol")
    axes[2].set_xlabel("frame")
    said = " ".join(str(symbol) for symbol in one["said"] if symbol)
    figure.suptitle(f"One utterance that nobody learned from; said was: {said}")
    return figure, pd.concat(kept, ignore_index=True)


def errors(tables: Tables) -> Drawn:
    """Symbol errors of the convolutional and the recurrent network along learning, against updates (left) and time,
    with an update of the convolutional network as the unit (middle; both were timed in turn, in one run on one
    machine); on the left also the convolutional network that sees most. Bands are 95 % bootstrap intervals of the mean
    over seeds; dotted, an error for every other symbol. Right: the errors in the end, by best path and by beam search;
    small dots are seeds, large ones means with 95 % intervals."""
    curves, params = tables["curves"], tables.params
    ratio = cheaper(tables)
    figure, axes = panels(3, width=4.3, height=3.9)
    own = curves[curves.network == params.widest]
    look = {"color": PALETTE[2], "marker": "v"}
    sns.lineplot(own, x="updates", y="error", ax=axes[0], markersize=4, **look, **BAND)
    axes[2].plot([], [], label=f"convolutional, {params.widest}", **look)
    for recurrent, (color, marker, _) in LOOKS.items():
        own = curves[curves.network == (RECURRENT if recurrent else params.main)]
        own = own.assign(time=own.updates * (ratio.estimate if recurrent else 1.0))
        for axis, x in zip(axes, ("updates", "time"), strict=False):
            sns.lineplot(own, x=x, y="error", color=color, marker=marker, markersize=4, ax=axis, **BAND)
    labels = "updates", "time (updates of the convolutional network)"
    for axis, label in zip(axes, labels, strict=False):
        axis.axhline(HALF, color="black", linestyle=":", linewidth=1)
        axis.set(xlabel=label, ylabel="symbol error (edits per symbol)", ylim=(0, None))
    low, high = (f"{value:.2g}" for value in (ratio.low, ratio.high))
    axes[1].set(
        ylabel="", title=f"an update of the recurrent one\ncosts {ratio.estimate:.2g} times as much [{low}, {high}]"
    )
    axes[0].set_title("learning")
    networks = tables["networks"][tables["networks"].network.isin([params.main, RECURRENT])]
    _ends(axes[2], networks, params.main)
    legend(axes[2], "network")
    figure.suptitle(f"Without recurrence, and with it ({_seeds(networks)}, {params.parameters} parameters)")
    own = networks[["network", "seed", "error", "trained", "beam", "chance", "count"]]
    times = tables["cost"].assign(network="milliseconds of an update")
    return figure, pd.concat([own, curves, times], ignore_index=True)


def _ends(axis: Axes, networks: pd.DataFrame, main: str) -> None:
    """Errors in the end, by network and way to decode."""
    for recurrent, (color, marker, name) in LOOKS.items():
        own = networks[networks.network == (RECURRENT if recurrent else main)]
        for place, column in enumerate(("error", "beam")):
            at, values = place + (0.12 if recurrent else -0.12), own[column]
            found = intervals.mean(values, POSITIVE)
            axis.scatter(np.full(len(values), at), values, s=8, alpha=0.4, color=color, linewidth=0)
            bars = np.nan_to_num([[found.estimate - found.low], [found.high - found.estimate]])
            label = None if place else (name if recurrent else f"{name}, {main}")
            axis.errorbar(at, found.estimate, bars, color=color, marker=marker, capsize=2, linestyle="", label=label)
    axis.set_xticks([0, 1], ["best path", "beam search"])
    # Intervals of two or three seeds reach far beyond all seeds.
    top = 1.1 * networks[["error", "beam"]].max().max()
    axis.set(xlim=(-0.5, 1.5), ylim=(0, top), xlabel="decoded by", title="in the end")


def context(tables: Tables) -> Drawn:
    """Symbol error in the end against the receptive field, the frames that decide what is said of one. Lines are
    numbers of layers, and kernels grow along them; all networks have as many parameters. The cross is the deepest one
    with kernels of a single frame. The band is the recurrent network; dotted, transcripts of other utterances, which
    is chance; shaded, how long a symbol lasts. Means with 95 % intervals over seeds."""
    networks, params = tables["networks"], tables.params
    figure, (axis,) = panels(1, width=7.6, height=4.2)
    axis.axvspan(params.shortest, params.longest, color="0.9", linewidth=0, label="a symbol's length")
    rows = networks[networks.network == RECURRENT].error
    band = intervals.mean(rows, POSITIVE)
    axis.axhline(rows.mean(), color=LOOKS[True][0], linestyle="--", label="recurrent")
    axis.axhspan(*np.nan_to_num([band.low, band.high]), color=LOOKS[True][0], alpha=0.2, linewidth=0)
    axis.axhline(networks.chance.mean(), color="black", linestyle=":", label="chance")
    grid = networks[networks.kernel > 1]
    shift = dict(zip(params.depths, np.linspace(0.97, 1.03, len(params.depths)), strict=True))
    markers = dict(zip(params.depths, "osD^v<>", strict=False))
    for depth, color in colours(params.depths).items():
        own = grid[grid.depth == depth]
        _points(axis, own, shift[depth], color, markers[depth], f"{depth} layer{'s' * (depth > 1)}", "-")
    single = networks[networks.network == params.single]
    _points(axis, single, 1.0, PALETTE[3], "X", f"{params.depths[-1]} layers, single frames", "")
    axis.set_xscale("log", base=2)
    ticks = sorted({1, *(sees(depth, kernel) for depth in params.depths for kernel in params.kernels)})
    axis.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axis.minorticks_off()
    axis.set(xlabel="receptive field (frames; logarithmic)", ylabel="symbol error (edits per symbol)", ylim=(0, 1.05))
    legend(axis, "")
    figure.suptitle(f"How much must a network see at once? ({_seeds(networks)}, {params.parameters} parameters)")
    return figure, networks[["network", "depth", "kernel", "sees", "count", "seed", "error", "trained", "chance"]]


def _points(axis: Axes, table: pd.DataFrame, shift: float, color, marker: str, label: str, line: str) -> None:
    """Means with 95 % intervals over seeds, by receptive field."""
    found = {field: intervals.mean(own.error, POSITIVE) for field, own in table.groupby("sees")}
    middle = [one.estimate for one in found.values()]
    bars = np.nan_to_num(
        [[one.estimate - one.low for one in found.values()], [one.high - one.estimate for one in found.values()]]
    )
    axis.errorbar(
        np.array(list(found)) * shift, middle, bars, color=color, marker=marker, label=label, linestyle=line, capsize=2
    )
