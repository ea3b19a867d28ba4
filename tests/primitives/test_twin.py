"""Twins of a loop of one's own: exact forks, kicks of the size asked for, verdicts that follow their rule."""

import copy
import math
import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from butterfly import models, twin
from butterfly.interpolate import barriers
from tests.conftest import make_task

TASK = make_task((12,))
DATA = {"x": TASK.x, "y": TASK.y, "loss": F.cross_entropy}


def network(seed=0, inner=nn.Identity):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(12, 16), inner(), nn.ReLU(), nn.Linear(16, 3))


def step(net, optimizer, rows):
    optimizer.zero_grad()
    F.cross_entropy(net(TASK.x[rows]), TASK.y[rows]).backward()
    optimizer.step()


def loop(net, optimizer, scheduler=None, steps=30):
    for _ in range(steps):
        step(net, optimizer, torch.randperm(len(TASK.y))[:16])
        if scheduler:
            scheduler.step()


class Trainer:
    """A loop as a class, as libraries have it: model, optimiser, scheduler, data and random numbers inside."""

    def __init__(self, model, data, epochs=3, lr=3e-3, seed=0):
        self.model, self.data, self.epochs, self.epoch = model, data, epochs, 0
        self.optimizer = AdamW(model.parameters(), lr=lr)
        self.scheduler = OneCycleLR(self.optimizer, max_lr=lr, total_steps=6 * epochs)
        self.generator = torch.Generator().manual_seed(seed)

    def train(self, epochs=None):
        self.model.train()
        while self.epoch < (epochs or self.epochs):
            self.epoch += 1
            for rows in torch.randperm(len(self.data[1]), generator=self.generator).split(16):
                step(self.model, self.optimizer, rows)
                self.scheduler.step()


# --- forks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [lambda p: SGD(p, lr=0.1, momentum=0.9), lambda p: Adam(p, lr=0.01, amsgrad=True)])
def test_a_fork_goes_on_exactly_and_apart(kind):
    net = network(inner=lambda: nn.BatchNorm1d(16))
    optimizer = kind(net.parameters())
    scheduler = OneCycleLR(optimizer, max_lr=0.05, total_steps=60)
    torch.manual_seed(1)
    loop(net, optimizer, scheduler, 20)
    copied = twin.fork(net, optimizer, scheduler)
    for a, b in zip(net.parameters(), copied[0].parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
        assert a.grad is not b.grad
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(2)
    loop(*copied, steps=20)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    torch.manual_seed(2)
    loop(net, optimizer, scheduler, 20)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in copied[0].state_dict().items())
    assert copied[1].param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_what_is_shared_is_not_copied():
    trainer = Trainer(network(), (TASK.x, TASK.y))
    (other,) = twin.fork(trainer, shared=[trainer.data])
    assert other.data is trainer.data
    assert other.optimizer.param_groups[0]["params"][0] is other.model[0].weight
    assert other.generator is not trainer.generator


# --- kicks -----------------------------------------------------------------------------------------------------------


def test_a_kick_has_the_size_that_is_asked_for_and_moves_weights_alone():
    net, other = network(), network()
    moved = twin.kick(net, 0.1, seed=3)
    squares = sum(p.numel() * p.var().item() for p in other.parameters() if p.dim() > 1)
    assert moved == pytest.approx(0.1 * math.sqrt(squares), rel=1e-5)
    assert twin.compare(net, other, **DATA).distance == pytest.approx(moved, rel=1e-5)
    assert torch.equal(net[0].bias, other[0].bias)
    smaller, same = network(), network()
    twin.kick(smaller, 0.01, seed=3)
    twin.kick(same, 0.1, seed=3)
    assert torch.equal(same[0].weight, net[0].weight)
    torch.testing.assert_close(10 * (smaller[0].weight - other[0].weight), net[0].weight - other[0].weight)


def test_kicks_that_nothing_can_take_are_refused():
    with pytest.raises(ValueError, match="no weights to kick"):
        twin.kick(network().requires_grad_(False), 0.1)
    with pytest.raises(ValueError, match=r"lost in the rounding of torch\.bfloat16"):
        twin.kick(network().bfloat16(), 1e-7)


# --- comparisons -----------------------------------------------------------------------------------------------------


def test_barriers_are_those_of_the_stack():
    nets = [network(seed) for seed in (0, 1)]
    for net in nets:
        loop(net, SGD(net.parameters(), lr=0.1))
    model = models.of(nn.Sequential(nn.Linear(12, 16), nn.Identity(), nn.ReLU(), nn.Linear(16, 3)), TASK.x)
    stack = [model.layout.stack({n: p.detach()[None] for n, p in net.named_parameters()}) for net in nets]
    expected = barriers(model, *stack, TASK.x, TASK.y)
    found = twin.compare(*nets, **DATA)
    assert found.barrier == pytest.approx(expected.of_loss.item(), rel=1e-4)
    answers = [net(TASK.x).argmax(1) for net in nets]
    assert found.disagreement == pytest.approx((answers[0] != answers[1]).float().mean().item())
    assert found.learned == pytest.approx(math.log(3) - expected.loss[0, [0, -1]].mean().item(), rel=0.1)


