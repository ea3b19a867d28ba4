"""Captions say what is shown, how many units stand behind it, and what the claims came to; nothing is typed."""

import pandas as pd
import pytest

from butterfly.study import Interval, OneModel, Paper, Study, Tables, above, captions, folders, intervals, ledger

PAPER = Paper("doe2030", "Jane Doe, John Roe", "T", "arXiv", 2030, "3001.00001", "Why?", "abstract")


class Params(OneModel):
    """Of a made-up study on two places."""

    setting: str = "mnist1d"

    @property
    def places(self) -> dict[str, str]:
        return {"": self.setting, "digits": "digits"}


def draw(tables: Tables):
    """Distance against time;
    bands are 95 % intervals."""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study with one claim, whose figure is a, and f on digits; and its reference ledger."""
    monkeypatch.setattr(folders, "FIGURES", tmp_path)
    study = Study("99_toy", Params, PAPER, on="setting")

    @study.claim("T01", by="mean", region=above(0.5), figure="a@f")
    def high(t: Tables) -> Interval:
        """The mean is high."""
        return intervals.mean(t["values"].x)

    values = pd.DataFrame({"setting": ["mnist1d"] * 3 + ["digits"] * 3, "x": [0.9, 1.0, 1.1, 0.1, 0.2, 0.3]})
    ledger.write(folders.reference("laptop") / "claims.json", study.judge(Params(), {"values": values}))
    return study


def numbers(**columns):
    pd.DataFrame(columns).to_csv(folders.reference("laptop") / "99_a_draw.csv", index=False)


def test_a_caption_is_filled_in_from_the_data(study):
    numbers(seed=[0, 1, 2, 0, 1, 2], y=range(6))
    assert captions.caption(study, "a", draw) == (
        "**Figure 99a, reference run at laptop scale, n = 3 seeds.** Distance against time; bands are 95 % intervals. "
        "Claims: T01 supported (1 [0.752, 1.25], n = 3)."
    )


def test_claims_on_another_place_stand_under_its_figure(study):
    pd.DataFrame({"group": [0, 1]}).to_csv(folders.reference("laptop") / "99_f_digits.csv", index=False)
    told = captions.caption(study, "f", draw)
    assert "n = 2 groups" in told
    assert "T01@digits contradicted" in told
    assert "T01 " not in told


def test_only_whole_numbers_count_units(study):
    numbers(run=[0.25, 0.5], pair=["a-b", "a-c"], y=[1, 2])
    assert "scale.**" in captions.caption(study, "a", draw)
    numbers(seed=[3, 3], y=[1, 2])
    assert "scale, one seed.**" in captions.caption(study, "a", draw)


def test_a_figure_without_a_reference_says_so(study):
    assert captions.caption(study, "b", draw).endswith("(There is no reference run of this figure yet.)")
