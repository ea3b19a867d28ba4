"""Notebook 03: how a small difference grows, and why it stops growing.

Twins kicked at the start and later are watched while they train. Beside them run tangents: the same kicks, infinitely
small, carried along by the derivative of the training map. Where twins follow their tangent, growth is that of a linear
instability; where they leave it, something else made them part. A ReLU network and a smooth one are compared.
"""

from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from butterfly import claims, data, models
from butterfly.batches import Minibatches
from butterfly.claims import Claim, Region
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import (
    PAPER,
    check_times,
    chosen,
    groups,
    history,
    long,
    parent_rows,
    rising_sizes,
    rising_times,
    root_looks,
    step_at,
    unless_broken,
    watch,
)
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.perturb import Kick, displacement
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.tangent import Tangent, sharpness
from butterfly.train import Fork, Observer, Snapshot, learning_rate, train

NOTEBOOK = "03_growth"
OURS = "this companion"
_NOT_OF_A_SHARD = {"profile", "setting", "smooth", "steps", "seeds", "seeds_per_shard"}


class Params(Common):
    """Parameters of notebook 03; times are in percent of the training steps."""

    setting: str = "mnist1d"
    smooth: str = "mnist1d-gelu"  # the same network with a smooth activation function
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(2, ge=1)
    seeds_per_shard: int = Field(2, ge=1)
    sizes: tuple[float, ...] = (1e-6, 1e-2)  # of kicks at the start, beside one ulp
    kick_times: tuple[float, ...] = (0.0, 25.0, 50.0)
    size: float = Field(1e-4, gt=0)  # of kicks at all of these times
    looks: int = Field(16, ge=5)  # how often distance, disagreement and tangents are recorded
    barrier_looks: int = Field(4, ge=2)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    sharpness_looks: int = Field(4, ge=2)
    sharpness_examples: int = Field(200, ge=10)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        rising_sizes("sizes", self.sizes)
        if not self.sizes or self.kick_times[0] != 0 or len(self.kick_times) < 2:
            raise ValueError("give at least one of sizes, and kick_times that begin at 0 and go on")
        if self.setting == self.smooth:
            raise ValueError("setting and smooth are the same; name two settings")
        for name in (self.setting, self.smooth):
            if chosen(name, None).recipe.optimizer != "sgd":
                raise ValueError(f"the setting '{name}' is not trained by SGD, and tangents are defined for SGD only")
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """One shard for every few seeds of the network with kinks, and of the smooth one."""
    check_device(params.device)
    found = []
    for name in (params.setting, params.smooth):
        setting = chosen(name, params.steps)
        check_times(setting, params.kick_times)
        grid = params.model_dump(mode="json", exclude=_NOT_OF_A_SHARD)
        common = {"name": name, "setting": setting.model_dump(mode="json"), "source": data.provenance(setting.data)}
        found += [{**common, **grid, "seeds": some} for some in groups(params.seeds, params.seeds_per_shard)]
    return found


def compute_shard(config: Config) -> Arrays:
    """Train parents, twins and tangents in lockstep, and watch them.

    Arrays over twins and looks `[K, T]`, over tangents and looks `[D, T]`, over seeds and looks `[S, T]`.
    """
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    recipe = setting.recipe
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    cells = [(seed, time, kick) for time in config["kick_times"] for seed in seeds for kick in _kicks(config, time)]
    forks = [Fork(seed, step_at(setting, time), kick) for seed, time, kick in cells]
    starts = [(seed, time) for time in config["kick_times"] for seed in seeds]
    tangent = Tangent(
        task, recipe, seeds, [(s, step_at(setting, t)) for s, t in starts], _directions(model, starts).to(task.x)
    )
    looks = root_looks(recipe.steps, config["looks"], forks)
    barrier_looks = root_looks(recipe.steps, config["barrier_looks"])
    sharpness_looks = root_looks(recipe.steps, config["sharpness_looks"])
    start, batches = model.init(seeds).to(task.x), Minibatches(task, recipe.batch_size, recipe.augment, seeds)
    observers = [
        Observer("tangent", tangent, frozenset(range(recipe.steps + 1))),
        Observer("watch", lambda now: watch(now, start), frozenset(looks)),
        Observer("barrier", lambda now: _barriers(now, config["points"]), frozenset(barrier_looks)),
        Observer(
            "sharpness",
            lambda now: _sharpness(now, len(seeds), config["sharpness_examples"], batches),
            frozenset(sharpness_looks),
        ),
    ]
    population = train(model, task, recipe, seeds, forks, observers)

    twins = population.theta[len(seeds) :] - population.theta[parent_rows(population.members)]
    seen = history(population.recorded("watch"), len(population.members))
    followed = dict(population.recorded("tangent"))
    return {
        "seed": np.array([seed for seed, _, _ in cells]),
        "time": np.array([time for _, time, _ in cells]),
        "kind": np.array([_label(kick) for _, _, kick in cells]),
        "size": np.array([kick.size for _, _, kick in cells]),
        "largest_difference": twins.abs().amax(1).cpu().numpy(),
        "looks": np.array(looks),
        **{name: seen[name][len(seeds) :] for name in ("distance", "disagreement")},
        "travelled": seen["travelled"][parent_rows(population.members).numpy()],
        "barrier_looks": np.array(barrier_looks),
        "barriers": history(population.recorded("barrier"), len(cells))["barrier"],
        "tangent_seed": np.array([seed for seed, _ in starts]),
        "tangent_time": np.array([time for _, time in starts]),
        "tangents": np.stack([followed[look] for look in looks], 1),
        "sharpness_looks": np.array(sharpness_looks),
        **history(population.recorded("sharpness"), len(seeds)),
    }


