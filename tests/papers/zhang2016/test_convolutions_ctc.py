"""Notebook 72: CTC by counting all ways, networks in plain PyTorch, and claims that can come out either way."""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from butterfly.papers.zhang2016.convolutions_ctc import RECURRENT, Params, named, rank_correlation, sees, study
from butterfly.papers.zhang2016.listeners import Convolutions, Recurrent, learn, logits_of, minibatches, of_size
from butterfly.papers.zhang2016.speech import BANDS, CLASSES, LOW, Speech, draw, of_seeds, spectrum
from butterfly.papers.zhang2016.transcripts import beam_search, best_path, ctc, edits, read, symbol_error
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.train import Recipe
from tests.conftest import verdicts

SMALL = {
    "parameters": 1000,
    "utterances": 24,
    "tests": 6,
    "batch": 8,
    "longest": 6,
    "followed": 3,
    "beam": 3,
}
TINY = Params(steps=12, depths=(1, 2), kernels=(3, 5), looks=3, blocks=2, timed=1, **SMALL)
SPEECH = TINY.speech
SHAPE = (BANDS, SPEECH.frames)
RECIPE = Recipe(steps=6, batch_size=8, lr=0.01, optimizer="adam", schedule="constant", warmup=0.0)


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


@pytest.fixture(scope="module")
def ways():
    """Logits `[2, 3, 5, 3]` of 5 frames, and the probability of every transcript by counting all ways through them."""
    logits = 2 * torch.randn(2, 3, 5, 3, generator=generator("test-ways"))
    found = []
    for frames in logits.flatten(0, 1).double().softmax(2):
        chances = {}
        for way in product(range(3), repeat=5):
            said = tuple(read(way))
            chances[said] = chances.get(said, 0) + float(frames[range(5), way].prod())
        found.append(chances)
    return logits, found


# --- transcripts -----------------------------------------------------------------------------------------------------


def test_runs_count_once_and_blanks_part_them():
    assert read([0, 1, 1, 0, 1, 2, 2, 0]) == [1, 1, 2]
    assert read([0, 0]) == read([]) == []


def test_the_loss_counts_all_ways_that_are_read_as_the_transcript(ways):
    logits, chances = ways
    said = [(1,), (2, 1), (1, 1), (2, 2, 1), (), (1, 2)]
    target = torch.tensor([[*one, *[0] * (3 - len(one))] for one in said]).view(2, 3, 3)
    expected = [-np.log(own[one]) for own, one in zip(chances, said, strict=True)]
    np.testing.assert_allclose(ctc(logits, target).flatten(), expected, rtol=1e-5)


def test_a_wide_search_finds_the_most_probable_transcript(ways):
    logits, chances = ways
    found = [tuple(said) for part in logits for said in beam_search(part, 200)]
    assert found == [max(own, key=own.get) for own in chances]


def test_the_best_path_can_be_less_probable_than_another_transcript():
    logits = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    assert best_path(logits) == [[]]  # 0.36; any of the three other ways is read as 1
    assert beam_search(logits, 4) == [[1]]


def test_a_search_of_one_prefix_and_long_utterances_end():
    logits = torch.randn(1, 400, 4, generator=generator("test-long"))
    assert len(beam_search(logits, 1)[0]) > 50
    assert len(beam_search(logits, 3)[0]) > 50


@cache
def slowly(one, other):
    """Edits by their definition."""
    if not one or not other:
        return len(one) + len(other)
    return min(
        slowly(one[1:], other) + 1, slowly(one, other[1:]) + 1, slowly(one[1:], other[1:]) + (one[0] != other[0])
    )


def test_edits_are_the_fewest():
    random = np.random.default_rng(0)
    for _ in range(200):
        one, other = (tuple(random.integers(1, 4, random.integers(0, 7)).tolist()) for _ in range(2))
        assert edits(one, other) == slowly(one, other)
    kitten, sitting = (list(map(ord, word)) for word in ("kitten", "sitting"))
    assert edits(kitten, sitting) == edits(sitting, kitten) == 3


