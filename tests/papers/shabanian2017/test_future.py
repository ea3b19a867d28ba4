"""Notebook 71: one network in plain PyTorch, likelihoods added up by hand, and claims that can come out either way."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence
from torch.nn.functional import leaky_relu, softplus

from butterfly.papers.shabanian2017 import bilstm, future
from butterfly.papers.shabanian2017.bilstm import LEAST_STD, Costs, Net, Recipe
from butterfly.papers.shabanian2017.future import (
    FRAMES,
    LASTING,
    MEMORYLESS,
    MIXTURE,
    SYMBOLS,
    TIED,
    UNTIED,
    Params,
    study,
)
from butterfly.papers.shabanian2017.series import PATTERNS, REGIMES, Series, beliefs, drawn, known
from butterfly.streams import generator
from butterfly.strict import ParameterError
from tests.conftest import verdicts

TINY = Params(seeds=2, steps=4, looks=3, sequences=20, others=10, length=8, lag=2, width=4, latent=2, batch=6)
SEEDS = [3, 5]
LAW = Series(6, 2, 0.8, 0.5)
SMALL = "untied, activity 1"


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- series ----------------------------------------------------------------------------------------------------------


def probability(law, path):
    """Of a path of regimes."""
    found = 1.0
    for step, regime in enumerate(path):
        same = law.stay * (step >= law.lag and path[step - law.lag] == regime)
        found *= same + (1 - law.stay if step >= law.lag else 1.0) / REGIMES
    return found


def seen(law, x, regime):
    """Density of one step under a regime."""
    if law.noise is None:
        return float(x[regime])
    return float(np.prod(stats.norm.pdf(x, PATTERNS[regime].numpy(), law.noise)))


@pytest.mark.parametrize("noise", [None, 0.7])
@pytest.mark.parametrize("lag", [1, 2])
def test_likelihoods_are_sums_over_all_paths_of_regimes(noise, lag):
    law = Series(4, lag, 0.7, noise)
    x = drawn(law, SEEDS, 1, "test")[0, 0].double().numpy()
    paths = list(product(range(REGIMES), repeat=4))
    each = np.array([[seen(law, now, regime) for regime in range(REGIMES)] for now in x])
    prior = np.array([probability(law, path) for path in paths])
    weight = np.array([[each[step, path[step]] for step in range(4)] for path in paths])  # [paths, T]
    whole = (prior * weight.prod(1)).sum()
    found = known(law, torch.tensor(x))
    assert float(found["truth"]) == pytest.approx(np.log(whole) / 4)
    without = [(prior * np.delete(weight, step, 1).prod(1)).sum() for step in range(4)]
    assert float(found["future"]) == pytest.approx(np.mean([np.log(whole / other) for other in without]))
    both = [sum(p for p, path in zip(prior * np.delete(weight, 1, 1).prod(1), paths, strict=True) if path[1] == regime)
            for regime in range(REGIMES)]  # fmt: skip
    np.testing.assert_allclose(beliefs(law, torch.tensor(x))[1][1], np.array(both) / np.sum(both))


def test_series_come_back_as_often_as_the_law_says():
    x = drawn(Series(12, 3, 0.6), [0], 4000, "test")[0].argmax(-1)
    assert float((x[:, 3:] == x[:, :-3]).float().mean()) == pytest.approx(0.6 + 0.4 / 4, abs=0.01)
    assert float((x[:, 2:] == x[:, :-2]).float().mean()) == pytest.approx(1 / 4, abs=0.01)


def test_one_gaussian_is_the_best_that_tells_values_one_by_one():
    """In the mean over many series, no other Gaussian with the same rule does better; and without memory none needs to
    know the past."""
    x = drawn(replace(LAW, stay=0.0), [0], 2000, "test")[0]
    found = known(replace(LAW, stay=0.0), x)
    torch.testing.assert_close(found["single"], found["blind"])
    frames = x.flatten(0, 1).double()
    fitted = Normal(frames.mean(0), frames.std(0)).log_prob(frames).sum(1).mean()
    assert float(found["single"].mean()) == pytest.approx(float(fitted), abs=0.02)
    assert float(found["truth"].mean()) > float(found["single"].mean()) + 0.5
    torch.testing.assert_close(found["truth"], found["future"])


# --- one network in plain PyTorch ------------------------------------------------------------------------------------


def plain_lstm(p, name, inputs):
    """`torch.nn.LSTMCell` with one member's numbers; its forget gate is given the one that ours adds."""
    whole, bias = p[f"{name}.weight"][0], p[f"{name}.bias"][0].clone()
    width = len(bias) // 4
    made = nn.LSTMCell(inputs, width)
    bias[width : 2 * width] += 1
    values = dict(weight_ih=whole[:inputs].T, weight_hh=whole[inputs:].T, bias_ih=bias, bias_hh=torch.zeros(4 * width))
    made.load_state_dict(values)
    return made


