"""Reliability over runs: published tables, closed forms, and simulations whose true reliability is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from butterfly import reliability
from butterfly.reliability import (
    between,
    bootstrap,
    components,
    correlations,
    cross,
    disattenuated,
    disjoint_pairs,
    icc,
    parallel_analysis,
    ranks,
    runs_needed,
    spearman_brown,
)

# Shrout and Fleiss (1979), table 2: four judges (rows here) of six targets.
JUDGED = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]).T


def signal_and_noise(runs=10, examples=2000, noise=1.0, seed=0):
    """Scores of reliability 1 / (1 + noise^2)."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=examples) + noise * draw.normal(size=(runs, examples))


def of_normals(rho):
    """The Spearman correlation of normal variables of correlation rho."""
    return 6 / np.pi * np.arcsin(rho / 2)


# --- ranks and correlations ------------------------------------------------------------------------------------------


def test_ranks_by_hand():
    np.testing.assert_array_equal(ranks(np.array([[30, 10, 20], [-1, 5, 0]])), [[1, 0, 0.5], [0, 1, 0.5]])
    np.testing.assert_array_equal(ranks(np.array([[7, 7, 1, 9, 7]])), [[0.5, 0.5, 0, 1, 0.5]])
    np.testing.assert_array_equal(ranks(np.array([4, 4, 4])), [[0.5] * 3])
    np.testing.assert_array_equal(ranks(np.array([2.0, 1.0])), [[1, 0]])


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_rank(lost):
    with pytest.raises(ValueError, match="scores are not finite, so they have no ranks"):
        ranks(np.array([[1.0, 2.0], [1.0, lost]]))
    with pytest.raises(ValueError, match="not finite"):
        correlations(np.eye(3), np.array([[1.0, lost, 0.0]]))


def test_one_example_has_no_rank():
    with pytest.raises(ValueError, match="two or more examples"):
        ranks(np.ones((3, 1)))


@pytest.mark.parametrize("levels", [3, 1000])
def test_correlations_are_spearmans(levels):
    draw = np.random.default_rng(levels)
    a, b = draw.integers(0, levels, (3, 40)), draw.integers(0, levels, (4, 40))
    expected = [[spearmanr(one, other).statistic for other in b] for one in a]
    np.testing.assert_allclose(correlations(a, b), expected, atol=1e-12)
    np.testing.assert_allclose(correlations(a), correlations(a, a))
    np.testing.assert_allclose(correlations(a).diagonal(), 1)
    np.testing.assert_allclose(correlations(np.exp(a / levels), -b), -np.array(expected), atol=1e-12)


def test_a_run_of_equal_values_has_no_correlation():
    found = correlations(np.array([[1.0, 2, 3], [5, 5, 5]]))
    assert np.isnan(found).tolist() == [[False, True], [True, True]]


def test_the_mean_between_runs_leaves_out_the_diagonal():
    matrix = np.array([[9, 1, 2], [3, 9, 4], [5, 6, 9]])
    assert between(matrix) == 21 / 6
    assert between(matrix[:2, :2]) == 2
    with pytest.raises(ValueError, match="two or more runs"):
        between(np.ones((1, 1)))


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_reliability_of_signal_and_noise_is_known(noise):
    values, true = signal_and_noise(noise=noise), 1 / (1 + noise**2)
    assert between(correlations(values)) == pytest.approx(of_normals(true), abs=0.03)
    assert icc(values) == pytest.approx(true, abs=0.03)


# --- intervals -------------------------------------------------------------------------------------------------------


def test_intervals_do_not_see_the_diagonal():
    matrix = correlations(signal_and_noise(runs=6, examples=50))
    changed = matrix + np.diag([100.0, -5, 0, 3, 1e6, 2])
    assert bootstrap(changed) == bootstrap(matrix)
    low, high = bootstrap(np.full((5, 5), 0.3) + 9 * np.eye(5))
    assert low == pytest.approx(0.3)
    assert high == pytest.approx(0.3)


def test_intervals_are_those_of_runs_drawn_one_by_one():
    matrix = correlations(signal_and_noise(runs=5, examples=30))
    draw, means = np.random.default_rng(1), []
    for _ in range(20000):
        chosen = draw.integers(0, 5, 5)
        pairs = [matrix[r, s] for i, r in enumerate(chosen) for j, s in enumerate(chosen) if i != j and r != s]
        if pairs:
            means.append(np.mean(pairs))
    assert bootstrap(matrix, draws=20000) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.01)


def test_intervals_of_two_runs_are_their_correlation_and_belong_to_the_seed():
    assert bootstrap(np.array([[1.0, 0.4], [0.4, 1.0]])) == pytest.approx((0.4, 0.4))
    matrix = correlations(signal_and_noise(runs=8, examples=30))
    assert bootstrap(matrix, 100) == bootstrap(matrix, 100, seed=0)
    assert bootstrap(matrix, 100) != bootstrap(matrix, 100, seed=1)


