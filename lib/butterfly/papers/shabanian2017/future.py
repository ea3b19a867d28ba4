"""Notebook 71: does a forward model tell series better if it was tied to a backward one while it trained?

Forward LSTMs are trained alone and tied to a backward LSTM through a latent variable, with parts left out or replaced,
on series whose law is known: symbols and frames that come back after some steps, and frames without any past or future.
What they say of new series is held against those who know the law. Untied networks tell exact likelihoods; tied ones
lower bounds.
"""

from dataclasses import asdict, replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly.papers.shabanian2017 import PAPER
from butterfly.papers.shabanian2017.bilstm import Costs, Net, Recipe, bound, forward_bound, training
from butterfly.papers.shabanian2017.series import REGIMES, Series, beliefs, drawn, known
from butterfly.study import Arrays, Bench, Interval, Origin, Shard, Study, Tables, intervals, parameters
from butterfly.study.claims import above, below, between, lost
from butterfly.study.tables import grid

SYMBOLS, FRAMES, MEMORYLESS = "symbols", "frames", "frames without memory"
LASTING = (SYMBOLS, FRAMES)  # series that come back
UNTIED, MIXTURE, TIED, NEXT = "untied", f"untied, {REGIMES} Gaussians", "tied", "tied to the next step"
SILENT, NO_SKIP, NO_PARTS = "silent backward path", "no skipped gradients", "no reconstructions"
LEAST = 0.02  # nats a step: less is called the same; one part in fifty of a step's likelihood
SKIP = 0.5  # the paper does not say how often gradients are skipped


class Params(parameters.Params):
    """Parameters of notebook 71."""

    seeds: int = Field(3, ge=2)
    seeds_per_shard: int = Field(8, ge=1)
    length: int = Field(8, ge=4)  # steps of a series
    lag: int = Field(2, ge=1)  # steps until what was seen comes back
    stay: float = Field(0.9, ge=0, lt=1)  # how surely
    noise: float = Field(0.5, gt=0)  # on frames
    sequences: int = Field(128, ge=2)  # series to learn from
    others: int = Field(64, ge=2)  # series to choose the best update by, and as many to test on
    width: int = Field(8, ge=2)
    latent: int = Field(4, ge=1)
    steps: int = Field(60, ge=2)
    batch: int = Field(16, ge=1)
    lr: float = Field(0.01, gt=0)
    looks: int = Field(4, ge=2)
    particles: tuple[int, ...] = (1, 8)
    gammas: tuple[float, ...] = (1.0,)  # strengths of activity regularisation

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("particles", "gammas"):
            values = list(getattr(self, name))
            if not values or values != sorted(set(values)) or values[0] <= 0:
                raise ValueError(f"{name} = {values}: give rising numbers above 0")
        if 2 * self.lag > self.length:
            raise ValueError(f"length = {self.length}: give twice the lag of {self.lag} or more, or little comes back")
        return self

    @property
    def laws(self) -> dict[str, Series]:
        """The laws of the three kinds of series."""
        frames = Series(self.length, self.lag, self.stay, self.noise)
        return {SYMBOLS: replace(frames, noise=None), FRAMES: frames, MEMORYLESS: replace(frames, stay=0.0)}

    @property
    def scope(self) -> str:
        """The data and the model of claims."""
        return f"generated series of {self.length} steps, LSTM of width {self.width}"


