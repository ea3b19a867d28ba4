"""How far can a score be trusted? Reliability over runs, and correlations freed of run noise.

Values are `[R, N]`: a row a run, a column an example. A run's score is signal plus noise of that run; what runs share
is the signal. Everything rests on products of *different* runs, in which the noise is independent.
"""

import numpy as np
from scipy.stats import rankdata


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each example within its run `[R, N]`, 0 to 1 with the smallest first; ties share their mean rank."""
    x = np.atleast_2d(np.asarray(values, dtype=float))
    if not np.isfinite(x).all():
        raise ValueError("scores are not finite, so they have no ranks; were all examples scored?")
    if x.shape[1] < 2:
        raise ValueError("ranks need two or more examples")
    return (rankdata(x, axis=1) - 1) / (x.shape[1] - 1)


def correlations(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """Spearman correlation of every run of `a [R, N]` with every run of `b [S, N]` (default: of `a`): `[R, S]`.

    NaN where a run gives all examples the same value.
    """
    first = standardised(a)
    second = first if b is None else standardised(b)
    return first @ second.T / first.shape[1]


def standardised(values: np.ndarray) -> np.ndarray:
    """Ranks within a run `[R, N]` with mean 0 and variance 1, whose mean products are rank correlations."""
    centred = ranks(values) - 0.5
    with np.errstate(invalid="ignore"):
        return centred / centred.std(1, keepdims=True)


def between(matrix: np.ndarray) -> float:
    """Mean of a matrix `[R, R]` over pairs of different runs: the reliability of a single run."""
    runs = len(matrix)
    if runs < 2:
        raise ValueError("pairs need two or more runs")
    return float((matrix.sum() - np.trace(matrix)) / (runs * (runs - 1)))


def bootstrap(matrix: np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of `between`, runs drawn with replacement; pairs of a run with itself do not count."""
    runs = len(matrix)
    if runs < 2:
        raise ValueError("pairs need two or more runs")
    weights = np.random.default_rng(seed).multinomial(runs, np.full(runs, 1 / runs), size=draws).astype(float)
    others = np.where(np.eye(runs, dtype=bool), 0, matrix)
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    means = np.einsum("dr,rs,ds->d", weights, others, weights, optimize=True)[pairs > 0] / pairs[pairs > 0]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def disjoint_pairs(values: np.ndarray, average: int = 1, how=np.mean) -> np.ndarray:
    """Correlations `[R // (2 average)]` of pairs of averages over `average` runs each, every run used once.

    Each is the split-run correlation of one set of runs; as they share no run, they are independent. `how` is the
    average: `np.mean` or `np.median`.
    """
    runs = np.asarray(values, dtype=float)
    count = len(runs) // (2 * average)
    if count == 0:
        raise ValueError(f"{len(runs)} runs do not make a pair of averages over {average}")
    means = how(runs[: count * 2 * average].reshape(count, 2, average, -1), axis=2)
    return np.array([correlations(one, other)[0, 0] for one, other in means])


def spearman_brown(single: float, runs: float) -> float:
    """Reliability of an average over `runs` from that of a single run: k r / (1 + (k - 1) r)."""
    return runs * single / (1 + (runs - 1) * single)


def runs_needed(single: float, wanted: float) -> float:
    """How many runs to average for a reliability of `wanted`, by Spearman-Brown; not rounded. Infinite from 0 down."""
    if not 0 < wanted < 1:
        raise ValueError(f"a reliability of {wanted}: give one between 0 and 1")
    return wanted * (1 - single) / (single * (1 - wanted)) if single > 0 else np.inf


def icc(values: np.ndarray) -> float:
    """Intraclass correlation ICC(1) of `[R, N]`: the share of variance between examples (Shrout and Fleiss 1979).

    One-way random effects: (MSB - MSW) / (MSB + (R - 1) MSW), with the mean squares between and within examples.
    """
    x = np.asarray(values, dtype=float)
    runs, examples = x.shape
    if runs < 2 or examples < 2:
        raise ValueError("an intraclass correlation needs two or more runs and examples")
    means = x.mean(0)
    between_examples = runs * means.var(ddof=1)
    within = ((x - means) ** 2).sum() / (examples * (runs - 1))
    return float((between_examples - within) / (between_examples + (runs - 1) * within))


def cross(a: np.ndarray, b: np.ndarray) -> float:
    """Mean Spearman correlation of score `a` in one run with score `b` in *another*, `[R, N]` both of the same runs."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} runs of one score and {len(b)} of the other: give the same runs")
    return between(correlations(a, b))


def disattenuated(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation that two scores of the same runs `[R, N]` would have without run noise.

    rho_ab / sqrt(rho_aa rho_bb), every correlation between different runs. Noise in its parts can take it beyond 1; NaN
    where a score has no reliability.
    """
    one, other = between(correlations(a)), between(correlations(b))
    return cross(a, b) / (one * other) ** 0.5 if min(one, other) > 0 else float("nan")


# --- the common axis -------------------------------------------------------------------------------------------------


def components(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the ranks of K scores `[K, N]`: shares of variance `[K]`, loadings `[K, K]`.

    Loadings are rows, the largest component first, each with the sign that most scores have.
    """
    return _principal(standardised(values))


def parallel_analysis(values: np.ndarray, draws: int = 100, seed: int = 0) -> np.ndarray:
    """95th percentile `[K]` of those shares when the examples of every score are shuffled by themselves (Horn 1965)."""
    random, columns = np.random.default_rng(seed), standardised(values)
    chance = [_principal(random.permuted(columns, axis=1))[0] for _ in range(draws)]
    return np.percentile(chance, 95, axis=0)


def _principal(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size, axes = np.linalg.eigh(columns @ columns.T / columns.shape[1])
    axes = axes[:, ::-1].T
    return size[::-1] / len(columns), axes * np.where(axes.sum(1) < 0, -1, 1)[:, None]