def _kicks(config: Config, time: float) -> list[Kick]:
    """All kicks at one time; the first is the control, of size 0."""
    sizes = sorted({*config["sizes"], config["size"]}) if time == 0 else [config["size"]]
    return [Kick(), *([Kick(kind="ulp")] if time == 0 else []), *[Kick(size=size) for size in sizes]]


def _label(kick: Kick) -> str:
    if kick.kind == "ulp":
        return "one ulp"
    return "gaussian" if kick.size else "control"


def _directions(model: Model, starts: list[tuple[int, float]]) -> torch.Tensor:
    """The direction of each seed's Gaussian kicks `[D, P]`, which is the same at all times and sizes."""
    origin = torch.zeros(model.layout.size)
    return torch.stack([displacement(model, origin, Kick(size=1.0), seed, None) for seed, _ in starts])


def _barriers(now: Snapshot, points: int) -> dict[str, np.ndarray]:
    """Training barrier between each twin and its parent `[K]`, as the population is now."""
    parents = parent_rows(now.members)
    twins = now.theta[len(now.members) - len(parents) :]
    return {"barrier": barriers(now.model, now.theta[parents], twins, now.data.x, now.data.y, points).of_loss.numpy()}


def _sharpness(now: Snapshot, seeds: int, examples: int, batches: Minibatches) -> dict[str, np.ndarray]:
    """Sharpness of the training loss and of the loss of the minibatch that comes, for each parent `[S]`."""
    theta, batch = now.theta[:seeds], batches.at(now.step)
    own = [sharpness(now.model, theta[[s]], batch.x[s], batch.target[s]) for s in range(seeds)]
    whole = sharpness(now.model, theta, now.data.x[:examples], now.data.y[:examples])
    return {"sharpness": whole.numpy(), "batch_sharpness": torch.cat(own).numpy()}


def _cost(config: Config) -> float:
    setting = Setting.read(config["setting"], "setting")
    return float(len(config["seeds"]) * setting.recipe.steps) * (1.5 if setting.model.endswith("gelu") else 1.0)


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables: `growth` (twin and look), `barriers` (twin and look), `tangents`, `sharpness` (seed and look)."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    parts: dict[str, list[pd.DataFrame]] = {"growth": [], "barriers": [], "tangents": [], "sharpness": []}
    for config, found in zip(configs, compute(compute_shard, configs, _cost), strict=True):
        name, setting = config["name"], Setting.read(config["setting"], "setting")
        recipe = setting.recipe
        key = pd.DataFrame({n: found[n] for n in ("seed", "time", "kind", "size", "largest_difference")})
        key["setting"], key["kicked"] = name, [step_at(setting, time) for time in key.time]
        seen = {n: found[n] for n in ("distance", "disagreement", "travelled")}
        parts["growth"].append(long(key, found["looks"], seen, "step"))
        parts["barriers"].append(long(key, found["barrier_looks"], {"barrier": found["barriers"]}, "step"))
        key = pd.DataFrame({"setting": name, "seed": found["tangent_seed"], "time": found["tangent_time"]})
        key["kicked"] = [step_at(setting, time) for time in key.time]
        parts["tangents"].append(long(key, found["looks"], {"growth": found["tangents"]}, "step"))
        key = pd.DataFrame({"setting": name, "seed": config["seeds"], "kicked": 0})
        values = {name: found[name] for name in ("sharpness", "batch_sharpness")}
        curved = long(key, found["sharpness_looks"], values, "step")
        # The last look is after the last update: it has the learning rate of that one.
        lr = [learning_rate(recipe, min(step, recipe.steps - 1)) for step in curved.step]
        parts["sharpness"].append(curved.assign(lr=lr, steps=recipe.steps))
    # Before its kick a twin does not exist; what is not finite later is kept, and voids the claims.
    tables = {name: pd.concat(some, ignore_index=True).query("step >= kicked") for name, some in parts.items()}
    return Tables(tables, fits=fits(tables["growth"]))