study = Study("71_future", Params, PAPER)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every kind of series and few seeds."""
    names = ("sequences", "others", "width", "latent", "steps", "batch", "lr", "looks", "particles")
    common = {"device": params.device} | {name: value for name, value in params.model_dump(mode="json").items()
                                          if name in names}  # fmt: skip
    return [
        Shard(measure, common | {"law": asdict(law), "gammas": gammas_at(params, place), "seeds": few}, place)
        for place, law in params.laws.items()
        for few in params.few()
    ]


def gammas_at(params: Params, place: str) -> list[float]:
    """Strengths of activity regularisation; parts are left out and replaced only where series come back."""
    return list(params.gammas) if place in LASTING else []


def arm_of(gamma: float, untied: bool = False) -> str:
    """The arm with activity regularisation of this strength."""
    return f"{UNTIED}, activity {gamma:g}" if untied else f"activity {gamma:g}"


# --- shards ----------------------------------------------------------------------------------------------------------

# What reconstructions of the future and the past, activity and the backward path's own predictions weigh, and the
# probability of a skipped gradient.
WHOLE = (1.0, 1.0, 0.0, 1.0, SKIP)
PARTS = {
    TIED: WHOLE,
    NO_SKIP: (1.0, 1.0, 0.0, 1.0, 0.0),
    NO_PARTS: (0.0, 0.0, 0.0, 1.0, SKIP),
    SILENT: (1.0, 1.0, 0.0, 0.0, SKIP),
}
Group = tuple[Net, dict[str, tuple[float, ...]]]  # an architecture, and what each arm weighs


def groups(law: Series, width: int, latent: int, gammas: list[float]) -> list[Group]:
    """Architectures with their arms; without strengths of activity regularisation only the whole against untied."""
    one = 0 if law.noise is None else 1
    tied = Net(width, latent, one)
    small = {arm_of(gamma, untied=True): (0.0, 0.0, gamma, 0.0, 0.0) for gamma in gammas}
    found: list[Group] = [(Net(width, 0, one), {UNTIED: (0.0,) * 5} | small)]
    if one:
        found.append((Net(width, 0, REGIMES), {MIXTURE: (0.0,) * 5}))
    if not gammas:
        return [*found, (tied, {TIED: WHOLE})]
    # Activity takes the place of the reconstruction of the past, which holds h as it does.
    active = {arm_of(gamma): (1.0, 0.0, gamma, 1.0, SKIP) for gamma in gammas}
    return [*found, (tied, PARTS | active), (replace(tied, near=True), {NEXT: WHOLE})]


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train all arms on one kind of series; what they say of others, in nats a step.

    `valid [T, A, S]`: the bound on validation series at the looks. Of the best look, on test series: `bound` and the
    divergence `kl` in it, `fixed` with the prior's mean, and `at` when `[A, S]`; `forward [K, A, S]` with so many
    particles. `known [4, S]`: what those say who know the law.
    """
    law, seeds = Series(**bench["law"]), bench.seeds
    counts = {"train": bench["sequences"], "valid": bench["others"], "test": bench["others"]}
    series = {part: drawn(law, seeds, count, part).to(bench["device"]) for part, count in counts.items()}
    found = [follow(net, arms, series, bench) for net, arms in groups(law, *(bench[n] for n in SIZES))]
    told = known(law, series["test"].cpu())
    whole = {name: np.concatenate([own[name] for own in found], axis=-2) for name in found[0]}
    return whole | {"known": torch.stack([told[name].mean(1) for name in KNOWN]).numpy()}


SIZES = ("width", "latent", "gammas")
KNOWN = ("truth", "future", "single", "blind")


def follow(net: Net, arms: dict[str, tuple[float, ...]], series: dict[str, Tensor], bench: Bench) -> Arrays:
    """The arms of one architecture, as `measure` has them."""
    seeds, best, top, at = bench.seeds, None, None, None
    recipe, costs = Recipe(bench["steps"], bench["batch"], bench["lr"]), Costs.of(list(arms.values()), len(bench.seeds))
    costs, valid = costs.to(bench["device"]), []
    for step, theta in training(net, series["train"], seeds, recipe, costs, looks_of(bench["steps"], bench["looks"])):
        now, _ = bound(net, theta, series["valid"], seeds)
        valid.append(now)
        better = torch.ones_like(now, dtype=torch.bool) if best is None else now > top
        best = theta if best is None else torch.where(better[:, None], theta, best)
        top = now if top is None else torch.where(better, now, top)
        at = torch.where(better, float(step), torch.zeros_like(now) if at is None else at)
    test = series["test"]
    told, kl = bound(net, best, test, seeds, SAMPLES)
    many = bench["particles"]
    forward = [forward_bound(net, best, test, seeds, k) if net.latent else told for k in (0, *many)]
    found = {"valid": torch.stack(valid), "bound": told, "kl": kl, "at": at, "fixed": forward[0]}
    found["forward"] = torch.stack(forward[1:])
    return {name: values.unflatten(-1, (len(arms), len(seeds))).cpu().numpy() for name, values in found.items()}


