"""How figures are written."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from butterfly.study import figures


def test_a_shrunk_picture_keeps_its_colours_and_loses_most_of_its_size(tmp_path):
    """Gradients, as in a heat map, text-like noise, and a colour that only a few places have."""
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    whole = np.stack([np.tile(ramp, (200, 1)), np.tile(ramp[::-1], (200, 1)), np.full((200, 300), 128, np.uint8)], 2)
    whole[:3, :3] = (10, 20, 250)
    file = io.BytesIO()
    Image.fromarray(whole).save(file, format="png")
    shrunk, again = (figures.shrunk(file.getvalue()) for _ in range(2))
    with Image.open(io.BytesIO(shrunk)) as picture:
        small = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(small - whole).max() <= 16
    assert len(np.unique(small.reshape(-1, 3), axis=0)) <= 256
    assert shrunk == again


def draw(folder):
    figure, (axis,) = figures.panels(1)
    axis.plot([0, 1], [0, 1])
    figures.save(figure, pd.DataFrame({"x": [0, 1]}), "line", folder)


def test_what_is_saved_is_shrunk_and_the_same_every_time(tmp_path):
    for name in ("one", "other"):
        draw(tmp_path / name)
    with Image.open(tmp_path / "one" / "line.png") as picture:
        assert picture.mode == "P"
    for kind in ("png", "pdf", "csv"):
        one, other = ((tmp_path / name / f"line.{kind}").read_bytes() for name in ("one", "other"))
        assert one == other
    assert {path.suffix for path in (tmp_path / "one").iterdir()} == {".png", ".pdf", ".csv"}
