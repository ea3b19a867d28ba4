"""Association tests and fingerprints: against scipy, on simulated traits, and where there is nothing to find."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from butterfly import association
from butterfly.association import (
    answers,
    associate,
    clump,
    discoveries,
    identify,
    inflation,
    permutation_p,
    shuffled,
    variance_split,
)


def nothing(architectures=4, runs=5, examples=2000, seed=0, freedom=6.0):
    """Runs that do not differ between architectures; variances differ between examples, as the prior supposes."""
    draw = np.random.default_rng(seed)
    sd = np.sqrt(freedom / draw.chisquare(freedom, examples))
    return draw.normal(size=examples) + sd * draw.normal(size=(architectures, runs, examples))


def traits(planted=100, size=3.0, **rest):
    """The same, with architecture means that differ for the first `planted` examples."""
    values = nothing(**rest)
    values[:, :, :planted] += size * np.random.default_rng(99).normal(size=(len(values), 1, planted))
    return values


# --- the test of each example ----------------------------------------------------------------------------------------


def ordinary(values):
    """One-way analysis of variance of each example: F, mean square within, degrees of freedom."""
    groups, runs, _ = values.shape
    f = stats.f_oneway(*values).statistic
    return f, values.var(axis=1, ddof=1).mean(0), groups * (runs - 1)


@pytest.mark.parametrize("shape", [(2, 2, 300), (4, 5, 300), (3, 10, 300)])
def test_moderated_f_is_that_of_scipy_with_the_variance_shrunk_as_smyth_says(shape):
    values = traits(planted=30, architectures=shape[0], runs=shape[1], examples=shape[2], freedom=3.0)
    f, within, d = ordinary(values)
    # Smyth (2004), section 6.2: the moments of log variances give the prior.
    e = np.log(within) - digamma(d / 2) + np.log(d / 2)
    d0 = 2 * brentq(lambda x: polygamma(1, x) - e.var(ddof=1) + polygamma(1, d / 2), 1e-3, 1e6)
    s0 = np.exp(e.mean() + digamma(d0 / 2) - np.log(d0 / 2))
    shrunk = (d0 * s0 + d * within) / (d0 + d)
    found = associate(values)
    np.testing.assert_allclose(found.f, f * within / shrunk, rtol=1e-6)
    np.testing.assert_allclose(found.p, stats.f.sf(f * within / shrunk, shape[0] - 1, d0 + d), rtol=1e-6)
    np.testing.assert_allclose(found.eta_squared, f * (shape[0] - 1) / (f * (shape[0] - 1) + d), rtol=1e-9)


def test_examples_of_equal_variance_share_it():
    """Residuals of one size: no prior is too strong, and F has infinitely many degrees of freedom within."""
    residuals, d = np.array([[-1.0, 0, 1], [1, -1, 0]])[:, :, None], 4
    means = np.array([[0.0, 1, 2, 0], [0, 0, -2, 7]])[:, None]
    found = associate(residuals + means)
    within = 4 / d
    typical = within * np.exp(-digamma(d / 2)) * d / 2
    f = 3 * np.array([0, 0.5, 8, 24.5]) / typical
    np.testing.assert_allclose(found.f, f)
    np.testing.assert_allclose(found.p, stats.chi2.sf(f, 1), atol=1e-15)
    between = 3 * np.array([0, 0.5, 8, 24.5])
    np.testing.assert_allclose(found.eta_squared, between / (between + 4))
    three = associate(np.concatenate([residuals + means, residuals[:1] + means[:1]]))
    np.testing.assert_allclose(three.p, stats.chi2.sf(2 * three.f, 2), atol=1e-15)


def test_with_many_runs_the_test_is_that_of_scipy():
    values = traits(planted=200, size=0.3, architectures=3, runs=400, examples=300, freedom=10.0)
    plain, found = stats.f_oneway(*values), associate(values)
    np.testing.assert_allclose(found.f, plain.statistic, rtol=0.03)
    np.testing.assert_allclose(found.p, plain.pvalue, rtol=0.3, atol=1e-4)


def test_few_runs_gain_power_from_the_other_examples():
    values = traits(architectures=3, runs=2, examples=2000, planted=200, freedom=20.0)
    ours, plain = (discoveries(p)[:200].sum() for p in (associate(values).p, stats.f_oneway(*values).pvalue))
    assert ours > 2 * plain


@pytest.mark.parametrize(("d0", "s0"), [(4.0, 1.0), (10.0, 0.01), (30.0, 100.0)])
@pytest.mark.parametrize("freedom", [4, 20])
def test_the_prior_of_simulated_variances_is_recovered(d0, s0, freedom):
    draw = np.random.default_rng(0)
    true = s0 * d0 / draw.chisquare(d0, 40000)
    found = association._variance_prior(true * draw.chisquare(freedom, 40000) / freedom, freedom)
    assert found == pytest.approx((d0, s0), rel=0.15)


@pytest.mark.parametrize("value", [1e-6, 1e-3, 0.1, 1.0, 10.0, 1e4])
def test_the_trigamma_function_is_inverted(value):
    assert polygamma(1, association._inverse_trigamma(value)) == pytest.approx(value, rel=1e-9)


def test_p_values_are_uniform_where_there_is_nothing():
    found = associate(nothing(examples=6000))
    assert stats.kstest(found.p, "uniform").pvalue > 0.01
    assert inflation(found.p) == pytest.approx(1, abs=0.1)
    assert discoveries(found.p).sum() <= 2
    assert found.eta_squared.mean() == pytest.approx(3 / 19, abs=0.01)  # (A - 1) / (A R - 1)


def test_a_level_shared_by_all_runs_or_a_scale_of_all_values_changes_no_p_value():
    values = traits(examples=300)
    found = associate(values)
    for changed in (1000 * values, values + np.arange(300)):
        other = associate(changed)
        np.testing.assert_allclose(other.p, found.p, rtol=1e-6, atol=1e-300)
        np.testing.assert_allclose(other.eta_squared, found.eta_squared, rtol=1e-6)


def test_the_share_of_variance_by_hand():
    """Means of 0 and 4, residuals of -1 and 1: 16 between, 4 within."""
    values = np.array([[[-1.0], [1.0]], [[3.0], [5.0]]]) + np.zeros(4)
    values[:, :, 1] = [[-1, 1], [1, -1]]
    values[:, :, 2] = [[0, 0], [2, 2]]
    found = associate(np.concatenate([values, np.random.default_rng(0).normal(size=(2, 2, 10))], axis=2))
    np.testing.assert_allclose(found.eta_squared[:4], [16 / 20, 0, 1, 16 / 20])


@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 3, 1e6 + 0.1])
@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (2, 7)])
def test_constant_examples_are_no_discoveries_unless_their_means_differ(level, shape):
    values = nothing(*shape, examples=200)
    values[:, :, :50] = level
    values[:, :, 50:60] = level
    values[0, :, 50:60] += 50
    found = associate(values)
    assert (found.f[:50] == 0).all()
    assert (found.p[:50] == 1).all()
    assert (found.eta_squared[:50] == 0).all()
    assert np.isfinite(found.f).all()
    assert discoveries(found.p)[50:60].all()
    np.testing.assert_allclose(found.eta_squared[50:60], 1)
    assert not discoveries(found.p)[60:].any()
    # Examples without variance do not take part in the prior.
    np.testing.assert_allclose(found.p[60:], associate(values[:, :, 60:]).p, rtol=1e-9)


def test_faulty_values_are_refused():
    for shape in ((1, 5, 9), (5, 1, 9)):
        with pytest.raises(ValueError, match=f"two or more architectures and runs, not {shape[0]} and {shape[1]}"):
            associate(np.random.default_rng(0).normal(size=shape))
    values = np.ones((2, 3, 9))
    values[:, :, :2] = np.random.default_rng(0).normal(size=(2, 3, 2))
    with pytest.raises(ValueError, match="fewer than three examples vary at all"):
        associate(values)


# --- many tests ------------------------------------------------------------------------------------------------------


def test_discoveries_by_hand():
    """Sorted p-values against 0.01, 0.02, 0.03, 0.04, 0.05: the largest below its bound takes all before it along."""
    p = np.array([0.5, 0.029, 0.001, 0.025, 0.06])
    assert discoveries(p).tolist() == [False, True, True, True, False]
    assert discoveries(p, 0.01).tolist() == [False, False, True, False, False]
    assert discoveries(np.array([0.05])).tolist() == [True]
    assert not discoveries(np.ones(3)).any()


def test_false_discoveries_are_controlled_and_true_ones_found():
    rates = []
    for seed in range(10):
        found = discoveries(associate(traits(seed=seed)).p)
        rates.append(found[100:].sum() / found.sum())
        assert found[:100].mean() > 0.7
    assert np.mean(rates) < 0.07


def test_inflation_is_1_for_uniform_p_values_and_more_for_small_ones():
    p = (np.arange(999) + 0.5) / 999
    assert inflation(p) == pytest.approx(1, rel=1e-6)
    assert inflation(np.full(9, stats.chi2.sf(2 * stats.chi2.median(1), 1))) == pytest.approx(2)
    assert inflation(associate(traits(planted=2000)).p) > 5


def test_shuffling_deals_whole_runs_anew():
    values = nothing(3, 4, 7)
    dealt = shuffled(values, seed=1)
    assert dealt.shape == values.shape
    rows = {tuple(row) for row in values.reshape(12, 7)}
    assert {tuple(row) for row in dealt.reshape(12, 7)} == rows
    assert not np.array_equal(dealt, values)
    np.testing.assert_array_equal(dealt, shuffled(values, seed=1))
    assert not np.array_equal(dealt, shuffled(values, seed=2))
    crossed = [{tuple(row) for row in group} for group in values]
    assert all({tuple(row) for row in group} not in crossed for group in dealt)


def test_shuffled_architectures_and_two_halves_of_one_have_no_association():
    values = traits(planted=600)
    assert discoveries(associate(values).p).sum() > 400
    assert np.mean([discoveries(associate(shuffled(values, seed)).p).sum() for seed in range(10)]) < 3
    one = traits(planted=600, runs=20)[0]
    for seed in range(5):
        halves = np.random.default_rng(seed).permutation(one).reshape(2, 10, -1)
        found = associate(halves)
        assert discoveries(found.p).sum() <= 2
        assert inflation(found.p) == pytest.approx(1, abs=0.2)


def test_permutation_p_values_are_never_0_and_agree_with_the_test():
    values = traits(planted=60, examples=300, runs=4)
    found, p = permutation_p(values, 300), associate(values).p
    assert found.min() == pytest.approx(1 / 301)
    assert found.max() <= 1
    assert stats.spearmanr(found, p).statistic > 0.93
    np.testing.assert_allclose(found * 301, np.round(found * 301))
    np.testing.assert_array_equal(found, permutation_p(values, 300, seed=0))


def test_permutation_p_values_of_some_do_not_feel_the_association_of_others():
    """Shuffled, associated examples vary widely within architectures; that must not make all others look better."""
    for planted in (0, 250):
        p = permutation_p(traits(planted=planted, examples=500, runs=4), 200)[planted:]
        assert stats.kstest(p, "uniform").pvalue > 0.01
        assert (p <= 0.05).mean() < 0.1


def test_a_permutation_p_value_by_hand(monkeypatch):
    """Three draws, of which 0, 1, 2, 3 do as well as what was observed or better."""
    draws = iter([[9, 9, 9, 9], [1, 10, 10, 9], [1, 1, 10, 9], [1, 1, 1, 10]])

    def scripted(values):
        f = np.array(next(draws), dtype=float)
        return association.Association(f, f, f)

    monkeypatch.setattr(association, "associate", scripted)
    np.testing.assert_array_equal(permutation_p(np.zeros((2, 2, 4)), 3), [1 / 4, 2 / 4, 3 / 4, 4 / 4])


def test_the_same_deal_is_as_good_as_the_deal_observed():
    """Of the deals of two runs each to two architectures, a third is the one observed."""
    found = permutation_p(nothing(2, 2, examples=300), 600)
    assert found.min() == pytest.approx(1 / 3, abs=0.06)


# --- shares of variance ----------------------------------------------------------------------------------------------


def components_of_variance(example, interaction, run, shape=(8, 6, 4000), seed=0):
    draw = np.random.default_rng(seed)
    groups, _, examples = shape
    parts = [draw.normal(size=s) for s in ((1, 1, examples), (groups, 1, examples), shape)]
    return sum(np.sqrt(size) * part for size, part in zip((example, interaction, run), parts, strict=True))


@pytest.mark.parametrize("sizes", [(4.0, 1.0, 1.0), (1.0, 3.0, 6.0), (0.0, 1.0, 1.0), (1.0, 0.0, 3.0), (0.0, 0.0, 1.0)])
def test_known_components_of_variance_are_recovered(sizes):
    values = components_of_variance(*sizes)
    # The level of a run plays no part.
    found = variance_split(values + 5 * np.random.default_rng(1).normal(size=(8, 6, 1)))
    assert list(found) == ["example", "architecture x example", "run"]
    np.testing.assert_allclose(list(found.values()), np.array(sizes) / sum(sizes), atol=0.02)
    np.testing.assert_allclose(list(found.values()), list(variance_split(values).values()), rtol=1e-9)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= 0


def test_components_of_variance_by_hand():
    """Two architectures, two runs, two examples. Without run means every run is +a or -a: a of 3, 1 and 0, 0."""
    values = np.array([[[3.0, -3.0], [1.0, -1.0]], [[0.0, 0.0], [0.0, 0.0]]]) + np.array(
        [[[7.0], [1.0]], [[2.0], [0.0]]]
    )
    run = 4 * 1 / (2 * 1 * 1)  # deviations of 1 from cells of +-2 and 0
    interaction = 4 * 1 / (1 * 1) - run / 2  # cells deviate by 1 from the mean of +-1
    example = 2 - interaction / 2 - run / 4  # the variance of +1 and -1
    sizes = np.array([example, interaction, run])
    np.testing.assert_allclose(list(variance_split(values).values()), np.maximum(sizes, 0) / np.maximum(sizes, 0).sum())


def test_a_component_below_0_counts_as_0():
    """The same runs twice: architectures differ less than their runs would make them, by -2 beside 8 and 4."""
    values = np.array([[[3.0, -3.0], [1.0, -1.0]]] * 2)
    np.testing.assert_allclose(list(variance_split(values).values()), [8 / 12, 0, 4 / 12], atol=1e-15)


def test_estimates_of_components_are_unbiased_for_small_designs():
    """Few architectures, runs and examples: the mean over many such tables has the true proportions."""
    tables = components_of_variance(6.0, 3.0, 2.0, shape=(3, 2, 8000)).reshape(3, 2, 1000, 8)
    tables = tables + np.random.default_rng(2).normal(size=(3, 2, 1000, 1))
    found = np.mean([list(variance_split(tables[:, :, k]).values()) for k in range(1000)], axis=0)
    np.testing.assert_allclose(found, np.array([6, 3, 2]) / 11, atol=0.05)


# --- choosing examples -----------------------------------------------------------------------------------------------


def test_clumping_passes_over_copies_and_keeps_the_order():
    values, p = nothing(3, 20, 6), np.array([0.3, 0.01, 0.02, 0.001, 0.5, 0.4])
    values[:, :, 2] = 5 - 2 * values[:, :, 1]  # the same example, upside down
    values[:, :, 5] = values[:, :, 3]
    assert clump(values, p, 4).tolist() == [3, 1, 0, 4]
    assert clump(values, p, 2).tolist() == [3, 1]
    assert clump(values, p, 9).tolist() == [3, 1, 0, 4]
    assert clump(values, p, 9, limit=1.1).tolist() == [3, 1, 2, 0, 5, 4]
    assert clump(values, np.zeros(6), 9).tolist() == [0, 1, 3, 4]  # of equals the first
    assert clump(nothing(3, 20, 90), np.arange(90) // 30 == 0, 90, limit=1.1).tolist() == [*range(30, 90), *range(30)]


def test_clumping_looks_at_runs_not_at_architectures():
    """Examples that architectures shift alike are different ones as long as their runs vary apart."""
    values = nothing(3, 30, 4)
    values += 100 * np.arange(3)[:, None, None]
    assert clump(values, np.arange(4) / 9, 4).tolist() == [0, 1, 2, 3]


def test_clumping_compares_with_all_that_were_chosen_and_with_the_square():
    draw = np.random.default_rng(0)
    basis = np.linalg.qr(draw.normal(size=(40, 4)) - 0)[0]
    basis -= basis.reshape(2, 20, 4).mean(1).repeat(20, axis=0)
    basis = np.linalg.qr(basis)[0]
    columns = [basis[:, 0], basis[:, 1], 0.5 * basis[:, 0] + np.sqrt(0.75) * basis[:, 2]]
    columns += [-0.4 * basis[:, 1] + np.sqrt(0.84) * basis[:, 3], np.zeros(40)]
    values = np.stack(columns, axis=1).reshape(2, 20, 5)  # correlations of 0.5 with the first, -0.4 with the second
    p = np.arange(5) / 10
    assert clump(values, p, 5).tolist() == [0, 1, 3, 4]
    assert clump(values, p, 5, limit=0.26).tolist() == [0, 1, 2, 3, 4]
    assert clump(values, p, 5, limit=0.15).tolist() == [0, 1, 4]


# --- naming the architecture -----------------------------------------------------------------------------------------

METHODS = ["centroid", "logistic"]


@pytest.mark.parametrize("method", METHODS)
def test_separable_architectures_are_named(method):
    draw = np.random.default_rng(0)
    centres = 6 * np.eye(4)[:, None]
    fit, test = (centres + draw.normal(size=(4, runs, 4)) for runs in (5, 9))
    found = identify(fit, test, method)
    assert found.shape == (4, 9)
    assert found.dtype == bool
    assert found.mean() > 0.95
    # Runs that carry another architecture's name are not recognised, and only those.
    swapped = test.copy()
    swapped[[1, 2]] = test[[2, 1]]
    named = answers(fit, swapped, method)
    np.testing.assert_array_equal(named == np.arange(4)[:, None], identify(fit, swapped, method))
    assert [np.bincount(row).argmax() for row in named] == [0, 2, 1, 3]
    assert identify(fit, swapped, method).mean(1).tolist() == pytest.approx([1, 0, 0, 1], abs=0.25)


@pytest.mark.parametrize("method", METHODS)
def test_features_are_standardised_on_the_fitted_runs(method):
    """A feature of huge size and no meaning does not drown a small one; a shift of all test runs is not taken out."""
    draw = np.random.default_rng(0)
    fit, test = (np.stack([draw.normal(size=(2, 20)), 1e6 * draw.normal(size=(2, 20))], axis=2) for _ in range(2))
    for values in (fit, test):
        values[1, :, 0] += 8
    assert identify(fit, test, method).mean() > 0.95
    shifted = test + np.array([100.0, 0])
    assert identify(fit, shifted, method).mean(1).tolist() == [0, 1]


def test_the_nearest_centroid_is_the_mean_nearest_to_a_run():
    draw = np.random.default_rng(0)
    fit, test = np.arange(1, 4) * draw.normal(size=(3, 6, 3)), np.arange(1, 4) * draw.normal(size=(3, 50, 3))
    fit[0] *= 4
    mean, sd = fit.mean((0, 1)), fit.std((0, 1))
    centroids = ((fit - mean) / sd).mean(1)
    distances = np.linalg.norm(((test - mean) / sd)[:, :, None] - centroids, axis=3)
    np.testing.assert_array_equal(answers(fit, test, "centroid"), distances.argmin(2))


@pytest.mark.parametrize("method", METHODS)
def test_pure_noise_is_named_by_chance(method):
    draw = np.random.default_rng(0)
    found = [identify(draw.normal(size=(3, 8, 3)), draw.normal(size=(3, 60, 3)), method).mean() for _ in range(8)]
    assert np.mean(found) == pytest.approx(1 / 3, abs=0.08)


@pytest.mark.parametrize("method", METHODS)
def test_examples_chosen_on_other_runs_name_architectures_but_neither_halves_nor_shuffled_ones(method):
    values = traits(runs=24, examples=400, planted=40, size=1.0)

    def accuracy(runs):
        choose, fit, test = np.split(runs, 3, axis=1)
        best = clump(choose, associate(choose).p, 5)
        return identify(fit[:, :, best], test[:, :, best], method).mean()

    assert accuracy(values) > 0.8
    assert np.mean([accuracy(shuffled(values, seed)) for seed in range(3)]) == pytest.approx(1 / 4, abs=0.15)
    halves = [one.reshape(2, 12, -1) for one in values[:3]]
    assert np.mean([accuracy(one) for one in halves]) == pytest.approx(1 / 2, abs=0.2)


def test_the_penalty_is_chosen_from_as_many_folds_as_there_are_runs():
    draw = np.random.default_rng(0)
    for runs in (2, 3, 6):
        values = 9 * np.arange(3)[:, None, None] + draw.normal(size=(3, runs, 1))
        assert identify(values, values, "logistic").mean() > 0.6


def test_nothing_given_is_changed():
    values = traits(examples=200, planted=20)
    before = values.copy()
    p = associate(values).p
    permutation_p(values, 3)
    variance_split(values)
    clump(values, p, 5)
    shuffled(values, 0)
    for method in METHODS:
        identify(values[:, :3, :4], values[:, 3:, :4], method)
    np.testing.assert_array_equal(values, before)
