"""How time and memory grow: with members, examples, width, shards and workers. `make scaling` measures and keeps it.

Every figure comes from a process of its own on one thread, so that the most memory it held is its own; times are
medians over rounds.
"""

import argparse
import multiprocessing
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import torch

from butterfly import models
from butterfly.data import Data
from butterfly.study import runs
from butterfly.study.runs import Shard
from butterfly.study.store import Store
from butterfly.train import Recipe, train
from tests import trivial

ROUNDS, MEGA, KILO = 3, 2**20, 2**10
STEPS = 1550  # of the laptop's setting: what a network of the reference run takes
HEAD = """# How time and memory grow

{date}, {machine}, one thread a process ({load}); `make scaling` measures this anew.
Times are medians of {rounds} rounds; memory is the most that the process held beyond what it holds without data and
networks ({base:.0f} MB: Python and PyTorch).
"""


def noise(examples: int, shape: tuple[int, ...]) -> Data:
    """Random inputs and labels: their values cost nothing, their number does."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(examples, *shape, generator=random), torch.randint(10, (examples,), generator=random)
    return Data("noise", x, y, x[:64], y[:64], 10, torch.arange(examples))


def update(model: str, members: int, examples: int, shape: tuple[int, ...], batch: int, steps: int) -> list[float]:
    """Seconds an update of one network, one figure a round."""
    task = noise(examples, shape)
    recipe, found = Recipe(steps=steps, batch_size=batch, lr=0.01), []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        train(models.build(model, shape, 10), task, recipe, range(members))
        found.append((time.perf_counter() - began) / steps / members)
    return found[1:]


def alone(work: Callable[..., list[float]], *given: object) -> tuple[float, float]:
    """Median seconds, and bytes at most, of work in a fresh process."""
    return afresh(_measured, work, given)


def afresh(work: Callable, *given: object) -> Any:
    """What work returns in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def _measured(work: Callable[..., list[float]], given: Sequence) -> tuple[float, float]:
    runs.prepare()
    found = statistics.median(work(*given))
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILO


def nothing() -> list[float]:
    """What a process holds before it does anything."""
    train(models.build("mlp-1x4", (1, 4), 10), noise(64, (1, 4)), Recipe(steps=1, batch_size=4, lr=0.01), [0])
    return [0.0]


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(count: int, workers: int) -> tuple[float, float]:
    """Seconds a trivial shard, and bytes of the driver behind the last."""
    asked = [Shard(trivial.compute, {"seeds": [seed], "device": "cpu"}) for seed in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        if workers == 1:
            began = time.perf_counter()
            runs.collect(asked, Store(Path(folder)))
        else:
            with runs.workers(workers) as pool:
                list(pool.map(time.sleep, [0.5] * workers))  # started
                began = time.perf_counter()
                runs.collect(asked, Store(Path(folder)), executor=pool)
        seconds = time.perf_counter() - began
    return seconds / count, psutil.Process().memory_info().rss


def together(workers: int, tasks: int = 4, steps: int = 400) -> float:
    """Seconds for some training runs of 32 networks each, in so many processes."""
    given = ("mlp-4x64", 32, 4000, (1, 40), 64, steps // (ROUNDS + 1))
    with runs.workers(workers) as pool:
        list(pool.map(time.sleep, [0.5] * workers))
        began = time.perf_counter()
        list(pool.map(update, *zip(*[given] * tasks, strict=True)))
        return time.perf_counter() - began


# --- tables ----------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def growth(base: float, most: int) -> tuple[list[str], float]:
    """The sections about training, and the seconds of an update of one network in a full stack."""
    found, parts = {}, []
    rows = []
    for members in (n for n in (1, 4, 16, 64, 256, 1024) if n <= most):
        # Long enough that making the networks does not count.
        found[members], held = alone(update, "mlp-4x64", members, 4000, (1, 40), 64, max(50, 400 // members))
        rate = f"{found[1] / found[members]:.1f}"
        rows.append((f"{members:,}", f"{found[members] * 1e6:.0f}", rate, f"{(held - base) / MEGA:.0f}"))
    head = "networks in the stack", "µs an update of one", "times as fast as alone", "MB"
    best, each = min(found, key=found.__getitem__), (held - base) / MEGA / members
    said = f"A stack is fastest with {best} networks or so, and holds {each:.1f} MB a network where it is largest."
    parts.append(f"## Members: `mlp-4x64`, minibatches of 64 of 4,000 signals\n\n{table(head, rows)}\n\n{said}")
    rows = []
    for members in (1, 4, 16):
        seconds, held = alone(update, "resnet8-16", members, 2000, (3, 32, 32), 32, 2)
        rows.append((f"{members}", f"{seconds * 1e3:.1f}", f"{(held - base) / MEGA:.0f}"))
    head = "networks in the stack", "ms an update of one", "MB"
    parts.append("## Members: `resnet8-16`, minibatches of 32 of 2,000 colour images\n\n" + table(head, rows))
    rows, times = [], []
    for examples in (1000, 10_000, 100_000, 1_000_000):
        seconds, held = alone(update, "mlp-4x64", 16, examples, (1, 40), 64, 25)
        times.append(seconds)
        rows.append((f"{examples:,}", f"{seconds * 1e6:.0f}", f"{(held - base) / MEGA:.0f}"))
    head = "examples", "µs an update of one", "MB"
    said = (
        f"Data are held once a process; an update takes {times[-1] / times[0]:.1f} times as long with the most of them."
    )
    parts.append(f"## Examples: `mlp-4x64`, 16 networks\n\n{table(head, rows)}\n\n{said}")
    rows = []
    for width in (16, 32, 64, 128, 256, 512):
        seconds, held = alone(update, f"mlp-4x{width}", 16, 4000, (1, 40), 64, 25)
        flop = 6 * 64 * (40 * width + 3 * width * width + 10 * width)
        rows.append((f"{width}", f"{seconds * 1e6:.0f}", f"{flop / seconds / 1e9:.1f}", f"{(held - base) / MEGA:.0f}"))
    head = "width", "µs an update of one", "GFLOP/s", "MB"
    parts.append("## Width: four hidden layers, 16 networks\n\n" + table(head, rows))
    return parts, found[min(64, most)]


def overhead(counts: Sequence[int]) -> list[str]:
    rows = []
    for count in counts:
        for workers in (1, 2):
            seconds, held = afresh(shards, count, workers)
            rows.append((f"{count:,}", str(workers), f"{seconds * 1e3:.1f}", f"{held / MEGA:.0f}"))
    head = "shards", "processes", "ms a shard", "MB of the driver"
    limit = (
        f"Once there are many, a shard costs {seconds * 1e3:.1f} ms beyond its work, {seconds:.1%} of one that takes a "
        "second."
    )
    one, two = together(1), together(2)
    said = (
        f"Four training runs of 32 networks: {one:.1f} s in one process, {two:.1f} s in two, {one / two:.2f} times as "
        "fast."
    )
    return [f"## Shards that do nothing\n\n{table(head, rows)}\n\n{limit}", "## Workers\n\n" + said]


def arithmetic(seconds: float) -> str:
    hours = 1e6 * STEPS * seconds / 3600
    return (
        f"## A million networks\n\nThe laptop's setting takes {STEPS} updates a network: 10^6 networks are "
        f"{STEPS / 1e3:.2f}·10^9 updates, at {seconds * 1e6:.0f} µs {hours:,.0f} hours of one core, or "
        f"{hours * 60 / 1000:.1f} minutes of a thousand. In shards of 64 networks that are {1e6 / 64:,.0f} shards. "
        "Their parameters, if they were kept, would be 62 GB (15,488 numbers of 4 bytes each); studies keep what they "
        "measure, a few numbers a network."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=1024, help="members")
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    _, base = alone(nothing)
    load = f"{psutil.cpu_percent(1):.0f} % of it busy before"
    machine = f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} cores"
    about = HEAD.format(date=date.today(), machine=machine, load=load, rounds=ROUNDS, base=base / MEGA)
    parts, seconds = growth(base, given.most)
    counts = [count for count in (1, 10, 100, 1000, 10_000) if count <= given.shards]
    text = "\n\n".join([about.strip(), *parts, *overhead(counts), arithmetic(seconds)]) + "\n"
    print(text)
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