def test_a_barrier_in_closed_form():
    # y = a b x with ends (1, 1) and (-1, -1): at the middle the answer is 0, the excess of the squared error 1.
    def product(sign):
        net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        for p in net.parameters():
            nn.init.constant_(p, sign)
        return net

    x = torch.tensor([[1.0], [-1.0]])
    found = twin.compare(product(1.0), product(-1.0), x, x, F.mse_loss)
    assert (found.barrier, found.learned, found.share) == (1.0, 1.0, 1.0)
    assert found.distance == pytest.approx(math.sqrt(8))
    assert math.isnan(found.disagreement)


def test_networks_are_compared_in_eval_mode_and_left_as_they_were():
    one, other = (network(seed, lambda: nn.Dropout(0.5)).train() for seed in (0, 1))
    before = copy.deepcopy(one.state_dict())
    assert twin.compare(one, other, **DATA) == twin.compare(one, other, **DATA)
    assert one.training
    assert one[1].training
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


# --- trials ----------------------------------------------------------------------------------------------------------


def test_a_large_kick_is_chaotic_and_a_small_one_at_the_end_is_not():
    y = (TASK.x[:, 0] * TASK.x[:, 1] > 0).long()  # whether two signs agree: many ways to learn it

    def by_heart(net, optimizer):
        for _ in range(200):
            optimizer.zero_grad()
            F.cross_entropy(net(TASK.x), y).backward()
            optimizer.step()

    net = network()
    optimizer = SGD(net.parameters(), lr=0.3, momentum=0.9)
    found = twin.trial(by_heart, net, optimizer, size=1.0, **DATA | {"y": y})
    assert found.word == "chaotic"
    assert found.control == 0
    assert str(found).startswith("chaotic: a kick of 1 grew ")
    assert "\n" not in str(found)
    assert twin.trial(by_heart, net, optimizer, size=1e-4, **DATA | {"y": y}).word == "stable"


def test_the_loop_goes_on_as_if_it_had_run_once():
    def noisy(net, optimizer):
        for _ in range(5):
            step(net, optimizer, torch.randperm(96)[: 16 + random.randrange(4) + np.random.randint(4)])

    ends = []
    for run in (noisy, lambda *state: twin.trial(noisy, *state, **DATA)):
        torch.manual_seed(4)
        np.random.seed(4)
        random.seed(4)
        net = network(inner=lambda: nn.Dropout(0.3))
        run(net, SGD(net.parameters(), lr=0.1))
        ends.append([net[0].weight.detach(), torch.rand(1), np.random.rand(), random.random()])
    assert all(a == b if isinstance(a, float) else torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_loop_that_is_not_deterministic_is_told_by_its_control():
    calls = []

    def forgetful(net, optimizer):
        calls.append(1)
        step(net, optimizer, torch.arange(16) + len(calls))

    net = network()
    found = twin.trial(forgetful, net, SGD(net.parameters(), lr=0.1), **DATA)
    assert found.word == "not deterministic"
    assert "a copy that nobody kicked ends" in str(found)


def test_the_verdict_follows_its_rule():
    def verdict(barrier=0.0, learned=1.0, control=0.0, level=twin.LEVEL):
        return twin.Trial(1e-3, 1e-2, control, twin.Comparison(1.0, barrier, 0.0, learned), level).word

    assert [verdict(b) for b in (0.0, 0.05, 0.051)] == ["stable", "stable", "chaotic"]
    assert verdict(0.1, level=0.2) == "stable"
    assert verdict(0.1, learned=10.0) == "stable"
    assert verdict(0.1, learned=-1.0) == verdict(math.nan) == verdict(math.inf) == "nothing learned"
    assert verdict(0.1, control=1e-9) == "not deterministic"


def test_networks_that_diverge_alike_have_learned_nothing():
    net = network()
    found = twin.trial(loop, net, SGD(net.parameters(), lr=1e6), **DATA)
    assert (found.control, found.word) == (0, "nothing learned")


def test_a_trainer_that_holds_everything_is_forked_as_a_whole():
    trainer = Trainer(network(), (TASK.x, TASK.y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = twin.trial(Trainer.train, trainer, shared=[trainer.data], **DATA)
    assert found.control == 0
    assert trainer.epoch == 3
    alone = Trainer(network(), (TASK.x, TASK.y))
    alone.train()
    assert torch.equal(alone.model[0].weight, trainer.model[0].weight)


def test_the_first_object_must_hold_a_network():
    net = network()
    with pytest.raises(ValueError, match=r"must be a torch\.nn\.Module"):
        twin.trial(loop, SGD(net.parameters(), lr=0.1), net, **DATA)