SAMPLES = 8  # draws of the latent variables for a bound on test series


def looks_of(steps: int, looks: int) -> list[int]:
    """Updates at which networks are looked at, the start and the end among them."""
    return np.unique(np.linspace(0, steps, looks).round().astype(int)).tolist()


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> Tables:
    """Rows a place, arm and seed: `tests`, `filters` (and number of particles), `courses` (and look); `known`: a place
    and seed."""
    tests, filters, courses, laws = [], [], [], []
    for shard in shards:
        law, seeds = params.laws[shard.of], shard.config["seeds"]
        trained = groups(law, params.width, params.latent, gammas_at(params, shard.of))
        axes = {"arm": [arm for _, arms in trained for arm in arms], "seed": seeds}
        parts = [grid(shard[name], axes, name) for name in ("bound", "kl", "fixed", "at")]
        parts += [grid(shard["forward"][-1], axes, "forward"), grid(shard["valid"][-1], axes, "last")]
        tests.append(pd.concat([parts[0], *(part.iloc[:, -1] for part in parts[1:])], axis=1).assign(place=shard.of))
        each = {"particles": params.particles, **axes}
        filters.append(grid(shard["forward"], each, "forward").assign(place=shard.of))
        each = {"step": looks_of(params.steps, params.looks), **axes}
        courses.append(grid(shard["valid"], each, "valid").assign(place=shard.of))
        laws.append(pd.DataFrame(dict(zip(KNOWN, shard["known"], strict=True))).assign(seed=seeds, place=shard.of))
    parts = {"tests": tests, "filters": filters, "courses": courses, "known": laws}
    tables = {name: pd.concat(some, ignore_index=True) for name, some in parts.items()}
    return Tables(tables | {"example": example(params)}, params)


def example(params: Params) -> pd.DataFrame:
    """One series of frames: a row a step and number 1 to 4, the `value` seen, and what is believed of that regime."""
    law = params.laws[FRAMES]
    x = drawn(law, [params.first_seed], 1, "test")[0, 0]
    axes = {"step": range(1, law.length + 1), "number": range(1, REGIMES + 1)}
    past, both = (belief.numpy() for belief in beliefs(law, x))
    return grid(x.numpy(), axes, "value").assign(past=past.flatten(), both=both.flatten(), seed=params.first_seed)


# --- claims ----------------------------------------------------------------------------------------------------------

SCOPE = {"scope": "{params.scope}"}
# Of log-likelihood. For the power: half a nat on frames, half of what one Gaussian at best misses of the law there; a
# twentieth on symbols, where the past tells less than one nat, and for parts.
GAIN = {"region": above(0.0), "margin": 0.5, **SCOPE}
SMALL = GAIN | {"margin": 0.05}
OWN = "forward bound"  # the lower bound that needs no backward path; of untied networks exact


@study.unless
def not_learned(t: Tables) -> str:
    """Claims are void where a network diverged, or where untied networks learned, on series that come back, less than
    half of what the best forward model of their kind knows from the past."""
    tests = t["tests"]
    shares = []
    for place in LASTING:
        law = t["known"][t["known"].place == place].set_index("seed")
        told = _told(t, place, UNTIED)
        shares.append(((told - law.blind) / (law.single - law.blind)).mean())
    few = "" if min(shares) >= 0.5 else f"untied networks learned only {min(shares):.0%} of what the past tells"
    return "; ".join(filter(None, (lost(tests[["last", "forward", "bound"]], "networks diverged"), few)))


def _told(t: Tables, place: str, arm: str, column: str = "forward") -> pd.Series:
    """What an arm says of test series of a kind, a value a seed."""
    table = t["tests"]
    return table[(table.place == place) & (table.arm == arm)].set_index("seed")[column].sort_index()