def test_the_symbol_error_is_edits_over_symbols():
    y = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0]])
    assert symbol_error([[1, 3], [4]], y) == 1 / 4
    assert symbol_error([[1, 2, 3], [5, 4, 4]], y) == 2 / 4


# --- speech ----------------------------------------------------------------------------------------------------------


def test_utterances_are_what_was_said_symbol_by_symbol():
    speech = Speech(fewest=2, most=4, shortest=3, longest=6, blend=3, loud=4.0)
    heard = draw(speech, 300, generator("test-speech"))
    assert heard.x.shape == (300, BANDS, speech.frames)
    lengths = (heard.y > 0).sum(1)
    assert set(lengths.tolist()) == {2, 3, 4}
    assert set(heard.y.flatten().tolist()) == set(range(CLASSES))
    energy = heard.x.sum(1)
    assert energy[heard.at > 0].mean() > energy[heard.at == 0].mean() + 10
    for y, at in zip(heard.y, heard.at, strict=True):
        voiced = (at > 0).nonzero().flatten()
        assert len(voiced) == voiced[-1] - voiced[0] + 1  # no silence within
        said, runs = at[voiced].unique_consecutive(return_counts=True)
        assert said.tolist() == [s for s, before in zip(y, [0, *y], strict=False) if s and s != before]
        assert runs.min() >= 3
        assert runs.max() <= 6 * 4


def test_symbols_of_a_family_differ_only_in_the_order_of_their_frames():
    """A falling formant is a rising one backwards, and the family is told by the high bands."""
    symbols = torch.arange(1, CLASSES)[:, None].expand(-1, 8)
    x = spectrum(symbols, (torch.arange(8).expand(len(symbols), 8) + 0.5) / 8, blend=1)
    families = x.unflatten(0, (-1, len(LOW)))
    torch.testing.assert_close(families[:, 0], families[:, 1].flip(2))
    assert (families[:, 0] - families[:, 1]).abs().max() > 0.9
    torch.testing.assert_close(families[:, 0].sum((1, 2)), families[:, 1].sum((1, 2)))
    assert (families[0, 2] - families[1, 2])[8:].abs().max() > 0.8


def test_symbols_run_into_each_other():
    symbols = torch.tensor([[1] * 6 + [1] * 6])
    progress = (torch.arange(12)[None] % 6 + 0.5) / 6
    height = [(spectrum(symbols, progress, blend)[0, :7].argmax(0)) for blend in (1, 5)]
    # The low formant climbs from band 1 to 5: its frames are at 1 + 4 (k + 1/2) / 6, and then it starts again.
    assert height[0].tolist() == [1, 2, 3, 3, 4, 5, 1, 2, 3, 3, 4, 5]
    assert height[1].diff().abs().max() <= 1  # a mean over five frames moves by a fifth of that


def test_utterances_follow_the_seed():
    one, other = of_seeds(SPEECH, 5, "utterances", [0, 7]), of_seeds(SPEECH, 5, "utterances", [7])
    assert torch.equal(one[0][1], other[0][0])
    assert not torch.equal(one[0][0], one[0][1])
    assert not torch.equal(one[0][0], of_seeds(SPEECH, 5, "test-utterances", [0])[0][0])


# --- listeners -------------------------------------------------------------------------------------------------------


def test_convolutions_are_those_of_pytorch():
    model = Convolutions(SHAPE, CLASSES, depth=2, kernel=5, width=6)
    theta, x = model.init([0, 1]), torch.randn(2, 3, *SHAPE, generator=generator("test-x"))
    p = model.layout.tensors(theta)
    found = model.forward(p, x)
    for row in (0, 1):
        h = x[row]
        for layer in (0, 1):
            h = functional.conv1d(h, p[f"conv{layer}.weight"][row], p[f"conv{layer}.bias"][row], padding=2).relu()
        expected = h.transpose(1, 2) @ p["head.weight"][row] + p["head.bias"][row]
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


