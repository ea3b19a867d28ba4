"""What the experiments on kicked twins share: their settings, who is whose parent, and what makes claims void."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from butterfly import claims, data
from butterfly.claims import Claim
from butterfly.evaluate import predictions
from butterfly.experiments.common import Common
from butterfly.runs import Config
from butterfly.settings import Setting, setting
from butterfly.strict import ParameterError
from butterfly.train import Fork, Member, Snapshot

PAPER = "Altıntaş et al. 2025 (arXiv 2506.13234)"
EPSILON = 1e-3  # added to barriers before a logarithm: differences below it are not told apart
BARRIER = 0.05  # below it two networks count as linearly connected


def chosen(name: str, steps: int | None, **changes: object) -> Setting:
    """The setting of that name, with another number of steps if one is given, and other changes of its recipe."""
    found = setting(name)
    update = changes | ({} if steps is None else {"steps": steps})
    return found.model_copy(update={"recipe": found.recipe.model_copy(update=update)})


def step_at(chosen: Setting, time: float) -> int:
    """The update just before which a kick at `time` percent of training happens."""
    return round(time / 100 * chosen.recipe.steps)


def check_times(chosen: Setting, times: Sequence[float]) -> None:
    """Kick times must be different updates, and leave something to train."""
    steps = {time: step_at(chosen, time) for time in times}
    if len(set(steps.values())) < len(steps) or max(steps.values()) >= chosen.recipe.steps:
        raise ParameterError(
            f"kick times (percent: update) {steps} in a run of {chosen.recipe.steps} updates: "
            "give times that fall on different updates before the last, or more steps"
        )


def check_looks(chosen: Setting, times: Sequence[float]) -> None:
    """Checkpoints must be different updates."""
    steps = {time: step_at(chosen, time) for time in times}
    if len(set(steps.values())) < len(steps):
        raise ParameterError(
            f"checkpoints (percent: update) {steps} in a run of {chosen.recipe.steps} updates: "
            "give checkpoints that fall on different updates, or more steps"
        )


def rising_times(name: str, times: Sequence[float]) -> None:
    """Percentages of training at which kicks may come."""
    if not times or not all(0 <= t < 100 for t in times) or list(times) != sorted(set(times)):
        raise ValueError(f"{name} = {list(times)}: give rising percentages from 0 to below 100")


def rising_sizes(name: str, sizes: Sequence[float]) -> None:
    """Sizes of kicks; none is allowed."""
    if not all(size > 0 for size in sizes) or list(sizes) != sorted(set(sizes)):
        raise ValueError(f"{name} = {list(sizes)}: give rising sizes above 0")


def groups(seeds: int, at_once: int) -> list[list[int]]:
    """The seeds of each shard; they do not depend on the machine."""
    return [list(range(first, min(first + at_once, seeds))) for first in range(0, seeds, at_once)]


def every_few(params: Common, setting: Setting, units: str = "seeds") -> list[Config]:
    """One shard for every few units of a notebook with one setting, with all parameters that decide its numbers."""
    others = {"profile", "setting", "steps", units, f"{units}_per_shard"}
    grid = params.model_dump(mode="json", exclude=others)
    common = {"setting": setting.model_dump(mode="json"), "source": data.provenance(setting.data)}
    some = groups(getattr(params, units), getattr(params, f"{units}_per_shard"))
    return [{**common, **grid, units: few} for few in some]


def parent_rows(members: Sequence[Member]) -> torch.Tensor:
    """Row of the parent of each twin `[K]`."""
    seeds = [member.seed for member in members if member.fork is None]
    return torch.tensor([seeds.index(member.seed) for member in members if member.fork is not None])


def root_looks(steps: int, count: int, forks: Sequence[Fork] = ()) -> list[int]:
    """The updates after which a population is watched: the kicks, and `count` evenly in the square root of time."""
    even = np.linspace(0, 1, count) ** 2 * steps
    return sorted({*even.round().astype(int).tolist(), *(fork.step for fork in forks)})


def watch(now: Snapshot, start: torch.Tensor) -> dict[str, np.ndarray]:
    """Distance to the parent, test disagreement with it, test accuracy, distance from the start; `[M]` each."""
    seeds = len(start)
    origin = torch.cat([torch.arange(seeds), parent_rows(now.members)])
    answers = predictions(now.model, now.theta, now.data.x_test)
    return {
        "distance": (now.theta - now.theta[origin]).norm(dim=1).cpu().numpy(),
        "disagreement": (answers != answers[origin]).double().mean(1).cpu().numpy(),
        "accuracy": (answers == now.data.y_test).double().mean(1).cpu().numpy(),
        "travelled": (now.theta - start[origin]).norm(dim=1).cpu().numpy(),
    }


def history(records: list[tuple[int, dict[str, np.ndarray]]], members: int) -> dict[str, np.ndarray]:
    """What was watched as `[M, T]`, NaN before a member existed."""
    found = {name: np.full((members, len(records)), np.nan) for name in records[0][1]}
    for at, (_, values) in enumerate(records):
        for name, column in values.items():
            found[name][: len(column), at] = column
    return found


def long(key: pd.DataFrame, axis: np.ndarray, values: dict[str, np.ndarray], name: str) -> pd.DataFrame:
    """Rows for every line of `key [K]` and place on `axis [A]`, with `values [K, A]`."""
    repeated = key.loc[key.index.repeat(len(axis))].reset_index(drop=True)
    return repeated.assign(**{name: np.tile(axis, len(key))}, **{k: v.ravel() for k, v in values.items()})


def unless_broken(found: list[Claim], twins: pd.DataFrame, needed: Sequence[str]) -> list[Claim]:
    """The claims, void where control twins differ from their parents or a needed number is not finite."""
    if twins[twins.kind == "control"].largest_difference.max(skipna=False) != 0:
        found = claims.void(found, "control twins differ from their parents")
    return unless_lost(found, twins[list(needed)], "twins or their paths have no finite loss")


def unless_lost(found: list[Claim], needed: pd.DataFrame, what: str) -> list[Claim]:
    """The claims, void where a number that they rest on is not finite."""
    lost = int((~np.isfinite(needed).all(axis=1)).sum())
    return claims.void(found, f"{lost} of {len(needed)} {what}") if lost else found
