"""Training on clean and on changed images, with a discriminator that looks at a hidden layer; and a fresh judge of it.

All ways to train (arms) of all seeds are one stack. The arms of a seed start from one network and see the same
minibatches; they differ in how images are changed, and in what counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from butterfly import models, optim
from butterfly.attack import Ends, ends, fgsm
from butterfly.batches import Minibatches, spread
from butterfly.data import Data
from butterfly.models import Model
from butterfly.objective import cross_entropy
from butterfly.streams import generator
from butterfly.train import Recipe, descend

STANDARD, NOISE, ADVERSARIAL = "standard", "random signs", "adversarial"
OTHER = 100_000  # the discriminator of a seed starts as the network of a seed so much later
LR, BETAS = 1e-3, (0.9, 0.999)  # of the discriminators: Adam as it comes


@dataclass(frozen=True)
class Arm:
    """A way to train: the share of changed images in the loss, and how much fooling the discriminator counts."""

    name: str
    changed: float = 0.5
    random: bool = False  # images change by random signs, else for the worst (FGSM)
    strength: float = 0.0


def arms(strengths: Sequence[float]) -> list[Arm]:
    """Standard training, random changes, adversarial training, and A3T at each strength of the discriminator."""
    plain = [Arm(STANDARD, changed=0.0), Arm(NOISE, random=True), Arm(ADVERSARIAL)]
    return plain + [Arm(a3t(strength), strength=strength) for strength in strengths]


def a3t(strength: float) -> str:
    """The arm with a discriminator of that strength."""
    return f"A3T, {strength:g}"


@dataclass(frozen=True)
class Defended:
    """Trained networks `theta [A * S, P]`, arm by arm, and their discriminators `[A * S, Q]`."""

    theta: Tensor
    judge: Model
    opinions: Tensor


def defend(
    model: Model, task: Data, recipe: Recipe, seeds: Sequence[int], ways: Sequence[Arm], size: Tensor
) -> Defended:
    """Train all arms of all seeds on images of which every pixel changes by `size [channels, 1, ...]`.

    Each update changes the minibatch anew; the network learns from clean and changed images, and where the arm says so
    from how clean its discriminator takes the changed ones for. Meanwhile the discriminator learns to tell them apart.
    """
    family, within = torch.arange(len(seeds)).repeat(len(ways)), ends(task.x)
    theta = model.init(list(seeds)).to(task.x).repeat(len(ways), 1)
    judge = discriminator(model, theta, task.x)
    opinions = judge.init([seed + OTHER for seed in seeds]).to(task.x).repeat(len(ways), 1)
    state = [torch.zeros_like(theta) for _ in range(optim.SLOTS[recipe.optimizer])]
    moments = [torch.zeros_like(opinions) for _ in range(optim.SLOTS["adam"])]
    batches = Minibatches(task, recipe.batch_size_at, recipe.augment, seeds)
    share, random, strength = (_by_row(ways, name, task.x) for name in ("changed", "random", "strength"))
    blind = (random.repeat_interleave(len(seeds)) > 0).view(-1, *[1] * task.x.dim())  # changed without looking
    for step in range(recipe.steps):
        batch = batches.at(step)
        x, y = batch.inputs(family), spread(batch.target, family)
        changed = fgsm(model, theta, x, y, size, within)
        changed = torch.where(blind, spread(scatter(batch.x, size, within, seeds, step), family), changed)
        weights = [own.repeat_interleave(len(seeds)) for own in (share, strength)]
        down, told = _gradients(model, theta, judge, opinions, torch.cat([x, changed], 1), y, weights)
        descend(recipe, step, theta, state, down)
        optim.adam(opinions, moments, told, LR, BETAS, 1e-8, 0.0, False, step)
    return Defended(theta, judge, opinions)


def _by_row(ways: Sequence[Arm], name: str, like: Tensor) -> Tensor:
    return torch.tensor([float(getattr(arm, name)) for arm in ways]).to(like)


def _gradients(
    model: Model, theta: Tensor, judge: Model, opinions: Tensor, both: Tensor, y: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """What the networks `[M, P]` and the discriminators `[M, Q]` descend, on clean images and the same ones changed.

    `both [M, 2 B, ...]` holds clean images before changed ones; `weights` are the share of the changed ones in the loss
    `[M]` and the strength `[M]` with which the network wants its discriminator to take changed images for clean ones.
    """
    leaves, own = (
        {name: view.detach().requires_grad_() for name, view in net.layout.tensors(stack).items()}
        for net, stack in ((model, theta), (judge, opinions))
    )
    seen, half = {}, y.shape[1]
    logits = model.forward(leaves, both, see=seen.__setitem__)
    verdict = judge.forward(own, _last(seen))
    is_changed = (torch.arange(2 * half, device=y.device) >= half).long().expand(len(theta), -1)
    told = cross_entropy(verdict, is_changed).mean(1).sum()
    parts = torch.autograd.grad(told, list(own.values()), retain_graph=True)
    share, strength = weights
    clean, changed = (cross_entropy(logits[:, some], y).mean(1) for some in (slice(half), slice(half, None)))
    seen_through = cross_entropy(verdict[:, half:], torch.zeros_like(y)).mean(1)
    loss = (1 - share) * clean + share * changed + strength * seen_through
    down = torch.autograd.grad(loss.sum(), list(leaves.values()))
    return (
        model.layout.stack(dict(zip(leaves, down, strict=True))),
        judge.layout.stack(dict(zip(own, parts, strict=True))),
    )


def scatter(x: Tensor, size: Tensor, within: Ends, seeds: Sequence[int], *key: object) -> Tensor:
    """Images `[S, B, ...]` of which every pixel moved by `size`, up or down at random; what is blind to the network."""
    streams = [generator("signs", seed, *key) for seed in seeds]
    signs = torch.stack([torch.randint(0, 2, x.shape[1:], generator=stream) for stream in streams]).to(x) * 2 - 1
    return torch.minimum(torch.maximum(x + size * signs, within[0]), within[1])


# --- the hidden layer ------------------------------------------------------------------------------------------------


def discriminator(model: Model, theta: Tensor, x: Tensor) -> Model:
    """A network of one hidden layer, as wide as the last hidden layer of `model`, which it looks at; two classes."""
    width = hidden(model, theta[:1], x[None, :1]).shape[2]
    return models.build(f"mlp-1x{width}", (width,), 2)


def hidden(model: Model, theta: Tensor, x: Tensor) -> Tensor:
    """The last hidden layer `[M, B, U]` on `x [M, B, ...]`."""
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        model.forward(model.layout.tensors(theta), x, see=seen.__setitem__)
    return _last(seen)


def _last(seen: dict[str, Tensor]) -> Tensor:
    return next(reversed(seen.values())).flatten(2)


def shift(clean: Tensor, changed: Tensor) -> Tensor:
    """How far features `[M, N, U]` move `[M]`, in their spread over clean images: both as root mean squares."""
    spread_of = (clean - clean.mean(1, keepdim=True)).square().sum(2).mean(1)
    return ((changed - clean).square().sum(2).mean(1) / spread_of).sqrt()


def fresh_judge(clean: Tensor, changed: Tensor, order: Tensor, ridge: float = 0.1) -> Tensor:
    """How often a fresh judge `[M]` tells changed from clean features `[M, N, U]` of images that it was not shown.

    It is shown the features of the first half of the images in `order [M, N]`, clean and changed, and asked about the
    others: 0.5 is guessing. The judge is kernel ridge regression with a Gaussian kernel as wide as the median distance,
    so it is not held up by any training of its own.
    """
    half = order.shape[1] // 2
    found = []
    for own, other, places in zip(clean.double(), changed.double(), order, strict=True):
        shown, asked = (torch.cat([own[some], other[some]]) for some in (places[:half], places[half:]))
        scale = shown.std(0).clamp_min(1e-12)
        live = shown.std(0) > 0
        shown, asked = (shown / scale)[:, live], (asked / scale)[:, live]
        width = torch.pdist(shown).median()
        side = torch.ones(2 * half, dtype=torch.float64, device=shown.device)
        side[:half] = -1
        near = (-(torch.cdist(shown, shown) / width).square()).exp()
        weights = torch.linalg.solve(near + ridge * torch.eye(len(near)).to(near), side)
        answer = (-(torch.cdist(asked, shown) / width).square()).exp() @ weights
        rest = len(asked) // 2
        found.append(torch.cat([answer[:rest] < 0, answer[rest:] > 0]).double().mean())
    return torch.stack(found)
