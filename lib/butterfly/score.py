"""How difficult is each training example? The registry of scores, and a logger for the scores that logits suffice for.

`SCORES` defines every score once: formula, which direction is harder, when in training it is taken, how ties arise, and
where it comes from. What the literature calls by one name but computes in two ways stands here under two names.
`ScoreLogger` accumulates the scores of one network or of a whole stack while it trains, in anybody's training loop; its
memory does not grow with time. Scores that need the network itself are in `probe`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from butterfly.evaluate import outputs
from butterfly.models import Model
from butterfly.strict import UserError


@dataclass(frozen=True)
class Score:
    """The definition of one score of one example with label y; z are logits, p probabilities, T looks at it."""

    name: str
    formula: str
    harder: Literal["high", "low"]  # which values mean a harder example
    clock: str  # when in training it is taken
    ties: str
    paper: str


_LAST, _EVERY, _END = "last look", "every look so far", "end of training"
_SMOOTH = "none but by rounding"
_PLAIN = "folklore"
# name: formula, harder, ties, paper of the mean over looks, paper of a single look
_POINTWISE = {
    "accuracy": ("1 if argmax z = y (the lowest class of equals), else 0", "low", "many", _PLAIN, _PLAIN),
    "loss": ("-log p_y", "high", _SMOOTH, _PLAIN, _PLAIN),
    "confidence": ("p_y", "low", "as p_y rounds to 1", "Swayamdipta et al. 2020 (confidence)", _PLAIN),
    "max_confidence": ("max_c p_c", "low", "as p rounds to 1", _PLAIN, "cf. Carlini et al. 2019 (conf)"),
    "entropy": ("-sum_c p_c log p_c, in nats", "high", "as p rounds to 0 and 1", _PLAIN, _PLAIN),
    "margin.logit": ("z_y - max_{c != y} z_c", "low", _SMOOTH, "Pleiss et al. 2020 (AUM)", _PLAIN),
    "margin.prob": ("p_y - max_{c != y} p_c", "low", "as p_y rounds to 1", "cf. Zheng et al. 2023", _PLAIN),
    "el2n": ("|p - e_y|_2", "high", _SMOOTH, "Kwok et al. 2024", "cf. Paul et al. 2021"),
    "el2n.squared": ("|p - e_y|_2^2", "high", _SMOOTH, "Seedat et al. 2024 (H-CAT)", "Seedat et al. 2024 (H-CAT)"),
}
MEASURES = tuple(_POINTWISE)
_KEPT = {name: row for row, name in enumerate(MEASURES[1:])}  # as floats; right answers are counted


def _logged() -> dict[str, Score]:
    """The scores that logits suffice for."""
    found = []
    for name, (formula, harder, ties, of_mean, of_last) in _POINTWISE.items():
        found.append(Score(f"{name}.mean", f"mean over looks of {formula}", harder, _EVERY, ties, of_mean))
        found.append(Score(f"{name}.last", formula, harder, _LAST, ties, of_last))
    toneva, swayamdipta = "Toneva et al. 2019", "Swayamdipta et al. 2020"
    found += [
        Score("confidence.sd", "population standard deviation over looks of p_y", "high", _EVERY, _SMOOTH,
              f"{swayamdipta} (variability)"),
        Score("correctness", "number of looks at which the answer is y", "low", _EVERY, "many",
              swayamdipta),
        Score("forgetting", "number of looks at which the answer is wrong after being right; never learned: 0", "high",
              _EVERY, "many; never learned examples tie with the easiest", f"{toneva}, without the cap"),
        Score("forgetting.capped", "the same; never learned: T", "high", _EVERY, "many", toneva),
        Score("first_learned", "index of the first right look; T if none is", "high", _EVERY, "many", toneva),
        Score("iteration_learned", "index from which on every look is right; T if the last is wrong", "high", _EVERY,
              "many", "Baldock et al. 2021; Siddiqui et al. 2022"),
    ]  # fmt: skip
    return {score.name: score for score in found}


def _of_networks() -> dict[str, Score]:
    """The scores that need the network itself, or many networks."""
    agarwal, baldock = "Agarwal et al. 2022", "Baldock et al. 2021"
    paul, sorscher, feldman = "Paul et al. 2021", "Sorscher et al. 2022", "Feldman and Zhang 2020"
    # Where a map of gradients varies from snapshot to snapshot.
    vog = "{} over snapshots of the gradient of {} by each pixel (mean over channels), mean over pixels"
    sd, variance = "population standard deviation", "unbiased variance"
    depth = "first layer from which on the vote of the 30 nearest others is {}; the number of layers where it never is"
    found = [
        Score("el2n.early", "|p - e_y|_2", "high", "early in training", _SMOOTH, paul),
        Score("grand", "|gradient of the loss by all weights|_2", "high", "early in training", _SMOOTH, paul),
        Score("grand.last_layer", "|gradient of the loss by the last layer|_2 = el2n * sqrt(1 + |h|^2)", "high",
              "early in training", _SMOOTH, "Guo et al. 2022 (DeepCore's GraNd)"),
        Score("grand.init", "|gradient of the loss by all weights|_2", "high", "at initialisation", _SMOOTH,
              f"{paul}; does not replicate: Kirsch 2023"),
        Score("vog.class.sd", vog.format(sd, "p_y"), "high", _EVERY, _SMOOTH, f"{agarwal}, without class norms"),
        Score("vog.class.variance", vog.format(variance, "p_y"), "high", _EVERY, _SMOOTH, "Kwok et al. 2024"),
        Score("vog.loss.sd", vog.format(sd, "the loss"), "high", _EVERY, _SMOOTH, f"cf. {agarwal}"),
        Score("vog.loss.variance", vog.format(variance, "the loss"), "high", _EVERY, _SMOOTH, "Kwok et al. 2024"),
        Score("prediction_depth.label", depth.format("y"), "high", _END, "many", "Kwok et al. 2024"),
        Score("prediction_depth.answer", depth.format("the network's answer"), "high", _END, "many", baldock),
        Score("prototype", "|h - mean of h over the class y|_2, h the last hidden layer", "high", _END, _SMOOTH,
              sorscher),
        Score("prototype.self", "distance of h to the nearest k-means centroid", "high", _END, _SMOOTH, sorscher),
        Score("c_score", "share of right answers of networks that did not train on it", "low",
              f"{_END}, networks trained on random subsets", "many with few networks", "Jiang et al. 2021"),
        Score("memorization", "accuracy of networks that trained on it minus that of networks that did not", "high",
              f"{_END}, networks trained on random subsets", "many with few networks", feldman),
        Score("agreement", "1 - mean Jensen-Shannon divergence (bits) of the probabilities of pairs of networks", "low",
              f"{_END}, several networks", _SMOOTH, "cf. Carlini et al. 2019 (agr)"),
        Score("robustness.input", "smallest Gaussian input noise that changes the answer from y; mean over draws",
              "low", _END, "many: strengths lie on a grid", "cf. Carlini et al. 2019"),
        Score("robustness.weights", "the same for weights multiplied by 1 + noise", "low", _END,
              "many: strengths lie on a grid", "cf. the weight noise of Kwok's earlier code"),
    ]  # fmt: skip
    return {score.name: score for score in found}


_OF_LOGITS = _logged()
LOGGED = tuple(_OF_LOGITS)
SCORES = _OF_LOGITS | _of_networks()

Values = TypeVar("Values", np.ndarray, Tensor, pd.Series)


def difficulty(name: str, values: Values) -> Values:
    """The values of a score with the sign that makes harder examples larger."""
    if name not in SCORES:
        raise ValueError(f"unknown score '{name}'; known: {', '.join(SCORES)}")
    return values if SCORES[name].harder == "high" else -values


def logged_difficulty(name: str, values: Values) -> Values:
    """The same for the scores of `LOGGED` alone: what a computation uses should not depend on all others."""
    return values if _OF_LOGITS[name].harder == "high" else -values


def catalogue() -> pd.DataFrame:
    """The registry as a table."""
    return pd.DataFrame([vars(score) for score in SCORES.values()])


def pointwise(logits: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The measures of one look `[..., B]` from logits `[..., B, C]` and labels `[B]`, in their precision.

    A class that cannot be the answer may have a logit of -inf.
    """
    # Classes first: reductions over a short last axis are slow. Relative to the largest logit nothing overflows.
    z = logits.movedim(-1, 0).contiguous()
    top = z.amax(0)
    z = z - top
    label = y.expand(z.shape[1:]).unsqueeze(0)
    own = z.gather(0, label)[0]
    margin = own - z.scatter(0, label, -torch.inf).amax(0)
    right = margin > 0
    if bool((margin == 0).any()):
        right = logits.argmax(-1) == y
    e = z.exp()
    weighted = (e * z.clamp_min(torch.finfo(z.dtype).min)).sum(0)  # 0 for a logit of -inf
    others = e.scatter_(0, label, 0)
    # From the sum over the other classes, so that no digits are lost where p_y is nearly 1.
    rest = others.sum(0)
    total = rest + own.exp()
    loss = torch.where(own == 0, rest.log1p(), total.log() - own)
    rival = others.amax(0) / total
    squared = (rest.square() + others.square_().sum(0)) / total.square()
    confidence = own.exp() / total
    return {
        "accuracy": right.to(loss),
        "loss": loss,
        "confidence": confidence,
        "max_confidence": torch.maximum(confidence, rival),
        "entropy": total.log() - weighted / total,
        "margin.logit": margin,
        "margin.prob": confidence - rival,
        "el2n": squared.sqrt(),
        "el2n.squared": squared,
    }