def plain_mlp(p, name, x):
    hidden = leaky_relu(x @ p[f"{name}.hidden"][0] + p[f"{name}.hidden.bias"][0])
    return hidden @ p[f"{name}.out"][0] + p[f"{name}.out.bias"][0]


def told(net, p, name, state):
    """The distribution of a frame, or of a symbol."""
    values = plain_mlp(p, name, state)
    if not net.components:
        return Categorical(logits=values)
    logits, rest = values[:, : net.components], values[:, net.components :].unflatten(1, (net.components, 8))
    each = Independent(Normal(rest[..., :4], softplus(rest[..., 4:]) + LEAST_STD), 1)
    return MixtureSameFamily(Categorical(logits=logits), each)


def normal(values):
    mean, scale = values.chunk(2, 1)
    return Normal(mean, softplus(scale) + LEAST_STD)


def of_step(net, x):
    return x if net.components else x.argmax(-1)


@pytest.mark.parametrize("components", [0, 1, 3])
def test_an_untied_network_is_an_lstm_of_torch(components):
    net = Net(width=5, components=components)
    theta, x = net.init(SEEDS), drawn(replace(LAW, noise=0.5 if components else None), SEEDS, 7, "test")
    found, _ = bilstm.bound(net, theta, x, SEEDS)
    p = net.layout.tensors(theta[1:])
    lstm, h, c, total = plain_lstm(p, "forward", 4), torch.zeros(7, 5), torch.zeros(7, 5), 0
    for step in range(6):
        h, c = lstm(x[1, :, step - 1] if step else torch.zeros(7, 4), (h, c))
        total = total + told(net, p, "head", h).log_prob(of_step(net, x[1, :, step]))
    torch.testing.assert_close(found[1], total.mean().detach() / 6)


def plain_tied(net, p, x, noise, costs):
    """The negative bound, the divergence and the additional costs of series `x [B, T, 4]`; no gradient is skipped."""
    count, steps = x.shape[:2]
    backward, b, c = plain_lstm(p, "backward", 4), torch.zeros(count, net.width), torch.zeros(count, net.width)
    behind = {}
    for step in reversed(range(1, steps + 1)):  # x_T first
        b, c = backward(x[:, step - 1], (b, c))
        behind[step] = b
    behind[0], _ = backward(torch.zeros(count, 4), (b, c))
    if net.near:
        nothing = torch.zeros(count, net.width)
        for step in range(steps):
            now = backward(x[:, step], (nothing, nothing))
            behind[step], _ = backward(x[:, step - 1] if step else torch.zeros(count, 4), now)
    forward, h, c = plain_lstm(p, "forward", 4 + net.latent + net.width), torch.zeros_like(b), torch.zeros_like(b)
    surprise = kl = more = 0
    for step in range(steps):
        q = normal(plain_mlp(p, "posterior", torch.cat([h, behind[step]], 1)))
        kl = kl + kl_divergence(q, normal(plain_mlp(p, "prior", h))).sum(1)
        z = q.mean + q.stddev * noise[:, step]
        sketch = plain_mlp(p, "future", z)
        more = more + costs[0] * (sketch - behind[step]).square().sum(1) / 2
        more = more + costs[1] * (plain_mlp(p, "past", z) - h).square().sum(1) / 2
        h, c = forward(torch.cat([x[:, step - 1] if step else torch.zeros(count, 4), z, sketch], 1), (h, c))
        more = more + costs[2] * h.square().sum(1)
        surprise = surprise - told(net, p, "head", h).log_prob(of_step(net, x[:, step]))
        if step >= 2:
            more = more - costs[3] * told(net, p, "back", behind[step]).log_prob(of_step(net, x[:, step - 2]))
    return surprise + kl, kl, more


WEIGHTS = (0.7, 0.4, 0.3, 0.9, 0.0)


