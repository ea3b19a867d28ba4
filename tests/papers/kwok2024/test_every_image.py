"""Scores to take away: what is in the file, how reliable its means are, and what the card says."""

import re

import numpy as np
import pandas as pd
import pytest

from butterfly import data, models
from butterfly.evaluate import logits
from butterfly.papers.kwok2024 import every_image
from butterfly.papers.kwok2024.every_image import LOGGED, SCORE, Params, card, of_mean, release, study, tabulate
from butterfly.strict import ParameterError
from butterfly.study import Shard, folders
from butterfly.study.figures import DIGITS
from butterfly.train import train

SMALL = Params(steps=16, runs=4, runs_per_shard=4, looks=4)


@pytest.fixture(scope="module")
def results():
    return study.run(SMALL)


def test_every_example_is_there_once_in_the_original_order_with_its_label(results):
    (table,) = results.kept["released"].values()
    task = data.load("digits")
    order = np.argsort(task.ids.numpy())
    assert (table.id.to_numpy() == task.ids.numpy()[order]).all()
    assert (table.label.to_numpy() == task.y.numpy()[order]).all()
    assert list(table.columns[2:]) == [part for score in LOGGED for part in (score, f"{score} (sd)")]
    assert np.isfinite(table.to_numpy(float)).all()


def test_scores_are_means_and_deviations_over_networks_trained_as_the_setting_says(results):
    """The last loss of every example, of networks trained here."""
    trained = SMALL.trained(SMALL.main)
    task = data.load(trained.data)
    model = models.build(trained.model, task.input_shape, task.classes)
    theta = train(model, task, trained.recipe, range(4)).theta
    loss = -logits(model, theta, task.x).double().log_softmax(2)[:, range(len(task.y)), task.y]
    (table,) = results.kept["released"].values()
    order = np.argsort(task.ids.numpy())
    np.testing.assert_allclose(table["loss.last"], loss.mean(0)[order], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(table["loss.last (sd)"], loss.std(0)[order], rtol=1e-3, atol=1e-5)


def world(runs: int, noise: float, count: int = 2000) -> dict[str, np.ndarray]:
    """Runs that see one truth with independent noise, examples in another order than the original."""
    random = np.random.default_rng(0)
    truth = random.normal(size=count)
    arrays = {"train " + name: truth + noise * random.normal(size=(runs, count)) for name in LOGGED}
    arrays |= {"test " + SCORE: random.normal(size=(runs, 50)), "label_test": np.zeros(50, int)}
    arrays |= {"label": random.integers(10, size=count), "id": random.permutation(count)}
    return arrays | {half: np.full(runs, 0.9) for half in ("train_accuracy", "test_accuracy")}


def judged(noise: float, runs: int = 8, **changed: np.ndarray):
    params = Params(runs=runs, runs_per_shard=runs)
    tables = tabulate(params, [Shard(every_image.measure, {}, params.main, world(runs, noise) | changed)])
    return {claim.id: claim for claim in study.judge(params, tables)}, tables


# With equal noise two runs correlate by 1 / (1 + noise^2), of ranks a little less; eight of them by 8 r / (1 + 7 r).
@pytest.mark.parametrize(("noise", "verdict"), [(0.3, "supported"), (2.0, "contradicted")])
def test_reliability_of_means_is_that_of_the_noise(noise, verdict):
    found, tables = judged(noise)
    single = 1 / (1 + noise**2)
    for id in ("EI01", "EI01b"):
        assert found[id].verdict == verdict
        assert found[id].estimate == pytest.approx(8 * single / (1 + 7 * single), abs=0.06)
        assert found[id].n == 4
    row = tables["reliability"].set_index("score").loc[SCORE]
    assert row.single == pytest.approx(single, abs=0.05)


def test_networks_that_did_not_learn_decide_nothing():
    found, _ = judged(0.3, train_accuracy=np.array([0.9] * 7 + [0.2]))
    assert {claim.verdict for claim in found.values()} == {"inconclusive"}
    assert found["EI01"].void == "a network did not learn"


def test_a_mean_over_one_run_is_as_reliable_as_a_run():
    pairs = [0.5, 0.6, 0.7]
    assert of_mean(pairs, 1).estimate == pytest.approx(0.6)
    assert of_mean(pairs, 8).low < of_mean(pairs, 8).estimate < of_mean(pairs, 8).high <= 1


def test_rows_come_back_into_the_original_order():
    arrays = world(4, 0.1)
    table = release(arrays)
    assert (table.id == np.arange(len(table))).all()
    assert table[SCORE].to_numpy()[arrays["id"][7]] == pytest.approx(arrays["train " + SCORE][:, 7].mean(), rel=1e-5)


def test_the_card_names_every_column_and_how_the_file_was_made(results):
    text = card(results.at("network", SMALL.main))
    assert all(f"| `{score}` |" in text for score in LOGGED)
    for told in ("1297 rows", "`mlp-2x64`, seeds 0 to 3", "16 updates of", "PROFILE=smoke", "`digits-scores`"):
        assert told in text
    assert "Against people" not in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {2 + 5}  # a table of five columns


def test_people_are_asked_about_cifar10_alone(monkeypatch):
    asked = []

    def statistics(*given):
        asked.append([len(part) for part in given])
        return {"wrong": (every_image.intervals.mean([0.2, 0.3, 0.4]), 0.5)}

    monkeypatch.setattr(every_image, "human_file", lambda name: folders.ROOT)
    monkeypatch.setattr(every_image, "wrong_votes", lambda: np.zeros(50_000, int))
    monkeypatch.setattr(every_image, "vote_counts", lambda: np.ones((50, 10), int))
    monkeypatch.setattr(every_image.people, "statistics", statistics)
    arrays = world(2, 0.1, count=50_000)
    assert len(every_image._people(arrays, "digits")) == 0
    assert len(every_image._people(world(2, 0.1), "cifar10")) == 0
    assert list(every_image._people(arrays, "cifar10half").statistic) == ["wrong"]
    assert asked == [[2, 2, 50_000, 50, 50_000, 50]]


def test_a_release_is_a_file_and_a_card_that_can_be_read(results, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "FIGURES", tmp_path)
    monkeypatch.setattr(study, "params", SMALL)
    (table,) = results.kept["released"].values()
    study.release("scores_digits", table, "a card")
    kept = pd.read_parquet(tmp_path / "smoke" / "16_scores_digits.parquet")
    pd.testing.assert_frame_equal(kept, table, rtol=0.51 * 10.0 ** (1 - DIGITS))
    assert (tmp_path / "smoke" / "16_scores_digits.md").read_text() == "a card"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"runs": 5}, "give an even number"),
        ({"main": "digits"}, "give a setting and an architecture"),
        ({"looks": 1}, "'looks' = 1"),
        ({"mian": "x"}, "did you mean 'main'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")
