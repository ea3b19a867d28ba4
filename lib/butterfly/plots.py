"""One look for all figures, and one way to save them: PNG, PDF and the numbers behind the picture."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image as Picture

from butterfly import paths


def band(values: pd.Series) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean over seeds, resampled the same way every time."""
    x = np.asarray(values, dtype=float)
    draws = x[np.random.default_rng(0).integers(len(x), size=(1000, len(x)))].mean(1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def log_band(values: pd.Series) -> tuple[float, float]:
    """The same for the geometric mean, for a logarithmic axis."""
    low, high = band(np.log(values))
    return float(np.exp(low)), float(np.exp(high))


_SHADE = {"alpha": 0.18, "linewidth": 0}
BAND = {"errorbar": band, "err_kws": _SHADE}
LOG_BAND = {"errorbar": log_band, "estimator": lambda values: np.exp(np.log(values).mean()), "err_kws": _SHADE}

SEQUENCE = "viridis_r"  # ordered quantities: kick times and kick sizes; readable without colour vision


def style() -> None:
    """Set the style of all figures."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.85)
    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "savefig.dpi": 110,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "figure.titlesize": "medium",
            "legend.frameon": False,
        }
    )


def panels(count: int, width: float = 5.0, height: float = 3.9, share: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels side by side."""
    style()
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, sharex=share, sharey=share)
    return figure, list(axes[0])


def save(figure: Figure, numbers: pd.DataFrame, name: str, profile: str) -> Image:
    """Write `figures/<profile>/<name>.png`, `.pdf` and `.csv`, the same bytes for the same content; show the PNG."""
    save_table(numbers, name, profile)
    folder = paths.FIGURES / profile
    figure.canvas.draw()
    figure.set_layout_engine("none")  # laid out once, not again for every format
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    shrink(folder / f"{name}.png")
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    plt.close(figure)
    return Image(folder / f"{name}.png")


def shrink(path: Path) -> None:
    """Keep 256 colours of a PNG, which the eye does not tell from all: committed notebooks and figures stay small."""
    with Picture.open(path) as picture:
        small = picture.convert("RGB").quantize(256, method=Picture.Quantize.MAXCOVERAGE, dither=Picture.Dither.NONE)
    small.save(path, optimize=True)


def save_table(numbers: pd.DataFrame, name: str, profile: str) -> None:
    """Write `figures/<profile>/<name>.csv`."""
    folder = paths.FIGURES / profile
    folder.mkdir(parents=True, exist_ok=True)
    numbers.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
