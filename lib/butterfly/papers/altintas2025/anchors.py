"""What holds the units of twins in their places: the initial weights that they share, and weight decay forgets.

Kicked at the start and trained with more or less weight decay, twins are matched from the order that they have, from a
random order, and by what is left of the weights once the part along the initial ones is taken away.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from butterfly import align
from butterfly.evaluate import logits
from butterfly.interpolate import barrier, path
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Setting, Shard
from butterfly.train import learning_rate


def decayed(setting: Setting, decay: float) -> Setting:
    """The setting with the weight decay that shrinks a weight which no gradient holds to e^-decay by the end."""
    recipe = setting.recipe
    rates = sum(learning_rate(recipe, step) for step in range(recipe.steps))
    # SGD adds decay to the gradient, of which momentum makes 1 / (1 - momentum) in the long run; AdamW does not.
    lasting = rates / (1 - recipe.momentum) if recipe.optimizer == "sgd" else rates
    return setting.changed(weight_decay=float(f"{decay / lasting:.6g}"))


def matched(bench: Bench, a: Tensor, b: Tensor) -> align.Permutation:
    """What weight matching finds from the order that the units have."""
    return align.weight_matching(bench.model.layout, a, b, bench["restarts"]).permutation


def from_random(bench: Bench, a: Tensor, b: Tensor) -> align.Permutation:
    """Weight matching of networks whose units were put in a random order first: the two orders in one."""
    layout = bench.model.layout
    streams = [generator("random order", seed, half) for half in (0, 1) for seed in bench.seeds]
    order = align.shuffled(layout, streams)
    return align.compose(order, matched(bench, a, align.permute(layout, b, order)))


def kept(theta: Tensor, start: Tensor) -> Tensor:
    """How much of its initial weights each network `[K]` still holds: 1 is all, 0 none."""
    return (theta * start).sum(1) / start.square().sum(1)


def without(theta: Tensor, start: Tensor) -> Tensor:
    """The networks `[K, P]` without the part along their initial weights."""
    return theta - kept(theta, start)[:, None] * start


def on_test(bench: Bench, a: Tensor, b: Tensor) -> Arrays:
    """The barrier `[K]` on the second half of the test set, of the logits as they are and divided by a temperature.

    It is the one that fits both ends best on the first half, so that they are no surer of themselves than right.
    """
    task = bench.task.sample
    x, y, half = task.x_test, task.y_test, len(task.y_test) // 2
    alphas = torch.linspace(0, 1, bench["points"], dtype=torch.float64)
    found = []
    for one, other in zip(a, b, strict=True):
        answers = logits(bench.model, path(one[None], other[None], alphas)[0], x).double()  # [A, N, C]
        by = 1 / temperature(answers[[0, -1], :half], y[:half])
        both = [torch.stack([cross_entropy(own * scale, y[half:]) for own in answers[:, half:]]) for scale in (1.0, by)]
        found.append(barrier(torch.stack(both).cpu(), alphas))
    raw, tempered = torch.stack(found, 1).numpy()
    return {"barrier_test": raw, "barrier_tempered": tempered}


def temperature(answers: Tensor, y: Tensor) -> float:
    """The one temperature at which the logits of some networks `[K, N, C]` have the lowest mean cross-entropy."""
    tried = torch.logspace(-1, 2, 61, dtype=torch.float64).tolist()
    losses = [sum(float(cross_entropy(own / t, y)) for own in answers) for t in tried]
    return tried[int(np.argmin(losses))]


def tables(shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `anchors`, a row for each pair and amount of weight decay, and `anchored`, one for each parent."""
    pairs, parents = [], []
    for shard in shards:
        setting, decay = shard.of.split(" ")
        seeds, where = shard.config["seeds"], {"setting": setting, "decay": float(decay)}
        own = {name: shard[name] for name in ("accuracy", "largest_difference")}
        parents.append(pd.DataFrame({"seed": seeds, **own, "kind": "control"}).assign(**where))
        rest = {name: values for name, values in shard.found.items() if name not in own}
        pairs.append(pd.DataFrame({"seed": [*seeds, *seeds], **rest}).assign(**where))
    return {"anchors": pd.concat(pairs, ignore_index=True), "anchored": pd.concat(parents, ignore_index=True)}