def test_intervals_hold_the_true_reliability():
    """Over the runs, for the examples at hand: 95 % nominally, a little less with twelve runs that share examples."""
    held, trials = 0, 60
    for seed in range(trials):
        low, high = bootstrap(correlations(signal_and_noise(runs=12, examples=1000, seed=seed)), draws=300)
        assert low < high
        # What many more runs of the same examples give.
        signal = np.random.default_rng(seed).normal(size=1000)
        fresh = signal + np.random.default_rng(10**6 + seed).normal(size=(40, 1000))
        held += low <= between(correlations(fresh)) <= high
    assert held / trials > 0.75


# --- averages over runs ----------------------------------------------------------------------------------------------


def test_disjoint_pairs_use_every_run_once():
    values = np.random.default_rng(0).normal(size=(9, 25))
    found = disjoint_pairs(values)
    assert found == pytest.approx([spearmanr(values[k], values[k + 1]).statistic for k in (0, 2, 4, 6)])
    found = disjoint_pairs(values, average=2)
    means = values[:8].reshape(4, 2, 25).mean(1)
    assert found == pytest.approx([spearmanr(means[k], means[k + 1]).statistic for k in (0, 2)])
    assert len(disjoint_pairs(values, average=4)) == 1
    changed = values.copy()
    changed[8] = 0  # without a partner
    np.testing.assert_array_equal(disjoint_pairs(changed), disjoint_pairs(values))
    with pytest.raises(ValueError, match="9 runs do not make a pair of averages over 5"):
        disjoint_pairs(values, average=5)


def test_averages_may_be_medians():
    values = np.random.default_rng(0).normal(size=(6, 25))
    values[0] *= 1e6
    one, other = (np.median(half, axis=0) for half in (values[:3], values[3:]))
    assert disjoint_pairs(values, 3, np.median) == pytest.approx([spearmanr(one, other).statistic])
    assert disjoint_pairs(values, 3, np.median) != pytest.approx(disjoint_pairs(values, 3))


def test_spearman_brown_by_hand():
    assert spearman_brown(0.5, 1) == 0.5
    assert spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    assert spearman_brown(0.25, 3) == pytest.approx(0.5)
    assert spearman_brown(1.0, 7) == 1
    assert spearman_brown(0.0, 7) == 0
    assert runs_needed(0.25, 0.5) == pytest.approx(3)
    assert runs_needed(0.5, 0.9) == pytest.approx(9)


def test_spearman_brown_predicts_averages_over_runs():
    values = signal_and_noise(runs=80, examples=1500, noise=1.5)
    single = icc(values)
    for runs in (2, 4, 10):
        averages = values.reshape(-1, runs, 1500).mean(1)
        assert icc(averages) == pytest.approx(spearman_brown(single, runs), abs=0.02)
        rank = of_normals(spearman_brown(single, runs))
        assert disjoint_pairs(values, runs).mean() == pytest.approx(rank, abs=0.02)


@settings(max_examples=50, deadline=None)
@given(single=st.floats(0.01, 0.99), wanted=st.floats(0.01, 0.99))
def test_so_many_runs_give_the_reliability_wanted(single, wanted):
    runs = runs_needed(single, wanted)
    assert spearman_brown(single, runs) == pytest.approx(wanted, rel=1e-9)
    assert (runs > 1) == (wanted > single) or wanted == pytest.approx(single)


def test_without_reliability_no_number_of_runs_is_enough():
    assert runs_needed(0.0, 0.5) == runs_needed(-0.2, 0.5) == np.inf
    for wanted in (0.0, 1.0, -0.1, 1.5):
        with pytest.raises(ValueError, match=f"a reliability of {wanted}: give one between 0 and 1"):
            runs_needed(0.5, wanted)


# --- intraclass correlation ------------------------------------------------------------------------------------------


def test_intraclass_correlation_of_a_published_table():
    assert icc(JUDGED) == pytest.approx(0.17, abs=0.005)
    # MSB = 11.24 and MSW = 6.26 there.
    assert icc(JUDGED) == pytest.approx((11.24 - 6.26) / (11.24 + 3 * 6.26), abs=0.001)


def test_intraclass_correlation_at_its_ends():
    assert icc(np.array([[1.0, 2, 3]] * 4)) == 1
    assert icc(np.array([[1.0, 2], [2, 1]])) == -1
    assert icc(3 * JUDGED + 7) == pytest.approx(icc(JUDGED))
    for values in (np.ones((1, 5)), np.ones((5, 1))):
        with pytest.raises(ValueError, match="two or more runs and examples"):
            icc(values)


# --- two scores ------------------------------------------------------------------------------------------------------


def two_scores(rho=0.6, runs=12, examples=4000, shared=0.8, seed=0):
    """Two scores whose signals correlate by rho, and whose noise in one run has a part in common."""
    draw = np.random.default_rng(seed)
    one, fresh = draw.normal(size=(2, examples))
    other = rho * one + np.sqrt(1 - rho**2) * fresh
    common, *own = draw.normal(size=(3, runs, examples))
    return [s + shared * common + 0.5 * noise for s, noise in zip((one, other), own, strict=True)]


