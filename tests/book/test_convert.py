"""The converter: every drawn figure has one captioned reference figure, or else there is no site."""

import nbformat
import pytest
from book import convert

from butterfly.strict import UserError

v4 = nbformat.v4
IMAGE = "![What it shows](../figures/reference/laptop/99_a_losses.png)"
CAPTION = "**Figure 99a, reference run at laptop scale, n = 3 seeds.** Losses."


def notebook(*texts: str, caption: str = CAPTION, code: str = 'study.show("a", figures.losses)'):
    """Cells of text, then one that draws figure a with a caption."""
    output = v4.new_output("display_data", {"text/markdown": caption})
    return v4.new_notebook(cells=[*map(v4.new_markdown_cell, texts), v4.new_code_cell(code, outputs=[output])])


def test_captions_are_those_that_the_notebook_shows():
    assert convert.check("99_toy", notebook(f"Text.\n\n{IMAGE}")) == {"a": CAPTION}


@pytest.mark.parametrize("texts", [[], [IMAGE, IMAGE], [IMAGE, IMAGE.replace("99_a", "99_b")]])
def test_a_figure_missing_or_shown_twice_stops_the_build(texts):
    with pytest.raises(UserError, match="99_toy shows the reference figures"):
        convert.check("99_toy", notebook(*texts))


def test_a_figure_without_caption_stops_the_build():
    with pytest.raises(UserError, match=r"no caption of the figures \['a'\]"):
        convert.check("99_toy", notebook(IMAGE, caption="The same"))


def test_code_is_folded_but_for_the_idea():
    texts = ["import os", "a = 1\nb = a\nc = b", "seeds = 3\nsteps = 4\nlr = 5", "study.open(globals())\n1\n2"]
    setup, idea, parameters, run = map(v4.new_code_cell, texts)
    parameters.metadata.tags = ["parameters"]
    assert [convert._is_idea(cell) for cell in (setup, idea, parameters, run)] == [False, True, False, False]
    idea.metadata.tags = ["idea"]
    for cell in (setup, idea, parameters, run):
        convert._fold(cell, {})
    assert idea.metadata.tags == ["idea"]
    assert [cell.metadata.tags for cell in (setup, parameters, run)] == [["hide-input"]] * 3


def test_small_figures_are_folded_and_have_words():
    cell = notebook(IMAGE).cells[-1]
    cell.outputs.append(v4.new_output("display_data", {"image/png": "aGVsbG8="}))
    convert._fold(cell, {"a": "What it shows"})
    assert cell.metadata.tags == ["hide-cell"]
    assert cell.metadata.mystnb["image"]["alt"] == "What it shows, drawn anew at small parameters"
    assert len(cell.outputs) == 1


def test_badges_appear_where_the_project_has_a_home(monkeypatch):
    monkeypatch.setattr(convert.folders, "repository", lambda: "")
    assert convert.badges("15_flips") == ""
    monkeypatch.setattr(convert.folders, "repository", lambda: "https://github.com/doe/companion")
    told = convert.badges("15_flips")
    assert "colab.research.google.com/github/doe/companion/blob/main/notebooks/15_flips.ipynb" in told
    assert "mybinder.org/v2/gh/doe/companion/main" in told


def test_the_cell_that_fetches_the_project_is_left_out(monkeypatch):
    fetch = v4.new_code_cell("run(['git', 'clone'])", metadata={"tags": ["fetch"]})
    monkeypatch.setattr(convert, "committed", lambda topic: v4.new_notebook(cells=[v4.new_markdown_cell("# T"), fetch]))
    assert [cell.source for cell in convert.converted("99_toy", {}, []).cells] == ["# T"]


def test_another_profile_has_a_page_of_claims_and_figures(monkeypatch, tmp_path):
    kept = tmp_path / "reference" / "mine"
    (tmp_path / "source" / "figures").mkdir(parents=True)
    kept.mkdir(parents=True)
    (kept / "01_a_barrier_by_size.png").write_bytes(b"a picture")
    monkeypatch.setattr(convert, "SOURCE", tmp_path / "source")
    monkeypatch.setattr(convert.folders, "reference", lambda profile: tmp_path / "reference" / profile)
    monkeypatch.setattr(convert.report, "elsewhere_text", lambda profile, claims: f"## Profile {profile}\n\nA table.\n")
    text = convert.elsewhere("mine", [])
    assert text.startswith("# Profile mine\n")
    assert "## [01 · The butterfly effect](01_butterfly_effect.ipynb)" in text
    assert "```{figure} figures/mine_01_a_barrier_by_size.png\n:alt: Barrier against kick size, profile mine\n" in text
    assert "(01_butterfly_effect.ipynb#figure-01-a)" in text
    assert (tmp_path / "source" / "figures" / "mine_01_a_barrier_by_size.png").read_bytes() == b"a picture"