def test_recurrence_is_that_of_pytorch_both_ways():
    model = Recurrent(SHAPE, CLASSES, width=5)
    theta, x = model.init([0, 1]), torch.randn(2, 3, *SHAPE, generator=generator("test-x"))
    theta = theta + 0.1 * torch.randn(theta.shape, generator=generator("test-theta"))  # biases too
    p = model.layout.tensors(theta)
    found = model.forward(p, x)
    for row in (0, 1):
        own = torch.nn.LSTM(BANDS, 5, batch_first=True, bidirectional=True)
        for way, end in (("forth", ""), ("back", "_reverse")):
            getattr(own, f"weight_ih_l0{end}").data = p[f"{way}.input.weight"][row].T.clone()
            getattr(own, f"weight_hh_l0{end}").data = p[f"{way}.state.weight"][row].T.clone()
            getattr(own, f"bias_ih_l0{end}").data = p[f"{way}.bias"][row].clone()
            getattr(own, f"bias_hh_l0{end}").data = torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(5)
        expected = own(x[row].transpose(1, 2))[0] @ p["head.weight"][row] + p["head.bias"][row]
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("depth", "kernel"), [(1, 3), (2, 5), (4, 1)])
def test_a_network_sees_as_far_as_it_says(depth, kernel):
    model = Convolutions(SHAPE, CLASSES, depth=depth, kernel=kernel, width=16)
    p, reach = model.layout.tensors(model.init([3])), sees(depth, kernel) // 2
    x = torch.randn(1, 1, BANDS, 31, generator=generator("test-x"))  # any number of frames
    other = x.clone()
    other[..., 15] += 3
    moved = (model.forward(p, x) != model.forward(p, other)).any(3).flatten().nonzero().flatten()
    assert (moved.min(), moved.max()) == (15 - reach, 15 + reach)
    assert model.sees == 2 * reach + 1


@pytest.mark.parametrize(
    "make", [lambda w: Convolutions(SHAPE, CLASSES, 2, 3, w), lambda w: Recurrent(SHAPE, CLASSES, w)]
)
def test_networks_are_as_wide_as_their_parameters_allow(make):
    model = of_size(make, 1500)
    assert model.layout.count <= 1500 < make(model.width + 1).layout.count
    with pytest.raises(ValueError, match="too few"):
        of_size(make, 20)


def test_networks_learn_as_one_does_in_plain_pytorch():
    model = Convolutions(SHAPE, CLASSES, depth=1, kernel=3, width=4)
    x, y = of_seeds(SPEECH, 24, "utterances", [3, 5])
    found = learn(model, x, y, RECIPE, [3, 5], [0, 2, 6])
    assert list(found) == [0, 2, 6]
    assert torch.equal(found[0], model.init([3, 5]))
    p = {name: t[0].clone().requires_grad_() for name, t in model.layout.tensors(model.init([5])).items()}
    adam, loss = torch.optim.Adam(p.values(), lr=RECIPE.lr), torch.nn.CTCLoss(reduction="none")
    for at in minibatches([5], 24, RECIPE):
        h = functional.conv1d(x[1][at[0]], p["conv0.weight"], p["conv0.bias"], padding=1).relu()
        frames = (h.permute(2, 0, 1) @ p["head.weight"] + p["head.bias"]).log_softmax(2)
        said = y[1][at[0]]
        adam.zero_grad()
        loss(frames, said, torch.full((8,), SPEECH.frames), (said > 0).sum(1)).mean().backward()
        adam.step()
    for name, tensor in model.layout.tensors(found[6][1:]).items():
        torch.testing.assert_close(tensor[0], p[name].detach(), rtol=1e-3, atol=1e-4)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    networks = results["networks"]
    assert set(networks.network) == {"1 x 3", "1 x 5", "2 x 3", "2 x 5", "2 x 1", RECURRENT}
    assert len(networks) == 6 * 2
    assert not networks.duplicated(["network", "seed"]).any()
    assert networks["count"].between(750, 1000).all()  # one unit more would be too many
    assert networks[["error", "trained", "chance"]].notna().all().all()
    assert set(networks.dropna().network) == {TINY.main, RECURRENT} == {"2 x 3", RECURRENT}
    assert set(results["curves"].updates) == {4, 8, 12}
    assert len(results["curves"]) == 3 * 3 * 2
    assert (results["cost"][["convolutional", "recurrent"]] > 0).all().all()
    assert list(results["cost"].block) == [1, 2]
    for one in results.kept["examples"].values():
        assert one["probabilities"].shape == (SPEECH.frames, CLASSES)
        np.testing.assert_allclose(one["probabilities"].sum(1), 1, rtol=1e-5)


