"""The figures of notebook 62. Each returns the picture and the numbers behind it; its docstring is the caption."""

import pandas as pd
import seaborn as sns

from butterfly.papers.erraqabi2018.defences import ADVERSARIAL, NOISE, STANDARD, a3t
from butterfly.papers.erraqabi2018.worst_cases import ATTACKS, CONTROL, DOWN, FOREIGN, GAUSSIAN, ONE_STEP, STEPS, UP
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, legend, panels, scope

_PALETTE = sns.color_palette("colorblind")
_ARMS = (STANDARD, NOISE, ADVERSARIAL)  # and A3T
_COLOURS = dict(zip(_ARMS, (_PALETTE[7], _PALETTE[8], _PALETTE[1]), strict=True))  # standard is grey
_A3T = _PALETTE[0]
_MARKS = {STANDARD: "o", NOISE: "s", ADVERSARIAL: "^"}
_KICKS = {UP: _PALETTE[3], DOWN: _PALETTE[0], GAUSSIAN: _PALETTE[7]}
_TITLES = dict(zip(ATTACKS, ("blind: random signs", "one step: FGSM", "several steps: PGD"), strict=True))


def accuracy(tables: Tables) -> Drawn:
    """Accuracy on test images of which every pixel changes by at most a share of its range: blindly (left), for the
    worst in one step (middle) and in several (right), after four ways of training (A3T at the strength of the claims).
    Dotted: the size of the changes in training, where there were any. Bands are 95 % bootstrap intervals of the mean
    over seeds."""
    main = tables.params.main
    whole = tables["accuracy"]
    table = whole[whole.attack.isin(ATTACKS) & whole.arm.isin((*_ARMS, main))]
    figure, axes = panels(len(ATTACKS), width=4.2, share=True)
    for axis, attack in zip(axes, ATTACKS, strict=True):
        for arm in (*_ARMS, main):
            some = table[(table.attack == attack) & (table.arm == arm)].assign(percent=lambda t: 100 * t["size"])
            look = {"color": _COLOURS.get(arm, _A3T), "marker": _MARKS.get(arm, "D")}
            sns.lineplot(some, x="percent", y="accuracy", label=arm, ax=axis, **look, **BAND)
        axis.axvline(100 * tables.params.size, color="black", linewidth=1, linestyle=":")
        axis.set(title=_TITLES[attack], xlabel="largest change (% of a pixel's range)", ylabel="")
        axis.get_legend().remove()
    axes[0].set_ylabel("accuracy on test images")
    figure.suptitle(f"What a change of the image costs ({scope(table)})")
    legend(axes[-1], "training")
    return figure, table[["arm", "attack", "size", "seed", "accuracy"]]


def features(tables: Tables) -> Drawn:
    """What the worst change in one step (FGSM) does to the last hidden layer. Left: how often a judge tells features of
    changed test images from those of clean ones: a fresh one that was shown other test images (filled), and the
    discriminator that was trained beside the network (open; only in A3T does the network try to fool it, and that of
    random signs had never met FGSM); dotted: guessing. Right: how far the features move, in their spread over clean
    images. Small dots are seeds, lines 95 % bootstrap intervals of the mean."""
    table = tables["features"]
    names = list(dict.fromkeys(table.arm))
    figure, axes = panels(2, width=5.6)
    for name, axis, shape, face, beside in (
        ("fresh", axes[0], "o", True, -0.12), ("own", axes[0], "s", False, 0.12), ("shift", axes[1], "o", True, 0.0),
    ):  # fmt: skip
        for place, arm in enumerate(names):
            own, colour = table[table.arm == arm][name], _COLOURS.get(arm, _A3T)
            x, ends = place + beside, BAND["errorbar"](own)
            axis.scatter([x] * len(own), own, s=7, color=colour, alpha=0.35, linewidth=0)
            axis.vlines(x, *ends, color=colour, linewidth=2)
            axis.scatter(
                [x], [own.mean()], s=40, marker=shape, color=colour, facecolor=colour if face else "white", zorder=3
            )
    for face, shape, label in (("black", "o", "a fresh judge"), ("white", "s", "its own discriminator")):
        axes[0].scatter([], [], s=40, marker=shape, color="black", facecolor=face, label=label)
    axes[0].axhline(0.5, color="black", linewidth=1, linestyle=":")
    axes[0].legend(loc="lower left", bbox_to_anchor=(0.02, 0.16))
    for axis in axes:
        axis.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
        axis.set_xlabel("training (A3T: strength of the discriminator)")
    axes[0].set(title="who sees the change", ylabel="right calls, clean or changed", ylim=(0.45, None))
    axes[1].set(title="how far features move", ylabel="shift / spread over clean images", ylim=(0, None))
    figure.suptitle(f"The last hidden layer when images change ({scope(table)})")
    return figure, table[["arm", "seed", "fresh", "own", "shift"]]


