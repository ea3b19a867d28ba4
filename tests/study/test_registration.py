"""Claims are written down before the run that counts, and the ledger says which were judged as written."""

import dataclasses
import json
import math

import pytest

from butterfly.strict import UserError
from butterfly.study import folders, ledger, notebooks, profiles, registration
from butterfly.study.claims import Claim, Region
from butterfly.study.intervals import Interval


def explored(topic: str) -> list[Claim]:
    """The claims of one study with made-up results."""
    study = notebooks.study(topic)
    params, _ = registration._parameters(topic)
    found = []
    for label in study.places(params):
        for q in study.questions:
            if q.everywhere or not label:
                values = params.model_dump() | {"params": params}
                about = (q.statement.format(**values), "ours", "", str(q.kind), "", "", q.by.format(**values), q.region)
                id = q.id + (f"@{label}" if label else "")
                found.append(Claim(id, topic, "key", *about, **vars(Interval(1.0, 0.5, 1.5, 8)), verdict="supported"))
    return found


@pytest.fixture
def written(monkeypatch, tmp_path):
    """One study, registered in an empty folder of figures; its claims."""
    monkeypatch.setattr(registration, "_studied", lambda: ["23_chaos_paths"])
    monkeypatch.setattr(folders, "FIGURES", tmp_path)
    claims = explored("23_chaos_paths")
    registration.write(claims)
    return claims


def test_what_is_judged_as_written_is_told_apart_from_what_is_not(written, monkeypatch):
    assert len(written) >= 4
    assert all(claim.registered for claim in registration.judged(written))
    moved = [dataclasses.replace(written[0], region=Region(low=7.0)), *written[1:]]
    assert [c.registered for c in registration.judged(moved)] == [False, *[True] * (len(written) - 1)]
    reworded = dataclasses.replace(written[0], statement="Something else")
    assert not registration.judged([reworded])[0].registered
    unknown = dataclasses.replace(written[0], id="Z99")
    assert not registration.judged([unknown])[0].registered


def test_other_code_or_other_parameters_are_not_as_written(written, monkeypatch):
    same = registration.digest
    monkeypatch.setattr(registration, "digest", lambda topic: "edited")
    assert not any(claim.registered for claim in registration.judged(written))
    monkeypatch.setattr(registration, "digest", same)
    params, values = registration._parameters("23_chaos_paths")
    more = params.model_copy(update={"seeds": params.seeds + 1})
    monkeypatch.setattr(registration, "_parameters", lambda topic, profile: (more, values))
    assert not any(claim.registered for claim in registration.judged(written))


def test_the_file_says_what_will_be_judged(written):
    text = json.loads((folders.FIGURES / "reference" / "registered.json").read_text())
    assert [row["id"] for row in text["claims"]] == [claim.id for claim in written]
    assert all(row["void if"] and row["region"] and row["statistic"] for row in text["claims"])
    assert text["studies"]["23_chaos_paths"]["parameters"]["first_seed"] == registration.FIRST


def test_nothing_is_registered_that_was_not_explored(written):
    with pytest.raises(UserError, match=f"{written[0].id} was not explored"):
        registration.write(written[1:])


def test_one_notebook_is_registered_beside_what_was_written_of_the_others(written, monkeypatch):
    monkeypatch.setattr(registration, "_studied", lambda: ["22_network_paths", "23_chaos_paths"])
    more = [*explored("22_network_paths"), *written]
    registration.write(more)
    file = folders.FIGURES / "reference" / "registered.json"
    before, same = json.loads(file.read_text()), registration.digest
    monkeypatch.setattr(registration, "digest", lambda topic: f"{same(topic)} edited")
    again = [dataclasses.replace(claim, n=99) for claim in explored("22_network_paths")]
    registration.write(again, "22")
    after = json.loads(file.read_text())
    changed = {row["id"]: row["n explored"] for row in after["claims"] if row not in before["claims"]}
    assert changed == {claim.id: 99 for claim in again}
    assert [row["id"] for row in after["claims"]] == [row["id"] for row in before["claims"]]
    assert after["studies"]["22_network_paths"]["code"].endswith("edited")
    assert after["studies"]["23_chaos_paths"] == before["studies"]["23_chaos_paths"]
    assert {claim.id: claim.n for claim in registration.exploration().values()} == {
        claim.id: 99 if claim.notebook == "22_network_paths" else 8 for claim in more
    }


def test_seeds_that_were_looked_at_are_refused(written, monkeypatch):
    params, values = registration._parameters("23_chaos_paths")
    fresh = params.model_copy(update={"first_seed": 0})
    monkeypatch.setattr(registration, "_parameters", lambda topic, profile: (fresh, values))
    with pytest.raises(UserError, match="seeds were looked at"):
        registration.write(written)


def test_the_ledger_says_whether_both_runs_agree(written):
    before = registration.exploration()
    assert registration.agreement(written[0], before) == "the same (1)"
    other = dataclasses.replace(written[0], verdict="inconclusive", estimate=2.0)
    assert registration.agreement(other, before) == "supported before (1)"
    assert registration.agreement(dataclasses.replace(other, id="Z99"), before) == "not explored"


def test_nothing_registered_yet_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "FIGURES", tmp_path)
    assert registration.exploration() == {}
    assert not registration.judged(explored("23_chaos_paths"))[0].registered


def test_a_damaged_registration_is_explained(written):
    (folders.FIGURES / "reference" / "registered.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        registration.judged(written)


def test_the_ledger_of_the_exploration_can_be_read(written):
    kept = ledger.read(folders.FIGURES / "reference" / "exploration.json")
    assert [c.id for c in kept] == sorted(c.id for c in written)
    assert not any(math.isnan(c.estimate) for c in kept)


def test_another_profile_is_registered_beside_and_judged_by_its_own_parameters(written, monkeypatch):
    params, values = registration._parameters("23_chaos_paths")
    fewer = params.model_copy(update={"seeds": params.seeds - 1})
    here = {"laptop": params, "mine": fewer}
    monkeypatch.setattr(profiles, "sections", lambda profile: {"23_chaos_paths": {}})
    monkeypatch.setattr(registration, "_parameters", lambda topic, profile: (here[profile], values))
    assert not any(claim.registered for claim in registration.judged(written, "mine"))
    registration.also("mine")
    text = json.loads((folders.FIGURES / "reference" / "registered-mine.json").read_text())
    assert text["studies"]["23_chaos_paths"]["parameters"]["seeds"] == params.seeds - 1
    assert [row["id"] for row in text["claims"]] == [claim.id for claim in written]
    for profile in here:
        assert all(claim.registered for claim in registration.judged(written, profile))
    here["mine"] = params
    assert not any(claim.registered for claim in registration.judged(written, "mine"))


def test_figures_and_executors_are_no_part_of_what_is_registered(monkeypatch):
    before = registration.digest("23_chaos_paths")
    monkeypatch.setattr(registration, "_APART", ())
    assert registration.digest("23_chaos_paths") != before  # they are reached, and left out on purpose
