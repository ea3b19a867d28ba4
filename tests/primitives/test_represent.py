"""Representation measures against their definitions, closed forms, and the laws of a distance."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist, squareform

from butterfly import represent
from butterfly.streams import generator


def random(*shape, name="rep"):
    return torch.randn(*shape, generator=generator(name, *shape), dtype=torch.float64)


def textbook(x, y):
    """Biased CKA with whole Gram matrices and the centring matrix, as in Kornblith et al., in numpy."""
    h = np.eye(len(x)) - 1 / len(x)
    first, second = (h @ (z @ z.T).numpy() @ h for z in (x, y))
    return np.trace(first @ second) / np.sqrt(np.trace(first @ first) * np.trace(second @ second))


def u_statistic(first, second):
    """HSIC by its definition: a mean over all ordered quadruples of different examples."""
    places = permutations(range(len(first)), 4)
    return np.mean([first[i, j] * (second[i, j] + second[q, r] - 2 * second[i, q]) for i, j, q, r in places])


def test_biased_cka_is_the_textbook_formula_and_a_published_value():
    x, y = random(30, 5), random(30, 80)
    found = represent.cka([x, y], debiased=False)
    np.testing.assert_allclose(found[0, 1], textbook(x, y), rtol=1e-12)
    i = torch.arange(12.0, dtype=torch.float64)[:, None]
    sines, cosines = torch.sin(i + 1 + 2 * torch.arange(3)), torch.cos(0.5 * i * (torch.arange(5) + 1))
    # Computed with two other programs for these inputs, which need no random numbers.
    assert float(represent.angle(represent.cka([sines, cosines], debiased=False))[0, 1]) == pytest.approx(
        1.228865, abs=1e-6
    )


def test_debiased_cka_is_the_u_statistic_over_quadruples():
    x, y = random(7, 3), random(7, 4) + 2.0
    first, second = ((z @ z.T).numpy() for z in (x, y))
    expected = u_statistic(first, second) / np.sqrt(u_statistic(first, first) * u_statistic(second, second))
    np.testing.assert_allclose(represent.cka([x, y])[0, 1], expected, rtol=1e-10)


def test_unrelated_wide_representations_look_alike_only_when_biased():
    several = [random(50, 500, name=f"rep{k}") for k in range(12)]
    off = ~torch.eye(12, dtype=torch.bool)
    assert represent.cka(several, debiased=False)[off].mean() > 0.85
    assert abs(represent.cka(several)[off].mean()) < 0.02


@pytest.mark.parametrize("debiased", [True, False])
def test_cka_of_a_shared_part_has_a_closed_form(debiased):
    """x = (s, a), y = (s, b), all coordinates independent and of variance 1: CKA tends to p_s / sqrt(p_x p_y)."""
    shared, a, b = random(4000, 3, name="s"), random(4000, 2, name="a"), random(4000, 6, name="b")
    found = represent.cka([torch.cat([shared, a], 1), torch.cat([shared, b], 1)], debiased)[0, 1]
    assert float(found) == pytest.approx(3 / np.sqrt(5 * 9), abs=0.02)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), debiased=st.booleans())
def test_angular_cka_is_a_distance_blind_to_rotation_scale_and_shift(seed, debiased):
    x, y, z = (random(20, width, name=f"{seed}/{width}") for width in (3, 5, 9))
    q, _ = torch.linalg.qr(random(5, 5, name=f"{seed}/q"))
    points = [x, y, z, 2.5 * y @ q + 7.0]
    d = represent.angle(represent.cka(points, debiased))
    torch.testing.assert_close(d, d.T)
    assert (d.diagonal() < 1e-6).all()
    assert float(d[1, 3]) < 1e-6
    torch.testing.assert_close(d[0, 1], d[0, 3])
    assert d[0, 2] <= d[0, 1] + d[1, 2] + 1e-9


def test_blocks_do_not_change_the_result(monkeypatch):
    points = [random(61, 4), random(61, 9), random(61, 2, 3)]
    for debiased in (True, False):
        whole = represent.cka(points, debiased)
        with monkeypatch.context() as patch:
            patch.setattr(represent, "_ENTRIES", 0)
            patch.setattr(represent, "_ROWS", 7)
            torch.testing.assert_close(represent.cka(points, debiased), whole, rtol=1e-12, atol=1e-12)


def test_faults_are_named():
    with pytest.raises(ValueError, match="a row for each of 9 examples"):
        represent.cka([random(9, 2), random(8, 2)])
    with pytest.raises(ValueError, match="at least 4"):
        represent.cka([random(3, 2)])
    for lost in (torch.ones(9, 3), random(9, 2) / 0, torch.full((9, 2), torch.nan)):
        found = represent.cka([random(9, 2), lost])
        assert found.isnan().tolist() == [[False, True], [True, True]]


@pytest.mark.parametrize("kernel", ["linear", "gaussian"])
@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1])
@pytest.mark.parametrize("examples", [9, 333])
def test_constant_features_have_no_direction(kernel, debiased, value, examples):
    """Also where their mean is off by a rounding, so that they seem to lie apart from it."""
    constant = torch.full((examples, 3), value, dtype=torch.float64)
    found = represent.cka([random(examples, 4), constant, 3 * constant[:, :1]], debiased, kernel)
    assert found[0, 0] == pytest.approx(1)
    assert found[1:].isnan().all()
    assert found[:, 1:].isnan().all()
    assert represent.shape_distances([random(examples, 4), constant])[0, 1].isnan()


def test_examples_all_equally_far_apart_have_no_direction_once_the_diagonal_is_left_out():
    apart = torch.eye(10)
    found = represent.cka([random(10, 3), apart, 3 * apart])
    assert found[1:].isnan().all()
    assert represent.cka([random(10, 3), apart], debiased=False).isfinite().all()


def test_disagreement_and_divergence_by_hand():
    a = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
    b = torch.tensor([[[0.0, 2.0], [0.0, 3.0]]])
    assert represent.disagreement(a, b).tolist() == [0.5]
    p, q = a.double().softmax(-1), b.double().softmax(-1)
    by_hand = (p * (p / q).log()).sum(-1).mean(-1)
    torch.testing.assert_close(represent.kl_divergence(a, b), by_hand)
    # The divergence of a Bernoulli(3/4) from a fair coin.
    coin = torch.tensor([[[3.0, 1.0]]]).log(), torch.zeros(1, 1, 2)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert float(represent.kl_divergence(*coin)) == pytest.approx(expected, abs=1e-6)
    assert represent.kl_divergence(a, a).tolist() == [0.0]


# --- Gaussian kernel -------------------------------------------------------------------------------------------------


def gaussian_gram(x):
    """`exp(-|x - y|^2 / s^2)`, `s` the median of the distances: one of them, as 30 examples have an odd number."""
    distances = pdist(x.numpy())
    return np.exp(-((squareform(distances) / np.median(distances)) ** 2))


def centred(gram):
    h = np.eye(len(gram)) - 1 / len(gram)
    return h @ gram @ h


def u_centred(gram):
    """Székely & Rizzo (2014), definition 2, entry by entry for a matrix without its diagonal."""
    n = len(gram)
    gram = gram - np.diag(np.diag(gram))
    rows, total = gram.sum(1), gram.sum()
    found = gram - rows[:, None] / (n - 2) - rows[None, :] / (n - 2) + total / ((n - 1) * (n - 2))
    return found - np.diag(np.diag(found))


def cosine(a, b):
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


@pytest.mark.parametrize(("debiased", "centring"), [(False, centred), (True, u_centred)])
def test_gaussian_cka_is_the_textbook_formula(debiased, centring):
    several = [random(30, 5), random(30, 80) + 3.0, 0.01 * random(30, 2), random(30, 4, 3)]
    found = represent.cka(several, debiased, kernel="gaussian")
    grams = [centring(gaussian_gram(x.flatten(1))) for x in several]
    np.testing.assert_allclose(found, [[cosine(a, b) for b in grams] for a in grams], rtol=1e-9, atol=1e-12)


def test_debiased_gaussian_cka_is_the_u_statistic_over_quadruples():
    first, second = gaussian_gram(random(7, 3)), gaussian_gram(random(7, 4))
    expected = u_statistic(first, second) / np.sqrt(u_statistic(first, first) * u_statistic(second, second))
    found = represent.cka([random(7, 3), random(7, 4)], kernel="gaussian")[0, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(("debiased", "centring"), [(False, centred), (True, u_centred)])
def test_linear_cka_is_the_default_and_the_textbook_formula(debiased, centring):
    x, y = random(30, 5), random(30, 80) + 3.0
    expected = cosine(*(centring((z @ z.T).numpy()) for z in (x, y)))
    np.testing.assert_allclose(represent.cka([x, y], debiased)[0, 1], expected, rtol=1e-10)
    assert torch.equal(represent.cka([x, y], debiased, kernel="linear"), represent.cka([x, y], debiased))
    if not debiased:
        np.testing.assert_allclose(expected, textbook(x, y), rtol=1e-10)


def near_and_far(half):
    """Two representations whose second half of examples lies ten times as far apart as the first."""
    x, y = random(2 * half, 5), random(2 * half, 8)
    x[half:] *= 10
    return x, y


def test_the_order_of_the_examples_does_not_change_gaussian_cka():
    x, y = near_and_far(500)
    found = represent.cka([x, y, x.square()], kernel="gaussian")
    backwards = represent.cka([x.flip(0), y.flip(0), x.flip(0).square()], kernel="gaussian")
    torch.testing.assert_close(backwards, found, rtol=1e-9, atol=1e-12)


def test_a_random_sample_sets_the_width_of_the_kernel_for_many_examples(monkeypatch):
    x, _ = near_and_far(500)
    z = x.square()
    whole = cosine(*(u_centred(gaussian_gram(points)) for points in (x, z)))
    monkeypatch.setattr(represent, "_MEDIAN_OF", 250)
    some = represent.cka([x, z], kernel="gaussian")
    assert float(some[0, 1]) == pytest.approx(whole, abs=0.05)  # about 0.1 lower from the first 250
    assert torch.equal(represent.cka([x, z], kernel="gaussian"), some)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    debiased=st.booleans(),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-10, 10, allow_subnormal=False),
)
def test_gaussian_cka_is_blind_to_rotation_shift_and_scale(seed, debiased, scale, shift):
    x, y, z = (random(20, width, name=f"{seed}/{width}") for width in (3, 5, 9))
    q, _ = torch.linalg.qr(random(5, 5, name=f"{seed}/q"))
    d = represent.angle(represent.cka([x, y, z, scale * (y @ q + shift)], debiased, kernel="gaussian"))
    torch.testing.assert_close(d, d.T)
    assert (d.diagonal() < 1e-6).all()
    assert float(d[1, 3]) < 1e-6
    torch.testing.assert_close(d[:, 1], d[:, 3], rtol=1e-7, atol=1e-6)
    assert d[0, 2] <= d[0, 1] + d[1, 2] + 1e-9


def test_blocks_do_not_change_gaussian_cka(monkeypatch):
    several = [random(61, 4), random(61, 9), random(61, 2, 3)]
    for debiased in (True, False):
        whole = represent.cka(several, debiased, kernel="gaussian")
        with monkeypatch.context() as patch:
            patch.setattr(represent, "_ENTRIES", 0)
            patch.setattr(represent, "_ROWS", 7)
            found = represent.cka(several, debiased, kernel="gaussian")
        torch.testing.assert_close(found, whole, rtol=1e-9, atol=1e-9)


def test_the_gaussian_kernel_sees_what_the_linear_one_cannot():
    """The square of a normal number is uncorrelated with the number, and a function of it."""
    x = random(1000, 1)
    kernels = {kernel: float(represent.cka([x, x.square()], kernel=kernel)[0, 1]) for kernel in ("linear", "gaussian")}
    assert abs(kernels["linear"]) < 0.05
    assert kernels["gaussian"] > 0.2


# --- shape distances -------------------------------------------------------------------------------------------------


def procrustes(x, y):
    """Angle and Euclidean distance after the best rotation, found and carried out by scipy on padded matrices."""
    width = max(x.shape[1], y.shape[1])
    x, y = (np.pad(z, ((0, 0), (0, width - z.shape[1]))) for z in (x.numpy(), y.numpy()))
    x, y = (z - z.mean(0) for z in (x, y))
    x, y = (z / np.linalg.norm(z) for z in (x, y))
    rotated = x @ orthogonal_procrustes(x, y)[0]
    return np.arccos(min((rotated * y).sum(), 1)), np.linalg.norm(rotated - y)


def test_shape_distances_are_those_after_the_best_rotation():
    several = [random(30, 5) + 2.0, random(30, 5, name="second"), 7 * random(30, 8), random(30, 40), random(30, 1)]
    expected = np.array([[procrustes(x, y) for y in several] for x in several])
    np.testing.assert_allclose(represent.shape_distances(several), expected[:, :, 0], rtol=1e-9, atol=1e-7)
    found = represent.shape_distances(several, angular=False)
    np.testing.assert_allclose(found, expected[:, :, 1], rtol=1e-9, atol=1e-7)


def test_no_other_rotation_brings_shapes_nearer():
    x, y = random(30, 4), random(30, 4, name="other")
    found = float(represent.shape_distances([x, y], angular=False)[0, 1])
    x, y = ((z - z.mean(0)) / (z - z.mean(0)).norm() for z in (x, y))
    rotations = torch.linalg.qr(random(200, 4, 4)).Q
    assert ((x @ rotations - y).flatten(1).norm(dim=1) >= found).all()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    angular=st.booleans(),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-10, 10, allow_subnormal=False),
)
def test_shape_distances_are_metrics_blind_to_rotation_shift_and_scale(seed, angular, scale, shift):
    x, y, z = (random(12, width, name=f"{seed}/{width}") for width in (3, 5, 9))
    q, _ = torch.linalg.qr(random(5, 5, name=f"{seed}/q"))
    d = represent.shape_distances([x, y, z, scale * (y @ q + shift)], angular)
    assert torch.equal(d, d.T)
    assert (d.diagonal() < 1e-6).all()
    assert float(d[1, 3]) < 1e-6
    torch.testing.assert_close(d[:, 1], d[:, 3], rtol=1e-7, atol=1e-6)
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-6).all()
    assert (d[[0, 0, 1], [1, 2, 2]] > 0.1).all()


def test_shape_distances_have_closed_forms():
    """Orthogonal columns: the nuclear norm of a diagonal matrix is the sum of its entries."""
    waves = torch.linalg.qr(torch.cat([torch.ones(20, 1).double(), random(20, 3)], 1)).Q[:, 1:]  # centred, orthonormal
    one, two = waves[:, :1], waves[:, :2]
    found = represent.shape_distances([one, two, waves, waves[:, 2:] * 3.0])
    # The cosine to k of its own n directions is sqrt(k / n).
    by_hand = {(0, 1): 1 / 2, (0, 2): 1 / 3, (1, 2): 2 / 3, (2, 3): 1 / 3, (0, 3): 0}
    for place, squared in by_hand.items():
        assert float(found[place].cos()) == pytest.approx(squared**0.5, abs=1e-12)
    torch.testing.assert_close(
        represent.shape_distances([one, two], angular=False)[0, 1] ** 2, 2 - 2 * found[0, 1].cos()
    )


def test_faults_in_shapes_are_named():
    with pytest.raises(ValueError, match="a row for each of 9 examples"):
        represent.shape_distances([random(9, 2), random(8, 2)])


def test_shapes_of_lost_representations_are_nan():
    for lost in (torch.ones(9, 3), random(9, 2) / 0):
        found = represent.shape_distances([random(9, 2), lost, random(9, 4)])
        assert found.isnan().tolist() == [[False, True, False], [True, True, True], [False, True, False]]