@pytest.mark.parametrize(("components", "near"), [(0, False), (1, False), (1, True)])
def test_a_tied_network_costs_what_a_plain_one_does(components, near):
    net = Net(width=5, latent=3, components=components, near=near)
    theta, x = net.init(SEEDS), drawn(replace(LAW, noise=0.5 if components else None), SEEDS, 7, "test")
    noise = torch.randn(2, 6, 7, 3, generator=generator("test"))
    costs = Costs.of([WEIGHTS], 2)
    whole = x.transpose(1, 2)
    found = bilstm.tied_cost(net, net.layout.tensors(theta), whole, noise, torch.ones(2, 6, 7, 1), costs)
    plain = plain_tied(net, net.layout.tensors(theta[1:]), x[1], noise[1].transpose(0, 1), WEIGHTS)
    for own, expected in zip(found, plain, strict=True):
        torch.testing.assert_close(own[1], expected.detach())


@pytest.mark.parametrize("latent", [0, 2])
def test_training_is_adam_of_torch_on_one_network(latent):
    """Two arms of two seeds; the second arm of the second seed is trained alone, its loss differentiated by torch."""
    net, x = Net(width=4, latent=latent, components=1), drawn(LAW, SEEDS, 9, "train")
    costs = Costs.of([(1.0, 1.0, 0.0, 1.0, 0.5), WEIGHTS], 2)
    *_, (_, theta) = bilstm.training(net, x, SEEDS, Recipe(steps=3, batch=4, lr=0.01), costs, [0, 3])
    alone = net.init(SEEDS[1:]).requires_grad_()
    optimiser, draw = torch.optim.Adam([alone], lr=0.01), generator("bilstm-training", SEEDS[1])
    only = Costs.of([WEIGHTS], 1)
    for _ in range(3):
        batch = x[1][torch.randint(9, (4,), generator=draw)].transpose(0, 1)[None]
        optimiser.zero_grad()
        (bilstm.cost(net, alone, batch, [draw], only).mean() / 6).backward()
        optimiser.step()
    torch.testing.assert_close(theta[3], alone[0].detach(), rtol=1e-4, atol=1e-5)


def test_where_gradients_are_skipped_none_reaches_the_states():
    """Always skipped, the backward path learns from its own predictions alone; and values are the same."""
    net, x = Net(width=4, latent=2, components=1), drawn(LAW, SEEDS, 5, "test").transpose(1, 2)
    noise, even = torch.randn(2, 6, 5, 2, generator=generator("test")), torch.full((2, 6, 5, 1), 0.5)
    values, slopes = [], []
    for skip in (0.0, 1.0):
        theta = net.init(SEEDS).requires_grad_()
        costs = Costs.of([(1.0, 1.0, 0.0, 0.0, skip)], 2)
        bound, _, more = bilstm.tied_cost(net, net.layout.tensors(theta), x, noise, even, costs)
        (slope,) = torch.autograd.grad((bound + more).sum(), theta)
        values.append((bound + more).detach())
        slopes.append(float(net.layout.tensors(slope)["backward.weight"].abs().sum()))
    torch.testing.assert_close(*values)
    assert slopes[0] > 0
    assert slopes[1] == 0


# --- likelihoods without the backward path ---------------------------------------------------------------------------


def test_a_network_that_ignores_its_latent_variable_tells_exact_likelihoods():
    """However many particles, and with the prior's mean; and the bound is exact where the posterior is the prior."""
    net, x = Net(width=4, latent=2, components=1), drawn(LAW, SEEDS, 5, "test")
    theta = net.init(SEEDS)
    p = net.layout.tensors(theta)
    for name in ("posterior.out", "prior.out", "future.out"):
        p[name].zero_()
    p["forward.weight"][:, 4:10].zero_()  # what z and its sketch of the future enter by
    same = Net(width=4, components=1)
    parts = {name: p[name] for name in same.layout.tensors(same.init(SEEDS))}
    parts["forward.weight"] = p["forward.weight"][:, [0, 1, 2, 3, 10, 11, 12, 13]]
    exact, _ = bilstm.bound(same, same.layout.stack(parts), x, SEEDS)
    for particles in (0, 1, 7):
        torch.testing.assert_close(bilstm.forward_bound(net, theta, x, SEEDS, particles), exact)
    told, kl = bilstm.bound(net, theta, x, SEEDS)
    torch.testing.assert_close(told, exact)
    torch.testing.assert_close(kl, torch.zeros(2))


