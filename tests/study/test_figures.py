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


def test_what_is_released_has_four_digits_of_the_same_type(tmp_path):
    real = np.array([0.123456, -98765.4, 0.0, 1e-30, np.nan, np.inf], dtype=np.float32)
    table = pd.DataFrame({"id": np.arange(6), "score": real})
    figures.save_release(table, "a card", "scores", tmp_path)
    found = pd.read_parquet(tmp_path / "scores.parquet")
    assert (found.id == table.id).all()
    assert found.score.dtype == np.float32
    expected = np.array([0.1235, -98770.0, 0.0, 1e-30, np.nan, np.inf], dtype=np.float32)
    np.testing.assert_allclose(found.score, expected, rtol=1e-6)
    assert (tmp_path / "scores.md").read_text() == "a card"


def test_a_title_wider_than_its_figure_is_broken(tmp_path):
    for words, lines in ((3, 1), (60, 2)):
        figure, _ = figures.panels(1)
        figure.suptitle(" ".join(["words"] * words))
        figures.save(figure, pd.DataFrame({"a": [1]}), "wide", tmp_path)
        assert len(figure.get_suptitle().splitlines()) >= lines
        assert (figure.get_suptitle().count("\n") > 0) == (lines > 1)