def test_the_same_errors_are_counted_again(results):
    """One row of the tables from the beginning."""
    model = of_size(lambda width: Recurrent(SHAPE, CLASSES, width), 1000)
    x, y = of_seeds(SPEECH, 24, "utterances", [0, 1])
    x_test, y_test = of_seeds(SPEECH, 6, "test-utterances", [0, 1])
    recipe = Recipe(steps=12, batch_size=8, lr=TINY.recurrent_lr, optimizer="adam", warmup=0.05)
    logits = logits_of(model, learn(model, x, y, recipe, [0, 1], [])[12], x_test)[1]
    (row,) = results["networks"].query("network == @RECURRENT and seed == 1").to_dict("records")
    assert row["error"] == pytest.approx(symbol_error(best_path(logits), y_test[1]))
    assert row["beam"] == pytest.approx(symbol_error(beam_search(logits, 3), y_test[1]))
    last = results["curves"].query("network == @RECURRENT and seed == 1 and updates == 12")
    assert last.error.item() == pytest.approx(symbol_error(best_path(logits[:3]), y_test[1, :3]))


def test_names_of_networks():
    params = Params(depths=(1, 2, 4), kernels=(3, 5, 9))
    assert (params.main, params.widest, params.least, params.single) == ("4 x 5", "4 x 9", "1 x 3", "4 x 1")
    assert params.alike == [("2 x 3", "1 x 5"), ("4 x 3", "1 x 9"), ("4 x 5", "2 x 9")]