def test_the_cross_correlation_is_that_of_different_runs():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 20))
    pairs = [spearmanr(a[r], b[s]).statistic for r in range(3) for s in range(3) if r != s]
    assert cross(a, b) == pytest.approx(np.mean(pairs))
    assert cross(a, a) == pytest.approx(between(correlations(a)))


def test_disattenuated_correlations_are_those_of_the_signals():
    a, b = two_scores()
    true = of_normals(0.6)
    assert disattenuated(a, b) == pytest.approx(true, abs=0.04)
    assert disattenuated(a, -b) == pytest.approx(-true, abs=0.04)
    assert cross(a, b) < true - 0.1  # weakened by noise
    same = correlations(a, b).diagonal().mean()
    assert same > cross(a, b) + 0.15  # and strengthened by what the noise of a run shares
    assert disattenuated(a, np.exp(a)) == pytest.approx(1)


def test_without_reliability_there_is_no_disattenuated_correlation():
    """Of either score, or of both: the product of two negative reliabilities is positive."""
    good = signal_and_noise(runs=2, examples=6)
    bad = np.array([[1.0, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]])
    assert between(correlations(bad)) == -1
    for pair in ((good, bad), (bad, good), (bad, bad)):
        assert np.isnan(disattenuated(*pair))


# --- the common axis -------------------------------------------------------------------------------------------------


def one_factor(scores=6, examples=1500, loading=0.8):
    draw = np.random.default_rng(0)
    return loading * draw.normal(size=examples) + np.sqrt(1 - loading**2) * draw.normal(size=(scores, examples))


def test_components_by_hand():
    """Three scores, two of them in the same order and one against them: one component, with signs."""
    shares, loadings = components(np.array([[1, 2, 3, 4], [10, 20, 30, 99], [4, 3, 2, 1]]))
    np.testing.assert_allclose(shares, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(loadings[0], np.array([1, 1, -1]) / np.sqrt(3))
    np.testing.assert_allclose(loadings @ loadings.T, np.eye(3), atol=1e-12)
    # Two scores of correlation 0.8: shares of (1 + 0.8) / 2 and (1 - 0.8) / 2.
    shares, loadings = components(np.array([[1, 2, 3, 4], [1, 2, 4, 3]]))
    np.testing.assert_allclose(shares, [0.9, 0.1])
    np.testing.assert_allclose(np.abs(loadings), np.sqrt(0.5))
    assert (loadings[0] > 0).all()


def test_components_are_those_of_the_correlation_matrix():
    values = np.random.default_rng(0).normal(size=(5, 60)) @ np.diag(np.arange(1, 61))
    shares, loadings = components(values)
    matrix = correlations(values)
    np.testing.assert_allclose(loadings @ matrix @ loadings.T, np.diag(5 * shares), atol=1e-10)
    assert (np.diff(shares) < 0).all()
    assert shares.sum() == pytest.approx(1)
    assert (loadings.sum(1) >= 0).all()


def test_one_common_factor_makes_one_component_more_than_chance():
    values = one_factor()
    shares, chance = components(values)[0], parallel_analysis(values)
    assert (shares > chance).tolist() == [True] + [False] * 5
    # Equal correlations rho: a first share of (1 + (K - 1) rho) / K.
    assert shares[0] == pytest.approx((1 + 5 * of_normals(0.64)) / 6, abs=0.02)


def test_independent_scores_have_no_component_beyond_chance():
    beyond = []
    for seed in range(40):
        values = np.random.default_rng(seed).normal(size=(5, 200))
        beyond.append(components(values)[0][0] > parallel_analysis(values, draws=60, seed=seed)[0])
    assert np.mean(beyond) < 0.2  # 5 % nominally


def test_chance_is_the_95th_percentile_of_shuffled_scores():
    values = one_factor(scores=3, examples=40)
    found = parallel_analysis(values, draws=4000)
    draw, columns = np.random.default_rng(5), ranks(values)
    shuffled = [components(np.array([draw.permutation(c) for c in columns]))[0] for _ in range(4000)]
    np.testing.assert_allclose(found, np.percentile(shuffled, 95, axis=0), atol=0.01)
    np.testing.assert_array_equal(found, parallel_analysis(values, 4000, seed=0))
    assert (found != parallel_analysis(values, 4000, seed=1)).all()
    np.testing.assert_array_equal(ranks(values), columns)


def test_chance_is_drawn_a_hundred_times_by_default():
    values = one_factor(scores=3, examples=20)
    np.testing.assert_array_equal(parallel_analysis(values), parallel_analysis(values, draws=100, seed=0))


def test_nothing_given_is_changed():
    values = signal_and_noise(runs=4, examples=30)
    before = values.copy()
    for function in (ranks, correlations, icc, disjoint_pairs, components, parallel_analysis):
        function(values)
    reliability.disattenuated(values, values)
    np.testing.assert_array_equal(values, before)
