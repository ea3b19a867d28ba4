"""Notebook 81: twins of plain modules against a plain program, the trainer as a whole, and claims that can fail."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from butterfly import data, models, twin
from butterfly.papers.altintas2025 import own_networks, own_networks_figures
from butterfly.papers.altintas2025.own_networks import CONVOLUTION, NETWORKS, TRANSFORMER, Params, Transformer, study
from butterfly.papers.altintas2025.own_trainer import Trainer
from butterfly.strict import ParameterError
from tests.conftest import verdicts

TINY = Params(steps=10, examples=100, points=3)


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def test_every_cell_is_there_once_and_controls_are_the_same(results):
    twins, loops = results["twins"], results["loops"]
    assert len(twins) == 2 * 2 * 2
    assert len(loops) == 2
    assert not twins.duplicated(["network", "seed", "time"]).any()
    assert (twins.control == 0).all()
    assert (loops.control == 0).all()
    assert twins.drop(columns="matched").notna().all(axis=None)
    assert twins.matched.notna().equals(twins.network == CONVOLUTION)


def test_the_loop_and_the_stack_train_one_network(results):
    """Ten updates in, nothing has grown: what the two learned is the same but for rounding."""
    stack = results["twins"].query("time == 0").set_index(["network", "seed"]).learned
    loop = results["loops"].set_index(["network", "seed"]).learned
    # Of the loop it is the mean of parent and twin, and the kick moved the twin's loss a little.
    np.testing.assert_allclose(loop, stack.loc[loop.index], atol=0.06)


def test_what_was_learned_is_the_loss_of_the_mean_answer_minus_that_of_the_answers():
    task = data.load("mnist1d")
    model = models.of(Transformer, task.x[:8])
    theta, x, y = model.init([0, 1]), task.x[:50], task.y[:50]
    answers = model.logits(theta, x)[1]
    expected = F.cross_entropy(answers.mean(0).expand(50, -1), y) - F.cross_entropy(answers, y)
    assert own_networks._learned(model, theta, x, y)[1].item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_both_networks_are_functions_of_signals(name):
    model = models.of(NETWORKS[name], torch.randn(4, *own_networks.SHAPE))
    assert model.classes == 10
    assert 2000 < model.layout.count < 3000


def test_a_trainer_is_forked_as_a_whole():
    x = torch.randn(64, 1, 40)
    y = (x[:, 0, 0] > 0).long()
    trainer = Trainer(Transformer(), (x, y), steps=6)
    alone = Trainer(copy.deepcopy(trainer.model), (x, y), steps=6)
    how = {"x": x, "y": y, "loss": F.cross_entropy}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = twin.trial(Trainer.train, trainer, **how, shared=[trainer.data])
    alone.train()
    assert found.control == 0
    assert torch.equal(alone.model.head.weight, trainer.model.head.weight)
    again = Trainer(Transformer(), (x, y), steps=6)
    assert twin.trial(Trainer.train, again, **how, shared=[again.generator]).word == "not deterministic"


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"kick_times": [10.0, 60.0]}, "give 0 and later ones"),
        ({"kick_times": [0.0]}, "give 0 and later ones"),
        ({"kick_times": [60.0, 0.0]}, "rising percentages"),
        ({"data_set": "digits"}, "take signals of shape"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_a_readers_recipe_wins():
    assert Params(recipe={"lr": 0.1}).main.recipe.lr == 0.1
    assert Params().main.recipe.optimizer == "adamw"


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


def world(conv=0.3, trans=0.2, late=0.1, loop=1.0, matched=0.5, control=0.0, learned=2.0):
    """Eight seeds: barriers after early kicks, and as shares of them those after late ones, in a loop, and matched."""
    random, twins, loops = np.random.default_rng(0), [], []
    for network, high in ((CONVOLUTION, conv), (TRANSFORMER, trans)):
        for seed in range(8):
            near, late_too = high * random.uniform(0.9, 1.1), late * random.uniform(0.95, 1.05)
            about = {"network": network, "seed": seed, "learned": learned, "control": 0.0}
            own = {
                "matched": matched * near * random.uniform(0.95, 1.05) if network == CONVOLUTION else np.nan,
                "distance": 1.0,
                "error": 0.3,
            }
            for time, share in ((0.0, 1.0), (60.0, late_too)):
                found = {"time": time, "barrier": share * near, "disagreement": share * near / 2}
                twins.append(about | own | found)
        if network == CONVOLUTION:
            loops += [row | {"barrier": loop * row["barrier"] * random.uniform(0.9, 1.1), "control": control}
                      for row in twins if row["time"] == 0]  # fmt: skip
    tables = {"twins": pd.DataFrame(twins), "loops": pd.DataFrame(loops)}
    return {name: table.assign(share=table.barrier / table.learned) for name, table in tables.items()}


def judge(**changes):
    return verdicts(study.judge(Params(seeds=8), world(**changes)))


CLAIMS = ["OW01", "OW01b", "OW02", "OW02b", "OW07", "OW07b", "OW03", "OW04", "OW05", "OW06"]


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(
    ("change", "ids"),
    [
        ({"conv": 0.05, "trans": 0.04}, ["OW01", "OW01b"]),
        ({"late": 0.8}, ["OW07", "OW07b"]),
        ({"late": 1.2}, ["OW02", "OW02b", "OW07", "OW07b"]),
        ({"trans": 0.6}, ["OW03"]),
        ({"loop": 4.0}, ["OW04"]),
        ({"loop": 0.2}, ["OW04"]),
        ({"matched": 1.2}, ["OW05"]),
    ],
)
def test_every_claim_can_be_contradicted(change, ids):
    assert [id for id, verdict in judge(**change).items() if verdict == "contradicted"] == ids


def test_claims_are_void_where_a_control_moved_or_nothing_was_learned():
    for change in ({"control": 1e-9}, {"learned": 0.3}):
        assert "supported" not in {v for id, v in judge(**change).items() if id != "OW06"}
    assert judge(control=1e-9)["OW06"] != "supported"


def test_figures_show_what_the_tables_hold():
    tables = study.run(TINY)
    for draw, rows in ((own_networks_figures.by_time, 8), (own_networks_figures.two_ways, 2)):
        figure, numbers = draw(tables)
        assert len(numbers) == rows
        assert figure.get_suptitle()
