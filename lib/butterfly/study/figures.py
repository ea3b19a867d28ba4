"""One look for all figures, the pieces they share, and one way to save them: PNG, PDF and the numbers behind."""

import io
import textwrap
from collections.abc import Sequence
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

from butterfly.study.settings import setting
from butterfly.study.store import write_whole

Drawn = tuple[Figure, pd.DataFrame]


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


# --- pieces ----------------------------------------------------------------------------------------------------------


def title(name: str) -> str:
    """The title of a setting."""
    return setting(name).title


def scope(table: pd.DataFrame) -> str:
    """What a figure was made from, for its title."""
    return f"{title(table.setting.iloc[0])}, n = {table.seed.nunique()} seeds"


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


# --- files -----------------------------------------------------------------------------------------------------------


def save(figure: Figure, numbers: pd.DataFrame, name: str, folder: Path) -> Image:
    """Write `<name>.png`, `.pdf` and `.csv` into a folder, the same bytes for the same content; show the PNG."""
    save_table(numbers, name, folder)
    _wrap_title(figure)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # laid out once, not again for every format
    picture, page = io.BytesIO(), io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    figure.savefig(page, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    plt.close(figure)
    write_whole(folder / f"{name}.png", shrunk(picture.getvalue()))
    write_whole(folder / f"{name}.pdf", page.getvalue())
    return Image(folder / f"{name}.png")


def _wrap_title(figure: Figure) -> None:
    """Break a title that is wider than its figure."""
    artist = figure.suptitle(text := figure.get_suptitle())
    if (width := artist.get_window_extent().width) > figure.bbox.width:
        artist.set_text(textwrap.fill(text, int(0.95 * len(text) * figure.bbox.width / width)))


def shrunk(picture: bytes) -> bytes:
    """256 colours of a PNG, which the eye does not tell from all: committed notebooks and figures stay small."""
    out = io.BytesIO()
    with Picture.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB").quantize(256, method=Picture.Quantize.MAXCOVERAGE, dither=Picture.Dither.NONE)
    small.save(out, format="png", optimize=True)
    return out.getvalue()


def save_table(numbers: pd.DataFrame, name: str, folder: Path) -> None:
    """Write `<name>.csv` into a folder."""
    text = numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_whole(folder / f"{name}.csv", text.encode())


DIGITS = 4  # of released numbers: finer than their noise, and files half as large


def rounded(values: pd.Series) -> pd.Series:
    """Numbers to `DIGITS` significant digits, of the same type."""
    exact = values.to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = 10.0 ** (np.floor(np.log10(np.abs(exact))) - DIGITS + 1)
        short = np.where(np.isfinite(unit) & (unit > 0), np.round(exact / unit) * unit, exact)
    return pd.Series(short, index=values.index).astype(values.dtype)


def save_release(table: pd.DataFrame, card: str, name: str, folder: Path) -> None:
    """Write `<name>.parquet`, its real numbers to `DIGITS` digits, and its card `<name>.md` into a folder."""
    content = io.BytesIO()
    real = {column: rounded(table[column]) for column in table.select_dtypes("floating")}
    table.assign(**real).to_parquet(content, index=False, compression="zstd")
    write_whole(folder / f"{name}.parquet", content.getvalue())
    write_whole(folder / f"{name}.md", card.encode())