def strengths(tables: Tables) -> Drawn:
    """Accuracy of A3T against the strength of its discriminator (points), and of adversarial training alone (dashed
    line), on clean test images and under attacks: at the size of training, at a larger one, and at the size of training
    with images made against another robust network of the seed (that of adversarial training for A3T; for the dashed
    line, A3T at the strength of the claims). Bands are 95 % bootstrap intervals of the mean over seeds."""
    p = tables.params
    kinds = [("clean", ONE_STEP, 0.0), (f"{ONE_STEP}, {p.percent}", ONE_STEP, p.size),
             (f"{FOREIGN}, {p.percent}", FOREIGN, p.size), (f"{STEPS}, {p.percent}", STEPS, p.size),
             (f"{STEPS}, {p.percent_beyond}", STEPS, p.beyond)]  # fmt: skip
    whole, kept = tables["accuracy"], []
    figure, (axis,) = panels(1, width=7.4, height=4.4)
    for (label, attack, size), colour in zip(kinds, _PALETTE[:3] + _PALETTE[3:5], strict=True):
        some = whole[(whole.attack == attack) & (whole["size"] == size)].assign(kind=label)
        strength = some.arm.map({a3t(s): s for s in p.strengths})
        kept.append(some.assign(strength=strength)[(strength.notna()) | (some.arm == ADVERSARIAL)])
        shown = kept[-1].dropna(subset="strength")
        sns.lineplot(shown, x="strength", y="accuracy", color=colour, marker="o", label=label, ax=axis, **BAND)
        axis.axhline(kept[-1][kept[-1].arm == ADVERSARIAL].accuracy.mean(), color=colour, linestyle="--", linewidth=1)
    axis.plot([], [], color="black", linestyle="--", linewidth=1, label="without discriminator")
    axis.set(
        xscale="log",
        xlabel="strength of the discriminator in the loss",
        ylabel="accuracy on test images",
        ylim=(0, 1.02),
    )
    axis.set_xticks(p.strengths, [f"{s:g}" for s in p.strengths])
    axis.minorticks_off()
    axis.set_title(f"Does the discriminator make robust? ({scope(whole)})")
    legend(axis, "test images")
    return figure, pd.concat(kept)[["kind", "arm", "seed", "accuracy"]]


def kicks(tables: Tables) -> Drawn:
    """Twins whose weights were kicked by the same length uphill, downhill and at random. Left: change of the training
    loss at the kick. Middle: barrier to the parent at the end, against the time of the kick. Right: the same for kicks
    at the later time of the claims, against their size. Bands are 95 % bootstrap intervals of the mean over seeds."""
    p, table = tables.params, tables["kicks"]
    table = table[table.kind != CONTROL]
    usual, late = table[table["size"] == p.kick_size], table[table.time == p.late]
    figure, axes = panels(3, width=4.2)
    for kind, colour in _KICKS.items():
        for axis, some, x, y in ((axes[0], usual, "time", "rise"), (axes[1], usual, "time", "barrier"),
                                 (axes[2], late, "size", "barrier")):  # fmt: skip
            mark = dict(zip(_KICKS, "^vo", strict=True))[kind]
            sns.lineplot(some[some.kind == kind], x=x, y=y, color=colour, marker=mark, label=kind, ax=axis, **BAND)
            axis.set(xlabel="time of the kick (% of training)", ylabel="")
            axis.get_legend().remove()
    axes[0].axhline(0, color="black", linewidth=1)
    axes[0].set(title=f"at once, kicks of {p.kick_size:g}", ylabel="rise of the training loss (nats)")
    axes[1].set(title=f"at the end, kicks of {p.kick_size:g}", ylabel="barrier to the parent (nats)")
    axes[2].set(
        title=f"at the end, kicks at {p.late:g} %",
        xscale="log",
        xlabel="size of the kick",
        ylabel="barrier to the parent (nats)",
    )
    figure.suptitle(f"Worst-case and random kicks of the weights ({scope(table)})")
    legend(axes[-1], "kick")
    return figure, table[["seed", "time", "kind", "size", "rise", "barrier"]]