def test_what_does_not_vary_orders_nothing():
    assert rank_correlation(pd.Series([1, 2, 3]), pd.Series([0.5, 0.5, 0.5])) == 0
    assert rank_correlation(pd.Series([1, 2, 3]), pd.Series([0.9, 0.5, 0.4])) == pytest.approx(-1)


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"depths": [2]}, "depths = .*two or more rising"),
        ({"kernels": [5, 3]}, "kernels = .*two or more rising"),
        ({"kernels": [3, 4]}, "odd numbers from 3 on"),
        ({"depths": [1, 3], "kernels": [3, 9]}, "see equally far"),
        ({"fewest": 4}, "fewest <= most"),
        ({"followed": 60}, "followed <= tests"),
        ({"batch": 600}, "batch <= utterances"),
        ({"looks": 1000}, "looks <= steps"),
        ({"depht": [1, 2]}, "did you mean 'depths'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

PARAMS = Params(depths=(1, 2, 4), kernels=(3, 5, 9))
FINE = {
    "convolutional": 0.1, "recurrent": 0.1, "beam": 0.1, "recurrent_beam": 0.1, "slower": 2.0, "later": 2,
    "slope": -0.2, "depth": 0.0, "single": 0.8, "widest": 0.1, "latest": 2,
}  # fmt: skip


def world(**changed):
    """Tables of a made-up world of 12 seeds, with some noise; only what claims look at."""
    w, random = FINE | changed, np.random.default_rng(0)
    seeds = np.arange(12)

    def near(value, by=0.005):
        return np.clip(value + by * random.normal(size=len(seeds)), 0, None)

    rows, curves = [], []
    fields = sorted({sees(*cell) for cell in PARAMS.networks.values()})
    for name, (depth, kernel) in PARAMS.networks.items():
        error = 0.1 + w["slope"] * (fields.index(sees(depth, kernel)) - 4) + w["depth"] * np.log2(depth)
        error = {PARAMS.single: w["single"], PARAMS.main: w["convolutional"], PARAMS.widest: w["widest"]}.get(
            name, error
        )
        rows.append({"network": name, "depth": depth, "kernel": kernel, "sees": sees(depth, kernel), "error": error})
    rows.append({"network": RECURRENT, "depth": 0, "kernel": 0, "sees": 0, "error": w["recurrent"]})
    for row in rows:
        recurrent = row["network"] == RECURRENT
        row |= {"error": near(row["error"]), "beam": near(w["recurrent_beam" if recurrent else "beam"])}
    for name, reached in ((PARAMS.main, 4), (RECURRENT, 4 * w["later"]), (PARAMS.widest, 4 * w["latest"])):
        first = reached + random.integers(0, 2, len(seeds))
        curves += [
            pd.DataFrame(
                {"network": name, "seed": seeds, "updates": 10 * look, "error": np.where(look >= first, 0.3, 0.9)}
            )
            for look in range(1, 13)
        ]
    networks = pd.concat([pd.DataFrame({"seed": seeds, **row}) for row in rows], ignore_index=True)
    cost = pd.DataFrame(
        {"block": np.arange(8), "convolutional": 1.0, "recurrent": w["slower"] * random.uniform(0.9, 1.1, 8)}
    )
    return PARAMS, {"networks": networks, "curves": pd.concat(curves, ignore_index=True), "cost": cost}


def test_a_world_as_the_paper_says_supports_all_claims():
    assert set(verdicts(study.judge(*world())).values()) == {"supported"}


@pytest.mark.parametrize(
    ("changed", "contradicted"),
    [
        ({"convolutional": 0.2, "beam": 0.2, "widest": 0.2}, {"CT01", "CT01c"}),
        ({"recurrent": 0.2, "recurrent_beam": 0.2}, {"CT01b", "CT01c"}),
        ({"beam": 0.07, "recurrent_beam": 0.07}, {"CT01d"}),
        ({"slower": 0.7}, {"CT02"}),
        ({"later": 0.5}, {"CT02b"}),
        ({"later": 0.5, "slower": 0.7}, {"CT02", "CT02b"}),
        ({"slope": 0.02, "widest": 0.2}, {"CT03"}),
        ({"depth": -0.1}, {"CT03b"}),
        ({"single": 0.5}, {"CT03c"}),
        ({"latest": 0.5}, {"CT03d"}),
    ],
)
def test_each_claim_can_be_contradicted(changed, contradicted):
    found = verdicts(study.judge(*world(**changed)))
    assert {id for id, verdict in found.items() if verdict == "contradicted"} >= contradicted
    assert found["CT02"] == ("contradicted" if "CT02" in contradicted else "supported")


def test_a_network_that_never_hears_half_leaves_a_bound():
    found = {claim.id: claim for claim in study.judge(*world(later=40))}
    assert found["CT02b"].bound == ">"
    assert found["CT02b"].verdict == "supported"


@pytest.mark.parametrize("network", ["convolutional", "recurrent"])
def test_what_did_not_learn_is_void_but_its_time_counts(network):
    found = {claim.id: claim for claim in study.judge(*world(**{network: 0.6}))}
    assert "symbol error of 0.6" in found["CT01"].void
    assert found["CT03"].verdict == "inconclusive"
    assert found["CT02"].verdict == found["CT02b"].verdict == "supported"


def test_estimates_are_what_was_planted():
    found = {claim.id: claim.estimate for claim in study.judge(*world(depth=0.02, latest=1.5))}
    assert found["CT02"] == pytest.approx(2.0, rel=0.05)
    assert found["CT02b"] == pytest.approx(2.0, rel=0.15)
    assert found["CT03d"] == pytest.approx(1.5, rel=0.15)
    assert found["CT03b"] == pytest.approx((0.02 + 0.04 - 0.02) / 3, abs=0.005)


def test_names_say_layers_and_frames():
    assert named(4, 5) == "4 x 5"
