"""Forward LSTMs whose states are tied to those of a backward LSTM while they train, as stacks of networks.

At step t the forward path has read x_1 ... x_t (x_0 is 0) and tells the distribution of x_{t+1}; the backward path has
read x_T ... x_t. With `h` and `b` their states,

    z_t ~ posterior(h_{t-1}, b_t) while training, or prior(h_{t-1}) where there is no backward path
    c_t = future(z_t), trained to be near b_t; past(z_t) is trained to be near h_{t-1}
    h_t = LSTM(x_t, z_t, c_t; h_{t-1}),    b_t = LSTM(x_t; b_{t+1})

and a step costs `-log p(x_{t+1} | h_t) + KL(posterior, prior)`, half of the squared errors of both reconstructions, and
what the backward path pays for its own predictions, `-log p(x_{t-1} | b_t)`. Each network between is one hidden layer
of leaky ReLUs. An untied network has only the forward path, without z and c.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from butterfly.optim import adam
from butterfly.stack import Layout, Parameter, linear
from butterfly.streams import generator

Tensors = dict[str, Tensor]
LEAST_STD = 0.01  # of every Gaussian that a network tells


@dataclass(frozen=True)
class Net:
    """An architecture; `latent` 0: untied. `components` Gaussians tell a frame, 0 of them: logits tell a symbol.

    The backward path has read the whole future, or, `near`, the present step and the next one alone.
    """

    width: int = 16
    latent: int = 0
    components: int = 0
    values: int = 4  # numbers seen at a step
    near: bool = False

    @cached_property
    def layout(self) -> Layout:
        width, latent, told = self.width, self.latent, self.components * (1 + 2 * self.values) or self.values
        between = latent + width if latent else 0
        found = _lstm("forward", self.values + between, width) + _mlp("head", width, width, told)
        if latent:
            found += _lstm("backward", self.values, width) + _mlp("back", width, width, told)
            found += _mlp("posterior", 2 * width, width, 2 * latent) + _mlp("prior", width, width, 2 * latent)
            found += _mlp("future", latent, width, width) + _mlp("past", latent, width, width)
        return Layout(found)

    def init(self, seeds: Sequence[int]) -> Tensor:
        """One network a seed `[M, P]`."""
        return self.layout.init([generator("bilstm", seed) for seed in seeds])

    def log_likelihood(self, p: Tensors, h: Tensor, x: Tensor, head: str = "head") -> Tensor:
        """Log-probability `[M, B]` of what is seen next, `x [M, B, 4]`, told by states `[M, B, W]`."""
        told = mlp(p, head, h)
        if not self.components:
            return (x * told.log_softmax(-1)).sum(-1)
        logit, rest = told.split([self.components, 2 * self.components * self.values], 2)
        mean, scale = rest.unflatten(2, (self.components, -1)).chunk(2, 3)  # [M, B, components, 4]
        std = F.softplus(scale) + LEAST_STD
        each = -((x[:, :, None] - mean) / std).square() / 2 - std.log() - math.log(2 * math.pi) / 2
        return (logit.log_softmax(-1) + each.sum(-1)).logsumexp(-1)


def _matrix(name: str, inputs: int, outputs: int) -> Parameter:
    return Parameter(name, (inputs, outputs), "weight", inputs**-0.5, scale=inputs**-0.5, outputs=outputs)


def _bias(name: str, outputs: int) -> Parameter:
    return Parameter(name, (outputs,), "bias", outputs=outputs)


def _lstm(name: str, inputs: int, width: int) -> list[Parameter]:
    whole = inputs + width  # the states are read after the inputs
    return [_matrix(f"{name}.weight", whole, 4 * width), _bias(f"{name}.bias", 4 * width)]


def _mlp(name: str, inputs: int, hidden: int, outputs: int) -> list[Parameter]:
    return [
        _matrix(f"{name}.hidden", inputs, hidden),
        _bias(f"{name}.hidden.bias", hidden),
        _matrix(f"{name}.out", hidden, outputs),
        _bias(f"{name}.out.bias", outputs),
    ]


def mlp(p: Tensors, name: str, x: Tensor) -> Tensor:
    """One hidden layer of leaky ReLUs: `x [M, B, I]` -> `[M, B, O]`."""
    hidden = F.leaky_relu(linear(x, p[f"{name}.hidden"], p[f"{name}.hidden.bias"]))
    return linear(hidden, p[f"{name}.out"], p[f"{name}.out.bias"])


def cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """State and memory `[M, B, W]` after a step, from `gates [M, B, 4 W]` (input, forget, new, output).

    As in `torch.nn.LSTM`, but the forget gate is open by one more at the start of training.
    """
    enter, stay, new, out = gates.chunk(4, 2)
    c = torch.sigmoid(stay + 1) * c + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(c), c


def gaussian(told: Tensor) -> tuple[Tensor, Tensor]:
    """Means and standard deviations from `[..., 2 Z]` numbers."""
    mean, scale = told.chunk(2, -1)
    return mean, F.softplus(scale) + LEAST_STD


def divergence(q: tuple[Tensor, Tensor], p: tuple[Tensor, Tensor]) -> Tensor:
    """Kullback-Leibler divergence of one Gaussian with independent values from another, summed over the values."""
    (m, s), (n, r) = q, p
    return ((s / r).square() / 2 + ((m - n) / r).square() / 2 - 0.5 - (s / r).log()).sum(-1)


# --- costs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """How training weighs what is not likelihood, a number a member `[M]`.

    `future` and `past` weigh the reconstructions of b and h, `activity` the squared states h, and `back` the backward
    path's own predictions. `skip` is the probability that at a step of a series no gradient goes from the latent
    variable and its networks to the states they read.
    """

    future: Tensor
    past: Tensor
    activity: Tensor
    back: Tensor
    skip: Tensor

    @classmethod
    def of(cls, arms: Sequence[tuple[float, ...]], each: int) -> "Costs":
        """Of each arm for so many members."""
        return cls(*torch.tensor(arms).repeat_interleave(each, 0).T)

    def to(self, device: str) -> "Costs":
        """The same on a device."""
        return Costs(*(values.to(device) for values in vars(self).values()))


def backward_states(net: Net, p: Tensors, x: Tensor) -> Tensor:
    """States b `[M, T, B, W]` of the backward path on `x [M, T + 1, B, 4]`, the last step of which it reads first."""
    inputs, steps = p["backward.weight"][:, : net.values], x.shape[1]
    read = linear(x.flatten(1, 2), inputs, p["backward.bias"]).unflatten(1, x.shape[1:3])
    state = p["backward.weight"][:, net.values :]
    b = c = torch.zeros_like(read[:, 0, :, : net.width])
    if net.near:  # all steps at once, each from a start of its own
        b, c = cell(read[:, 1:].flatten(1, 2), torch.zeros_like(read[:, 1:, :, : net.width].flatten(1, 2)))
        b, _ = cell(torch.baddbmm(read[:, :-1].flatten(1, 2), b, state), c)
        return b.unflatten(1, (steps - 1, -1))
    found = []
    for step in reversed(range(steps)):
        b, c = cell(torch.baddbmm(read[:, step], b, state), c)
        found.append(b)
    return torch.stack(found[:0:-1], 1)


def let(values: Tensor, through: Tensor) -> Tensor:
    """The same values; gradients pass where `through` is 1 and not where it is 0."""
    return values.detach() + through * (values - values.detach())


def untied_cost(net: Net, p: Tensors, x: Tensor) -> tuple[Tensor, Tensor]:
    """Exact negative log-likelihood of series `x [M, T, B, 4]`, in nats, and squared states: twice `[M, B]`."""
    x = F.pad(x, (0, 0, 0, 0, 1, 0))
    read = linear(x[:, :-1].flatten(1, 2), p["forward.weight"][:, : net.values], p["forward.bias"])
    read, state = read.unflatten(1, (-1, x.shape[2])), p["forward.weight"][:, net.values :]
    h = c = torch.zeros_like(read[:, 0, :, : net.width])
    states = []
    for step in range(read.shape[1]):
        h, c = cell(torch.baddbmm(read[:, step], h, state), c)
        states.append(h)
    whole = torch.stack(states, 1).flatten(1, 2)
    found = -net.log_likelihood(p, whole, x[:, 1:].flatten(1, 2)), whole.square().sum(2)
    return tuple(values.unflatten(1, (-1, x.shape[2])).sum(1) for values in found)


def tied_cost(net: Net, p: Tensors, x: Tensor, noise: Tensor, skip: Tensor, costs: Costs) -> tuple[Tensor, ...]:
    """What series `x [M, T, B, 4]` cost with one draw of the latent variables: three times `[M, B]`, in nats.

    The negative lower bound of the log-likelihood, the divergence in it, and the additional costs. `noise [M, T, B, Z]`
    is standard normal, `skip [M, T, B, 1]` even on (0, 1).
    """
    x = F.pad(x, (0, 0, 0, 0, 1, 0))
    through = (skip >= costs.skip.view(-1, 1, 1, 1)).to(x.dtype)
    states = backward_states(net, p, x)
    b = let(states, through)
    h = c = torch.zeros_like(b[:, 0])
    kept: dict[str, list[Tensor]] = {name: [] for name in ("seen", "posterior", "z", "future", "h")}
    for step in range(b.shape[1]):
        seen = let(h, through[:, step])
        told = mlp(p, "posterior", torch.cat([seen, b[:, step]], 2))
        mean, std = gaussian(told)
        z = mean + std * noise[:, step]
        h, c, future = _advance(p, x[:, step], z, h, c)
        for name, values in zip(kept, (seen, told, z, future, h), strict=True):
            kept[name].append(values)
    # What does not feed the next step is worked out for all steps at once.
    seen, told, z, future, h = (torch.stack(values, 1).flatten(1, 2) for values in kept.values())
    kl = divergence(gaussian(told), gaussian(mlp(p, "prior", seen)))
    more = costs.future[:, None] * (future - b.flatten(1, 2)).square().sum(2) / 2
    more = more + costs.past[:, None] * (mlp(p, "past", z) - seen).square().sum(2) / 2
    more = more + costs.activity[:, None] * h.square().sum(2)
    # b_2 tells x_1, ..., b_{T-1} tells x_{T-2}; there is nothing before x_1 to tell.
    back = net.log_likelihood(p, states[:, 2:].flatten(1, 2), x[:, 1:-2].flatten(1, 2), "back")
    back = F.pad(back.unflatten(1, (-1, x.shape[2])), (0, 0, 2, 0)).flatten(1, 2)
    more = more - costs.back[:, None] * back
    surprise = kl - net.log_likelihood(p, h, x[:, 1:].flatten(1, 2))
    return tuple(values.unflatten(1, (-1, x.shape[2])).sum(1) for values in (surprise, kl, more))


def _advance(p: Tensors, x: Tensor, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The forward path's next state and memory, and what z says of the future `[M, B, W]`."""
    told = mlp(p, "future", z)
    h, c = cell(linear(torch.cat([x, z, told, h], 2), p["forward.weight"], p["forward.bias"]), c)
    return h, c, told


