"""Representation measures against their definitions, closed forms, and the laws of a distance."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
