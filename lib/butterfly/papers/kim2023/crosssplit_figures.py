"""The figures of notebook 50. Each returns the picture and the numbers behind it; its docstring is the caption."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from butterfly.papers.kim2023.crosssplit import ARMS, WHEN, WHO
from butterfly.study import Tables
from butterfly.study.figures import BAND, Drawn, legend, panels, scope

_PALETTE = sns.color_palette("colorblind")
COLOURS = {arm: _PALETTE[place] for arm, place in zip(ARMS, (7, 1, 2, 0), strict=True)}  # plain is grey


def memory(tables: Tables) -> Drawn:
    """Share of the wrong labels that a network predicts over training: of examples that it learns from (solid) and of
    those of its peer's half, which it never saw (dashed); dotted: another wrong class there, which is chance. One panel
    a noise; bands are 95 % bootstrap intervals of the mean over seeds."""
    table = tables["course"]
    figure, axes = _a_panel_a_noise(table)
    for axis, (_, some) in zip(axes, table.groupby("noise", sort=False), strict=True):
        _lines(axis, some, "memorised", "-", ("plain", "split only", "both"), "{}: own")
        _lines(axis, some, "unseen", "--", ("split only", "both"), "{}: of the peer")
        _lines(axis, some, "decoy", ":", ("split only", "both"), "{}: there, by chance")
    _finish(figure, axes, "wrong labels predicted", f"Wrong labels, learned and never seen ({scope(table)})")
    return figure, table[["arm", "noise", "seed", "epoch", "memorised", "unseen", "decoy"]]


def targets(tables: Tables) -> Drawn:
    """Share of the wrong labels whose target points to the true class (solid: repaired), and of the right labels whose
    target does not (dashed: spoiled), over training, in the arms that mix labels. One panel a noise; bands are 95 %
    bootstrap intervals of the mean over seeds."""
    table = tables["course"][tables["course"].arm.isin(("mixed only", "both"))]
    figure, axes = _a_panel_a_noise(table)
    for axis, (_, some) in zip(axes, table.groupby("noise", sort=False), strict=True):
        _lines(axis, some, "repaired", "-", ("mixed only", "both"), "{}: repaired")
        _lines(axis, some, "spoiled", "--", ("mixed only", "both"), "{}: spoiled")
    _finish(figure, axes, "share of the labels", f"What mixing does to labels ({scope(table)})")
    return figure, table[["arm", "noise", "seed", "epoch", "repaired", "spoiled", "right"]]


def accuracy(tables: Tables) -> Drawn:
    """Test accuracy over training of the mean of two networks (solid) and of one of them on average (dashed), in the
    four arms. One panel a noise, each with its own axis; bands are 95 % bootstrap intervals of the mean over seeds."""
    table = tables["course"]
    table = table[table.epoch > 0]
    figure, axes = _a_panel_a_noise(table, share=False)
    for axis, (_, some) in zip(axes, table.groupby("noise", sort=False), strict=True):
        _lines(axis, some, "pair", "-", ARMS, "{}")
        _lines(axis, some, "single", "--", ARMS, "{}: one network", band=False)
    _finish(figure, axes, "test accuracy", f"Test accuracy of two networks and of one ({scope(table)})")
    return figure, table[["arm", "noise", "seed", "epoch", "pair", "single"]]


def found(tables: Tables) -> Drawn:
    """Area under the ROC curve with which one network's EL2N finds wrong labels: among its own examples (filled) and
    among those of its peer's half (open). Left: mean over training; right: at the end; dotted: chance. Lines are 95 %
    bootstrap intervals of the mean over seeds."""
    table = tables["areas"]
    figure, axes = panels(len(WHEN), width=5.4, share=True)
    cells = [(arm, who) for arm in ARMS for who in WHO if ((table.arm == arm) & (table.who == who)).any()]
    noises = list(dict.fromkeys(table.noise))
    for axis, when in zip(axes, WHEN, strict=True):
        for number, (arm, who) in enumerate(cells):
            some = table[(table.arm == arm) & (table.who == who) & (table.when == when)]
            means = some.groupby("noise", sort=False).area.mean()
            ends = some.groupby("noise", sort=False).area.apply(BAND["errorbar"])
            x = [place + 0.11 * (number - (len(cells) - 1) / 2) for place in range(len(noises))]
            axis.vlines(x, *zip(*ends[noises], strict=True), color=COLOURS[arm])
            face = COLOURS[arm] if who == WHO[0] else "white"
            axis.scatter(x, means[noises], s=28, color=COLOURS[arm], facecolor=face, label=f"{arm}: {who}", zorder=3)
        axis.axhline(0.5, color="black", linewidth=1, linestyle=":")
        axis.set_xticks(range(len(noises)), [noise.replace(" ", "\n", 1) for noise in noises])
        axis.set(title=when, xlabel="label noise", ylabel="")
    axes[0].set_ylabel("area under the ROC curve")
    figure.suptitle(f"Finding wrong labels with one network's EL2N ({scope(table)})")
    legend(axes[-1], "arm: examples scored")
    return figure, table[["arm", "noise", "who", "when", "seed", "area"]]


# --- pieces ----------------------------------------------------------------------------------------------------------


def _a_panel_a_noise(table: pd.DataFrame, share: bool = True) -> tuple[Figure, list[Axes]]:
    noises = list(dict.fromkeys(table.noise))
    figure, axes = panels(len(noises), width=3.5, share=share)
    for axis, noise in zip(axes, noises, strict=True):
        axis.set(title=noise)
    return figure, axes


def _lines(
    axis: Axes, table: pd.DataFrame, name: str, dash: str, arms: tuple[str, ...], label: str, band: bool = True
) -> None:
    """One line an arm over the epochs."""
    for arm in arms:
        some = table[table.arm == arm]
        kept = BAND if band else {"errorbar": None}
        sns.lineplot(
            some, x="epoch", y=name, color=COLOURS[arm], linestyle=dash, label=label.format(arm), ax=axis, **kept
        )


def _finish(figure: Figure, axes: list[Axes], what: str, title: str) -> None:
    """Names of the axes and the title; a legend beside the last panel, and none in those before."""
    for axis in axes:
        axis.set(xlabel="epochs", ylabel="")
        axis.get_legend().remove()
    axes[0].set_ylabel(what)
    figure.suptitle(title)
    legend(axes[-1], "")
