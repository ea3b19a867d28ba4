"""Geometry from cosines against the same geometry from explicit points on a sphere, closed forms, and brute force."""

from math import isnan, pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from butterfly import geometry
from butterfly.streams import generator

SEEDS = st.integers(0, 10**6)
# The arccos of a cosine one rounding below 1 is 1.5e-8, and dividing by the sine of a short step makes that 1e-6.
near = {"rtol": 0, "atol": 1e-5}


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def points(*shape, name="points"):
    """Random points on the sphere in as many dimensions as the last number of the shape."""
    return unit(torch.randn(*shape, generator=generator(name, *shape), dtype=torch.float64))


def cosines(path):
    return path @ path.mT


def axes(*places, dimensions=3):
    return torch.eye(dimensions, dtype=torch.float64)[list(places)]


def slerp(start, end, fraction):
    """The point at a fraction of the way from one point to another, below 0 and above 1 too."""
    angle = (start @ end).arccos()
    fraction = torch.as_tensor(fraction, dtype=torch.float64)[..., None]
    return (torch.sin((1 - fraction) * angle) * start + torch.sin(fraction * angle) * end) / torch.sin(angle)


def direction(at, to):
    """Unit tangent at one point of the geodesic to another: the logarithm on the sphere without its length."""
    return unit(to - (at * to).sum(-1, keepdim=True) * at)


def angle(one, other):
    return (one * other).sum(-1).clamp(-1, 1).arccos()


def project(point, start, end):
    return geometry.projection(point @ start, point @ end, start @ end)


# --- paths -----------------------------------------------------------------------------------------------------------


def test_lengths_and_angles_are_those_of_the_points():
    path, target = points(6, 4), points(4, name="target")
    c = cosines(path)
    arcs = angle(path[:-1], path[1:])
    torch.testing.assert_close(geometry.steps(c), arcs)
    torch.testing.assert_close(geometry.length(c), arcs.sum())
    torch.testing.assert_close(geometry.chord(c), angle(path[0], path[-1]))
    torch.testing.assert_close(geometry.tortuosity(c), arcs.sum() / angle(path[0], path[-1]))
    back, on = direction(path[1:-1], path[:-2]), direction(path[1:-1], path[2:])
    torch.testing.assert_close(geometry.inner_angles(c), angle(back, on))
    on = direction(path[:-1], path[1:])
    torch.testing.assert_close(geometry.angles_to(c, path @ target), angle(on, direction(path[:-1], target)))


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, arcs=st.lists(st.floats(0.05, 0.5), min_size=2, max_size=6))
def test_a_great_circle_is_straight(seed, arcs):
    start, end = points(2, 7, name=f"circle{seed}")
    places = torch.tensor([0.0, *arcs], dtype=torch.float64).cumsum(0)
    c = cosines(slerp(start, end, places / (start @ end).arccos()))
    torch.testing.assert_close(geometry.steps(c), torch.tensor(arcs, dtype=torch.float64), **near)
    assert float(geometry.length(c)) == pytest.approx(sum(arcs), abs=1e-6)
    assert float(geometry.chord(c)) == pytest.approx(sum(arcs), abs=1e-6)
    assert float(geometry.tortuosity(c)) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(geometry.inner_angles(c), torch.full((len(arcs) - 1,), pi).double(), **near)


def test_a_path_beyond_half_the_circle_has_a_shorter_chord():
    places = torch.linspace(0, 1.5 * pi, 7, dtype=torch.float64)
    c = cosines(torch.stack([places.cos(), places.sin()], 1))
    assert float(geometry.length(c)) == pytest.approx(1.5 * pi)
    assert float(geometry.chord(c)) == pytest.approx(0.5 * pi)
    assert float(geometry.tortuosity(c)) == pytest.approx(3)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_from_axis_to_axis_every_step_is_a_right_angle_and_so_is_every_turn(count):
    c = cosines(axes(*range(count), dimensions=count))
    right = torch.tensor(pi / 2, dtype=torch.float64)
    torch.testing.assert_close(geometry.steps(c), right.expand(count - 1))
    torch.testing.assert_close(geometry.length(c), (count - 1) * right)
    torch.testing.assert_close(geometry.chord(c), right)
    torch.testing.assert_close(geometry.tortuosity(c), torch.tensor(count - 1.0).double())
    torch.testing.assert_close(geometry.inner_angles(c), right.expand(count - 2))


