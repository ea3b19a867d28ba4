"""Studies: what they declare, how places and reasons for void work, and what a notebook asks of them."""

import pandas as pd
import pytest

from butterfly.study import Interval, Kind, OneModel, Origin, Paper, Study, Tables, above, intervals, lost, sound

PAPER = Paper("doe2030", "Jane Doe, John Roe", "T", "arXiv", 2030, "3001.00001", "Why?", "abstract")


class Params(OneModel):
    """Of a made-up study."""

    setting: str = "mnist1d"
    other: str = ""
    size: float = 0.5

    @property
    def places(self) -> dict[str, str]:
        return {"": self.setting} | ({"digits": self.other} if self.other else {})


def made(**options) -> Study:
    study = Study("99_toy", Params, PAPER, on="setting", **options)

    @study.unless
    def broken(t: Tables) -> str:
        return lost(t["values"][["x"]], "values are lost")

    @study.claim(
        "T01", by="mean above {size:g}", region=above(0.5), origin=Origin.ABSTRACT, place="Figure 1", figure="ab"
    )
    def high(t: Tables) -> Interval:
        """The mean is above {size:g}."""
        return intervals.mean(t["values"].x)

    @study.claim("T02", "All are one", by="largest distance from 1", region=above(-1), unless=sound, everywhere=False)
    def ones(t: Tables) -> Interval:
        return intervals.exact(float((t["values"].x - 1).abs().max()), len(t["values"]))

    return study


def tables(lost_at: str = "") -> dict[str, pd.DataFrame]:
    frames = [pd.DataFrame({"setting": s, "x": [0.9, 1.0, 1.1]}) for s in ("mnist1d", "digits")]
    values = pd.concat(frames, ignore_index=True)
    values.loc[(values.setting == lost_at) & (values.x == 1.0), "x"] = float("nan")
    return {"values": values, "whole": pd.DataFrame({"y": [1]})}


def test_claims_are_judged_on_every_place_and_say_where():
    found = {c.id: c for c in made().judge(Params(other="digits"), tables())}
    assert list(found) == ["T01", "T02", "T01@digits"]
    assert found["T01"].verdict == found["T01@digits"].verdict == "supported"
    assert found["T01"].scope == "mnist1d, mlp-4x64"
    assert found["T01@digits"].scope == "digits, mlp-2x64"
    assert found["T01"].n == 3


def test_a_claim_says_who_makes_it():
    claim, check = made().judge(Params(), tables())
    assert (claim.origin, claim.place, claim.source) == ("abstract", "Figure 1", "Doe et al. 2030 (arXiv 3001.00001)")
    assert (claim.statement, claim.statistic) == ("The mean is above 0.5", "mean above 0.5")
    assert (claim.paper, claim.notebook, claim.kind, claim.figure) == ("doe2030", "99_toy", "finding", "ab")
    assert check.statement == "All are one"
    ours, _ = made(origin=Origin.OURS, kind=Kind.CHECK).questions
    assert ours.kind is Kind.CHECK
    assert made(origin=Origin.OURS).questions[1].source == "this companion"


def test_scope_follows_what_the_parameters_change():
    (claim, _) = made().judge(Params(model="mlp-2x8", recipe={"lr": 0.1}), tables())
    assert claim.scope == "mnist1d, mlp-2x8"


def test_void_is_judged_place_by_place_and_gives_its_reason():
    found = {c.id: c for c in made().judge(Params(other="digits"), tables(lost_at="digits"))}
    assert found["T01"].verdict == "supported"
    assert (found["T01@digits"].verdict, found["T01@digits"].void) == ("inconclusive", "1 of 3 values are lost")
    main = {c.id: c for c in made().judge(Params(), tables(lost_at="mnist1d"))}
    assert main["T01"].void
    assert not main["T02"].void  # a claim of its own mind


def test_two_claims_of_one_name_are_refused():
    study = made()
    with pytest.raises(ValueError, match="99_toy has two claims T01"):
        study.claim("T01", "Again", by="x", region=above(0))(lambda t: intervals.mean([1.0, 2.0]))


def test_tables_of_a_place_keep_what_has_no_place():
    here = Tables(tables(), Params(), cosines=[1, 2]).at("setting", "digits", "digits")
    assert set(here["values"].setting) == {"digits"}
    assert len(here["whole"]) == 1
    assert here.kept == {"cosines": [1, 2]}
    assert (here.place, here.label) == ("digits", "digits")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"warmpu": 0.1}, "'warmpu' is not a field of the recipe; did you mean 'warmup'?"),
        ({"lr": "0.1"}, "'lr' is the text '0.1', not a number; write 0.1, without quotes"),
        ({"lr": -1}, "'lr' = -1"),
        ({"steps": 3}, "give the number of updates as 'steps'"),
        ({"augment": {"flp": True}}, "'augment.flp' is not a parameter; did you mean 'flip'?"),
    ],
)
def test_a_recipe_is_changed_in_known_fields_only(recipe, message):
    with pytest.raises(ValueError, match=r"(?s)recipe") as error:
        Params.read({"recipe": recipe})
    assert message in str(error.value)


def test_a_second_setting_follows_but_in_what_sets_it_apart():
    params = Params(recipe={"lr": 0.3, "batch_size": 32}, model="mlp-2x8")
    beside = params.beside("mnist1d", "mnist1d-adamw", 77)
    assert (beside.recipe.batch_size, beside.recipe.steps, beside.model) == (32, 77, "mlp-2x8")
    assert (beside.recipe.lr, beside.recipe.optimizer) == (0.02, "adamw")  # what sets the two apart
    main = params.chosen("mnist1d")
    assert (main.recipe.lr, main.recipe.batch_size, main.recipe.steps) == (0.3, 32, 1550)
    with pytest.raises(ValueError, match="does not fit inputs"):
        Params(data_set="digits").changed(model="gru-3x").chosen("mnist1d") if False else Params(
            model="resnet8-16"
        ).chosen("mnist1d")