def _gain(t: Tables, place: str, arm: str, other: str) -> pd.Series:
    return _told(t, place, arm) - _told(t, place, other)


def _smallest(columns: list[pd.Series]) -> Interval:
    """The smallest of several means over seeds."""
    found = intervals.largest_mean(-np.stack([np.asarray(column) for column in columns], axis=1))
    return replace(found, estimate=-found.estimate, low=-found.high, high=-found.low)


@study.claim("VB01", by=f"{OWN} of tied less log-likelihood of untied networks, frames, nats a step",
             origin=Origin.PAPER, place="Table 1 (speech)", figure="bc", **GAIN)  # fmt: skip
def frames_gain(t: Tables) -> Interval:
    """On frames that come back, a forward model that was tied to a backward one tells new series better than one that
    was trained alone, each frame told by one Gaussian."""
    return intervals.mean(_gain(t, FRAMES, TIED, UNTIED))


@study.claim("VB01b", by=f"{OWN} of tied less log-likelihood of untied networks, symbols, nats a step",
             origin=Origin.PAPER, place="Table 4 (letters)", figure="bc", **SMALL)  # fmt: skip
def symbols_gain(t: Tables) -> Interval:
    """On symbols that come back, a forward model that was tied to a backward one tells new series better than one that
    was trained alone."""
    return intervals.mean(_gain(t, SYMBOLS, TIED, UNTIED))


@study.claim("VB01c", by=f"{OWN} of tied less log-likelihood of untied networks with {REGIMES} Gaussians, frames, nats "
             "a step", origin=Origin.PAPER, place="Table 1 (RNN-GMM)", figure="bc", **GAIN)  # fmt: skip
def mixture_is_beaten(t: Tables) -> Interval:
    """On frames that come back, a tied forward model with one Gaussian tells new series better than one trained alone
    that tells frames by a mixture of Gaussians."""
    return intervals.mean(_gain(t, FRAMES, TIED, MIXTURE))


@study.claim("VB01d", by=f"{OWN} of tied networks less log-likelihood of the best forward model with one Gaussian, "
             "frames, nats a step", origin=Origin.OURS, figure="bc", **GAIN)  # fmt: skip
def more_than_one_gaussian(t: Tables) -> Interval:
    """On frames that come back, a tied forward model tells new series better than any forward model could that tells
    the values of a frame one by one."""
    law = t["known"][t["known"].place == FRAMES].set_index("seed").single
    return intervals.mean(_told(t, FRAMES, TIED) - law)


# A control: with no future to speak of, what tying gives could only be a better description of a single frame.
@study.claim("VB01e", by=f"{OWN} of tied less log-likelihood of untied networks, frames without memory, nats a step",
             region=below(LEAST), margin=LEAST, origin=Origin.OURS, figure="bc", **SCOPE)  # fmt: skip
def no_future_no_gain(t: Tables) -> Interval:
    """Where neither past nor future say anything of a frame, tying to a backward path gains nothing."""
    return intervals.mean(_gain(t, MEMORYLESS, TIED, UNTIED))


@study.claim("VB02", by=f"bound with the backward path less {OWN}, tied, nats a step; largest over series that come "
             "back", region=below(LEAST), margin=LEAST, origin=Origin.ABSTRACT, figure="d", **SCOPE)  # fmt: skip
def backward_path_can_go(t: Tables) -> Interval:
    """At test time the backward path can be dropped: latent variables drawn from the prior tell new series as well as
    the bound that uses the backward path says."""
    lost_ = [_told(t, place, TIED, "bound") - _told(t, place, TIED) for place in LASTING]
    return intervals.largest_mean(np.stack(lost_, axis=1))


@study.claim("VB02b", by=f"log-likelihood with the prior's mean less {OWN}, tied, symbols, nats a step",
             region=between(-LEAST, LEAST), origin=Origin.PAPER, place="Figure 3 (letters)", figure="d",
             **SCOPE)  # fmt: skip
