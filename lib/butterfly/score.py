"""How difficult is each training example? The registry of scores, and a logger for the scores that logits suffice for.

`SCORES` defines every score once: formula, which direction is harder, when in training it is taken, how ties arise, and
where it comes from. What the literature calls by one name but computes in two ways stands here under two names.
`ScoreLogger` accumulates the scores of one network or of a whole stack while it trains, in anybody's training loop; its
memory does not grow with time. Scores that need the network itself are in `probe`.
"""

import hashlib
from collections.abc import Mapping, Sequence
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
    """The measures of one look `[..., B]` from logits `[..., B, C]` and labels `[B]`, in their precision."""
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
    weighted = (e * z).sum(0)
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

    Call `log` for every minibatch, or for every example after every epoch: each call is one look at its examples. Give
    `table` after the last, or at any time. `state_dict` holds all that was accumulated: saved, loaded into a new logger
    of the same examples and continued, it gives the same numbers to the last bit.
    """

    def __init__(self, ids: Sequence[int] | Tensor, labels: Sequence[int] | Tensor, networks: int = 1):
        self.ids, self.labels = _whole("ids", ids), _whole("labels", labels)
        if len(self.ids) != len(self.labels):
            raise ValueError(f"{len(self.ids)} ids and {len(self.labels)} labels; give one label an example")
        if len(self.ids) == 0 or networks < 1:
            raise ValueError("a logger needs one or more examples and networks")
        if len(self.ids.unique()) < len(self.ids):
            raise ValueError("the ids are not different: give each example its own")
        if self.labels.min() < 0:
            raise ValueError("labels must be 0, 1, ...")
        self.networks = networks
        self._order = self.ids.argsort()
        self._sorted = self.ids[self._order]
        self._state: dict[str, Tensor] = {}

    @property
    def key(self) -> str:
        """A hash of ids and labels: what a saved state belongs to."""
        return hashlib.sha256(torch.stack([self.ids, self.labels]).numpy().tobytes()).hexdigest()[:16]

    def log(self, ids: Any, logits: Any, labels: Any, features: Any = None) -> None:
        """One look at the examples `ids [B]`: `logits [B, C]` or, of a stack, `[M, B, C]`; `features [(M,) B, D]`.

        Raises `ValueError` for ids that are unknown or stand twice, labels other than at the start, wrong shapes, and
        values that are not finite; nothing is logged then.
        """
        where = self._find(_whole("ids", ids))
        if not torch.equal(_whole("labels", labels), self.labels[where]):
            raise ValueError("these labels are not those that the logger was made with: were examples relabelled?")
        values = self._numbers("logits", logits, len(where))
        self._check_classes(values.shape[2])
        seen = None if features is None else self._numbers("features", features, len(where))
        if seen is not None and "features" in self._state and self._state["features"].shape[2] != seen.shape[2]:
            raise ValueError(f"{seen.shape[2]} features an example, so far {self._state['features'].shape[2]}")
        self._look(slice(None), where.to(values.device), values)
        if seen is not None:
            if "features" not in self._state:
                shape = (self.networks, len(self.ids), seen.shape[2])
                self._state["features"] = seen.new_full(shape, torch.nan)
            self._state["features"][:, where] = seen

    def watch(self, model: Model, theta: Tensor, x: Tensor) -> None:
        """One look of a stack `theta [M, P]` at all examples, whose inputs are `x [N, ...]` in the order of ids.

        A network whose logits are not finite is lost: it has no scores any more, and the others go on.
        """
        if len(x) != len(self.ids) or len(theta) != self.networks:
            raise ValueError(f"{len(theta)} networks on {len(x)} inputs, expected {self.networks} and {len(self.ids)}")
        self._check_classes(model.classes)
        for rows, some, logits in outputs(model, theta, x):
            lost = ~torch.isfinite(logits).flatten(1).all(1)
            if bool(lost.any()):
                logits[lost] = 0
            self._look(rows, some, logits)
            self._state["lost"][rows] |= lost

    def _find(self, ids: Tensor) -> Tensor:
        """Positions `[B]` of ids."""
        place = torch.searchsorted(self._sorted, ids).clamp_max(len(self._sorted) - 1)
        if bool((strange := self._sorted[place] != ids).any()):
            raise ValueError(f"unknown ids {ids[strange][:5].tolist()}: the logger was made without them")
        if len(ids.unique()) < len(ids):
            raise ValueError("an id stands twice in one call: each call is one look at its examples")
        return self._order[place]

    def _numbers(self, name: str, values: Any, count: int) -> Tensor:
        """Logits or features as a finite tensor `[M, B, ...]` without a graph."""
        found = torch.as_tensor(values).detach()
        if found.dim() == 2 and self.networks == 1:
            found = found[None]
        if found.dim() != 3 or found.shape[:2] != (self.networks, count) or not found.is_floating_point():
            stack = "" if self.networks == 1 else f"{self.networks}, "
            raise ValueError(f"{name} have shape {tuple(np.shape(values))}, expected ({stack}{count}, ...) of floats")
        self._check_finite(name, found)
        return found.float() if found.dtype.itemsize < 4 else found

    def _check_classes(self, classes: int) -> None:
        if classes <= int(self.labels.max()):
            raise ValueError(f"logits of {classes} classes for labels up to {int(self.labels.max())}")

    def _check_finite(self, name: str, values: Tensor) -> None:
        if not bool(torch.isfinite(values.sum())) and not bool(torch.isfinite(values).all()):
            raise DivergedError(f"{name} are not finite: a network diverged; train it with a lower learning rate")

    def _look(self, rows: slice, some: slice | Tensor, logits: Tensor) -> None:
        state = self._state or self._begin(logits)
        at = (rows, some)
        looks = state["looks"][at]
        measures = pointwise(logits, self.labels.to(logits.device)[some])
        values = torch.stack(tuple(measures.values()))  # [measures, m, b]
        mean = state["mean"][:, *at]
        change = values - mean
        mean = mean + change / (looks + 1)
        place = MEASURES.index("confidence")
        state["mean"][:, *at], state["last"][:, *at] = mean, values
        state["spread"][at] += change[place] * (values[place] - mean[place])  # Welford: sum of squared deviations
        right, before = values[0] > 0, state["right"][at]
        state["forgotten"][at] += before & ~right
        state["first"][at] = torch.where(right & (state["first"][at] < 0), looks, state["first"][at])
        state["since"][at] = torch.where(right, state["since"][at], looks + 1)
        state["right"][at] = right
        state["looks"][at] = looks + 1

    def _begin(self, logits: Tensor) -> dict[str, Tensor]:
        shape = (self.networks, len(self.ids))
        count = torch.zeros(shape, dtype=torch.int32, device=logits.device)
        self._state |= {
            "mean": logits.new_zeros(len(MEASURES), *shape),
            "last": logits.new_zeros(len(MEASURES), *shape),
            "spread": logits.new_zeros(shape),
            "looks": count,
            "right": count.bool(),
            "forgotten": count.clone(),
            "first": count - 1,  # the first right look; -1 while there is none
            "since": count.clone(),  # the look from which on all were right
            "lost": count[:, 0].bool(),  # networks that diverged
        }
        return self._state

    def scores(self) -> dict[str, Tensor]:
        """Every score of `LOGGED` as `[M, N]`, and prototypes if features were logged; NaN where nothing was seen."""
        if not self._state:
            raise ValueError("nothing was logged yet")
        state = self._state
        looks = state["looks"]
        never = state["first"] < 0
        found = {}
        for row, name in enumerate(MEASURES):
            found[f"{name}.mean"], found[f"{name}.last"] = state["mean"][row], state["last"][row]
        found |= {
            "confidence.sd": (state["spread"] / looks).sqrt(),
            "correctness": (found["accuracy.mean"] * looks).round(),
            "forgetting": state["forgotten"],
            "forgetting.capped": torch.where(never, looks, state["forgotten"]),
            "first_learned": torch.where(never, looks, state["first"]),
            "iteration_learned": state["since"],
        }
        if "features" in state:
            seen = ~state["features"][0].isnan().any(1)
            labels, h = self.labels.to(looks.device)[seen], state["features"][:, seen]
            for name in ("prototype", "prototype.self"):
                found[name] = torch.full_like(state["spread"], torch.nan, dtype=h.dtype)
            found["prototype"][:, seen] = torch.stack([prototype_distance(one, labels) for one in h])
            found["prototype.self"][:, seen] = torch.stack([self_prototype_distance(one) for one in h])
        there = (looks > 0) & ~state["lost"][:, None]
        return {name: torch.where(there, values.to(state["mean"]), torch.nan) for name, values in found.items()}

    def table(self) -> pd.DataFrame:
        """One row an example (and network, if several): its label, how many looks, and every score by name."""
        columns = {name: values.cpu().numpy().ravel() for name, values in self.scores().items()}
        index = pd.Index(self.ids.numpy(), name="id")
        if self.networks > 1:
            index = pd.MultiIndex.from_product([range(self.networks), index], names=["network", "id"])
        shared = {
            "label": np.tile(self.labels.numpy(), self.networks),
            "looks": self._state["looks"].cpu().numpy().ravel(),
        }
        return pd.DataFrame(shared | columns, index=index)

    def state_dict(self) -> dict[str, Any]:
        """All that was accumulated, to be saved with `torch.save`."""
        held = {name: values.cpu().clone() for name, values in self._state.items()}
        return {"version": _VERSION, "key": self.key, "networks": self.networks, **held}

    def load_state_dict(self, state: Mapping[str, Any], device: str | torch.device = "cpu") -> None:
        """Go on from a saved state; `ValueError` if it belongs to other examples, labels or numbers of networks."""
        about = {"version": _VERSION, "key": self.key, "networks": self.networks}
        for name, value in about.items():
            if state.get(name) != value:
                raise ValueError(f"this state has {name} {state.get(name)!r}, the logger {value!r}: they do not match")
        self._state = {name: values.to(device).clone() for name, values in state.items() if name not in about}


_VERSION = 2  # of the saved state


def _whole(name: str, values: Any) -> Tensor:
    """Whole numbers `[B]` on the CPU."""
    found = torch.as_tensor(values).detach().cpu()
    if found.dim() != 1 or found.is_floating_point() or found.is_complex():
        raise ValueError(f"{name} must be one row of whole numbers, not {tuple(found.shape)} of {found.dtype}")
    return found.long()


# --- from features ---------------------------------------------------------------------------------------------------


def prototype_distance(h: Tensor, y: Tensor) -> Tensor:
    """Distance `[N]` of features `h [N, D]` from the mean of their class (Sorscher et al. 2022)."""
    means = torch.stack([h[y == label].mean(0) for label in range(int(y.max()) + 1)])  # an empty class: NaN, not used
    return (h - means[y]).norm(dim=1)


def self_prototype_distance(h: Tensor, clusters: int = 30) -> Tensor:
    """Distance `[N]` of features `h [N, D]` from the nearest of the k-means centroids; labels play no part."""
    found = KMeans(min(clusters, len(h)), n_init=1, random_state=0).fit(h.cpu().numpy())
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
