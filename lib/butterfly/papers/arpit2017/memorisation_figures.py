"""The figures of notebook 31. Each returns the picture and the numbers behind it; its docstring is the caption."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from scipy import stats

from butterfly.papers.arpit2017.draws import KINDS, NOISES, RANDX, RANDY, REAL
from butterfly.papers.arpit2017.kicked import CONTROL, KICKED, ORDER
from butterfly.papers.arpit2017.memorisation import AS_IT_IS, AT_FIT, AT_LOSS, AVERAGE, EPOCH, FIXED, SNAPSHOT, at_level
from butterfly.study import Tables, intervals
from butterfly.study.figures import BAND, LOG_BAND, Drawn, legend, panels, title

NAMES = {REAL: "real data", RANDX: "noise inputs (randX)", RANDY: "random labels (randY)"}
COLOURS = dict(zip(KINDS, sns.color_palette("colorblind"), strict=False))
DASHES = {REAL: "-", RANDX: "--", RANDY: ":"}
SHOWN = {
    SNAPSHOT: "EL2N, one look",
    AVERAGE: "EL2N, mean so far",
    "margin.logit.last": "margin of logits, one look",
    "margin.logit.mean": "margin of logits, mean so far",
    "iteration_learned": "learned for good at",
    "forgetting": "times forgotten",
}


def _draws(tables: Tables, table: pd.DataFrame) -> str:
    return f"{title(tables.params.setting)}, n = {table.seed.nunique()} draws"


def ease(tables: Tables) -> Drawn:
    """Left: share of runs that are right on an example after one epoch, examples sorted by it; mean over draws. Thin
    lines: what it would be by chance, every example being as easy as any other. Right: share of the variance of answers
    that the examples explain (0: chance; 1: all runs are right on the same ones), after one epoch and when each run
    first reaches a training accuracy. Small dots are draws of the data, large ones means with 95 % intervals."""
    shares, table = tables["shares"], tables["ease"]
    figure, (left, right) = panels(2, width=5.2, height=3.9)
    for kind in KINDS:
        own = shares[shares.kind == kind].groupby("rank").right.mean()
        level = table.query("kind == @kind and when == @EPOCH").accuracy.mean()
        many, look = tables.params.many, {"color": COLOURS[kind], "linestyle": DASHES[kind]}
        left.plot(own.index, own, linewidth=2.2, label=NAMES[kind], **look)
        left.plot(
            own.index, stats.binom.ppf(np.clip(own.index, 0.005, 0.995), many, level) / many, linewidth=0.8, **look
        )
    left.set(xlabel="examples, from the hardest to the easiest", ylabel="runs that are right on it", ylim=(-0.03, 1.03))
    left.xaxis.set_major_formatter(PercentFormatter(1))
    left.yaxis.set_major_formatter(PercentFormatter(1))
    left.legend(fontsize="small", loc="upper left")
    moments = (EPOCH, *map(at_level, tables.params.levels))
    for place, when in enumerate(moments):
        for k, kind in enumerate(KINDS):
            own = table[(table.kind == kind) & (table.when == when)]
            _dots(right, place + 0.22 * (k - 1), own.shared, COLOURS[kind], logarithmic=False)
    right.axhline(0, color="grey", linewidth=1)
    right.set(ylabel="variance that the examples explain", xlim=(-0.6, len(moments) - 0.4))
    right.set_xticks(range(len(moments)), moments)
    figure.suptitle(f"Are the examples that are learned first the same in all runs? ({_draws(tables, table)})")
    return figure, table[["seed", "kind", "when", "accuracy", "shared", "shuffled", "crossed"]]


def influence(tables: Tables) -> Drawn:
    """Left: how unequally examples matter to the training loss: Gini coefficient of the length of the derivative of the
    loss by their inputs, through all updates, mean over looks so far; 0: all matter alike. Right: training accuracy at
    the looks. Bands are 95 % bootstrap intervals of the mean over draws."""
    table = tables["influence"].assign(data=lambda t: t.kind.map(NAMES))
    figure, axes = panels(2, width=4.6, height=3.6)
    palette = {NAMES[kind]: COLOURS[kind] for kind in KINDS}
    for axis, (column, label) in zip(
        axes, (("gini", "Gini coefficient"), ("accuracy", "training accuracy")), strict=True
    ):
        sns.lineplot(
            table, x="epoch", y=column, hue="data", style="data", palette=palette, markers=True, ax=axis, **BAND
        )
        axis.set(xlabel="epoch", ylabel=label)
    axes[1].yaxis.set_major_formatter(PercentFormatter(1))
    legend(axes[1], "", remove=axes[0])
    figure.suptitle(f"On how few examples the loss depends ({tables.params.small}; {_draws(tables, table)})")
    return figure, table[["seed", "kind", "epoch", "gini", "accuracy"]]


def classes(tables: Tables) -> Drawn:
    """How much the loss of the examples of one class (row) depends on the training examples of another (column), over
    how much classes depend on their own examples on average; mean over looks and draws, one colour scale for all."""
    numbers = tables["classes"].groupby(["kind", "of", "on"]).sensitivity.mean().rename("value").reset_index()
    own = numbers[numbers.of == numbers.on].groupby("kind").value.mean()
    numbers = numbers.assign(value=numbers.value / numbers.kind.map(own))
    figure, axes = panels(3, width=3.9, height=3.5)
    for axis, kind in zip(axes, KINDS, strict=True):
        matrix = numbers[numbers.kind == kind].pivot(index="of", columns="on", values="value")
        matrix.index, matrix.columns = matrix.index - 1, matrix.columns - 1
        last = kind == KINDS[-1]
        sns.heatmap(matrix, vmin=0, vmax=1.5, cmap="viridis", square=True, ax=axis, cbar=last,
                    cbar_kws={"label": "sensitivity over that to the own class"} if last else None)  # fmt: skip
        axis.set(title=NAMES[kind], xlabel="class of the training example", ylabel="")
        axis.grid(False)
    axes[0].set_ylabel("class whose loss it is")
    figure.suptitle(f"Which classes matter to which ({tables.params.small}; {_draws(tables, tables['classes'])})")
    return figure, numbers


def capacity(tables: Tables) -> Drawn:
    """Left: test accuracy at the end of training, by the width of two hidden layers, on real data and with some noise.
    Middle: training accuracy at the end, on real data and on noise alone. Right: epochs until 99 % of the training
    examples are right, where all networks get there. Bands are 95 % bootstrap intervals of the mean (right: the
    geometric mean) over draws."""
    table, noise = tables["capacity"], tables.params.noise
    figure, axes = panels(3, width=4.1, height=3.8)
    for axis, (column, arms) in zip(
        axes,
        (("test", (0.0, noise)), ("train", (0.0, 1.0)), ("lower", (0.0, 1.0))),
        strict=True,
    ):
        some = table[table.fraction.isin(arms)]
        if column == "lower":
            some = some[~np.isinf(some.upper).groupby([some.kind, some.width]).transform("any")]
        for kind in KINDS:
            look = {"color": COLOURS[kind], "linestyle": DASHES[kind], "marker": "o", "label": NAMES[kind]}
            bands = LOG_BAND if column == "lower" else BAND
            sns.lineplot(some[some.kind == kind], x="width", y=column, ax=axis, **look, **bands)
        axis.set_xscale("log", base=2)
        axis.set_xticks(tables.params.widths, [str(width) for width in tables.params.widths])
        axis.set(xlabel="units of a layer", ylabel="")
        if axis.get_legend():
            axis.get_legend().remove()
    axes[0].set(title=f"test accuracy, noise in {noise:.0%}")
    axes[1].set(title="training accuracy, noise in all")
    axes[2].set(title="epochs to fit, noise in all", yscale="log")
    _plain_log(axes[2].yaxis)
    for axis in axes[:2]:
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    legend(axes[-1], "trained on")
    figure.suptitle(f"How large a network it takes ({_draws(tables, table)})")
    columns = ["seed", "kind", "fraction", "width", "train", "test", "best", "lower", "upper"]
    return figure, table[columns]


def fitting(tables: Tables) -> Drawn:
    """Left: epochs until all training examples are right, by their number. Middle: the same for Gaussian inputs with
    random labels, by the dimension of the inputs, as they are and shrunk to the length that the smallest have; grey:
    as many real examples. Right: largest eigenvalue of the Hessian where the training loss first falls to a level, and
    where all training examples are first right. Lines are geometric means over draws with 95 % bootstrap bands;
    networks that take longer than they were given count with the epochs they were given. Right: small dots are draws,
    large ones geometric means with 95 % intervals."""
    times, dimensions, sharp = (tables[name] for name in ("times", "dimensions", "sharpness"))
    figure, (left, middle, right) = panels(3, width=4.2, height=3.8)
    for kind in KINDS:
        look = {"color": COLOURS[kind], "linestyle": DASHES[kind], "marker": "o", "label": NAMES[kind]}
        sns.lineplot(times[times.kind == kind], x="examples", y="lower", ax=left, **look, **LOG_BAND)
    for inputs, look in ((AS_IT_IS, "-"), (FIXED, "--")):
        some = dimensions[dimensions.inputs == inputs]
        sns.lineplot(some, x="dimension", y="lower", ax=middle, color="black", linestyle=look, marker="o",
                     label=f"Gaussian, {inputs}", **LOG_BAND)  # fmt: skip
    real = times[(times.kind == REAL) & (times.examples == tables.params.examples)].lower
    if len(real):
        middle.axhline(np.exp(np.log(real).mean()), color="grey", linewidth=1)
    for axis, column, ticks in ((left, "examples", times.examples), (middle, "dimension", dimensions.dimension)):
        axis.set(xscale="log", yscale="log", xlabel=f"{column}{'' if column == 'examples' else ' of the inputs'}")
        axis.set_ylabel("epochs to fit all")
        axis.set_xticks(sorted(ticks.unique()), [str(tick) for tick in sorted(ticks.unique())])
        axis.minorticks_off()
        _plain_log(axis.yaxis)
        axis.legend(fontsize="small")
    for place, when in enumerate((AT_LOSS, AT_FIT)):
        for k, kind in enumerate(KINDS):
            own = sharp[(sharp.kind == kind) & (sharp.when == when)]
            _dots(right, place + 0.22 * (k - 1), own.sharpness, COLOURS[kind])
    right.set(yscale="log", ylabel="sharpness", xlim=(-0.5, 1.5))
    right.set_xticks([0, 1], [f"at training loss {tables.params.loss:g}", AT_FIT])
    _plain_log(right.yaxis)
    figure.suptitle(f"How long it takes to fit, and how sharp the place is ({_draws(tables, times)})")
    numbers = [times.assign(what="times"), dimensions.assign(what="dimensions"), sharp.assign(what="sharpness")]
    columns = ["what", "seed", "kind", "examples", "dimension", "inputs", "when", "lower", "upper", "sharpness"]
    return figure, pd.concat(numbers).reindex(columns=columns)


def patterns(tables: Tables) -> Drawn:
    """Accuracy along training on partly noisy data. Left: test accuracy with random labels; middle: with noise in the
    place of inputs, by the fraction of noise. Right: with random labels at the fraction of the claims: training
    accuracy on examples with their real label and on those with a wrong one, and test accuracy. Bands are 95 %
    bootstrap intervals of the mean over draws."""
    table, noise = tables["curves"], tables.params.noise
    table = table.assign(both=(table.picks + table.test) / 2)
    figure, (left, middle, right) = panels(3, width=4.2, height=3.8)
    for axis, kind in ((left, RANDY), (middle, RANDX)):
        some = table[(table.kind == kind) | (table.kind == REAL)].assign(
            share=lambda t: t.fraction.map("{:.0%}".format)
        )
        sns.lineplot(some, x="epoch", y="both", hue="share", palette=_shades(some.share), ax=axis, **BAND)
        axis.set(title=f"test accuracy, {NAMES[kind]}", ylabel="")
        axis.legend(title="noise", fontsize="small", loc="lower right")
    middle.sharey(left)
    some = table[(table.kind == RANDY) & (table.fraction == noise)]
    parts = {"real": "training, real labels", "noise": "training, wrong labels", "both": "test"}
    for (column, label), color, line in zip(parts.items(), sns.color_palette("colorblind"), "-:-", strict=False):
        sns.lineplot(some, x="epoch", y=column, color=color, linestyle=line, label=label, ax=right, **BAND)
    right.set(title=f"random labels in {noise:.0%}", ylabel="accuracy")
    right.legend(fontsize="small", loc="lower right")
    for axis in (left, middle, right):
        axis.set(xlabel="epoch (square-root axis)")
        _root(axis, table.epoch.max())
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    figure.suptitle(f"Patterns before noise ({_draws(tables, table)})")
    return figure, table[["seed", "kind", "fraction", "epoch", "train", "real", "noise", "picks", "test"]]


def critical(tables: Tables) -> Drawn:
    """Share of test inputs that have another answer within a small box around them, by epoch and fraction of noise. The
    box is set for each draw such that a fifth of the inputs is critical for its networks after one epoch on real data.
    Bands are 95 % bootstrap intervals of the mean over draws."""
    table = tables["critical"].merge(tables["radii"])
    figure, axes = panels(2, width=4.8, height=3.8, share=True)
    for axis, kind in zip(axes, (RANDY, RANDX), strict=True):
        some = table[(table.kind == kind) | (table.kind == REAL)].assign(
            share=lambda t: t.fraction.map("{:.0%}".format)
        )
        sns.lineplot(some, x="epoch", y="ratio", hue="share", palette=_shades(some.share), marker="o", ax=axis, **BAND)
        axis.set(title=NAMES[kind], xlabel="epoch", ylabel="critical samples", xscale="log", ylim=(0, 1.02))
        axis.set_xticks(tables.params.critical_epochs, [str(epoch) for epoch in tables.params.critical_epochs])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    legend(axes[1], "noise", remove=axes[0])
    for axis in axes:
        axis.set_xlabel(f"epoch (box: {tables['radii'].radius.mean():.2f} standard deviations)")
    figure.suptitle(f"Test inputs with another answer close by ({_draws(tables, table)})")
    return figure, table[["seed", "kind", "fraction", "epoch", "ratio", "radius"]]


def regularisers(tables: Tables) -> Drawn:
    """Training accuracy on random labels against test accuracy of networks trained on real data, by regulariser and
    strength; means over draws with 95 % intervals. A regulariser that only keeps from memorising moves to the left and
    not down."""
    table = tables["regularised"]
    figure, (axis,) = panels(1, width=8, height=4.2)
    names = {"dropout": "dropout", "weight_decay": "weight decay"}
    for (how, label), color, marker in zip(names.items(), sns.color_palette("colorblind"), "os", strict=False):
        some = table[(table.how == how) | (table.strength == 0)]
        means = []
        for strength, own in some.groupby("strength"):
            x, y = (intervals.mean(own[column], intervals.SHARE) for column in ("noise", "real"))
            means.append((x.estimate, y.estimate))
            axis.plot([x.low, x.high], [y.estimate] * 2, color=color, linewidth=1)
            axis.plot([x.estimate] * 2, [y.low, y.high], color=color, linewidth=1)
            axis.annotate(
                f"{strength:g}", means[-1], (4, -11), textcoords="offset points", fontsize="small", color=color
            )
        axis.plot(*zip(*means, strict=True), color=color, marker=marker, label=label)
    axis.set(xlabel="training accuracy on random labels", ylabel="test accuracy, trained on real data")
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axis.legend(title="regulariser", loc="lower right")
    figure.suptitle(f"Against memorising ({_draws(tables, table)})")
    return figure, table[["seed", "how", "strength", "noise", "real", "real_train"]]


def finders(tables: Tables) -> Drawn:
    """Left and middle: area under the ROC curve with which scores find the examples that are noise, by the epoch at
    which they are read; grey: the share of those that is fitted. Right: the same for every score at the end of training
    (large) and at the early look of the claims (small). One half is chance. Bands are 95 % bootstrap intervals of the
    mean over draws."""
    table, params = tables["scores"], tables.params
    figure, axes = panels(3, width=4.6, height=5.2)
    axes[1].sharey(axes[0])
    for axis, kind in zip(axes, (RANDY, RANDX), strict=False):
        some = table[table.kind == kind]
        for (score, label), color in zip(SHOWN.items(), sns.color_palette("colorblind", len(SHOWN)), strict=True):
            line = "-" if score.endswith("mean") else ":" if score.endswith("last") else "--"
            own = some[some.score == score]
            sns.lineplot(own, x="epoch", y="area", color=color, linestyle=line, label=label, ax=axis, **BAND)
        sns.lineplot(
            some.drop_duplicates(["seed", "epoch"]), x="epoch", y="fitted", color="grey", ax=axis, errorbar=None
        )
        axis.axhline(0.5, color="grey", linewidth=1, linestyle=":")
        axis.set(
            title=f"{NAMES[kind]}, {params.noise:.0%}", xscale="log", xlabel="epoch", ylabel="area under the curve"
        )
        axis.set_xticks(params.score_epochs, [str(epoch) for epoch in params.score_epochs])
        axis.minorticks_off()
        axis.get_legend().remove()
    axes[0].legend(fontsize="x-small", loc="center left", bbox_to_anchor=(0.02, 0.3))
    ends = ((params.early, 4), (params.score_epochs[-1], 7))  # and the size of the dots
    order = table[table.epoch == params.score_epochs[-1]].groupby("score").area.mean().sort_values().index[::-1]
    for kind, marker in zip(NOISES, "Do", strict=True):
        look = {"linestyle": "none", "color": COLOURS[kind], "marker": marker, "alpha": 0.9}
        for epoch, size in ends:
            means = table[(table.kind == kind) & (table.epoch == epoch)].groupby("score").area.mean()[order]
            axes[2].plot(means, range(len(order)), markersize=size, **look)
        axes[2].plot([], [], label=NAMES[kind], **look)
    axes[2].axvline(0.5, color="grey", linewidth=1, linestyle=":")
    axes[2].set_yticks(range(len(order)), order, fontsize="x-small")
    axes[2].invert_yaxis()
    axes[2].set(title=f"all scores: end, and epoch {params.early} (small)", xlabel="area under the curve")
    axes[2].legend(fontsize="x-small", loc="lower left")
    figure.suptitle(f"Which scores find what is memorised, and when ({_draws(tables, table)})")
    return figure, table[["seed", "kind", "epoch", "score", "area", "fitted"]]


def kicks(tables: Tables) -> Drawn:
    """Which of the wrong labels a network has fitted when it has fitted half of them: how far twins, kicked by several
    sizes and at several epochs or seeing other minibatches from the start, fall short of agreeing; 0: the same labels,
    1: as by chance. Line and band: networks of different seeds, with the 95 % interval. Small dots are draws, large
    ones means with 95 % intervals."""
    table = tables["kicks"].assign(apart=lambda t: 1 - t.agreement)
    seeds = intervals.mean(1 - table.drop_duplicates("seed").others, (0.0, 2.0))
    figure, (axis,) = panels(1, width=8.4, height=3.9)
    arms = list(table.groupby(["kind", "time", "size"], sort=False))
    for place, ((kind, _, _), own) in enumerate(arms):
        _dots(axis, place, own.apart, "black" if kind == KICKED else "grey", logarithmic=False)
    names = {CONTROL: "no kick", ORDER: "other\nminibatches"}
    labels = [names.get(kind, f"epoch {time:g},\nsize {size:g}") for (kind, time, size), _ in arms]
    axis.set_xticks(range(len(arms)), labels)
    axis.axhline(seeds.estimate, color=COLOURS[RANDX], linewidth=1.5)
    axis.axhspan(seeds.low, seeds.high, color=COLOURS[RANDX], alpha=0.2, linewidth=0, label="other seeds")
    axis.set(ylabel="1 - kappa of the wrong labels fitted", xlim=(-0.5, len(arms) - 0.5), ylim=(-0.05, None))
    legend(axis, "")
    figure.suptitle(f"What kicks change ({_draws(tables, table)})")
    return figure, table[["seed", "kind", "time", "size", "agreement", "others", "epoch"]]


# --- pieces ----------------------------------------------------------------------------------------------------------


def _dots(axis: Axes, place: float, values: Sequence[float], color: object, logarithmic: bool = True) -> None:
    """Draws, and their mean (geometric on a logarithmic axis) with its 95 % interval, at one place."""
    found = np.asarray(values, dtype=float)
    jitter = place + 0.07 * np.linspace(-1, 1, len(found))
    axis.plot(jitter, found, linestyle="none", marker="o", markersize=3, alpha=0.45, color=color)
    if len(found) < 2 or not np.isfinite(found).all() or np.ptp(found) == 0:
        return
    mean = intervals.geometric_mean(found) if logarithmic else intervals.mean(found)
    axis.plot([place] * 2, [mean.low, mean.high], color=color, linewidth=2)
    axis.plot(place, mean.estimate, marker="o", markersize=8, color=color)


def _shades(labels: pd.Series) -> dict[str, tuple]:
    """Colours from light to dark, in the order of the fractions of noise."""
    names = sorted(labels.unique(), key=lambda label: float(label.rstrip("%")))
    return dict(zip(names, sns.color_palette("viridis_r", len(names)), strict=True))


def _root(axis: Axes, last: float) -> None:
    """A square-root axis of epochs from 0."""
    axis.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    axis.set_xlim(0, last * 1.03)
    axis.set_xticks(sorted({round(last * share**2) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)}))


def _plain_log(axis: object) -> None:
    """Numbers, not powers of ten, on a short logarithmic axis."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("{x:g}")
    axis.set_tick_params(which="minor", labelsize="x-small")
