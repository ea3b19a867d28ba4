"""Networks as paths: every layer a point on a sphere, all geometry from the cosines between the points.

Directions of (centred) Gram matrices lie on a unit sphere, where Angular CKA is the distance. A network is a path: its
input, its layers in order, its logits; the one-hot targets are one more point (Lange et al. 2022, arXiv 2206.10999).
Everything below is a function of the matrix of cosines `[..., L, L]` between the points of a path, as `represent.cka`
gives it, so no point is ever written down.
"""

import math

import torch
from torch import Tensor


def steps(cosines: Tensor) -> Tensor:
    """Length of every step of a path `[..., L - 1]`, in radians: from each point to the next."""
    return arc(cosines.diagonal(1, -2, -1))


def arc(cosines: Tensor) -> Tensor:
    """Length of the arc between points with these cosines."""
    return cosines.clamp(-1, 1).arccos()


def length(cosines: Tensor) -> Tensor:
    """Length of the whole path `[...]`."""
    return steps(cosines).sum(-1)


def chord(cosines: Tensor) -> Tensor:
    """Distance from the first point to the last `[...]`."""
    return arc(cosines[..., 0, -1])


def tortuosity(cosines: Tensor) -> Tensor:
    """Length over chord `[...]`: 1 for a geodesic, more for a winding path."""
    return length(cosines) / chord(cosines)


def angle_between(to_one: Tensor, to_other: Tensor, across: Tensor) -> Tensor:
    """Angle at a point between the geodesics to two others, from the cosines to each and between them.

    The spherical law of cosines: `cos A = (across - to_one * to_other) / (sin sin)`.
    """
    sines = (1 - to_one.square()).clamp_min(0).sqrt() * (1 - to_other.square()).clamp_min(0).sqrt()
    return ((across - to_one * to_other) / sines).clamp(-1, 1).arccos()


def inner_angles(cosines: Tensor) -> Tensor:
    """Angle at every inner point between the ways back and on `[..., L - 2]`: pi where the path is straight."""
    back, on = cosines.diagonal(1, -2, -1)[..., :-1], cosines.diagonal(1, -2, -1)[..., 1:]
    return angle_between(back, on, cosines.diagonal(2, -2, -1))


def angles_to(cosines: Tensor, target: Tensor) -> Tensor:
    """Angle of each step to the direction of a target `[..., L - 1]`; `target [..., L]` are the cosines to it.

    0 goes straight there, pi / 2 is no progress.
    """
    on = cosines.diagonal(1, -2, -1)
    return angle_between(on, target[..., :-1], target[..., 1:])


def projection(to_start: Tensor, to_end: Tensor, start_to_end: Tensor) -> tuple[Tensor, Tensor]:
    """Where a point falls on the geodesic between two others, and how far from it the point lies.

    From the cosines of the point to both ends, and of the ends. With `u` the unit tangent at the start towards the end,
    the nearest point lies at the arc `atan2(<p, u>, <p, start>)`, given as a fraction of the whole: 0 at the start, 1
    at the end, beyond outside. The distance is `arccos` of the length of the point's part in that plane.
    """
    along = (to_end - to_start * start_to_end) / (1 - start_to_end.square()).sqrt()
    fraction = torch.atan2(along, to_start) / arc(start_to_end)
    return fraction, arc((along.square() + to_start.square()).sqrt())


def path_distance(distances: Tensor) -> Tensor:
    """Distance between two paths of equal order `[...]`: the mean of `distances [..., L, L]` at equal depth."""
    return distances.diagonal(0, -2, -1).mean(-1)


def warped_distance(distances: Tensor) -> float:
    """Distance between paths of any lengths: the mean over the best alignment of their points, order kept.

    Dynamic time warping on `distances [L, L']`; both begin and end together. Of equally good alignments the shortest.
    """
    if distances.isnan().any():
        return math.nan
    rows, columns = distances.shape
    total = torch.full((rows + 1, columns + 1), torch.inf, dtype=torch.float64)
    count = torch.zeros(rows + 1, columns + 1)
    total[0, 0] = 0
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            before = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda at: (float(total[at]), int(count[at])))
            total[i, j], count[i, j] = total[before] + distances[i - 1, j - 1], count[before] + 1
    return float(total[-1, -1] / count[-1, -1])