class DivergedError(UserError, ValueError):
    """A network gave values that are not finite, which have no scores."""


class ScoreLogger:
    """Scores of the examples `ids [N]` with `labels [N]`, from the logits of a training loop, for M networks.

    Ids are whole numbers or strings. Call `log` for every minibatch, or for every example after every epoch: each
    example in it is looked at once more. Give `table` after the last, or at any time. `state_dict` holds all that was
    accumulated: saved, loaded into a new logger of the same examples and continued, it gives the same numbers to the
    last bit. `merge` joins the loggers of several processes.

    Means are kept in the precision of the first look (at least float32) and on its device: with float32, 88 bytes an
    example and network.
    """

    def __init__(self, ids: Any, labels: Any, networks: int = 1):
        self.ids, self.labels = _index(ids), _labels(labels)
        if len(self.ids) != len(self.labels):
            raise ValueError(f"{len(self.ids)} ids and {len(self.labels)} labels; give one label an example")
        if len(self.ids) == 0 or networks < 1:
            raise ValueError("a logger needs one or more examples and networks")
        if not self.ids.is_unique:
            raise ValueError("the ids are not different: give each example its own")
        if self.labels.min() < 0:
            raise ValueError("labels must be 0, 1, ...")
        self.networks = networks
        self.classes: int | None = None  # known from the first look on
        self._state: dict[str, Tensor] = {}

    @property
    def key(self) -> str:
        """A hash of ids and labels: what a saved state belongs to."""
        return hashlib.sha256(repr((self.ids.tolist(), self.labels.tolist())).encode()).hexdigest()[:16]

    @torch.inference_mode(False)  # what is made here must be open to changes from outside that mode
    def log(self, ids: Any, logits: Any, labels: Any, features: Any = None) -> None:
        """One look at the examples `ids [B]`: `logits [B, C]` or, of a stack, `[M, B, C]`; `features [(M,) B, D]`.

        An example that stands there twice is looked at twice. The logits of classes that are masked may be -inf.
        Raises `ValueError` for ids that are unknown, labels other than at the start, wrong shapes, another number of
        classes, probabilities instead of logits, and values that are not finite; nothing is logged then.
        """
        where = self._find(ids)
        y = _labels(labels)
        if not torch.equal(y, self.labels[where]):
            raise ValueError("these labels are not those that the logger was made with: were examples relabelled?")
        z = self._numbers("logits", logits, len(where))
        self._check_logits(z, y)
        h = None if features is None else self._numbers("features", features, len(where))
        if h is not None:
            self._check_features(h)
        # Nothing is written before this line, and nothing is refused behind it.
        for part in _without_repeats(where):
            for some in part.split(max(1, _NUMBERS // (self.networks * z.shape[2]))):
                self._look(slice(None), where[some], z[:, some])
                if h is not None:
                    self._keep(where[some], h[:, some])

    @torch.inference_mode(False)
    def watch(self, model: Model, theta: Tensor, x: Tensor) -> None:
        """One look of a stack `theta [M, P]` at all examples, whose inputs are `x [N, ...]` in the order of ids.

        A network whose logits are not finite is lost: it has no scores any more, and the others go on.
        """
        if len(x) != len(self.ids) or len(theta) != self.networks:
            raise ValueError(f"{len(theta)} networks on {len(x)} inputs, expected {self.networks} and {len(self.ids)}")
        self._check_classes(model.classes)
        for rows, some, logits in outputs(model, theta, x):
            lost = ~_usable(logits, self.labels[some])
            if bool(lost.any()):
                logits[lost] = 0
            self._look(rows, some, logits)
            self._state["lost"][rows] |= lost

    def _find(self, ids: Any) -> Tensor:
        """Positions `[B]` of ids."""
        index = _index(ids)
        place = self.ids.get_indexer(index)
        if (place < 0).any():
            raise ValueError(f"unknown ids {index[place < 0][:5].tolist()}: the logger was made without them")
        return torch.from_numpy(place)

    def _numbers(self, name: str, values: Any, count: int) -> Tensor:
        """Logits or features as a tensor of floats `[M, B, ...]` without a graph."""
        found = torch.as_tensor(values if torch.is_tensor(values) else np.array(values)).detach()
        shape = tuple(found.shape)
        if found.dim() == 2 and self.networks == 1:
            found = found[None]
        if found.dim() != 3 or found.shape[:2] != (self.networks, count) or not found.is_floating_point():
            stack = "" if self.networks == 1 else f"{self.networks}, "
            raise ValueError(f"{name} have shape {shape}, expected ({stack}{count}, ...) of floats")
        return found

    def _check_classes(self, classes: int) -> None:
        if classes <= max(1, int(self.labels.max())):
            raise ValueError(f"logits of {classes} classes for labels up to {int(self.labels.max())}")
        if self.classes not in (None, classes):
            raise ValueError(f"logits of {classes} classes, so far {self.classes}")

    def _check_logits(self, z: Tensor, y: Tensor) -> None:
        self._check_classes(z.shape[2])
        if not bool(_usable(z, y).all()):
            raise DivergedError(
                "logits are not finite: a network diverged; train it with a lower learning rate. Of masked classes "
                "(-inf), none may be the label's, and two must be left"
            )
        if not self._state and _like_probabilities(z):
            raise ValueError("these logits are probabilities: give the logits, or the logarithms of the probabilities")

    def _check_features(self, h: Tensor) -> None:
        if not bool(h.isfinite().all()):
            raise DivergedError("features are not finite: a network diverged; train it with a lower learning rate")
        if "features" in self._state and (so_far := self._state["features"].shape[2]) != h.shape[2]:
            raise ValueError(f"{h.shape[2]} features an example, so far {so_far}")

    def _begin(self, z: Tensor) -> dict[str, Tensor]:
        count = torch.zeros(self.networks, len(self.ids), dtype=torch.int32, device=z.device)
        numbers = z.new_zeros(len(_KEPT), *count.shape)
        self.classes = z.shape[2]
        self._state = {
            "looks": count,
            "mean": numbers,
            "last": numbers.clone(),
            "spread": numbers[0].clone(),  # sum of squared deviations of the confidence
            "correct": count.clone(),
            "forgotten": count.clone(),
            "first": count - 1,  # the first right look; -1 while there is none
            "since": count.clone(),  # the look from which on all were right
            "lost": count[:, 0].bool(),  # networks that diverged
        }
        return self._state

    def _look(self, rows: slice, some: slice | Tensor, z: Tensor) -> None:
        """One look of some networks at some examples."""
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        state = self._state or self._begin(z)
        measures = pointwise(z.to(state["mean"].device), self.labels[some].to(state["mean"].device))
        values = torch.stack([measures[name] for name in _KEPT])
        right = (measures["accuracy"] > 0).int()
        one, none = torch.ones_like(right), torch.zeros_like(right)
        counts = {"looks": one, "correct": right, "forgotten": none, "first": right - 1, "since": 1 - right}
        self._append(rows, some, counts | {"mean": values, "last": values, "spread": none})

    def _append(self, rows: slice, some: slice | Tensor, new: dict[str, Tensor]) -> None:
        """Put later looks behind those so far."""
        if isinstance(some, Tensor):
            some = some.to(self._state["mean"].device)  # once, and not for every part of the state
        old = {name: self._state[name][..., rows, some] for name in new}
        for name, values in _in_turn(old, new).items():
            self._state[name][..., rows, some] = values.to(self._state[name].dtype)

    def _keep(self, some: Tensor, h: Tensor) -> None:
        """The features of some examples, in the place of earlier ones."""
        if "features" not in self._state:
            shape, kind = (self.networks, len(self.ids), h.shape[2]), torch.promote_types(h.dtype, torch.float32)
            self._state["features"] = torch.full(shape, torch.nan, dtype=kind, device=self._state["mean"].device)
        self._state["features"][:, some] = h.to(self._state["features"])

    def scores(self, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Scores as `[M, N]`, by default all of `LOGGED`, and prototypes if features were logged.

        NaN where nothing was seen, and of a network that was lost.
        """
        if not self._state:
            raise ValueError("nothing was logged yet")
        known = (*LOGGED, *(("prototype", "prototype.self") if "features" in self._state else ()))
        names = known if names is None else names
        if strange := set(names) - set(known):
            raise ValueError(f"no such scores here: {', '.join(sorted(strange))}; there are {', '.join(known)}")
        there = (self._state["looks"] > 0) & ~self._state["lost"][:, None]
        kind = self._state["mean"].dtype
        return {name: torch.where(there, self._score(name).to(kind), torch.nan) for name in names}

    def _score(self, name: str) -> Tensor:
        measure, _, kind = name.rpartition(".")
        if measure in _KEPT and kind in ("mean", "last"):
            return self._state[kind][_KEPT[measure]]
        if name in _COUNTED:
            return _COUNTED[name](self._state)
        features = self._state["features"]
        found, seen = torch.full_like(features[:, :, 0], torch.nan), _seen(features)
        y = self.labels.to(seen.device)[seen]
        for row, h in zip(found, features[:, seen], strict=True):
            row[seen] = prototype_distance(h, y) if name == "prototype" else self_prototype_distance(h)
        return found

    def table(self) -> pd.DataFrame:
        """One row an example (and network, if several): its label, how many looks, and every score by name."""
        columns = {name: values.cpu().numpy().ravel() for name, values in self.scores().items()}
        index = self.ids.rename("id")
        if self.networks > 1:
            index = pd.MultiIndex.from_product([range(self.networks), index], names=["network", "id"])
        shared = {
            "label": np.tile(self.labels.numpy(), self.networks),
            "looks": self._state["looks"].cpu().numpy().ravel(),
        }
        return pd.DataFrame(shared | columns, index=index)

    def state_dict(self) -> dict[str, Any]:
        """All that was accumulated, to be saved with `torch.save`."""
        return self._about() | {"classes": self.classes} | {k: v.cpu().clone() for k, v in self._state.items()}

    @torch.inference_mode(False)
    def load_state_dict(self, state: Mapping[str, Any], device: str | torch.device = "cpu") -> None:
        """Go on from a saved state; `ValueError` if it belongs to other examples, labels or numbers of networks."""
        held = self._held(state)
        self.classes = state["classes"]
        self._state = {name: values.to(device, copy=True) for name, values in held.items()}

    @torch.inference_mode(False)
    def merge(self, state: Mapping[str, Any]) -> None:
        """Put the looks of another logger of the same examples, in its state, behind its own; refused as for loading.

        It is as if one logger had seen first its own looks, then the others, but for the rounding of means. Processes
        that share out every epoch log each epoch in a new logger; one process merges their states epoch by epoch.
        """
        held = self._held(state)
        if not self._state:
            self.load_state_dict(state)
        elif held:
            self._check_classes(state["classes"])
            held = {name: values.to(self._state["mean"].device) for name, values in held.items()}
            lost, features = held.pop("lost"), held.pop("features", None)
            if features is not None:
                seen = _seen(features)
                self._check_features(features[:, seen])
                self._keep(seen, features[:, seen])
            self._append(slice(None), slice(None), held)
            self._state["lost"] |= lost

    def _about(self) -> dict[str, Any]:
        return {"version": _VERSION, "key": self.key, "networks": self.networks}

    def _held(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tensors of a state of the same examples."""
        about = self._about()
        for name, value in about.items():
            if state.get(name) != value:
                raise ValueError(f"this state has {name} {state.get(name)!r}, the logger {value!r}: they do not match")
        return {name: values for name, values in state.items() if torch.is_tensor(values)}


_VERSION = 3  # of the saved state
_NUMBERS = 1 << 22  # logits that are scored at once
_COUNTED: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
    "accuracy.mean": lambda state: state["correct"].to(state["mean"].dtype) / state["looks"],
    "accuracy.last": lambda state: state["since"] < state["looks"],
    "confidence.sd": lambda state: (state["spread"].clamp_min(0) / state["looks"]).sqrt(),
    "correctness": lambda state: state["correct"],
    "forgetting": lambda state: state["forgotten"],
    "forgetting.capped": lambda state: torch.where(state["first"] < 0, state["looks"], state["forgotten"]),
    "first_learned": lambda state: torch.where(state["first"] < 0, state["looks"], state["first"]),
    "iteration_learned": lambda state: state["since"],
}


def _plain(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if torch.is_tensor(values) else np.asarray(values)


def _index(ids: Any) -> pd.Index:
    """Ids `[B]`, whole numbers or strings."""
    found = _plain(ids)
    if found.ndim != 1 or pd.api.types.infer_dtype(found, skipna=False) not in ("integer", "string"):
        raise ValueError(f"ids must be one row of whole numbers or strings, not {found.shape} of {found.dtype}")
    return pd.Index(found, copy=True)


def _labels(values: Any) -> Tensor:
    """Labels `[B]` on the CPU."""
    found = _plain(values)
    if found.ndim != 1 or found.dtype.kind not in "iub":
        raise ValueError(f"labels must be one row of whole numbers, not {found.shape} of {found.dtype}")
    return torch.from_numpy(found.astype(np.int64))


def _without_repeats(where: Tensor) -> list[Tensor]:
    """Places in a batch in parts that hold no example twice: first where each stands for the first time, and so on."""
    if len(where.unique()) == len(where):
        return [torch.arange(len(where))]
    examples = pd.Series(where.numpy())
    nth = torch.tensor(examples.groupby(examples).cumcount().to_numpy())
    return [(nth == k).nonzero().squeeze(1) for k in range(int(nth.max()) + 1)]


def _usable(z: Tensor, y: Tensor) -> Tensor:
    """Which networks `[M]` have logits `[M, B, C]` with scores: finite, but for masked classes other than the label."""
    if bool(z.sum().isfinite()):  # quicker, and smaller, than looking at each
        return torch.ones(len(z), dtype=torch.bool, device=z.device)
    finite = z.isfinite()
    own = finite.gather(2, y.to(z.device).expand(z.shape[:2]).unsqueeze(2)).squeeze(2)
    return ((finite | z.isneginf()).all(2) & own & (finite.sum(2) > 1)).all(1)


def _like_probabilities(z: Tensor) -> bool:
    """Whether every row is between 0 and 1 and sums to 1; whole numbers alone may be logits made by hand."""
    off = (z.sum(-1, dtype=torch.promote_types(z.dtype, torch.float32)) - 1).abs()
    rounding = 1e-5 if z.dtype.itemsize >= 4 else 1e-2
    return bool((z >= 0).all() & (off < rounding).all() & (z != z.round()).any())


def _seen(features: Tensor) -> Tensor:
    """Which examples `[N]` have features `[M, N, D]`."""
    return ~features[0].isnan().any(1)


def _in_turn(old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
    """What looks and later looks at the same examples come to together; of no looks, all is 0 but `first`, -1.

    Means and squared deviations follow Chan, Golub and LeVeque (1983); for a single new look that is Welford (1962).
    """
    looks = old["looks"] + new["looks"]
    change = new["mean"] - old["mean"]
    mean = old["mean"] + change * new["looks"] / looks.clamp_min(1)
    place, later = _KEPT["confidence"], new["looks"] > 0
    fell = (old["since"] < old["looks"]) & later & (new["first"] != 0)
    learned = torch.where(new["first"] < 0, -1, old["looks"] + new["first"])
    return {
        "looks": looks,
        "mean": mean,
        "last": torch.where(later, new["last"], old["last"]),
        "spread": old["spread"] + new["spread"] + new["looks"] * change[place] * (new["mean"] - mean)[place],
        "correct": old["correct"] + new["correct"],
        "forgotten": old["forgotten"] + new["forgotten"] + fell,
        "first": torch.where(old["first"] < 0, learned, old["first"]),
        "since": torch.where(new["since"] > 0, old["looks"] + new["since"], old["since"]),
    }


# --- from features ---------------------------------------------------------------------------------------------------


def prototype_distance(h: Tensor, y: Tensor) -> Tensor:
    """Distance `[N]` of features `h [N, D]` from the mean of their class (Sorscher et al. 2022)."""
    means = torch.stack([h[y == label].mean(0) for label in range(int(y.max()) + 1)])  # an empty class: NaN, not used
    return (h - means[y]).norm(dim=1)


def self_prototype_distance(h: Tensor, clusters: int = 30) -> Tensor:
    """Distance `[N]` of features `h [N, D]` from the nearest of the k-means centroids; labels play no part.

    NaN for no more examples than centroids: each would be its own.
    """
    if len(h) <= clusters:
        return torch.full_like(h[:, 0], torch.nan)
    found = KMeans(clusters, n_init=1, random_state=0).fit(h.cpu().numpy())
    return torch.from_numpy(found.transform(h.cpu().numpy()).min(1)).to(h)


# --- from many networks ----------------------------------------------------------------------------------------------


def c_score(right: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Share `[N]` of right answers `right [R, N]` among the networks that did not train on it (Jiang et al. 2021).

    `trained [R, N]` says who trained on what. NaN for an example that every network trained on.
    """
    return _mean_where(right, ~trained.astype(bool))


def memorization(right: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Accuracy `[N]` of the networks that trained on it minus that of the others (Feldman and Zhang 2020)."""
    inside = trained.astype(bool)
    return _mean_where(right, inside) - _mean_where(right, ~inside)


def _mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(chosen, values, 0.0).sum(0) / chosen.sum(0)


def agreement(logits: Tensor) -> Tensor:
    """How alike R networks answer `[N]`, from logits `[R, N, C]`: 1 - mean Jensen-Shannon divergence of pairs, bits."""
    if len(logits) < 2:
        raise ValueError("agreement needs two or more networks")
    p = logits.double().softmax(-1)

    def entropy(q: Tensor) -> Tensor:
        return -torch.special.xlogy(q, q).sum(-1) / np.log(2)

    own = entropy(p)
    found = torch.zeros_like(own[0])
    for k in range(len(p) - 1):
        found += (entropy((p[k] + p[k + 1 :]) / 2) - (own[k] + own[k + 1 :]) / 2).sum(0)
    return 1 - found / (len(p) * (len(p) - 1) / 2)
