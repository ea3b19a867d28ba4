"""The figures of notebook 11. Each returns the picture and the numbers behind it; its docstring is the caption."""

import numpy as np
import pandas as pd
import seaborn as sns

from butterfly.papers.kwok2024.naming import abreast, network, palette
from butterfly.papers.kwok2024.one_notion import SINGLE
from butterfly.study import Tables
from butterfly.study.figures import Drawn, legend, panels


def correlations(tables: Tables) -> Drawn:
    """Rank correlations between every two scores that one run gives, all turned so that large means hard, for the first
    network: left between different runs, right divided by the root of the two reliabilities; means over all pairs of
    runs."""
    numbers = _first(tables["pairs"])
    figure, axes = panels(2, width=5.6, height=5.6)
    style = {"vmin": -1, "vmax": 1, "cmap": "vlag", "square": True, "cbar": False}
    for axis, column, title in zip(axes, ("raw", "free"), ("as measured", "freed of run noise"), strict=True):
        matrix = numbers.pivot(index="one", columns="other", values=column).loc[list(SINGLE), list(SINGLE)]
        sns.heatmap(matrix, ax=axis, xticklabels=True, yticklabels=column == "raw", **style)
        axis.set(title=title, xlabel="", ylabel="")
    figure.colorbar(axes[1].collections[0], ax=axes, shrink=0.6, label="rank correlation between two runs")
    figure.suptitle(f"Scores of example difficulty, all pointing to hard ({network(numbers.network.iloc[0])})")
    return figure, numbers


def components(tables: Tables) -> Drawn:
    """Left: shares of variance of the principal components of the ranks of those scores that the course of training
    gives, means over all runs, a colour for each network; dashed, the 95th percentile of shuffled scores. Right: how
    the scores load on the first two components, for the first network."""
    shares, loadings = tables["components"], _first(tables["loadings"])
    figure, axes = panels(2, width=5.0)
    for name, colour in palette(list(shares.network.unique())).items():
        own = shares[shares.network == name].head(8)
        axes[0].plot(own.component, own["share"], "o-", color=colour, label=network(name))
        axes[0].plot(own.component, own.chance, "--", color=colour, linewidth=1)
    axes[0].set(xlabel="component", ylabel="share of the variance of ranks", ylim=(0, 1))
    axes[0].legend(title="dashed: shuffled scores, 95th percentile")
    y = np.arange(len(loadings))[::-1]
    axes[1].axvline(0, color="grey", linewidth=1)
    for shift, column, marker in ((0.12, "first", "o"), (-0.12, "second", "s")):
        axes[1].plot(loadings[column], y + shift, marker, label=column, markersize=5)
    axes[1].set_yticks(y, loadings.score)
    axes[1].set(xlabel="loading", title=network(loadings.network.iloc[0]))
    legend(axes[1], "component")
    figure.suptitle("One axis or more? Principal components of scores from training, means over all runs")
    return figure, shares


def axis(tables: Tables) -> Drawn:
    """Rank correlation of every score with EL2N averaged over training: between two single runs (circles), freed of run
    noise (triangles), and between means over all runs (squares; for the scores that only many networks give, these
    alone)."""
    numbers = tables["axis"]
    names = list(numbers.network.unique())
    order = list(_first(numbers).sort_values("of_means").score)
    figure, axes = abreast(len(names), width=5.0, height=0.24 * len(order) + 1.4)
    kinds = {"raw": "two single runs", "free": "freed of run noise", "of_means": "means over all runs"}
    for panel, name in zip(axes, names, strict=True):
        own = numbers[numbers.network == name].set_index("score").loc[order]
        for (column, label), marker in zip(kinds.items(), "o^s", strict=True):
            panel.plot(own[column], range(len(order)), marker, markersize=5, label=label, alpha=0.85)
        panel.axvline(0, color="grey", linewidth=1)
        panel.set_yticks(range(len(order)), order if panel is axes[0] else [""] * len(order))
        panel.set(title=network(name), xlabel="rank correlation with el2n.mean", xlim=(-1.05, 1.05))
        panel.margins(y=0.02)
    legend(axes[-1], "between")
    figure.suptitle("The common axis, and the scores that stand apart")
    return figure, numbers


def control(tables: Tables) -> Drawn:
    """Ranks of GraNd at initialisation, mean over the initial networks of all runs, against those of the norm of the
    input (left) and of EL2N averaged over training (right); each point is an example, a colour for each network."""
    numbers = tables["control"]
    figure, axes = panels(2, width=4.8)
    for name, colour in palette(list(numbers.network.unique())).items():
        own = numbers[numbers.network == name]
        for panel, column in zip(axes, ("norm", "el2n"), strict=True):
            ranks = own[[column, "grand_init"]].rank(pct=True)
            style = {"s": 4, "color": colour, "alpha": 0.35, "linewidth": 0}
            panel.scatter(*ranks.to_numpy().T, label=f"{network(name)}: {ranks.corr().iloc[0, 1]:.2f}", **style)
    axes[0].set(xlabel="rank of the norm of the input", ylabel="rank of GraNd at initialisation")
    axes[1].set(xlabel="rank of EL2N averaged over training", ylabel="")
    for panel in axes:
        panel.legend(title="rank correlation", loc="upper center", bbox_to_anchor=(0.5, -0.18), markerscale=4)
    figure.suptitle("A negative control: the gradient before training knows the norm of the input")
    return figure, numbers


def _first(table: pd.DataFrame) -> pd.DataFrame:
    return table[table.network == table.network.iloc[0]]
