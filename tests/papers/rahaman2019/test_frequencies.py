"""Notebook 32: a network trained and read in plain PyTorch, and claims that can come out either way."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from butterfly import data, initial, models
from butterfly.data import waves
from butterfly.papers.rahaman2019 import frequencies
from butterfly.papers.rahaman2019.frequencies import (
    CIRCLE,
    CLEAN,
    EQUAL,
    LOW,
    OTHER,
    RISING,
    WAVE,
    WHITE,
    Params,
    along,
    displaced,
    first,
    half,
    noise_of,
    pair,
    root_looks,
    spectral_norms,
    study,
    sums,
)
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.study import Tables, setting
from butterfly.train import Snapshot
from tests.conftest import verdicts

TINY = Params(
    steps=30,
    seeds=2,
    seeds_per_shard=2,
    frequencies=(1, 2, 3, 4),
    highest=6,
    looks=10,
    displacements=(0.5, 2.0),
    directions=3,
    kick_times=(0.0, 50.0),
    petal_steps=10,
    petals=(0, 2, 4),
    petal_frequencies=(2, 4),
    noise_steps=10,
    noise_frequencies=(0.1, 1.0),
)


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    looks, short, after = len(root_looks(30, 10)), len(root_looks(10, 10)), sum(k >= 15 for k in root_looks(30, 10))
    keys = {
        "components": (["sum", "seed", "frequency"], 2 * (4 + 4 + 1)),
        "course": (["sum", "seed", "frequency", "step"], 2 * (4 + 4 + 1) * looks),
        "norms": (["sum", "seed", "step", "layer"], 3 * 2 * looks * 5),
        "kept": (["seed", "displacement", "frequency"], 2 * 2 * 4),
        "twins": (["seed", "kicked", "kind"], 2 * 3),
        "parting": (["seed", "kicked", "step", "frequency"], 2 * 6 * (looks + after)),
        "peaks": (["seed", "kicked", "frequency"], 2 * 2 * 4),
        "curves": (["curve", "seed", "step"], 5 * 2 * short),
        "left": (["curve", "seed", "frequency"], 5 * 2 * 2),
        "lengths": (["curve"], 5),
        "noise": (["kind", "frequency", "seed", "step"], 4 * 2 * short),
        "dips": (["kind", "frequency", "seed"], 4 * 2),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        assert len(results[name]) == count, name
        assert not results[name].duplicated(key).any(), name
        assert not results[name].drop(columns="half", errors="ignore").isna().any(axis=None)
    twins = results["twins"]
    assert (twins[twins.kind == "control"].largest_difference == 0).all()
    assert (twins[twins.kind == "twin"].largest_difference > 0).all()
    assert (results["peaks"][["twins", "strangers"]] > 0).all(axis=None)


def test_looks_are_even_in_the_root_of_time():
    assert root_looks(100, 11) == [0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100]


# --- one network in plain PyTorch ------------------------------------------------------------------------------------


def plain_network(start, steps, x, y, lr):
    """A network of `torch.nn` from a start, trained by Adam on all of `x [N, I]`, `y [N]`; its outputs and weights."""
    layers = []
    for k in range(5):
        weight, bias = start[f"linear{k}.weight"], start[f"linear{k}.bias"]
        layers += [torch.nn.Linear(*weight.shape), torch.nn.ReLU()]
        layers[-2].weight.data, layers[-2].bias.data = weight.T.clone(), bias.clone()
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        ((network(x)[:, 0] - y) ** 2).mean().div(2).backward()
        optimizer.step()
    return network(x)[:, 0].detach(), [layer.weight.detach() for layer in layers[:-1:2]]


@pytest.fixture(scope="module")
def trained():
    """The network of seed 1 on the sum of equal amplitudes: its outputs, its weights, and its values' phases."""
    model = models.build("mlp-4x64", (1,), 1)
    start = {name: view[0] for name, view in model.layout.tensors(initial.uniform(model, [1])).items()}
    phases = torch.rand(4, generator=generator("phases", 1))
    t = torch.arange(100) / 100
    y = sum(torch.sin(2 * math.pi * (k * t + phase)) for k, phase in zip((1, 2, 3, 4), phases, strict=True))
    return *plain_network(start, 30, 2 * t[:, None] - 1, y, setting("waves").recipe.lr), phases