@settings(max_examples=20, deadline=None)
@given(one=st.floats(0.1, 1.5), other=st.floats(0.1, 1.5))
def test_two_steps_at_a_right_angle_obey_the_pythagoras_of_the_sphere(one, other):
    x, y, z = axes(0, 1, 2)
    corner = slerp(x, y, one / (pi / 2))
    c = cosines(torch.stack([x, corner, slerp(corner, z, other / (pi / 2))]))
    chord = (torch.tensor(one).double().cos() * torch.tensor(other).double().cos()).arccos()
    torch.testing.assert_close(geometry.chord(c), chord)
    torch.testing.assert_close(geometry.tortuosity(c), (one + other) / chord)
    torch.testing.assert_close(geometry.inner_angles(c), torch.tensor([pi / 2]).double(), **near)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, count=st.integers(2, 8), dimensions=st.integers(2, 9))
def test_no_path_is_shorter_than_its_chord(seed, count, dimensions):
    c = cosines(points(count, dimensions, name=f"path{seed}"))
    assert geometry.tortuosity(c) >= 1 - 1e-9
    torch.testing.assert_close(geometry.length(c), geometry.length(c.flip(0, 1)))


def test_cosines_a_rounding_beyond_1_are_no_distance():
    found = geometry.arc(torch.tensor([1 + 1e-15, -1 - 1e-15], dtype=torch.float64))
    assert found.tolist() == [0.0, pi]


# --- angles ----------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, dimensions=st.integers(3, 9))
def test_angles_are_between_directions_on_the_sphere(seed, dimensions):
    at, one, other = points(3, dimensions, name=f"triangle{seed}")
    found = geometry.angle_between(at @ one, at @ other, one @ other)
    torch.testing.assert_close(found, angle(direction(at, one), direction(at, other)), **near)


def test_a_triangle_of_three_axes_has_three_right_angles():
    none = torch.zeros((), dtype=torch.float64)
    assert float(geometry.angle_between(none, none, none)) == pytest.approx(pi / 2)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_steps_straight_to_a_target_and_away_from_it(seed):
    start, target = points(2, 6, name=f"to{seed}")
    path = slerp(start, target, [0.0, 0.2, 0.5, 0.7])
    to, away = geometry.angles_to(cosines(path), path @ target), geometry.angles_to(cosines(path), path @ start)
    torch.testing.assert_close(to, torch.zeros(3).double(), **near)
    torch.testing.assert_close(away[1:], torch.full((2,), pi).double(), **near)


def test_a_step_across_the_way_to_a_target_is_no_progress():
    x, y, z = axes(0, 1, 2)
    for size in (0.1, 0.4, 0.9):
        path = torch.stack([x, slerp(x, y, size)])
        for target in (z, slerp(x, z, 0.3)):
            found = geometry.angles_to(cosines(path), path @ target)
            torch.testing.assert_close(found, torch.tensor([pi / 2]).double(), **near)


# --- projection ------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, apart=st.floats(0.1, 1.5), fraction=st.floats(-1, 2, allow_subnormal=False))
def test_a_point_on_the_geodesic_is_found_at_its_fraction(seed, apart, fraction):
    """Before the start too, and beyond the end."""
    start, other = points(2, 5, name=f"ends{seed}")
    end = slerp(start, other, apart / (start @ other).arccos())
    found, off = project(slerp(start, end, fraction), start, end)
    assert float(found) == pytest.approx(fraction, abs=1e-6)
    assert float(off) == pytest.approx(0, abs=1e-6)


def test_the_ends_are_at_0_and_1_and_beyond_is_more():
    start, end = points(2, 5)
    found = [float(project(slerp(start, end, f), start, end)[0]) for f in (0.0, 1.0, 1.1, -0.1)]
    assert found[:2] == pytest.approx([0, 1])
    assert found[2] > 1
    assert found[3] < 0


def test_the_midpoint_of_two_axes():
    z, x = axes(2, 0)
    middle = slerp(z, x, 0.5)
    torch.testing.assert_close(middle, torch.tensor([1.0, 0.0, 1.0]).double() / 2**0.5)
    fraction, off = project(middle, z, x)
    assert (float(fraction), float(off)) == pytest.approx((0.5, 0), abs=1e-7)


def test_a_point_above_the_geodesic_lies_off_by_its_height():
    x, y, z = axes(0, 1, 2)
    for height in (0.1, 0.5, 0.9):
        fraction, off = project(slerp(slerp(x, y, 0.3), z, height), x, y)
        assert (float(fraction), float(off)) == pytest.approx((0.3, height * pi / 2))
    assert float(project(z, x, y)[1]) == pytest.approx(pi / 2)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, dimensions=st.integers(3, 8))
def test_no_point_of_the_great_circle_is_nearer_than_the_projection(seed, dimensions):
    point, start, end = points(3, dimensions, name=f"projected{seed}")
    fraction, off = project(point, start, end)
    turns = torch.linspace(-pi, pi, 1001, dtype=torch.float64)
    circle = turns.cos()[:, None] * start + turns.sin()[:, None] * direction(start, end)
    assert (angle(circle, point) >= off - 1e-9).all()
    torch.testing.assert_close(angle(slerp(start, end, fraction), point), off, **near)


# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function", [geometry.steps, geometry.length, geometry.chord, geometry.tortuosity, geometry.inner_angles]
)
def test_a_batch_of_paths_gives_what_each_gives_alone(function):
    c = cosines(points(2, 3, 5, 7))
    alone = torch.stack([torch.stack([function(one) for one in row]) for row in c])
    torch.testing.assert_close(function(c), alone, rtol=0, atol=0)


def test_a_batch_of_targets_and_of_points_gives_what_each_gives_alone():
    paths, targets = points(4, 5, 7), points(4, 7, name="targets")
    c, to = cosines(paths), (paths @ targets[:, :, None]).squeeze(2)
    alone = torch.stack([geometry.angles_to(one, target) for one, target in zip(c, to, strict=True)])
    torch.testing.assert_close(geometry.angles_to(c, to), alone)
    fraction, off = geometry.projection(c[:, 1:-1, 0], c[:, 1:-1, -1], c[:, :1, -1])
    for i in range(4):
        for j in range(3):
            one = project(paths[i, j + 1], paths[i, 0], paths[i, -1])
            torch.testing.assert_close(torch.stack([fraction[i, j], off[i, j]]), torch.stack(one))


# --- distances between paths -----------------------------------------------------------------------------------------


def apart(one, other):
    """Distances between all points of two paths."""
    return geometry.arc(one @ other.mT)


def alignments(rows, columns):
    """Every way to go from the first pair of points to the last, on by one in either path or in both."""
    if rows == columns == 1:
        return [[(0, 0)]]
    before = [(rows - 1, columns), (rows, columns - 1), (rows - 1, columns - 1)]
    return [[*way, (rows - 1, columns - 1)] for r, c in before if r and c for way in alignments(r, c)]


def test_the_distance_of_paths_is_the_mean_at_equal_depth():
    one, other = points(2, 6, 4), points(2, 6, 4, name="other")
    expected = torch.stack([angle(a, b).mean() for a, b in zip(one, other, strict=True)])
    torch.testing.assert_close(geometry.path_distance(apart(one, other)), expected)


def test_there_are_as_many_alignments_as_delannoy_counted():
    assert [len(alignments(n, n)) for n in (1, 2, 3, 4)] == [1, 3, 13, 63]


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_warping_finds_the_best_of_all_alignments(seed, rows, columns):
    distances = torch.rand(rows, columns, generator=generator("warp", seed), dtype=torch.float64)
    best = min(alignments(rows, columns), key=lambda way: sum(float(distances[at]) for at in way))
    expected = sum(float(distances[at]) for at in best) / len(best)
    assert geometry.warped_distance(distances) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, rows=st.integers(1, 7), columns=st.integers(1, 7))
def test_warping_does_not_mind_which_path_comes_first(seed, rows, columns):
    one, other = points(rows, 4, name=f"one{seed}"), points(columns, 4, name=f"other{seed}")
    distances = apart(one, other)
    assert geometry.warped_distance(distances) == pytest.approx(geometry.warped_distance(distances.T), rel=1e-9)


def test_parallel_paths_are_not_warped():
    """Every point is nearest to the one at its depth, so no alignment has a smaller total than the diagonal."""
    x, y, z = axes(0, 1, 2)
    path = slerp(x, y, torch.linspace(0, 1, 6))
    beside = torch.stack([slerp(point, z, 0.1) for point in path])
    distances = apart(path, beside)
    assert (distances.argmin(1) == torch.arange(6)).all()
    assert float(geometry.path_distance(distances)) == pytest.approx(0.05 * pi)
    assert geometry.warped_distance(distances) == pytest.approx(0.05 * pi)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, repeats=st.lists(st.integers(1, 3), min_size=1, max_size=5))
def test_lingering_at_points_does_not_change_a_path(seed, repeats):
    path = points(len(repeats), 4, name=f"path{seed}")
    slow = path.repeat_interleave(torch.tensor(repeats), 0)
    assert geometry.warped_distance(apart(path, slow)) == pytest.approx(0, abs=1e-7)
    assert geometry.warped_distance(apart(slow, path)) == pytest.approx(0, abs=1e-7)


def test_a_path_of_one_point_is_as_far_as_the_mean_of_the_other():
    path, point = points(5, 4), points(1, 4, name="one")
    distances = apart(path, point)
    assert geometry.warped_distance(distances) == pytest.approx(float(distances.mean()))


def test_equally_good_alignments_and_lost_points():
    tied = torch.tensor([[2.0, 1, 0, 0], [2, 1, 2, 1], [1, 0, 1, 0]])
    assert geometry.warped_distance(tied) == geometry.warped_distance(tied.T)
    tied[0, 0] = torch.nan
    assert isnan(geometry.warped_distance(tied))