# --- training --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """Adam at a constant step on minibatches drawn anew."""

    steps: int
    batch: int
    lr: float


def training(
    net: Net, x: Tensor, seeds: Sequence[int], recipe: Recipe, costs: Costs, looks: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """Networks `[M, P]` after the updates `looks`, trained on series `x [S, N, T, 4]`.

    `costs` has A numbers a seed, for all seeds of the first arm, then of the second, ...: M = A S. All arms of a seed
    start alike and see the same minibatches, latent noise and masks.
    """
    arms = len(costs.skip) // len(seeds)
    theta = net.init(seeds).to(x).repeat(arms, 1)
    state = [torch.zeros_like(theta), torch.zeros_like(theta)]
    draws = [generator("bilstm-training", seed) for seed in seeds]
    for step in range(recipe.steps + 1):
        if step in looks:
            yield step, theta.clone()
        if step == recipe.steps:
            return
        some = torch.stack([torch.randint(x.shape[1], (recipe.batch,), generator=draw) for draw in draws])
        batch = torch.stack([own[rows.to(x.device)] for own, rows in zip(x, some, strict=True)])
        batch = batch.transpose(1, 2).repeat(arms, 1, 1, 1)  # [M, T, B, 4]
        row = theta.requires_grad_()
        with torch.enable_grad():
            loss = cost(net, row, batch, draws, costs).mean(1).sum() / x.shape[2]
            (gradient,) = torch.autograd.grad(loss, row)
        theta = theta.detach()
        adam(theta, state, gradient, recipe.lr, (0.9, 0.999), 1e-8, 0.0, False, step)


def cost(net: Net, theta: Tensor, x: Tensor, draws: Sequence[torch.Generator], costs: Costs) -> Tensor:
    """What training lowers: one number a series `[M, B]`."""
    p = net.layout.tensors(theta)
    if not net.latent:
        surprise, activity = untied_cost(net, p, x)
        return surprise + costs.activity[:, None] * activity
    bound, _, more = tied_cost(net, p, x, *_noise(net, x, draws), costs)
    return bound + more


def _noise(net: Net, x: Tensor, draws: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Latent noise and masks for `x [M, T, B, 4]`, the same for all arms of a seed."""
    shape, arms = x.shape[1:3], len(x) // len(draws)
    noise = torch.stack([torch.randn(*shape, net.latent, generator=draw) for draw in draws])
    skip = torch.stack([torch.rand(*shape, 1, generator=draw) for draw in draws])
    return tuple(values.repeat(arms, 1, 1, 1).to(x) for values in (noise, skip))


# --- likelihoods -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def bound(net: Net, theta: Tensor, x: Tensor, seeds: Sequence[int], samples: int = 1) -> tuple[Tensor, Tensor]:
    """Lower bound of the log-likelihood of series `x [S, N, T, 4]` by the posterior, and the divergence in it `[M]`.

    In nats a step, mean over series; with the backward path. Of untied networks the exact log-likelihood, and 0.
    """
    arms, length = len(theta) // len(seeds), x.shape[2]
    x, p = x.transpose(1, 2).repeat(arms, 1, 1, 1), net.layout.tensors(theta)
    if not net.latent:
        found = -untied_cost(net, p, x)[0].mean(1) / length
        return found, torch.zeros_like(found)
    nothing = Costs(*torch.zeros(5, len(theta), device=x.device))
    draws = [generator("bilstm-bound", seed) for seed in seeds]
    several = [tied_cost(net, p, x, *_noise(net, x, draws), nothing)[:2] for _ in range(samples)]
    loss, kl = (torch.stack(values).mean((0, 2)) / length for values in zip(*several, strict=True))
    return -loss, kl


@torch.no_grad()
def forward_bound(net: Net, theta: Tensor, x: Tensor, seeds: Sequence[int], particles: int) -> Tensor:
    """Log-likelihood `[M]` of series `x [S, N, T, 4]` without the backward path, in nats a step.

    A particle filter: so many latent paths drawn from the prior, chosen anew after every step by how well they told it.
    Its mean is a lower bound, the closer the more particles (Maddison et al. 2017). With 0 particles the mean of the
    prior takes the place of draws: the exact log-likelihood of a forward model without latent variables.
    """
    arms, (count, length) = len(theta) // len(seeds), x.shape[1:3]
    draws, p = [generator("bilstm-filter", seed) for seed in seeds], net.layout.tensors(theta)
    x = F.pad(x, (0, 0, 1, 0)).transpose(1, 2).repeat(arms, 1, 1, 1)
    many = max(particles, 1)
    x = x.repeat_interleave(many, 2)  # [M, T + 1, N K, 4]
    h = c = torch.zeros(len(theta), x.shape[2], net.width, device=x.device, dtype=x.dtype)
    total = 0
    for step in range(length):
        mean, std = gaussian(mlp(p, "prior", h))
        if particles:
            noise = torch.stack([torch.randn(x.shape[2], net.latent, generator=draw) for draw in draws])
            mean = mean + std * noise.to(x).repeat(arms, 1, 1)
        h, c, _ = _advance(p, x[:, step], mean, h, c)
        weight = net.log_likelihood(p, h, x[:, step + 1]).unflatten(1, (count, many))
        total = total + weight.logsumexp(2).mean(1) - math.log(many)
        if many > 1:
            start = torch.stack([torch.rand(count, 1, generator=draw) for draw in draws]).to(x).repeat(arms, 1, 1)
            chosen = resampled(weight.softmax(2), start)[..., None]
            h, c = (v.unflatten(1, (count, many)).take_along_dim(chosen, 2).flatten(1, 2) for v in (h, c))
    return total / length


def resampled(weight: Tensor, start: Tensor) -> Tensor:
    """Which of K particles `[..., K]` live on: K evenly spaced places on the line of their weights, the first within
    `start [..., 1]`, even on (0, 1), of a K-th."""
    count = weight.shape[-1]
    places = (torch.arange(count, device=weight.device) + start) / count
    return torch.searchsorted(weight.cumsum(-1).contiguous(), places.contiguous()).clamp(max=count - 1)