def test_a_network_is_trained_and_read_as_in_plain_pytorch(results, trained):
    outputs, weights, phases = trained
    found = 2j / 100 * np.fft.fft(outputs.double().numpy())[1:5]
    own = results["course"].query("`sum` == @EQUAL and seed == 1 and step == 30").sort_values("frequency")
    np.testing.assert_allclose(own.amplitude, np.abs(found), rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(own.missing, np.abs(found - np.exp(2j * np.pi * phases.numpy())), rtol=1e-2)
    norms = results["norms"].query("`sum` == @EQUAL and seed == 1 and step == 30").sort_values("layer").norm
    np.testing.assert_allclose(norms, [np.linalg.norm(w.numpy(), 2) for w in weights], rtol=1e-3)


def test_what_is_left_of_a_displaced_network_is_read_as_in_plain_pytorch(trained):
    """The function of the shard, on networks that were not trained: modulus and part along, over what was there."""
    model, radius = models.build("mlp-1x8", (1,), 1), 0.7
    theta = initial.uniform(model, [1, 2])
    (moved,) = displaced(model, theta, [1, 2], [radius], 3)
    assert moved.shape == (6, model.layout.size)
    away = moved.unflatten(0, (2, 3)) - theta[:, None]
    torch.testing.assert_close(away.norm(dim=2), torch.full((2, 3), radius))
    assert (away[..., model.layout.count :] == 0).all()
    twice = next(displaced(model, theta, [1, 2], [2 * radius], 3)).unflatten(0, (2, 3)) - theta[:, None]
    torch.testing.assert_close(twice, 2 * away)
    assert not torch.allclose(away[0], away[1])
    alone = next(displaced(model, theta[1:], [2], [radius], 3))
    torch.testing.assert_close(alone, moved[3:])


def test_displacements_of_nothing_leave_everything(own_store):
    tables = study.run(TINY.model_copy(update={"displacements": (1e-6,)}))
    np.testing.assert_allclose(tables["kept"][["modulus", "along"]], 1, atol=1e-3)
    assert np.isinf(tables["components"].query("`sum` == @EQUAL").half).all()


def test_spectral_norms_are_the_largest_singular_values():
    model = models.build("mlp-2x8", (3,), 2)
    theta = model.init([0, 1])
    found, tensors = spectral_norms(model.layout, theta), model.layout.tensors(theta)
    for row in range(2):
        for layer in range(3):
            matrix = tensors[f"linear{layer}.weight"][row].numpy()
            assert found[row, layer] == pytest.approx(np.linalg.svd(matrix, compute_uv=False)[0], rel=1e-5)


# --- sums, times, halves ---------------------------------------------------------------------------------------------


def test_the_sums_have_the_amplitudes_and_the_power_that_they_are_called():
    found = {name: np.array(pairs) for name, pairs in sums((1, 2, 3, 4)).items()}
    assert found[EQUAL][:, 1].tolist() == [1, 1, 1, 1]
    assert found[RISING][:, 1].tolist() == pytest.approx([0.1, 0.4, 0.7, 1.0])
    assert found[LOW].tolist() == [[1, 2]]
    assert (found[LOW][:, 1] ** 2).sum() == (found[EQUAL][:, 1] ** 2).sum()


def test_the_first_look_at_which_something_is_so():
    reached = np.array([[0, 0, 1], [0, 1, 0], [0, 1, 1]], dtype=bool)
    assert first(reached, np.array([0, 10, 30])).tolist() == [np.inf, 10, 0]


def test_a_half_is_read_off_straight_lines():
    assert half([1, 2], [0.75, 0.25]) == pytest.approx(1.5)
    assert half([1, 2], [0.4, 0.6]) == pytest.approx(1 - 0.1 / 0.6)
    assert half([1, 2], [0.9, 0.6]) == math.inf
    assert half([1, 2, 3], [1.5, 0.9, 0.1]) == pytest.approx(2.5)


def test_ranks_take_what_never_came_as_last():
    assert frequencies._ranked([1, 2, 3], [5, 7, np.inf]) == pytest.approx(1)
    assert frequencies._ranked([1, 2, 3, 4], [5, 4, np.inf, np.inf]) == pytest.approx(3.5 / 22.5**0.5)
    assert math.isnan(frequencies._ranked([1, 2, 3], [np.inf] * 3))


def test_the_power_law_leaves_out_what_lies_below_a_frequency_that_was_not_halved():
    halves = {1: 3.0, 2: np.inf, 3: 5.0, 4: 4.0, 5: 3.0}
    rows = [{"sum": EQUAL, "seed": 0, "frequency": k, "learned": 1.0, "half": v} for k, v in halves.items()]
    rows += [{"sum": EQUAL, "seed": 1, "frequency": k, "learned": 1.0, "half": 1.0} for k in halves]
    found = frequencies._halved(Tables({"components": pd.DataFrame(rows)}, Params()))
    assert found.groupby("seed").frequency.apply(list).to_dict() == {0: [3, 4, 5], 1: [1, 2, 3, 4, 5]}


def test_differences_are_small_until_they_first_are_not():
    rows = [(0, step, k, twins, 1.0) for step, twins in ((0, 1e-5), (1, 5e-3), (4, 0.1), (9, 1e-3)) for k in (1, 2)]
    rows += [(1, step, k, 0.5, 1.0) for step in (0, 1, 4, 9) for k in (1, 2)]
    table = pd.DataFrame(rows, columns=["seed", "step", "frequency", "twins", "strangers"]).assign(kicked=0)
    found = frequencies._still_small(Tables({"parting": table}, Params()))
    assert found.to_dict("records") == [{"seed": 0, "kicked": 0, "step": 1}]


# --- curves and noise ------------------------------------------------------------------------------------------------


def test_circles_are_as_long_as_their_flowers(results):
    lengths = results["lengths"].set_index("curve").length
    for petals in ("2", "4"):
        assert lengths[CIRCLE + petals] == pytest.approx(lengths[petals])
    assert lengths["0"] == pytest.approx(2 * math.pi, rel=1e-3)
    assert lengths.loc[["0", "2", "4"]].is_monotonic_increasing
    assert lengths["4"] == pytest.approx(waves.length(waves.flower(waves.places(160), 4)))


def test_power_that_is_missing_is_that_of_the_values(results):
    """A network that says 0 misses all; at the start, networks say next to nothing."""
    start = results["curves"].query("step == 0").missing
    assert start.between(0.9, 1.1).all()


def test_two_digits_are_labelled_minus_one_and_one():
    task = data.load("digits")
    two = pair(task)
    assert len(two.y) == int(((task.y == 3) | (task.y == 8)).sum())
    assert two.y.shape == (len(two.y), 1)
    threes = {tuple(image.flatten().tolist()) for image in task.x[task.y == 3]}
    for image, label in zip(two.x, two.y[:, 0], strict=True):
        assert label == (-1 if tuple(image.flatten().tolist()) in threes else 1)
    assert len(two.y_test) == len(two.x_test)


def test_noise_has_its_size_and_waves_depend_on_the_distance_alone():
    x = torch.randn(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x[1] = -x[0]
    for kind, frequency in ((WAVE, 0.3), (WHITE, math.inf)):
        found = noise_of(x, kind, frequency, 5)
        assert found.mean().item() == pytest.approx(0, abs=1e-6)
        assert found.std(correction=0).item() == pytest.approx(1, rel=1e-5)
        assert (abs(found[0] - found[1]) < 1e-5) == (kind == WAVE)
        assert not torch.allclose(found, noise_of(x, kind, frequency, 6), atol=0.1)
    assert (noise_of(x, CLEAN, 0.0, 5) == 0).all()


def test_the_share_of_noise_that_is_learned_does_not_count_the_labels(monkeypatch):
    """Noise that goes along with the labels is not learned by a network that knows the labels alone."""
    task = pair(data.load("digits"))
    label = task.y[:, 0]
    noise = torch.stack([noise_of(task.x, WHITE, math.inf, seed) for seed in (0, 1)]) + 0.5 * label
    for share in (0.0, 0.25, 1.0):
        monkeypatch.setattr(frequencies, "outputs", lambda model, theta, x, share=share: label + 3 + share * noise)
        found = along(task, noise)(Snapshot(0, None, (), None, task))
        assert found.tolist() == pytest.approx([share, share], abs=1e-5)
        assert along(task, torch.zeros_like(noise))(Snapshot(0, None, (), None, task)).tolist() == [0, 0]


def test_dips_are_read_off_a_planted_curve():
    steps = [0, 1, 4, 9]
    run = {"kind": WAVE, "frequency": 1.0, "seed": 0, "step": steps}
    table = pd.DataFrame(run | {"validation": [1.0, 0.2, 0.1, 0.3], "learned": [0.6, 0.1, 0.5, 0.9]})
    (found,) = frequencies.dips(table).to_dict("records")
    assert found == {"kind": WAVE, "frequency": 1.0, "seed": 0, "lowest": 0.1, "at": 4, "half": 4, "last": 9} | {
        "depth": pytest.approx(3)
    }
    (never,) = frequencies.dips(table.assign(learned=0.0)).to_dict("records")
    assert never["half"] == math.inf


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"frequencies": [1, 2, 3]}, "4 or more frequencies"),
        ({"frequencies": [4, 3, 2, 1]}, "give rising sizes"),
        ({"highest": 3}, "highest = 3 lies below"),
        ({"petals": [4, 8, 16]}, "from 0 on"),
        ({"petals": [0, 8]}, "three or more rising numbers"),
        ({"kick_times": [0.0]}, "one time amid training"),
        ({"noise_frequencies": [0.1]}, "two or more noise_frequencies"),
        ({"petal": [0, 2, 4]}, "did you mean 'petals'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_frequencies_that_places_cannot_carry_are_refused_before_training():
    with pytest.raises(ParameterError, match="frequency 50 is too high for the 100 places of waves-100"):
        study.shards(TINY.model_copy(update={"highest": 50}))
    with pytest.raises(ParameterError, match="frequency 80 is too high for the 160 places"):
        study.shards(TINY.model_copy(update={"petal_frequencies": (4, 80)}))


def test_shards_hold_nothing_that_does_not_matter():
    more = study.shards(TINY.model_copy(update={"profile": "other", "seeds": 4}))
    assert {shard.key for shard in study.shards(TINY)} < {shard.key for shard in more}
    kicked = study.shards(TINY.model_copy(update={"size": 0.1, "displacements": (1.0,)}))
    differ = [a.of for a, b in zip(study.shards(TINY), kicked, strict=True) if a.key != b.key]
    assert differ == [EQUAL]


def test_strangers_have_seeds_of_their_own():
    assert OTHER > 10_000


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

KS, CURVES, STEPS = (1, 2, 3, 4, 5, 6), ("0", "4", "8", f"{CIRCLE}4", f"{CIRCLE}8"), np.arange(0, 101, 5)


def world(
    order=2.0,  # exponent of the time at which a frequency is learned
    faint=2.0,  # the same, amplitudes rising
    fragile=-0.1,  # what a displacement does to the amplitude of a frequency, by frequency
    in_place=-0.1,  # and to what is in its place
    halves=-1.0,  # exponent of the displacement that leaves half in its place
    hurt=1.5,  # ratio of the lowest errors, noise of low frequency over high
    dip=2.0,  # ratio of the depths of the dip, highest frequency over lowest
    sooner=0.3,  # ratio of the times at which half of the noise is learned, low over high
    white=1.0,  # ratio of the lowest errors, high over white
    petals=-0.1,  # what a petal does to the logarithm of what is missing
    circle=2.0,  # what is missing around a circle over the flower that is as long
    norms=1.0,  # growth of the logarithm of the norms for a frequency learned
    low=0.5,  # growth of the logarithm of the norms for one low frequency
    alike=0.0,  # exponent of the distance between twins over that of strangers, while it is small
    late=-1.0,  # the same at the end, kicked amid training
    ahead=3.0,  # distance at frequencies to come over those learned
    control=0.0,
):
    """Sixteen seeds in which every effect has its size."""
    random = np.random.default_rng(0)
    rows = {name: [] for name in ("components", "kept", "dips", "curves", "norms", "parting", "peaks")}

    def about(value, by=0.03):
        return value * np.exp(by * random.normal())

    for seed in range(16):
        learned = {k: about(6 * k**order) for k in KS}
        for k in KS:
            own = {"seed": seed, "frequency": k}
            rows["components"].append(own | {"sum": EQUAL, "learned": learned[k], "half": about(2 * k**halves)})
            rows["components"].append(own | {"sum": RISING, "learned": about(3 * k**faint)})
            for displacement in (1.0, 2.0):
                left = {"modulus": about(0.9 + fragile * k), "along": about(0.9 + in_place * k)}
                rows["kept"].append(own | {"displacement": displacement} | left)
            for kicked, step, exponent in ((0, 0, alike), (0, 100, late), (20, 20, alike), (20, 100, late)):
                far = about(0.001 * k**exponent if step < 100 else k**exponent)
                rows["parting"].append(own | {"kicked": kicked, "step": step, "twins": far, "strangers": 1.0})
            rows["peaks"].append(own | {"kicked": 20, "twins": about(0.1 * (ahead if learned[k] > 20 else 1.0))})
        rows["components"].append({"seed": seed, "frequency": 1, "sum": LOW, "learned": 3.0})
        for step in STEPS:
            count = sum(time <= step for time in learned.values())
            for name, grown in ((EQUAL, norms * (count + step / 1000)), (LOW, low * step / 100)):
                norm = about(np.exp(grown), 1e-3)
                rows["norms"].append({"sum": name, "seed": seed, "step": step, "layer": 1, "norm": norm})
        for place, frequency in enumerate((0.1, 0.3, 1.0)):
            depth, time = about(1.5 * dip ** (place / 2), 0.05), about(20 * (1 / sooner) ** (place / 2))
            rows["dips"].append((WAVE, frequency, seed, about(0.2 * hurt ** (1 - place / 2)), depth, time, 1000))
        rows["dips"].append((WHITE, np.inf, seed, about(0.2 / white), 1.5, 50.0, 1000))
        rows["dips"].append((CLEAN, 0.0, seed, about(0.1), 1.1, np.inf, 1000))
        for curve in CURVES:
            missing = 0.4 * np.exp(petals * int(curve.removeprefix(CIRCLE))) * (circle if CIRCLE in curve else 1)
            rows["curves"] += [(curve, seed, 0, 1.0), (curve, seed, 100, about(missing, 0.05))]
    columns = {"dips": ["kind", "frequency", "seed", "lowest", "depth", "half", "last"]}
    columns["curves"] = ["curve", "seed", "step", "missing"]
    tables = {name: pd.DataFrame(own, columns=columns.get(name)) for name, own in rows.items()}
    return tables | {"twins": pd.DataFrame({"kind": ["twin", "control"], "largest_difference": [1.0, control]})}


CLAIMS = [q.id for q in study.questions]


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(
    ("ids", "change"),
    [
        ({"SB01b"}, {"order": 0.8}),
        ({"SB02"}, {"faint": -1.0}),
        ({"SB03"}, {"fragile": 0.1}),
        ({"SB03"}, {"fragile": 0.0}),
        ({"SB03b"}, {"in_place": 0.1}),
        ({"SB03c"}, {"halves": -3.0}),
        ({"SB03c"}, {"halves": 0.0}),
        ({"SB04"}, {"hurt": 0.7}),
        ({"SB04b", "SB04c"}, {"dip": 0.5}),
        ({"SB04d"}, {"sooner": 3.0}),
        ({"SB04e"}, {"white": 1.5}),
        ({"SB04e"}, {"white": 0.6}),
        ({"SB05", "SB05b", "SB05d"}, {"petals": 0.01}),
        ({"SB05b"}, {"petals": -0.05}),
        ({"SB05c"}, {"circle": 0.5}),
        ({"SB06b"}, {"low": 20.0}),
        ({"SB07"}, {"alike": 1.0}),
        ({"SB07"}, {"alike": -1.0}),
        ({"SB07b"}, {"late": 0.5}),
        ({"SB08"}, {"ahead": 0.3}),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(ids, change):
    found = judge(**change)
    assert {id for id, verdict in found.items() if verdict != "supported"} == ids
    assert {found[id] for id in ids} == {"contradicted"}


def test_an_order_can_be_contradicted():
    """Where the high frequencies are learned first, much else changes with it."""
    assert judge(order=-1.0)["SB01"] == "contradicted"


def test_norms_that_shrink_contradict():
    found = judge(norms=-1.0)
    assert (found["SB06"], found["SB06b"]) == ("contradicted", "contradicted")


def test_estimates_are_what_was_planted():
    found = {c.id: c.estimate for c in study.judge(Params(), world())}
    planted = {"SB01": 1.0, "SB01b": 2.0, "SB03": -1.0, "SB03c": -1.0, "SB04": 1.5, "SB04b": 2.0, "SB04d": 0.3}
    planted |= {"SB04e": 1.0, "SB05": -1.0, "SB05b": math.exp(-0.8), "SB05c": 0.5, "SB07b": -1.0, "SB08": 3.0}
    assert {id: found[id] for id in planted} == pytest.approx(planted, rel=0.05)
    assert found["SB07"] == pytest.approx(0, abs=0.05)
    assert {c.n for c in study.judge(Params(), world())} == {16}


def test_noise_that_is_never_learned_enters_as_a_bound():
    tables = world()
    high = (tables["dips"].kind == WAVE) & (tables["dips"].frequency == 1.0)
    tables["dips"].loc[high, "half"] = math.inf
    (claim,) = (c for c in study.judge(Params(), tables) if c.id == "SB04d")
    assert (claim.verdict, claim.bound) == ("supported", "<")


VOID = {
    "sums": {id for id in CLAIMS if id[:4] not in ("SB04", "SB05")},
    "noise": {id for id in CLAIMS if id.startswith("SB04")},
    "curves": {id for id in CLAIMS if id.startswith("SB05")},
    "halves": {"SB03c"},
    "controls": {"SB07", "SB07b", "SB08"},
    "large": {"SB07"},
    "late": {"SB08"},
}


@pytest.mark.parametrize("what", VOID)
def test_claims_are_void_where_their_networks_did_not_learn(what):
    tables = world(control=1e-9 if what == "controls" else 0.0)
    components = tables["components"]
    some = components.seed < 5  # more than one in eight
    if what == "sums":
        components.loc[some & (components.frequency > 3), "learned"] = np.inf
    if what == "noise":
        tables["dips"].loc[(tables["dips"].kind == CLEAN) & (tables["dips"].seed == 3), "lowest"] = 0.9
    if what == "curves":
        tables["curves"].loc[tables["curves"].seed == 3, "missing"] = 0.9
    if what == "halves":
        components.loc[some & (components.frequency > 2), "half"] = np.inf
    if what == "large":
        start = (tables["parting"].kicked == 0) & (tables["parting"].step == 0) & (tables["parting"].seed == 3)
        tables["parting"].loc[start, "twins"] = 0.5
    if what == "late":
        tables["peaks"].loc[tables["peaks"].seed < 5, "kicked"] = 10_000
    made = study.judge(Params(), tables)
    assert {c.id for c in made if c.void} == VOID[what]
    assert {c.verdict for c in made if c.void} == {"inconclusive"}


def test_one_network_that_did_not_learn_is_left_out():
    tables = world()
    components = tables["components"]
    components.loc[(components.seed == 3) & (components.frequency > 3), "learned"] = np.inf
    made = {c.id: c for c in study.judge(Params(), tables)}
    assert not any(c.void for c in made.values())
    assert {id for id, c in made.items() if c.n == 15} == {"SB01b", "SB03", "SB03b", "SB03c", "SB08"}
