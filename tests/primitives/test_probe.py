"""Scores that need the network: against loops of plain autograd, closed forms of linear networks, and plain k-NN."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier

from butterfly import evaluate, models, probe
from butterfly.models.mlp import MLP
from butterfly.probe import (
    GradientVariance,
    gradient_norms,
    input_gradient,
    input_robustness,
    prediction_depth,
    weight_robustness,
)
from butterfly.score import SCORES, pointwise
from butterfly.stack import blocks
from butterfly.streams import generator

MODELS = [
    ("mlp-2x8", (1, 6)),
    ("cnn-2x4", (1, 12)),
    ("cnn-2x3", (2, 6, 6)),
    ("gru-5", (2, 12)),
    ("gru-5", (2, 4, 3)),
    ("resnet8-4", (2, 6, 6)),
]


def random(*shape, name="probe"):
    return torch.randn(*shape, generator=generator(name, *shape), dtype=torch.float64)


def networks(name, shape, members=2, examples=5):
    """Networks of three classes with every entry moved off its start; inputs and labels."""
    model = models.build(name, shape, 3)
    theta = model.init(list(range(members))).double()
    theta[:, : model.layout.count] += 0.1 * random(members, model.layout.count)
    return model, theta, random(examples, *shape), torch.arange(examples) % 3


def linear_softmax(channels=1, places=4, classes=3):
    """A linear network; weights `[in, classes]` and biases of each of three members, in numpy."""
    model = MLP((channels, places), classes, depth=0)
    theta = torch.zeros(3, model.layout.size, dtype=torch.float64)
    theta[:, : model.layout.count] = random(3, model.layout.count)
    return model, theta


def closed_form(model, theta, x, y, of):
    """Gradient of p_y or of the loss by the inputs of a linear network `[M, N, *space]`, mean over channels."""
    p = model.layout.tensors(theta)
    w = p["linear0.weight"]
    probabilities = model.logits(theta, x).softmax(-1)
    own = F.one_hot(y, model.classes).double()
    slope = (probabilities - own) @ w.mT  # of the loss
    if of == "class":
        slope = -slope * (probabilities * own).sum(-1, keepdim=True)
    return slope.unflatten(2, x.shape[1:]).mean(2)


# --- gradients by the weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_gradient_norms_are_those_of_one_example_after_another(name, shape):
    model, theta, x, y = networks(name, shape)
    whole, last = gradient_norms(model, theta, x, y, chunk=2)
    assert whole.shape == last.shape == (2, 5)
    head = model.layout.select(tuple(p.name for p in model.layout.parameters[-2:]), True)
    for member in range(2):
        for place in range(5):
            leaf = theta[member : member + 1].clone().requires_grad_()
            F.cross_entropy(model.logits(leaf, x[place : place + 1])[0], y[place : place + 1]).backward()
            assert whole[member, place].item() == pytest.approx(leaf.grad.norm().item(), rel=1e-9)
            assert last[member, place].item() == pytest.approx(leaf.grad[:, head].norm().item(), rel=1e-9)
    assert (last <= whole).all()
    assert (last < whole).any()


def test_the_last_layer_of_all_architectures_is_their_head():
    for name, shape in MODELS:
        layout = models.build(name, shape, 3).layout
        assert {p.shape[-1] for p in layout.parameters[-2:]} == {3}
        assert {p.kind for p in layout.parameters[-2:]} == {"weight", "bias"}


def test_the_gradient_norm_of_a_linear_network_is_el2n_times_the_length_of_the_input():
    model, theta = linear_softmax()
    x, y = random(20, 1, 4), torch.arange(20) % 3
    whole, last = gradient_norms(model, theta, x, y)
    expected = pointwise(model.logits(theta, x), y)["el2n"] * (1 + x.flatten(1).square().sum(1)).sqrt()
    torch.testing.assert_close(whole, expected)
    torch.testing.assert_close(last, whole)


def test_that_of_the_last_layer_is_el2n_times_the_length_of_what_it_reads():
    model, theta, x, y = networks("mlp-2x8", (1, 6), examples=20)
    _, last = gradient_norms(model, theta, x, y)
    length = (1 + model.features(theta, x)["hidden1"].square().sum(2)).sqrt()
    torch.testing.assert_close(last, pointwise(model.logits(theta, x), y)["el2n"] * length)


def test_without_a_loss_there_is_no_gradient():
    model, theta = linear_softmax()
    x = random(9, 1, 4)
    y = model.logits(theta[:1], x)[0].argmax(1)
    for found in gradient_norms(model, 1e4 * theta[:1], x, y):
        assert (found < 1e-100).all()
    assert (gradient_norms(model, 1e4 * theta[:1], x, (y + 1) % 3)[0] > 1).all()


@pytest.mark.parametrize("gap", [1.0, 17.0, 40.0, -22.0, -40.0])
def test_gradients_keep_their_digits_where_the_label_is_nearly_certain(gap):
    """In single precision, p_y rounds to 1 from a gap of 17 on."""
    model = MLP((1, 2), 3, depth=0)
    theta = torch.zeros(1, model.layout.size)
    model.layout.tensors(theta)["linear0.bias"][0, 0] = gap
    x, y = torch.tensor([[[3.0, 4.0]]]), torch.tensor([0])
    rest = 2 / (2 + np.exp(gap))
    expected = rest * np.sqrt(1.5) * np.sqrt(26)
    assert gradient_norms(model, theta, x, y)[0].item() == pytest.approx(expected, rel=1e-5)
    found, _ = gradient_norms(model, theta.double(), x.double(), y)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_huge_losses_have_finite_gradients():
    model = MLP((1, 2), 3, depth=0)
    theta = torch.zeros(1, model.layout.size)
    model.layout.tensors(theta)["linear0.bias"][0, 0] = -1e4
    found, _ = gradient_norms(model, theta, torch.tensor([[[3.0, 4.0]]]), torch.tensor([0]))
    assert found.item() == pytest.approx(np.sqrt(1.5) * np.sqrt(26), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100, None])
def test_chunks_do_not_change_gradient_norms(monkeypatch, chunk):
    model, theta, x, y = networks("cnn-2x4", (1, 12), examples=7)
    whole, sizes = gradient_norms(model, theta, x, y, chunk=7), []
    monkeypatch.setitem(probe._NUMBERS, "cpu", 2 * model.layout.count + 1)  # two examples at once by default
    monkeypatch.setattr(probe, "blocks", lambda count, size: sizes.append(size) or blocks(count, size))
    for one, other in zip(gradient_norms(model, theta, x, y, chunk), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    assert sizes == [chunk or 2] * 2


# --- gradients by the inputs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["class", "loss"])
@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_input_gradients_are_those_of_one_example_after_another(name, shape, of):
    model, theta, x, y = networks(name, shape)
    found = input_gradient(model, theta, x, y, of)
    assert found.shape == (2, 5, *shape[1:])
    assert not found.requires_grad
    for member in range(2):
        for place in range(5):
            leaf = x[place : place + 1].clone().requires_grad_()
            z = model.logits(theta[member : member + 1], leaf)[0, 0]
            (F.cross_entropy(z, y[place]) if of == "loss" else z.softmax(0)[y[place]]).backward()
            torch.testing.assert_close(found[member, place], leaf.grad[0].mean(0))


def test_blocks_do_not_change_input_gradients(monkeypatch):
    model, theta, x, y = networks("mlp-2x8", (1, 6), members=19, examples=9)
    whole = input_gradient(model, theta, x, y, "class")
    assert whole.shape == (19, 9, 6)
    monkeypatch.setitem(probe._NUMBERS, "cpu", 2 * 16 * model.activations * 4)  # four examples at once
    torch.testing.assert_close(input_gradient(model, theta, x, y, "class"), whole, rtol=1e-12, atol=1e-15)
    for row in (0, 9, 18):
        alone = input_gradient(model, theta[row : row + 1], x, y, "class")[0]
        torch.testing.assert_close(alone, whole[row], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("of", ["class", "loss"])
def test_variances_of_gradients_are_those_over_kept_snapshots(of):
    model, theta = linear_softmax(channels=2)
    x, y = random(6, 2, 4), torch.arange(6) % 3
    variance, kept = GradientVariance(of), []
    for snapshot in range(5):
        now = theta + 0.3 * random(*theta.shape, name=f"snapshot{snapshot}")
        now[:, model.layout.count :] = 0
        variance.look(model, now, x, y)
        kept.append(closed_form(model, now, x, y, of).numpy())
    found = variance.scores()
    assert list(found) == [f"vog.{of}.sd", f"vog.{of}.variance"]
    assert set(found) < set(SCORES)
    np.testing.assert_allclose(found[f"vog.{of}.sd"], np.std(kept, axis=0).mean(-1), rtol=1e-10)
    np.testing.assert_allclose(found[f"vog.{of}.variance"], np.var(kept, axis=0, ddof=1).mean(-1), rtol=1e-10)


def test_spreads_of_images_are_means_over_all_their_pixels():
    model, theta, x, y = networks("cnn-2x3", (2, 6, 6))
    variance = GradientVariance("loss")
    kept = []
    for factor in (1.0, 1.5, 2.5):
        variance.look(model, factor * theta, x, y)
        kept.append(input_gradient(model, factor * theta, x, y, "loss").flatten(2))
    found = variance.scores()["vog.loss.variance"]
    assert found.shape == (2, 5)
    torch.testing.assert_close(found, torch.stack(kept).var(0).mean(2))


@pytest.mark.parametrize("of", ["class", "loss"])
def test_snapshots_without_change_have_no_variance(of):
    model, theta, x, y = networks("mlp-2x8", (1, 6))
    variance = GradientVariance(of)
    for _ in range(4):
        variance.look(model, theta, x, y)
    for found in variance.scores().values():
        assert (found < 1e-15).all()


def test_the_order_of_channels_does_not_matter():
    model, theta = linear_softmax(channels=3)
    x, y, order = random(6, 3, 4), torch.arange(6) % 3, torch.tensor([2, 0, 1])
    turned = theta.clone()
    before, after = (model.layout.tensors(t)["linear0.weight"].unflatten(1, (3, 4)) for t in (theta, turned))
    after.copy_(before[:, order].clone())
    one, other = (input_gradient(model, *given, y, "class") for given in ((theta, x), (turned, x[:, order])))
    torch.testing.assert_close(one, other)
    # Nor does it matter which channel carries the gradient, as long as the answers are the same.
    before[:, 1:] = 0
    carried, moved = theta.clone(), theta.clone()
    model.layout.tensors(moved)["linear0.weight"].copy_(before[:, order].flatten(1, 2))
    one, other = (input_gradient(model, *given, y, "loss") for given in ((carried, x), (moved, x[:, order])))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("of", ["class", "loss"])
@pytest.mark.parametrize("killed", [0, 1, 3])
def test_variances_go_on_where_they_were_saved(tmp_path, killed, of):
    """After every snapshot or none: what the gradients are of is kept too."""
    model, theta, x, y = networks("mlp-2x8", (1, 6))
    through, part = GradientVariance(of), GradientVariance(of)
    for snapshot in range(4):
        if snapshot == killed:
            torch.save(part.state_dict(), tmp_path / "state.pt")
            part = GradientVariance(of)
            part.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        for variance in (through, part):
            variance.look(model, (1 + snapshot) * theta, x, y)
    for name, found in through.scores().items():
        assert torch.equal(part.scores()[name], found)


def test_a_saved_variance_is_a_copy():
    model, theta, x, y = networks("mlp-2x8", (1, 6))
    variance, other = GradientVariance("loss"), GradientVariance("loss")
    for factor in (1, 2):
        variance.look(model, factor * theta, x, y)
    before, state = variance.scores()["vog.loss.sd"], variance.state_dict()
    copies = state["mean"].clone(), state["spread"].clone()
    other.load_state_dict(state)
    variance.look(model, 3 * theta, x, y)
    assert torch.equal(other.scores()["vog.loss.sd"], before)
    other.look(model, 4 * theta, x, y)
    assert torch.equal(state["mean"], copies[0])
    assert torch.equal(state["spread"], copies[1])
    third = GradientVariance("loss")
    third.load_state_dict(state)
    assert torch.equal(third.scores()["vog.loss.sd"], before)


def test_faults_of_variances_are_named():
    model, theta, x, y = networks("mlp-2x8", (1, 6))
    with pytest.raises(ValueError, match="gradients of 'logit'; give 'class' or 'loss'"):
        GradientVariance("logit")
    variance = GradientVariance("loss")
    with pytest.raises(ValueError, match="two or more snapshots"):
        variance.scores()
    variance.look(model, theta, x, y)
    with pytest.raises(ValueError, match="two or more snapshots"):
        variance.scores()
    with pytest.raises(ValueError, match=r"input gradients \(2, 4, 6\), so far \(2, 5, 6\)"):
        variance.look(model, theta, x[1:], y[1:])
    variance.look(model, 2 * theta, x, y)  # the fault counted for nothing
    torch.testing.assert_close(
        variance.scores()["vog.loss.variance"],
        torch.stack([input_gradient(model, k * theta, x, y, "loss") for k in (1, 2)]).var(0).mean(2),
    )
    with pytest.raises(ValueError, match="this state holds gradients of the loss, not of the class"):
        GradientVariance("class").load_state_dict(variance.state_dict())


# --- layers ----------------------------------------------------------------------------------------------------------


def test_prediction_depth_of_points_that_move_towards_their_class():
    """Four islands, each with an anchor of class 0 at 0 and one of class 1 at 1 and a point of class 1 on its way."""
    y = torch.tensor([0, 1, 1] * 4)
    layers = []
    for layer in range(3):
        points = [[(0.0, 9 * k), (1.0, 9 * k), (0.2 * k + 0.2 * layer, 9 * k)] for k in range(4)]
        layers.append(torch.tensor(points).view(12, 2))
    moving = torch.arange(2, 12, 3)
    label, answer = prediction_depth(layers, y, torch.zeros(12, dtype=torch.long), neighbours=1)
    assert label[moving].tolist() == [3, 2, 1, 0]
    # With a network that answers 0, the last layer agrees with nobody but the first point.
    assert answer[moving].tolist() == [0, 3, 3, 3]


def test_an_example_is_not_its_own_neighbour():
    h = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    y = torch.tensor([1, 0, 0, 0, 1, 1])
    label, answer = prediction_depth([h, h], y, 1 - y, neighbours=2)
    # The first and the fourth have two neighbours of the other class; all others one of each: the lowest class wins.
    assert label.tolist() == [2, 0, 0, 2, 2, 2]
    assert answer.tolist() == [0, 2, 2, 0, 0, 0]


def test_labels_that_all_neighbours_contradict_get_the_number_of_layers():
    h = torch.cat([torch.zeros(5, 2), torch.ones(5, 2)]) + 0.01 * random(10, 2).float()
    y = torch.tensor([0] * 5 + [1] * 5)
    for layers in (1, 2, 4):
        label, answer = prediction_depth([h] * layers, y, 1 - y, neighbours=3)
        assert label.tolist() == [0] * 10
        assert answer.tolist() == [layers] * 10


def test_a_layer_that_disagrees_on_the_way_counts_all_before_it():
    right, wrong = torch.tensor([[0.0], [0.1], [9.0], [9.1]]), torch.tensor([[0.0], [9.0], [0.1], [9.1]])
    y = torch.tensor([0, 0, 1, 1])
    sequences = {"rrr": 0, "wrr": 1, "rwr": 2, "wwr": 2, "rrw": 3, "www": 3}
    for sequence, depth in sequences.items():
        layers = [right if layer == "r" else wrong for layer in sequence]
        assert prediction_depth(layers, y, y, neighbours=1)[0].tolist() == [depth] * 4, sequence


@pytest.mark.parametrize("neighbours", [1, 4, 30])
def test_prediction_depth_is_that_of_plain_neighbours_of_all_others(monkeypatch, neighbours):
    y, answers = torch.arange(60) % 3, (torch.arange(60) // 7) % 3
    layers = [random(60, 2, 3) + k * 0.7 * F.one_hot(y, 3)[:, None] for k in range(4)]
    votes = []
    for h in layers:
        x, row = h.flatten(1).numpy(), []
        for place in range(60):
            others = np.arange(60) != place
            plain = KNeighborsClassifier(neighbours, algorithm="brute").fit(x[others], y.numpy()[others])
            row.append(plain.predict(x[place : place + 1])[0])
        votes.append(row)
    for kind, target in zip(range(2), (y, answers), strict=True):
        agrees = np.array(votes) == target.numpy()
        expected = [next(k for k in range(5) if agrees[k:, place].all()) for place in range(60)]
        for numbers in (1 << 22, 60 * 7, 1):  # examples at once: all, seven, one
            monkeypatch.setitem(probe._NUMBERS, "cpu", numbers)
            assert prediction_depth(layers, y, answers, neighbours)[kind].tolist() == expected
        assert len(set(expected)) > 2


def test_neighbours_are_thirty_by_default():
    h, y = random(80, 4), torch.arange(80) % 3
    for found, expected in zip(prediction_depth([h], y, y), prediction_depth([h], y, y, neighbours=30), strict=True):
        assert torch.equal(found, expected)
    assert not torch.equal(prediction_depth([h], y, y, 29)[0], prediction_depth([h], y, y)[0])


def test_neighbours_far_from_the_origin_are_the_same():
    """Squared distances of features far from 0 must not be lost in the squares of their lengths."""
    y = torch.arange(200) % 3
    h = (random(200, 5) + 3000).float()
    expected = prediction_depth([h.double()], y, y, 5)[0]
    assert torch.equal(prediction_depth([h], y, y, 5)[0], expected)


@pytest.mark.parametrize("neighbours", [10, 11])
def test_more_neighbours_than_others_are_refused(neighbours):
    h, y = random(10, 2), torch.arange(10) % 2
    with pytest.raises(ValueError, match=f"{neighbours} neighbours among 10 examples"):
        prediction_depth([h], y, y, neighbours)
    prediction_depth([h], y, y, 9)


# --- noise -----------------------------------------------------------------------------------------------------------

STRENGTHS = [0.5, 1.0, 2.0, 4.0]


def threshold(*slopes):
    """Class 1 above 0, class 0 below: one input, no hidden layer, a slope for each member."""
    model = MLP((1, 1), 2, depth=0)
    theta = torch.zeros(len(slopes), model.layout.size)
    model.layout.tensors(theta)["linear0.weight"][:, 0, 1] = torch.tensor(slopes)
    return model, theta


def first_above(limit):
    return next((s for s in STRENGTHS if s > limit), STRENGTHS[-1])


def test_input_noise_of_a_threshold_has_a_closed_form():
    """An example at a > 0 is lost at the first strength s with a + s n < 0."""
    model, theta = threshold(1.0, 3.0)
    x = torch.tensor([0.1, 0.7, 1.5, 30.0, -0.3, -1.0]).view(6, 1, 1)
    y = torch.tensor([1, 1, 1, 1, 0, 1])  # the last is wrong
    found = input_robustness(model, theta, x, y, STRENGTHS, draws=5)
    noise = [torch.randn(x.shape, generator=generator("input-noise", draw)).flatten() for draw in range(5)]
    for place in range(6):
        a = x[place].item()
        towards = [-n[place].item() * np.sign(a) for n in noise]
        expected = np.mean([first_above(abs(a) / n) if n > 0 else STRENGTHS[-1] for n in towards])
        assert found[0, place].item() == pytest.approx(0 if place == 5 else expected)
    assert torch.equal(found[0], found[1])  # a steeper threshold is where it was
    assert found[0, 3] == 4
    assert found[0, 5] == 0
    assert len(set(found[0].tolist())) > 3


def test_weight_noise_of_a_threshold_has_a_closed_form():
    """A slope is lost at the first strength s with 1 + s n < 0, whatever its size and that of the input."""
    model, theta = threshold(1.0, 3.0, -2.0)
    x, y = torch.tensor([0.1, 30.0, -0.3]).view(3, 1, 1), torch.tensor([1, 1, 0])
    found = weight_robustness(model, theta, x, y, STRENGTHS, draws=6)
    place = 1  # of the weight in a row
    assert theta[0, place] == 1
    for member in range(2):
        streams = [generator("weight-noise", draw, member) for draw in range(6)]
        towards = [-torch.randn(theta.shape[1], generator=stream)[place].item() for stream in streams]
        expected = np.mean([first_above(1 / n) if n > 0 else STRENGTHS[-1] for n in towards])
        assert found[member].tolist() == pytest.approx([expected] * 3)
    assert found[2].tolist() == [0, 0, 0]
    assert found[0, 0] != found[1, 0]


def test_weight_noise_belongs_to_the_network_and_not_to_its_place():
    model, theta = threshold(1.0, 1.0)
    x, y = torch.tensor([0.1, 30.0]).view(2, 1, 1), torch.tensor([1, 1])
    one, other = weight_robustness(model, theta, x, y, STRENGTHS, draws=4, keys=[7, 8])
    assert torch.equal(weight_robustness(model, theta[:1], x, y, STRENGTHS, draws=4, keys=[8])[0], other)
    assert not torch.equal(one, other)
    with pytest.raises(ValueError, match="1 keys for 2 networks"):
        weight_robustness(model, theta, x, y, STRENGTHS, draws=4, keys=[7])


def test_an_answer_that_comes_back_was_lost_all_the_same():
    y = torch.tensor([1, 1, 1, 1, 1])
    table = {0.0: [1, 1, 1, 0, 1], 1.0: [1, 0, 1, 1, 1], 2.0: [1, 1, 1, 1, 0], 3.0: [1, 0, 0, 1, 1]}
    seen = []

    def answers(draw, strength):
        seen.append((draw, strength))
        return torch.tensor([table[strength]])

    assert probe._first_loss(answers, y, [1.0, 2.0, 3.0], 2).tolist() == [[3, 1, 3, 0, 2]]
    assert {draw for draw, strength in seen if strength} == {0, 1}


@pytest.mark.parametrize("robustness", [input_robustness, weight_robustness])
def test_robustness_is_0_for_the_wrong_and_largest_for_the_unshakeable(robustness):
    model, theta, x, y = networks("mlp-2x8", (1, 6), members=3, examples=30)
    wrong = evaluate.predictions(model, theta, x) != y
    assert wrong.any()
    assert not wrong.all()
    found = robustness(model, theta, x, y, [1e-9, 2e-9], 2)
    assert torch.equal(found, torch.where(wrong, 0.0, 2e-9))
    found = robustness(model, theta, x, y, [0.1, 0.5, 2.5], 4)
    assert (found[wrong] == 0).all()
    assert (found[~wrong] >= 0.1).all()
    assert found.max() <= 2.5
    assert len(found[~wrong].unique()) > 2
    assert torch.equal(found, robustness(model, theta, x, y, [0.1, 0.5, 2.5], 4))


@pytest.mark.parametrize("robustness", [input_robustness, weight_robustness])
@pytest.mark.parametrize(
    ("strengths", "draws"), [([], 1), ([0.0, 1.0], 1), ([2.0, 1.0], 1), ([1.0, 1.0], 1), ([1.0], 0)]
)
def test_faulty_strengths_are_refused(robustness, strengths, draws):
    model, theta = threshold(1.0)
    with pytest.raises(ValueError, match=r"strengths \[.*\] and . draws: give rising strengths above 0, and draws"):
        robustness(model, theta, torch.ones(1, 1, 1), torch.tensor([1]), strengths, draws)


# --- side effects ----------------------------------------------------------------------------------------------------


def test_probes_change_neither_networks_nor_data_nor_global_randomness():
    model, theta, x, y = networks("mlp-2x8", (1, 6), examples=9)
    copies = [given.clone() for given in (theta, x, y)]
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    gradient_norms(model, theta, x, y)
    for of in ("class", "loss"):
        variance = GradientVariance(of)
        variance.look(model, theta, x, y)
        variance.look(model, theta, x, y)
        variance.scores()
    layers = [x, *(h[0] for h in model.features(theta, x).values())]
    kept = [h.clone() for h in layers]
    prediction_depth(layers, y, y, 3)
    input_robustness(model, theta, x, y, STRENGTHS, 2)
    weight_robustness(model, theta, x, y, STRENGTHS, 2)
    assert all(torch.equal(*pair) for pair in zip((theta, x, y, *layers), copies + kept, strict=True))
    assert all(given.grad is None and not given.requires_grad for given in (theta, x))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
