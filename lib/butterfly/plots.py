"""One look for all figures, and one way to save them: PNG, PDF and the numbers behind the picture."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from butterfly import paths

# A band is a 95 % bootstrap interval of the mean over seeds; the resampling has a fixed seed.
BAND = {"errorbar": ("ci", 95), "n_boot": 1000, "seed": 0, "err_kws": {"alpha": 0.18, "linewidth": 0}}

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
            "legend.frameon": False,
            "svg.hashsalt": "butterfly",
            "pdf.fonttype": 42,
        }
    )


def panels(count: int, width: float = 5.0, height: float = 3.9, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels side by side."""
    style()
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, sharey=sharey)
    return figure, list(axes[0])


def save(figure: Figure, name: str, numbers: pd.DataFrame, profile: str) -> Figure:
    """Write `figures/<profile>/<name>.png`, `.pdf` and `.csv`, the same bytes for the same content."""
    folder = paths.FIGURES / profile
    folder.mkdir(parents=True, exist_ok=True)
    numbers.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    plt.close(figure)
    return figure