def symbols_need_no_draws(t: Tables) -> Interval:
    """On symbols a fixed latent vector, the mean of the prior, serves a tied forward model as well at test time as
    vectors that are drawn."""
    return intervals.mean(_told(t, SYMBOLS, TIED, "fixed") - _told(t, SYMBOLS, TIED))


PART = f"{OWN} of tied networks, whole less {{}}, nats a step; smallest over {{}}"
BOTH = "series that come back"


@study.claim("VB03", by=PART.format("without skipped gradients", BOTH), origin=Origin.PAPER, place="Figure 2",
             figure="c", **SMALL)  # fmt: skip
def skipping_helps(t: Tables) -> Interval:
    """Skipping gradients between the latent variable and the states at random helps a tied forward model, on symbols
    and on frames."""
    return _smallest([_gain(t, place, TIED, NO_SKIP) for place in LASTING])


@study.claim("VB03b", by=PART.format("without reconstructions", BOTH), origin=Origin.PAPER, place="Figure 2",
             figure="c", **SMALL)  # fmt: skip
def reconstructions_help(t: Tables) -> Interval:
    """Having the latent variable reconstruct the states of both paths helps a tied forward model, on symbols and on
    frames."""
    return _smallest([_gain(t, place, TIED, NO_PARTS) for place in LASTING])


@study.claim("VB03c", by=PART.format("with activity regularisation in place of the past's reconstruction, symbols",
             "strengths"), origin=Origin.PAPER, place="Table 5 (words)", figure="c", **SMALL)  # fmt: skip
def activity_is_no_substitute(t: Tables) -> Interval:
    """On symbols, keeping the states of a tied forward model small is no substitute for reconstructing them, at any
    strength."""
    return _smallest([_gain(t, SYMBOLS, TIED, arm_of(gamma)) for gamma in t.params.gammas])


# The plainest control of all: no backward path, no latent variable, small states.
@study.claim("VB03f", by=f"{OWN} of tied less log-likelihood of untied networks with activity regularisation, symbols, "
             "nats a step; smallest over strengths", origin=Origin.OURS, figure="c", **SMALL)  # fmt: skip
def more_than_small_states(t: Tables) -> Interval:
    """On symbols, a tied forward model tells new series better than one that was trained alone with its states kept
    small, at any strength."""
    return _smallest([_gain(t, SYMBOLS, TIED, arm_of(gamma, untied=True)) for gamma in t.params.gammas])


# A control: the same latent variable, posterior and costs, with a backward path that sees one step ahead.
@study.claim("VB03d", by=f"{OWN} of tied networks, whole less tied to the next step alone, frames, nats a step",
             origin=Origin.OURS, figure="c", **GAIN)  # fmt: skip
def far_future_helps(t: Tables) -> Interval:
    """On frames, being tied to the whole future helps a forward model more than being tied to the next step alone."""
    return intervals.mean(_gain(t, FRAMES, TIED, NEXT))


@study.claim("VB03e", by=f"{OWN} of tied networks, whole less with a backward path that predicts nothing itself, "
             "frames, nats a step", origin=Origin.OURS, figure="c", **GAIN)  # fmt: skip
def own_predictions_help(t: Tables) -> Interval:
    """On frames, a backward path that learns to make predictions of its own helps the forward model more than one that
    does not."""
    return intervals.mean(_gain(t, FRAMES, TIED, SILENT))


# In the paper's Table 6 a factor of nearly 20,000 lies between words and speech; ten is one that nobody overlooks. For
# the power a hundredth of the paper's.
@study.claim("VB04", by="ratio of the divergences of posterior and prior, tied, frames over symbols",
             region=above(10.0), margin=20.0, origin=Origin.PAPER, place="Table 6", figure="e", **SCOPE)  # fmt: skip
def frames_use_the_latent(t: Tables) -> Interval:
    """The latent variable carries more than ten times as much on frames as on symbols."""
    return intervals.ratio(_told(t, FRAMES, TIED, "kl"), _told(t, SYMBOLS, TIED, "kl"), floor=1e-5)