def test_many_particles_find_the_likelihood_that_an_integral_gives():
    """One latent number and two steps: the integral is a sum over a fine grid."""
    net, x = Net(width=4, latent=1, components=1), drawn(replace(LAW, length=2, lag=1), [3], 3, "test")
    theta = 1.5 * net.init([3])  # so that the latent number matters
    p = net.layout.tensors(theta)
    points = torch.linspace(-5, 5, 201)
    weight = torch.distributions.Normal(0, 1).log_prob(points).softmax(0)
    expected = []
    for series in x[0]:
        first = torch.zeros(1, 1, 4)
        mean, std = bilstm.gaussian(bilstm.mlp(p, "prior", torch.zeros(1, 1, 4)))
        start = torch.zeros(1, len(points), 4)
        z = (mean + std * points[:, None]).view(1, -1, 1)
        h, c, _ = bilstm._advance(p, first.expand(1, len(points), 4), z, start, start)
        one = net.log_likelihood(p, h, series[0].expand(1, len(points), 4))[0].exp()
        whole = 0
        for place in range(len(points)):
            before = h[:, [place]].expand(1, len(points), 4), c[:, [place]].expand(1, len(points), 4)
            mean, std = bilstm.gaussian(bilstm.mlp(p, "prior", before[0][:, :1]))
            z = (mean + std * points[:, None]).view(1, -1, 1)
            after, _, _ = bilstm._advance(p, series[0].expand(1, len(points), 4), z, *before)
            two = net.log_likelihood(p, after, series[1].expand(1, len(points), 4))[0].exp()
            whole += weight[place] * one[place] * (weight * two).sum()
        expected.append(float(whole.log()) / 2)
    found = [float(bilstm.forward_bound(net, theta, x, [3], k)) for k in (1, 20_000)]
    assert found[1] == pytest.approx(np.mean(expected), abs=0.01)
    assert found[0] < found[1]


def test_particles_live_on_in_proportion_to_their_weights():
    weight = torch.tensor([[0.5, 0.0, 0.25, 0.25]])
    assert bilstm.resampled(weight, torch.tensor([[0.5]])).tolist() == [[0, 0, 2, 3]]
    starts = torch.rand(2000, 1, generator=generator("test"))
    chosen = bilstm.resampled(torch.tensor([[0.1, 0.6, 0.3]]).expand(2000, 3), starts)
    shares = torch.bincount(chosen.flatten(), minlength=3) / chosen.numel()
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.6, 0.3]), atol=0.01, rtol=0)


# --- every cell, and parameters --------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    tests, filters, courses = (results[name] for name in ("tests", "filters", "courses"))
    arms = {place: set(tests[tests.place == place].arm) for place in (SYMBOLS, FRAMES, MEMORYLESS)}
    assert arms[FRAMES] == {UNTIED, SMALL, MIXTURE, *future.PARTS, future.NEXT, "activity 1"}
    assert arms[SYMBOLS] == arms[FRAMES] - {MIXTURE}
    assert arms[MEMORYLESS] == {UNTIED, MIXTURE, TIED}
    assert not tests.duplicated(["place", "arm", "seed"]).any()
    assert len(tests) == 2 * sum(map(len, arms.values()))
    assert len(filters) == len(tests) * 2
    assert len(courses) == len(tests) * 3
    assert np.isfinite(tests.select_dtypes("number")).all(axis=None)
    untied = tests[tests.arm.str.startswith(UNTIED)]
    assert (untied.kl == 0).all()
    assert (untied.bound == untied.forward).all()
    assert (tests[~tests.arm.str.startswith(UNTIED)].kl > 0).all()
    assert len(results["example"]) == 8 * 4


