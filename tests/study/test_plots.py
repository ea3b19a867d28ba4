"""How figures are written."""

import numpy as np
from PIL import Image

from butterfly import plots


def test_a_shrunk_picture_keeps_its_colours_and_loses_most_of_its_size(tmp_path):
    """Gradients, as in a heat map, text-like noise, and a colour that only a few places have."""
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    whole = np.stack([np.tile(ramp, (200, 1)), np.tile(ramp[::-1], (200, 1)), np.full((200, 300), 128, np.uint8)], 2)
    whole[:3, :3] = (10, 20, 250)
    path, again = tmp_path / "a.png", tmp_path / "b.png"
    for file in (path, again):
        Image.fromarray(whole).save(file)
        plots.shrink(file)
    with Image.open(path) as picture:
        small = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(small - whole).max() <= 16
    assert len(np.unique(small.reshape(-1, 3), axis=0)) <= 256
    assert path.read_bytes() == again.read_bytes()


def test_what_is_saved_is_shrunk(tmp_path, monkeypatch):
    monkeypatch.setattr(plots.paths, "FIGURES", tmp_path)
    figure, (axis,) = plots.panels(1)
    axis.plot([0, 1], [0, 1])
    plots.save(figure, plots.pd.DataFrame({"x": [0, 1]}), "line", "smoke")
    with Image.open(tmp_path / "smoke" / "line.png") as picture:
        assert picture.mode == "P"
    assert (tmp_path / "smoke" / "line.pdf").exists()
