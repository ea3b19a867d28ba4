"""Milestones: crossings worked out by hand, by `numpy.interp`, and what never comes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from butterfly.milestones import at_levels, crossings, read, root_looks


def test_a_crossing_lies_on_the_line_between_two_looks():
    curve = np.array([1.0, 0.6, 0.2, 0.4, 0.1])
    found = crossings(curve, [1.5, 1.0, 0.8, 0.6, 0.3, 0.1, 0.05])
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1.75, 4, np.nan])


def test_only_the_first_crossing_counts():
    assert crossings(np.array([1.0, 0.0, 1.0, 0.0]), [0.5])[0] == 0.5


def test_rising_curves_are_falling_ones_upside_down():
    curve = np.array([[0.1, 0.9], [0.5, 0.2], [0.7, 0.1]])
    np.testing.assert_allclose(crossings(curve, [0.6, 0.05], rising=True), [[1.5, 0], [0, 0]])
    np.testing.assert_allclose(crossings(-curve, [-0.6]), crossings(curve, [0.6], rising=True))


def test_every_curve_of_a_stack_has_its_own_crossing_and_its_own_values():
    curves = np.array([[[1.0, 1.0]], [[0.0, 0.8]], [[0.0, 0.0]]])  # [T, 1, 2]
    values = np.arange(3.0)[:, None, None, None] * np.array([[[1.0, 10.0]], [[2.0, 20.0]]]).swapaxes(0, 1)[None]
    assert values.shape == (3, 1, 2, 2)
    found = at_levels(values, curves, [0.5, 0.4])
    assert found.shape == (2, 1, 2, 2)
    np.testing.assert_allclose(found[0, 0], [[0.5, 5.0], [2 * 1.375, 20 * 1.375]])
    np.testing.assert_allclose(found[1, 0, 1], [2 * 1.5, 20 * 1.5])


@given(
    arrays(float, (6, 3), elements=st.floats(-10, 10, allow_subnormal=False)),
    st.floats(0, 5, allow_subnormal=False),
    st.floats(0, 5, allow_subnormal=False),
)
def test_reading_is_interpolation(values, one, other):
    places = np.array([[one, other, math.nan]])
    found = read(values, places)
    for column, place in enumerate((one, other)):
        assert found[0, column] == pytest.approx(np.interp(place, range(6), values[:, column]), abs=1e-9)
    assert math.isnan(found[0, 2])


@given(arrays(float, 8, elements=st.floats(0, 1, allow_subnormal=False)), st.floats(0, 1, allow_subnormal=False))
def test_a_curve_read_at_its_own_crossing_is_the_level(curve, level):
    (found,) = at_levels(curve, curve, [level])
    if curve.min() > level:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(min(level, curve[0]), abs=1e-9)


def test_what_is_lost_never_arrives_and_what_comes_back_arrives_with_its_look():
    curves = np.array([[1.0, 1.0], [np.nan, np.inf], [np.nan, 0.2]])
    np.testing.assert_allclose(crossings(curves, [0.5]), [[np.nan, 2]])
    assert math.isnan(crossings(np.array([1.0, -np.inf]), [0.5])[0])


def test_a_look_itself_is_read_whatever_comes_after():
    assert read(np.array([1.0, 2.0, np.nan]), np.array([1.0])) == 2.0


def test_no_levels_no_readings():
    assert at_levels(np.zeros((4, 2, 3)), np.zeros((4, 2)), []).shape == (0, 2, 3)


def test_places_of_another_stack_are_refused():
    with pytest.raises(ValueError, match="cannot be read at places"):
        read(np.zeros((4, 2)), np.zeros((1, 3)))


def test_looks_are_even_in_the_root_of_time():
    assert root_looks(100, 11) == [0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100]
    assert root_looks(4, 40) == [0, 1, 2, 3, 4]