def test_the_best_look_is_that_with_the_best_bound(results):
    best = results["courses"].sort_values("step").set_index("step").groupby(["place", "arm", "seed"]).valid.idxmax()
    at = results["tests"].set_index(["place", "arm", "seed"])["at"]
    assert (at.sort_index() == best.sort_index()).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"particles": []}, "give rising numbers"),
        ({"gammas": [1.0, 0.1]}, "gammas = .* give rising numbers"),
        ({"lag": 7}, "give twice the lag of 7"),
        ({"stay": 1.0}, "'stay' = 1"),
        ({"size": 3}, "size"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_shards_hold_nothing_that_does_not_matter():
    few = study.shards(TINY.model_copy(update={"seeds_per_shard": 2}))
    many = study.shards(TINY.model_copy(update={"profile": "other", "seeds": 4, "seeds_per_shard": 2}))
    assert [shard.config for shard in many][::2] == [shard.config for shard in few]


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

FORWARD = {SYMBOLS: (-0.7, -0.6), FRAMES: (-4.6, -4.0), MEMORYLESS: (-5.5, -5.5)}  # untied and tied
LAWS = {SYMBOLS: (-0.5, -1.4), FRAMES: (-4.4, -6.0), MEMORYLESS: (-5.4, -5.4)}  # the best, and without the past


def world(forward=FORWARD, mixture=-4.2, worse=None, bound=0.0, fixed=(0.0, -0.2), kl=(0.01, 0.5), single=LAWS):
    """Eight seeds; `worse` is by how much other arms than the tied one tell worse, on symbols and on frames."""
    random = np.random.default_rng(0)
    worse = {arm: (0.1, 0.1) for arm in (*future.PARTS, future.NEXT, "activity 1", SMALL) if arm != TIED} | (
        worse or {}
    )
    tests, laws = [], []
    for seed in range(8):
        for number, place in enumerate((SYMBOLS, FRAMES, MEMORYLESS)):
            shift, arms = 0.05 * random.normal(), dict(zip((UNTIED, TIED), forward[place], strict=True))
            arms |= {MIXTURE: mixture} if place == FRAMES else {}
            if place in LASTING:
                arms |= {arm: forward[place][1] - by[number] for arm, by in worse.items()}
            for arm, mean in arms.items():
                value = mean + shift + 0.004 * random.normal()
                row = dict(place=place, arm=arm, seed=seed, forward=value, last=value, at=1.0)
                known = number < 2 and arm == TIED
                row |= dict(bound=value + bound + 0.002 * random.normal(), fixed=value, kl=0.0)
                row |= dict(fixed=value + fixed[number] + 0.002 * random.normal()) if known else {}
                row |= dict(kl=kl[number] * np.exp(0.1 * random.normal())) if known else {}
                tests.append(row)
            best, blind = single[place]
            laws.append(
                dict(place=place, seed=seed, truth=best + 0.5, future=best + 1, single=best + shift, blind=blind)
            )
    return {"tests": pd.DataFrame(tests), "known": pd.DataFrame(laws)}


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


CLAIMS = ["VB01", "VB01b", "VB01c", "VB01d", "VB01e", "VB02", "VB02b"]
CLAIMS += ["VB03", "VB03b", "VB03c", "VB03d", "VB03e", "VB03f", "VB04"]


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("VB01", {"forward": FORWARD | {FRAMES: (-3.9, -4.0)}, "single": LAWS | {FRAMES: (-4.4, -9.0)}}),
        ("VB01b", {"forward": FORWARD | {SYMBOLS: (-0.55, -0.6)}}),
        ("VB01c", {"mixture": -3.8}),
        ("VB01d", {"single": LAWS | {FRAMES: (-3.9, -7.0)}}),
        ("VB01e", {"forward": FORWARD | {MEMORYLESS: (-5.5, -5.4)}}),
        ("VB02", {"bound": 0.1}),
        ("VB02b", {"fixed": (-0.1, -0.2)}),
        ("VB03", {"worse": {future.NO_SKIP: (0.1, -0.1)}}),
        ("VB03b", {"worse": {future.NO_PARTS: (-0.1, 0.1)}}),
        ("VB03c", {"worse": {"activity 1": (-0.1, 0.1)}}),
        ("VB03d", {"worse": {future.NEXT: (0.1, -0.1)}}),
        ("VB03e", {"worse": {future.SILENT: (0.1, -0.1)}}),
        ("VB03f", {"worse": {SMALL: (-0.1, 0.1)}}),
        ("VB04", {"kl": (0.5, 0.5)}),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(**change)
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_estimates_are_what_was_planted():
    found = {c.id: c for c in study.judge(Params(), world())}
    planted = {"VB01": 0.6, "VB01b": 0.1, "VB01c": 0.2, "VB01d": 0.4, "VB01e": 0.0, "VB02": 0.0, "VB02b": 0.0}
    planted |= {"VB03": 0.1, "VB03c": 0.1}
    assert {id: found[id].estimate for id in planted} == pytest.approx(planted, abs=0.01)
    assert found["VB04"].estimate == pytest.approx(50, rel=0.2)
    assert {c.n for c in found.values()} == {8}


def test_claims_are_void_where_nothing_was_learned_or_a_network_diverged():
    assert set(judge(single=LAWS | {SYMBOLS: (-0.1, -1.0)}).values()) == {"inconclusive"}
    tables = world()
    tables["tests"].loc[0, "last"] = np.nan
    assert set(verdicts(study.judge(Params(), tables)).values()) == {"inconclusive"}
