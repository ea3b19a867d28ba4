"""The atlas of examples: signals, learning curves and ranks of test examples, and whether one weight turns them over.

`make atlas` trains the networks (a few minutes) and writes `book/atlas.json`; `make book` only reads that file. The
numbers are for looking at single examples; claims on examples are judged in notebooks 10 to 15.
"""

import json
from pathlib import Path

import numpy as np
import torch

from butterfly import data, models
from butterfly.evaluate import logits, predictions
from butterfly.perturb import Kick
from butterfly.reliability import ranks
from butterfly.study.settings import setting
from butterfly.train import Fork, Observer, Snapshot, train

FILE = Path(__file__).parent / "atlas.json"
FAMILIES = {"MLP": "mlp-4x64", "CNN": "cnn-3x16", "GRU": "gru-32"}
SEEDS, LOOKS, SHOWN = list(range(16)), 20, 100


def atlas(name: str) -> dict:
    """Of one setting: the first test examples, each with its numbers; ranks and flips are among all test examples."""
    chosen = setting(name)
    task, steps = data.load(chosen.data), chosen.recipe.steps
    looks = [0, *(round(steps * look / LOOKS) for look in range(1, LOOKS + 1))]
    curves, difficulty = {}, {}
    for family, model in FAMILIES.items():
        network = models.build(model, task.input_shape, task.classes)
        watch = Observer("share", lambda now: shares(now)[: len(SEEDS)], frozenset(looks))
        forks = [Fork(seed, 0, Kick(weights=1, size=1e-2)) for seed in SEEDS] if family == "MLP" else []
        found = train(network, task, chosen.recipe, SEEDS, forks, [watch])
        seen = np.stack([value for label, _, value in found.records if label == "share"])  # [T, S, N]
        curves[family] = seen.mean(1)
        difficulty[family] = ranks(1 - seen[1:].mean(0)).mean(0)
        if forks:
            parent, twin = predictions(network, found.theta, task.x_test).chunk(2)
            turned, wrong = (parent != twin).float().mean(0), (parent != task.y_test).float().mean(0)
    inputs = task.x_test.reshape(len(task.y_test), -1)
    examples = [
        {
            "label": int(task.y_test[n]),
            "input": [round(float(value), 2) for value in inputs[n]],
            "curves": {family: [round(100 * float(v)) for v in curve[:, n]] for family, curve in curves.items()},
            "ranks": {family: round(100 * float(rank[n])) for family, rank in difficulty.items()},
            "turned": int((turned[n] * len(SEEDS)).round()),
            "wrong": int((wrong[n] * len(SEEDS)).round()),
        }
        for n in range(SHOWN)
    ]
    examples.sort(key=lambda example: sum(example["ranks"].values()))
    return {"title": chosen.title, "shape": list(task.input_shape), "seeds": len(SEEDS), "examples": examples}


def shares(now: Snapshot) -> np.ndarray:
    """The probability that each member gives the label of each test example `[M, N]`."""
    p = torch.softmax(logits(now.model, now.theta, now.data.x_test), 2)
    return p[:, torch.arange(len(now.data.y_test)), now.data.y_test].cpu().numpy()


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = [atlas(name) for name in ("mnist1d-scores", "digits-scores")]
    FILE.write_text(json.dumps(found, separators=(",", ":")) + "\n")
