"""Pieces that the figures of notebooks 10 to 15 share: names of networks, and panels for networks and data sets."""

import re

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from butterfly.study.figures import panels, title

FAMILIES = {"mlp": "MLP", "cnn": "CNN", "gru": "GRU", "resnet": "ResNet", "vgg": "VGG"}


def architecture(name: str) -> str:
    """An architecture for people: `mlp-4x64` is `MLP 4x64`, `resnet20-16` is `ResNet 20-16`."""
    family = re.match("[a-z]+", name)[0]
    return f"{family_name(family)} {name.removeprefix(family).lstrip('-')}"


def family_name(family: str) -> str:
    """A family of architectures for people: `mlp` is `MLP`."""
    return FAMILIES.get(family, family)


def network(name: str) -> str:
    """A network named `setting/architecture`, for people: what it is, and what it learns."""
    setting, _, model = name.partition("/")
    return f"{architecture(model)}, {title(setting)}"


def palette(labels: list[str]) -> dict[str, tuple]:
    """Colours of unordered things, readable without colour vision."""
    return dict(zip(labels, sns.color_palette("colorblind", len(labels)), strict=True))


def abreast(count: int, width: float, height: float, share: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each network or data set; a single one is as wide as the title needs."""
    return panels(count, max(width, 8.4 / count), height, share)


def by_setting(
    table: pd.DataFrame, width: float, height: float, share: bool = False
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A figure with a titled panel for each setting of a table; each panel with its rows."""
    names = list(table.setting.unique())
    figure, axes = abreast(len(names), width, height, share)
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(title(name))
    return figure, [(axis, table[table.setting == name]) for axis, name in zip(axes, names, strict=True)]
