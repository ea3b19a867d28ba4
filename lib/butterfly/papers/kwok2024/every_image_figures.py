"""The figures of notebook 16. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd

from butterfly.papers.kwok2024.every_image import SCORE, TRUSTED
from butterfly.study import Tables
from butterfly.study.figures import Drawn, legend, panels, title


def reliability(tables: Tables) -> Drawn:
    """How far the released scores can be trusted: the rank correlation between two networks (dots, mean over disjoint
    pairs of networks; bars are two standard errors), and that of the mean over all networks with another such mean
    (crosses, by Spearman and Brown). Dotted: the reliability that EI01 asks of the means."""
    pairs, sure = tables["pairs"], tables["reliability"].sort_values("mean", ignore_index=True)
    spread = pairs[pairs.among == "all"].groupby("score").correlation.sem()
    figure, (axis,) = panels(1, width=7.4, height=0.26 * len(sure) + 1.2)
    places = np.arange(len(sure))
    axis.errorbar(sure.single, places, xerr=2 * spread[sure.score].to_numpy(), fmt="o", label="one network")
    axis.scatter(sure["mean"], places, marker="x", color="black", zorder=3, label=f"mean over {tables.params.runs}")
    axis.axvline(TRUSTED, color="black", linewidth=1, linestyle=":")
    axis.set_yticks(places, sure.score)
    axis.set(xlabel="rank correlation with another such score", xlim=(None, 1.01))
    figure.suptitle(f"How reliable are the released scores? ({_scope(tables)})")
    legend(axis, "score of")
    return figure, sure.assign(standard_error=spread[sure.score].to_numpy())


def difficulty(tables: Tables) -> Drawn:
    """Every training example: EL2N averaged over training, mean over networks against its standard deviation over
    networks. Colour: on what share of looks the networks were right about it."""
    table = tables.kept["released"][tables.place]
    figure, (axis,) = panels(1, width=8.8, height=4.4)
    right = table.correctness / tables.params.looks
    dots = axis.scatter(
        table[SCORE], table[f"{SCORE} (sd)"], c=right, s=4, cmap="viridis", linewidth=0, rasterized=True
    )
    figure.colorbar(dots, ax=axis, label="share of looks with the right answer")
    axis.set(xlabel="EL2N averaged over training, mean over networks", ylabel="standard deviation over networks")
    axis.set(xlim=(0, None), ylim=(0, None))
    figure.suptitle(f"Hard examples, and those on which networks differ ({_scope(tables)})")
    tenths = pd.qcut(table[SCORE].rank(method="first"), 10, labels=range(1, 11)).rename("decile")
    numbers = table.groupby(tenths, observed=True)[[SCORE, f"{SCORE} (sd)", "correctness"]].mean().reset_index()
    return figure, numbers


def _scope(tables: Tables) -> str:
    trained = tables.params.trained(tables.place)
    return f"{title(tables.place.partition('/')[0])}, {trained.model}, n = {len(tables['runs'])} networks"