SHAPES = ("exponential", "power law", "saturating")

# --- shapes of growth ------------------------------------------------------------------------------------------------


def fits(growth: pd.DataFrame) -> pd.DataFrame:
    """Akaike's criterion a look of each shape of growth, for each twin kicked at the start (lower is better).

    Fitted to the whole run, and to the part before saturation: while the distance is below a tenth of that at the end.
    A twin that saturates within five looks has no such part.
    """
    kicked = growth[(growth.time == 0) & (growth.kind != "control") & (growth.step > 0) & (growth.distance > 0)]
    rows = []
    for key, twin in kicked.groupby(["setting", "seed", "kind", "size"], sort=False):
        small = (twin.distance < SATURATED * twin.distance.iloc[-1]).cummin()
        for part, some in (("whole run", twin), ("before saturation", twin[small])):
            if len(some) >= 5:
                criteria = shapes(some.step.to_numpy(float), np.log(some.distance.to_numpy()))
                rows += [(*key, part, shape, value) for shape, value in criteria.items()]
    return pd.DataFrame(rows, columns=["setting", "seed", "kind", "size", "part", "shape", "criterion"])


def shapes(step: np.ndarray, log_distance: np.ndarray) -> dict[str, float]:
    """Akaike's criterion, divided by the number of looks, of three shapes of growth, errors alike on the log scale.

    Exponential d = a exp(b step); power law d = a step^b; saturating (logistic) d = a / (1 + exp(-(step - b) / c)).
    """
    found = (
        _criterion(_residuals_of_line(step, log_distance), 2),
        _criterion(_residuals_of_line(np.log(step), log_distance), 2),
        _criterion(_residuals_of_logistic(step, log_distance), 3),
    )
    return dict(zip(SHAPES, found, strict=True))


def _criterion(residuals: np.ndarray, parameters: int) -> float:
    count = len(residuals)
    # The variance of the errors is one more parameter.
    return float(np.log((residuals**2).mean() + 1e-12) + 2 * (parameters + 1) / count)


def _residuals_of_line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    slope, intercept = np.polyfit(x, y, 1)
    return y - intercept - slope * x


