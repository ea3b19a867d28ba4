"""Mutual information: bounds against plain PyTorch and scikit-learn, and closed forms against others."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn.feature_selection import mutual_info_regression

from butterfly import information, models
from butterfly.streams import generator
from butterfly.train import Recipe, learning_rate

RANDOM = "test-information"


def gaussian(correlation, count, dimensions=1, members=1, key=0):
    """Pairs of correlated Gaussian vectors."""
    z = torch.randn(members, count, 2 * dimensions, generator=generator(RANDOM, key))
    x, other = z.chunk(2, 2)
    return x, correlation * x + math.sqrt(1 - correlation**2) * other


# --- cases that are known --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("correlation", "dimensions"), [(0.0, 3), (0.5, 1), (-0.9, 2), (0.7, 20)])
def test_information_of_gaussians_is_that_of_their_covariance(correlation, dimensions):
    eye = torch.eye(dimensions, dtype=torch.float64)
    whole = torch.cat([torch.cat([eye, correlation * eye], 1), torch.cat([correlation * eye, eye], 1)])
    assert information.of_gaussians(correlation, dimensions) == pytest.approx(-0.5 * torch.logdet(whole).item())


@pytest.mark.parametrize("noise", [0.05, 0.3, 2.0])
def test_information_of_a_uniform_number_under_noise_is_its_integral(noise):
    def density(y):
        return (stats.norm.cdf((y + 1) / noise) - stats.norm.cdf((y - 1) / noise)) / 2

    edge = 1 + 9 * noise
    entropy = integrate.quad(lambda y: -density(y) * math.log(density(y) + 1e-300), -edge, edge, limit=500)[0]
    expected = entropy - 0.5 * math.log(2 * math.pi * math.e * noise**2)
    x = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    assert information.of_function(x, noise) == pytest.approx(expected, abs=1e-3)
    # What is not used carries nothing; half as far apart is twice the noise.
    assert information.of_function(0 * x, noise) == pytest.approx(0, abs=1e-6)
    assert information.of_function(x.abs(), noise) == pytest.approx(information.of_function(x, 2 * noise), abs=1e-3)


def test_information_of_noisy_points():
    random = generator(RANDOM, "noisy")
    apart = 100.0 * torch.eye(4)
    assert information.of_noisy(apart, 1.0, random) == pytest.approx(math.log(4))
    assert information.of_noisy(torch.ones(5, 2), 1.0, random) == pytest.approx(0, abs=1e-12)
    # Many Gaussian points are nearly a Gaussian channel.
    points = torch.randn(1000, 2, generator=random)
    assert information.of_noisy(points, 0.5, random) == pytest.approx(math.log(1 + 1 / 0.25), abs=0.08)
    assert information.of_noisy(2 * points, 1.0, random) == pytest.approx(math.log(1 + 1 / 0.25), abs=0.08)


# --- nearest neighbours ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.95])
def test_neighbours_are_those_of_scikit_learn(correlation):
    x, y = (z[0] / z[0].std(unbiased=False) for z in gaussian(correlation, 400))  # which it scales
    theirs = mutual_info_regression(x.double().numpy(), y.double().numpy().ravel(), n_neighbors=3, random_state=0)[0]
    assert max(information.neighbours(x.double(), y.double()), 0) == pytest.approx(theirs, abs=2e-3)


def test_neighbours_find_the_closed_form_of_vectors():
    x, y = gaussian(0.8, 1500, dimensions=2)
    assert information.neighbours(x[0], y[0]) == pytest.approx(information.of_gaussians(0.8, 2), abs=0.08)
    assert information.neighbours(x[0], y[0].flip(0)) == pytest.approx(0, abs=0.08)
    turned = y[0] @ torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    assert information.neighbours(x[0], turned) == pytest.approx(information.neighbours(x[0], y[0]), abs=1e-6)


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_bounds_are_what_they_say_and_the_best_function_reaches_the_information():
    joint, shuffled = torch.randn(2, 3, 50, generator=generator(RANDOM, "bounds"), dtype=torch.float64)
    dv = np.mean(joint.numpy(), 1) - np.log(np.mean(np.exp(shuffled.numpy()), 1))
    f = np.mean(joint.numpy(), 1) - np.mean(np.exp(shuffled.numpy() - 1), 1)
    np.testing.assert_allclose(information.value(joint, shuffled), dv)
    np.testing.assert_allclose(information.value(joint, shuffled, "f"), f)
    assert (dv >= f).all()
    # The logarithm of the ratio of densities, and 1 more for the bound by f-divergence.
    r, (x, y) = 0.6, gaussian(0.6, 40_000)

    def ratio(x, y):
        return -0.5 * math.log(1 - r**2) + (2 * r * x * y - r**2 * (x**2 + y**2)) / (2 * (1 - r**2))

    own, other = ratio(x, y).squeeze(2).double(), ratio(x, y.roll(1, 1)).squeeze(2).double()
    assert information.value(own, other).item() == pytest.approx(information.of_gaussians(r), abs=0.02)
    assert information.value(own + 1, other + 1, "f").item() == pytest.approx(information.of_gaussians(r), abs=0.02)


def test_shuffled_pairs_are_no_pairs():
    x = torch.arange(5.0).view(1, 5, 1)
    both = information.inputs(x, x + 10)[0]
    assert (both[:5, 1] - both[:5, 0] == 10).all()
    assert (both[5:, 1] - both[5:, 0] != 10).all()
    assert sorted(both[5:, 1].tolist()) == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("bound", ["dv", "plain", "f"])
def test_learning_is_that_of_a_plain_program(bound):
    """Three updates of two networks, each against `torch.nn` and `torch.optim`, the moving average written out."""
    # Not with Adam: the bound does not depend on the last bias, and Adam makes a step of the rounding in its gradient.
    model, recipe = models.build("mlp-1x8", (1, 2), 1), Recipe(steps=3, batch_size=16, lr=0.05, momentum=0.9)
    start = model.init([0, 1])
    batches = [gaussian(0.7, 16, members=2, key=step) for step in range(3)]
    learned, seen = information.learn(model, start, recipe, lambda step: batches[step], bound, [0, 3], batches[0], 0.1)
    for member in range(2):
        t = {name: view[member] for name, view in model.layout.tensors(start).items()}
        net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        with torch.no_grad():
            for layer, place in ((0, 0), (1, 2)):
                net[place].weight.copy_(t[f"linear{layer}.weight"].T)
                net[place].bias.copy_(t[f"linear{layer}.bias"])
        sgd, average = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.9), None
        for step, (x, y) in enumerate(batches):
            sgd.param_groups[0]["lr"] = learning_rate(recipe, step)
            own = net(torch.cat([x, y], 2)[member])
            other = net(torch.cat([x, y.roll(1, 1)], 2)[member])
            mean = other.exp().mean()
            average = mean.item() if average is None else 0.9 * average + 0.1 * mean.item()
            second = {"dv": mean / average, "plain": mean.log(), "f": (other - 1).exp().mean()}[bound]
            sgd.zero_grad()
            (second - own.mean()).backward()
            sgd.step()
        found = {name: view[member] for name, view in model.layout.tensors(learned).items()}
        torch.testing.assert_close(found["linear0.weight"], net[0].weight.T, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found["linear1.bias"], net[2].bias, rtol=1e-4, atol=1e-6)
    assert seen.shape == (2, 2)
    torch.testing.assert_close(seen[1], information.estimate(model, learned, *batches[0], bound))


def test_a_network_learns_what_gaussians_know_and_no_more():
    model, recipe = models.build("mlp-1x32", (1, 2), 1), Recipe(steps=250, batch_size=128, lr=0.01, optimizer="adam")
    streams = {r: generator(RANDOM, "learn", r) for r in (0.0, 0.8)}

    def pairs(count):
        found = []
        for r, stream in streams.items():
            x, other = torch.randn(1, count, 2, generator=stream).chunk(2, 2)
            found.append((x, r * x + math.sqrt(1 - r**2) * other))
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    held_out = pairs(4000)
    _, seen = information.learn(model, model.init([0, 1]), recipe, lambda step: pairs(128), "dv", [0, 250], held_out)
    assert seen[1].tolist() == pytest.approx([0, information.of_gaussians(0.8)], abs=0.08)
    assert (seen[1] > seen[0]).all()


def test_members_do_not_touch_each_other():
    model, recipe = models.build("mlp-1x8", (1, 2), 1), Recipe(steps=5, batch_size=16, lr=0.05, optimizer="adam")
    x, y = gaussian(0.7, 16, members=3)
    whole, _ = information.learn(model, model.init([0, 1, 2]), recipe, lambda step: (x, y))
    alone, _ = information.learn(model, model.init([1]), recipe, lambda step: (x[1:2], y[1:2]))
    torch.testing.assert_close(whole[1:2], alone)
