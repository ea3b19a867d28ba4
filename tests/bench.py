"""Speed, as ratios within one run on one thread. `make bench` prints this; nothing here passes or fails.

Every figure is the median over rounds; the contestants of a comparison take turns, so that a machine that slows down
slows both.
"""

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from butterfly import align, data, models, probe, represent
from butterfly.data import Data
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.models.mlp import MLP
from butterfly.perturb import Kick
from butterfly.score import ScoreLogger
from butterfly.streams import generator
from butterfly.study import runs
from butterfly.train import Fork, Recipe, train

ROUNDS = 5
WIDTHS = [40, 64, 64, 64, 64, 10]
BATCH = 64


def medians(contestants: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Seconds per unit of work; each contestant returns how many units it did."""
    for contestant in contestants.values():
        contestant()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            began = time.perf_counter()
            units = contestant()
            times[name].append((time.perf_counter() - began) / units)
    return {name: statistics.median(values) for name, values in times.items()}


def plain_loop(task: Data, networks: int = 2, steps: int = 100) -> Callable[[], int]:
    """One network after another, as `torch.nn` and `torch.optim` are used everywhere."""

    def run() -> int:
        for seed in range(networks):
            layers = [m for i, o in pairwise(WIDTHS) for m in (nn.Linear(i, o), nn.ReLU())]
            net = nn.Sequential(nn.Flatten(), *layers[:-1])
            optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
            order = torch.randperm(len(task.y), generator=generator("order", seed))
            for step in range(steps):
                at = order[step % 60 * BATCH :][:BATCH]
                optimizer.zero_grad()
                F.cross_entropy(net(task.x[at]), task.y[at]).backward()
                optimizer.step()
        return networks * steps

    return run


def vmapped(task: Data, members: int, steps: int = 200) -> Callable[[], int]:
    """What one would write today: the plain network as a function, its gradient by `vmap` over stacked parameters."""
    layers = [m for i, o in pairwise(WIDTHS) for m in (nn.Linear(i, o), nn.ReLU())]
    net = nn.Sequential(nn.Flatten(), *layers[:-1])

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(net, parameters, (x,)), y)

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))  # twins: they share the minibatch

    def run() -> int:
        theta = {n: p.detach().expand(members, *p.shape).clone() for n, p in net.named_parameters()}
        velocity = [torch.zeros_like(p) for p in theta.values()]
        order = torch.randperm(len(task.y), generator=generator("order", 0))
        for step in range(steps):
            at = order[step % 60 * BATCH :][:BATCH]
            with torch.no_grad():
                found = gradients(theta, task.x[at], task.y[at])
                torch._foreach_mul_(velocity, 0.9)
                torch._foreach_add_(velocity, list(found.values()))
                torch._foreach_add_(list(theta.values()), velocity, alpha=-0.1)
        return members * steps

    return run


class GraphMLP(MLP):
    """The same stack with its gradient left to autograd, to see what writing it out gains."""

    gradient = Model.gradient


def stack(task: Data, members: int, block: int, kind: type[MLP] = MLP, steps: int = 200) -> Callable[[], int]:
    """`members` networks in lockstep, `block` at a time."""
    model = kind(task.input_shape, task.classes, depth=4, width=64)
    recipe = Recipe(steps=steps, batch_size=BATCH, lr=0.1)
    forks = [Fork(0, 0, Kick(size=0.01, draw=draw)) for draw in range(members - 1)]

    def run() -> int:
        train(model, task, recipe, [0], forks, block=block)
        return members * steps

    return run


def products(members: int = 64, repeats: int = 100) -> Callable[[], int]:
    """Batched matrix products alone, of the size of a hidden layer; a unit is one floating-point operation."""
    a, b, out = (torch.randn(members, 64, 64) for _ in range(3))

    def run() -> int:
        for _ in range(repeats):
            torch.bmm(a, b, out=out)
        return repeats * 2 * members * 64**3

    return run


def one_pair(images: Data) -> int:
    """A pair as the program of the paper's authors trains it: 6,000 MNIST images, MLP 784-64-64-10, batch 128,
    4 epochs, one kick at the start, a barrier of 11 points on the 6,000 images and the test images."""
    model = models.build("mlp-2x64", images.input_shape, images.classes)
    recipe = Recipe(steps=4 * (len(images.y) // 128), batch_size=128, lr=0.1)
    theta = train(model, images, recipe, [0], [Fork(0, 0, Kick(size=0.01))]).theta
    for x, y in ((images.x, images.y), (images.x_test, images.y_test)):
        barriers(model, theta[:1], theta[1:], x, y)
    return 1


def matching_loop(model: Model, a: Tensor, b: Tensor) -> int:
    """Weight matching of one MLP pair after another, by its definition: sweep until no layer gains."""
    for one, other in zip(a, b, strict=True):
        p, q = ({n: t[0].double().numpy() for n, t in model.layout.tensors(row[None]).items()} for row in (one, other))
        order = [np.arange(model.width) for _ in range(model.depth)]
        random, gained = np.random.default_rng(0), True
        while gained:
            gained = False
            for k in random.permutation(model.depth):
                before = order[k - 1] if k else slice(None)
                after = order[k + 1] if k + 1 < model.depth else slice(None)
                products = p[f"linear{k}.weight"].T @ q[f"linear{k}.weight"][before]
                products += np.outer(p[f"linear{k}.bias"], q[f"linear{k}.bias"])
                products += p[f"linear{k + 1}.weight"] @ q[f"linear{k + 1}.weight"][:, after].T
                best = linear_sum_assignment(products, maximize=True)[1]
                units = np.arange(model.width)
                if products[units, best].sum() > products[units, order[k]].sum() + 1e-9:
                    order[k], gained = best, True
    return len(a)


def cka_loop(features: list[Tensor]) -> int:
    """Debiased CKA of the first network with each other one, in every layer, with whole Gram matrices."""

    def centred(x: Tensor) -> Tensor:
        gram = x @ x.T
        n = len(gram)
        gram.fill_diagonal_(0)
        rows = gram.sum(1)
        gram = gram - rows[:, None] / (n - 2) - rows / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
        return gram.fill_diagonal_(0)

    for layer in features:
        for other in layer[1:]:
            first, second = centred(layer[0].double()), centred(other.double())
            (first * second).sum() / (first.norm() * second.norm())
    return 1


def cka_blocks(features: list[Tensor]) -> int:
    """The same, between all pairs."""
    for layer in features:
        represent.cka(list(layer))
    return 1


def comparisons(task: Data) -> None:
    """Alignment and CKA for 50 pairs against straightforward loops."""
    model = models.build("mlp-4x64", task.input_shape, task.classes)
    recipe = Recipe(steps=200, batch_size=BATCH, lr=0.15)
    twins = train(model, task, recipe, [0], [Fork(0, 0, Kick(size=0.01, draw=draw)) for draw in range(50)]).theta
    strangers = train(model, task, recipe, list(range(51))).theta
    features = list(model.features(twins, task.x_test).values())

    def matching(stack: Tensor) -> int:
        align.weight_matching(model.layout, stack[:1].expand(50, -1), stack[1:])
        return 50

    seconds = medians(
        {
            "twins, loop": lambda: matching_loop(model, twins[:1].expand(50, -1), twins[1:]),
            "twins, stack": lambda: matching(twins),
            "strangers, loop": lambda: matching_loop(model, strangers[:1].expand(50, -1), strangers[1:]),
            "strangers, stack": lambda: matching(strangers),
            "CKA, loop": lambda: cka_loop(features),
            "CKA, stack": lambda: cka_blocks(features),
        }
    )
    print("\nfor 50 pairs of MLP 4x64, all hidden layers; loop: pair after pair")
    for name, label in (
        ("twins", "weight matching, twins of one parent"),
        ("strangers", "weight matching, independent networks"),
        ("CKA", "debiased CKA, 5 layers, 1,000 examples (all 1,275 pairs)"),
    ):
        loop, ours = (seconds[f"{name}, {kind}"] * (1 if name == "CKA" else 50) for kind in ("loop", "stack"))
        print(f"{label:60}{loop:8.2f} s{ours:8.2f} s{loop / ours:8.1f} times")


def epoch(task: Data, name: str, members: int = 32) -> tuple[Callable[[], int], Callable[[], int]]:
    """One epoch of a stack in training, and one look of a logger at all examples it was trained on."""
    model = models.build(name, task.input_shape, task.classes)
    recipe = Recipe(steps=-(-len(task.y) // BATCH), batch_size=BATCH, lr=0.05)
    theta, logger = model.init(list(range(members))), ScoreLogger(task.ids, task.y, members)

    def training() -> int:
        train(model, task, recipe, list(range(members)))
        return 1

    def look() -> int:
        logger.watch(model, theta, task.x)
        return 1

    return training, look


PLAIN = {
    "mlp-4x64": lambda: [m for i, o in pairwise(WIDTHS) for m in (nn.Linear(i, o), nn.ReLU())][:-1],
    "cnn-3x16": lambda: [
        *(m for i, o, k in ((1, 16, 5), (16, 16, 3), (16, 16, 3)) for m in (nn.Conv1d(i, o, k, 2, 1), nn.ReLU())),
        *(nn.Flatten(), nn.Linear(16 * 5, 10)),
    ],
}


def gradient_loop(name: str, x: Tensor, y: Tensor) -> int:
    """GraNd of one example after another, as `torch.nn` gives it."""
    net = nn.Sequential(*PLAIN[name]())
    parameters, norms = list(net.parameters()), []
    for k in range(len(y)):
        inputs = x[k : k + 1] if name.startswith("cnn") else x[k : k + 1].flatten(1)
        gradients = torch.autograd.grad(F.cross_entropy(net(inputs), y[k : k + 1]), parameters)
        norms.append(torch.cat([part.flatten() for part in gradients]).norm().item())
    return len(norms)


def chunked_gradients(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> int:
    """The same by `gradient_norms`."""
    return probe.gradient_norms(model, theta, x, y)[0].numel()


def scores(task: Data) -> None:
    """What it costs to watch a stack while it trains, and gradient norms against a loop."""
    watched, contestants = ("mlp-4x64", "cnn-3x16", "gru-32"), {}
    for name in watched:
        contestants[f"{name}, training"], contestants[f"{name}, look"] = epoch(task, name)
    seconds = medians(contestants)
    print(f"\nscores of {len(task.y):,} examples, 32 networks: an epoch of training, and a look of the logger after it")
    for name in watched:
        training, look = seconds[f"{name}, training"], seconds[f"{name}, look"]
        print(f"{name:60}{training:8.2f} s{look:8.2f} s{look / training:8.1%}")
    x, y, contestants = task.x[:1000], task.y[:1000], {}
    for name in PLAIN:
        model = models.build(name, task.input_shape, task.classes)
        contestants[f"{name}, loop"] = partial(gradient_loop, name, x, y)
        contestants[f"{name}, ours"] = partial(chunked_gradients, model, model.init([0]), x, y)
    seconds = medians(contestants)
    print("\ngradient norms (GraNd) of 1,000 examples, one network; loop: example after example")
    for name in PLAIN:
        loop, ours = (1000 * seconds[f"{name}, {kind}"] for kind in ("loop", "ours"))
        print(f"{name:60}{loop:8.2f} s{ours:8.2f} s{loop / ours:8.1f} times")


class HandNorm(nn.Module):
    """Normalisation over channels as one writes it by hand."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.ones(channels, 1, 1)), nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True).sqrt() + 1e-7) * self.gain + self.bias


class LastNorm(nn.LayerNorm):
    """The same by `nn.LayerNorm`, for images whose channels come last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Two convolutions and what goes past them."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.inner = nn.Sequential(first, norm(outputs), nn.ReLU(), second, norm(outputs))
        past = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.past = nn.Identity() if inputs == outputs else nn.Sequential(past, norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + self.past(x))


def plain_resnet(depth: int, width: int, norm: Callable[[int], nn.Module]) -> nn.Module:
    layers, channels = [nn.Conv2d(3, width, 3, 1, 1, bias=False), norm(width), nn.ReLU()], width
    for stage in range(3):
        for block in range((depth - 2) // 6):
            layers.append(Block(channels, width << stage, 2 if stage and not block else 1, norm))
            channels = width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def plain_cnn(depth: int, width: int) -> nn.Module:
    kernels = [(3, width, 5), *[(width, width, 3)] * (depth - 1)]
    layers = [m for i, o, k in kernels for m in (nn.Conv2d(i, o, k, 2, 1), nn.ReLU())]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * width, 10))


def image_loop(net: nn.Module, task: Data, batch: int, last: bool, half: bool = False) -> Callable[[], int]:
    """One update after another; `last`: with the channels of a pixel side by side; `half`: in bfloat16."""
    form = torch.channels_last if last else torch.contiguous_format
    net = net.to(memory_format=form)
    optimizer, places = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9), iter(range(10**9))

    def run() -> int:
        at = torch.arange(batch) + next(places) * batch % (len(task.y) - batch)
        x = task.x[at].contiguous(memory_format=form)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = F.cross_entropy(net(x), task.y[at])
        loss.backward()
        optimizer.step()
        return 1

    return run


def image_stack(name: str, task: Data, batch: int, twins: int) -> Callable[[], int]:
    """A parent and its twins; a unit is an update of one network."""
    model, forks = models.build(name, task.input_shape, 10), [Fork(0, 0, Kick(size=0.01, draw=k)) for k in range(twins)]

    def run() -> int:
        train(model, task, Recipe(steps=2, batch_size=batch, lr=0.05), [0], forks)
        return 2 * (1 + twins)

    return run


def convolutions(batch: int = 128) -> None:
    """Convolutional networks on images of 32 x 32, against plain loops."""
    random = generator("bench images")
    x, y = torch.randn(1000, 3, 32, 32, generator=random), torch.randint(10, (1000,), generator=random)
    task = Data("random", x, y, x[:10], y[:10], 10, torch.arange(1000))
    print(f"\none update of one convolutional network, batch {batch}, images of 32 x 32; times against the stack")
    for name in ("resnet8-16", "resnet20-16", "cnn-3x16"):
        if name == "cnn-3x16":
            loops = {"plain": (plain_cnn(3, 16), False), "channels last": (plain_cnn(3, 16), True)}
        else:
            depth, width = map(int, name.removeprefix("resnet").split("-"))
            loops = {
                "norm by hand": (plain_resnet(depth, width, HandNorm), False),
                "nn.LayerNorm, channels last": (plain_resnet(depth, width, LastNorm), True),
                "the same in bfloat16": (plain_resnet(depth, width, LastNorm), True, True),
                "no norm at all (another network)": (plain_resnet(depth, width, lambda _: nn.Identity()), True),
            }
        contestants = {label: image_loop(net, task, batch, *how) for label, (net, *how) in loops.items()}
        contestants["stack of a parent and 3 twins"] = image_stack(name, task, batch, 3)
        seconds = medians(contestants)
        ours = seconds["stack of a parent and 3 twins"]
        for label, value in seconds.items():
            print(f"{f'{name}, {label}':60}{1000 * value:8.1f} ms{value / ours:8.2f} times")


def mnist_like() -> tuple[Data, str]:
    """6,000 training and 1,000 test images of MNIST from `BUTTERFLY_DATA`, or random ones of its shape."""
    if os.environ.get("BUTTERFLY_DATA"):
        task, source = data.load("mnist").subset(torch.arange(6000)), "MNIST"
    else:
        random = generator("bench")
        x, y = torch.randn(7000, 1, 28, 28, generator=random), torch.randint(10, (7000,), generator=random)
        task, source = Data("random", x[:6000], y[:6000], x[6000:], y[6000:], 10, torch.arange(6000)), "random images"
    return Data(task.name, task.x, task.y, task.x_test[:1000], task.y_test[:1000], 10, task.ids), source


def main() -> None:
    runs.prepare()
    task = data.load("mnist1d")
    images, source = mnist_like()
    flops = 3 * 2 * BATCH * sum(i * o for i, o in pairwise(WIDTHS))
    seconds = medians(
        {
            "plain PyTorch loop, one network after another": plain_loop(task),
            "stack of 16, autograd": stack(task, 16, 16, GraphMLP),
            "stack of 16, gradient written out": stack(task, 16, 16),
            "stack of 64, gradient written out": stack(task, 64, 64),
            "stack of 128 in blocks of 16, written out": stack(task, 128, 16),
            "stack of 128 in blocks of 64, written out": stack(task, 128, 64),
            "vmap(grad) of 64 twins": vmapped(task, 64),
            "products": products(),
        }
    )
    peak = 1 / seconds.pop("products")
    plain = next(iter(seconds.values()))
    print(f"MLP 4x64, batch {BATCH}, SGD with momentum, one thread, torch {torch.__version__}; medians of {ROUNDS}")
    print(f"batched matrix products alone: {peak / 1e9:.0f} GFLOP/s\n")
    print(f"{'':48}{'steps/s a member':>18}{'times plain':>13}{'of products':>13}")
    for name, value in seconds.items():
        print(f"{name:48}{1 / value:18.0f}{plain / value:13.2f}{flops / value / peak:13.0%}")
    convolutions()
    comparisons(task)
    scores(task)
    pairs = []
    for _ in range(ROUNDS):
        began = time.process_time()
        one_pair(images)
        pairs.append(time.process_time() - began)
    print(f"\none pair by the design of the authors' program ({source}): {statistics.median(pairs):.2f} CPU seconds")


if __name__ == "__main__":
    main()