def _residuals_of_logistic(step: np.ndarray, log_distance: np.ndarray) -> np.ndarray:
    """Best of a grid of midpoints and widths; the height that goes with each is a mean."""
    middle = np.linspace(-0.5, 1.0, 76)[:, None, None] * step.max()
    width = np.geomspace(1e-3, 1.0, 61)[:, None] * step.max()
    rest = log_distance + np.logaddexp(0.0, -(step - middle) / width)  # [middles, widths, looks]
    rest -= rest.mean(-1, keepdims=True)
    best = (rest**2).mean(-1).argmin()
    return rest.reshape(-1, len(step))[best]


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
SATURATED = 0.1  # of the distance at the end: below it a twin has not saturated
EARLY = 10.0  # percent of training at which twins are held against their tangents
MARGINS = {
    "B15": Region(low=0.0),
    "X04": Region(low=0.0),
    "X05": Region(low=1.0),
    "X06": Region(-0.1, 0.1),
    "X07": Region(low=1.0),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook."""
    kinked, smooth = (
        {name: table[table.setting == setting] for name, table in tables.items()}
        for setting in (params.setting, params.smooth)
    )
    of_kinked = [
        _not_exponential(kinked["fits"]),
        _exponent(kinked["tangents"]),
        _off_the_tangent(kinked, params.size),
        _edge_of_stability(kinked["sharpness"]),
    ]
    ends = [arm["growth"][arm["growth"].step == arm["growth"].step.max()] for arm in (kinked, smooth)]
    return [
        *unless_broken(of_kinked, ends[0], ["distance"]),
        *unless_broken([_on_the_tangent(smooth, params.size)], ends[1], ["distance"]),
    ]


def _claim(id: str, statement: str, statistic: str, interval: claims.Interval, source: str = OURS) -> Claim:
    return claims.claim(id, NOTEBOOK, statement, source, statistic, MARGINS[id], interval)


def _not_exponential(fits: pd.DataFrame) -> Claim:
    # Any bounded curve departs from an exponential in the end; the claim is about the growth before.
    early = fits[fits.part == "before saturation"]
    table = early.pivot_table("criterion", ["seed", "kind", "size"], "shape").reindex(columns=SHAPES)
    excess = table.exponential - table.drop(columns="exponential").min(axis=1)
    return _claim(
        "B15",
        "Even before it saturates, the distance between twins does not grow exponentially",
        "Akaike's criterion of exponential growth minus that of the better of power law and logistic, a look, kicks at "
        f"the start while the distance is below {SATURATED:g} of that at the end",
        claims.mean(excess.groupby("seed").mean()),
        PAPER,
    )


def _exponent(tangents: pd.DataFrame) -> Claim:
    whole = tangents[(tangents.time == 0) & (tangents.step == tangents.step.max())]
    return _claim(
        "X04",
        "Infinitely small differences grow too: the Lyapunov exponent of the whole training is positive",
        "growth of a tangent from start to end, in factors of e",
        claims.mean(whole.growth),
    )


def departure(arm: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """How much more each twin kicked at the start has grown than its tangent, as a power of ten, at every look."""
    twins = arm["growth"][(arm["growth"].time == 0) & (arm["growth"].kind == "gaussian")]
    cell = twins.groupby(["seed", "size"])
    twins = twins.assign(grown=np.log(twins.distance / cell.distance.transform("first")))
    merged = twins.merge(arm["tangents"][["seed", "time", "step", "growth"]], on=["seed", "time", "step"])
    return merged.assign(excess=(merged.grown - merged.growth) / np.log(10))


def _departure(arm: dict[str, pd.DataFrame], size: float) -> pd.Series:
    found = departure(arm)
    at = found.step.unique()[np.abs(found.step.unique() - EARLY / 100 * found.step.max()).argmin()]
    return found[(found["size"] == size) & (found.step == at)].set_index("seed").excess


def _off_the_tangent(arm: dict[str, pd.DataFrame], size: float) -> Claim:
    return _claim(
        "X05",
        "With ReLU a small kick outgrows the linearised training more than tenfold",
        f"growth of a kick of {size:g} over that of its tangent, power of ten, after {EARLY:g} % of training",
        claims.mean(_departure(arm, size)),
    )


def _on_the_tangent(arm: dict[str, pd.DataFrame], size: float) -> Claim:
    return _claim(
        "X06",
        "With a smooth activation function it grows as the linearised training says",
        f"growth of a kick of {size:g} over that of its tangent, power of ten, after {EARLY:g} % of training",
        claims.mean(_departure(arm, size)),
    )


def _edge_of_stability(sharpness: pd.DataFrame) -> Claim:
    early = sharpness[sharpness.step.between(sharpness.step.max() * 0.05, sharpness.step.max() * 0.25)]
    return _claim(
        "X07",
        "While training is chaotic, the sharpness stands above 2 / learning rate, where gradient descent is unstable",
        "largest eigenvalue times learning rate over 2, mean from 5 to 25 % of training",
        claims.mean((early.sharpness * early.lr / 2).groupby(early.seed).mean()),
    )


def left(arm: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """For each seed and kick time: the tangent's growth to the end, and the barrier at the end of the twin."""
    ends = {name: table[table.step == table.step.max()] for name, table in arm.items() if "step" in table}
    twins = ends["barriers"][ends["barriers"].kind == "gaussian"]
    common = twins[twins["size"].isin(twins[twins.time > 0]["size"].unique())]
    return common.merge(ends["tangents"], on=["setting", "seed", "time"])[
        ["setting", "seed", "time", "size", "barrier", "growth"]
    ]
