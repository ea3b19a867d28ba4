"""Pieces that the figures of several notebooks share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from butterfly.plots import SEQUENCE

Drawn = tuple[Figure, pd.DataFrame]
TITLES = {
    "mnist1d": "MNIST-1D",
    "mnist1d-adamw": "MNIST-1D, AdamW",
    "mnist1d-gelu": "MNIST-1D, GELU",
    "mnist1d-paths": "MNIST-1D, AdamW",
    "mnist1d-scores": "MNIST-1D",
    "digits-scores": "handwritten digits",
    "digits": "handwritten digits",
    "text": "a made-up language",
    "mnist": "MNIST",
    "cifar10-scores": "CIFAR-10, MLP",
    "cifar10-difficulty": "CIFAR-10, the difficulty paper's recipe",
    "cifar10-small": "CIFAR-10, small network",
    "cifar10-small-adamw": "CIFAR-10, small network, AdamW",
    "cifar10-paper": "CIFAR-10, the paper's recipe",
    "cifar10-paper-adamw": "CIFAR-10, the paper's recipe, AdamW",
}


def scope(twins: pd.DataFrame) -> str:
    """What a figure was made from, for its title."""
    return f"{TITLES[twins.setting.iloc[0]]}, n = {twins.seed.nunique()} seeds"


def per_seed(table: pd.DataFrame, cell: list[str], values: list[str]) -> pd.DataFrame:
    """One row a seed and cell: the mean over draws, so that a band is over seeds."""
    return table.groupby([*cell, "seed"], sort=True)[values].mean().reset_index()


def colours(labels: pd.Series) -> dict[str, tuple]:
    """Colours in the order in which the labels appear."""
    names = list(dict.fromkeys(labels))
    return dict(zip(names, sns.color_palette(SEQUENCE, len(names)), strict=True))


def legend(axis: Axes, title: str, remove: Axes | None = None) -> None:
    """A legend to the right of the last panel, and none in the panel that would repeat it."""
    axis.legend(title=title, loc="center left", bbox_to_anchor=(1, 0.5))
    if remove and remove.get_legend():
        remove.get_legend().remove()


def percent(time: float) -> str:
    """A time of training."""
    return f"{time:g} %"


def kick_name(kind: str, size: float) -> str:
    """A kick: the kind of those that have no size, or the size."""
    return kind if kind in ("one ulp", "one weight") else f"{size:.0e}"


def root_axis(axis: Axes, values: pd.Series, ticks: Sequence[float] | None = None) -> None:
    """A square-root axis: early times, where most happens, get room, and 0 has a place."""
    axis.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    top = values.max()
    axis.set_xlim(-top / 1000, top * 1.03)
    even = [round(top * share**2, 1 if top < 100 else -1) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    axis.set_xticks(even if ticks is None else ticks)
