"""How alike two networks represent the same examples: linear CKA, its angle, disagreement, KL divergence.

A representation is a matrix `[N, p]`, a row an example. Linear CKA (Kornblith et al. 2019) is the cosine between the
centred Gram matrices of two representations. With U-centring (Székely & Rizzo 2014; Song et al. 2012) numerator and
denominator are unbiased: near 0 for unrelated representations however wide they are. U-centred matrices form a linear
space, so the `arccos` of the cosine, Angular CKA (Lange et al. 2022; Williams et al. 2021), is a distance.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from butterfly.stack import blocks
from butterfly.streams import generator

# Entries of Gram matrices held at once, for all representations: 16 MiB in float64, within a cache or near it.
_ENTRIES = 1 << 21
_ROWS = 16  # but not fewer rows than this
_MEDIAN_OF = 1000  # examples at most, drawn at random, whose median distance sets the width of the Gaussian kernel
_LEFT = 1e-12  # share of a squared Gram matrix that centring must leave: what is below is rounding

Kernel = Literal["linear", "gaussian"]


def cka(representations: Sequence[Tensor], debiased: bool = True, kernel: Kernel = "linear") -> Tensor:
    """CKA `[M, M]` between all pairs of representations `[N, p_m]` of the same examples, in float64; linear by default.

    The Gram matrices of all `M` are built and compared a block of rows at a time, so that no `N x N` matrix is held.
    `debiased` centres them by U-centring, which leaves the diagonal out; it may then be slightly below 0. The
    `gaussian` kernel is `exp(-|x - y|^2 / s^2)` with `s` the median distance of all examples, or of 1000 drawn from a
    named stream. A representation that does not vary over the examples (for that kernel: over most of them), whose
    centred Gram matrix is 0, or that is not finite, has no direction: its row and column are NaN.
    """
    points = [_checked(x, len(representations[0])) for x in representations]
    if kernel == "gaussian":
        drawn = torch.randperm(len(points[0]), generator=generator("kernel width"))[:_MEDIAN_OF].to(points[0].device)
        points = [x / torch.pdist(x[drawn]).median() for x in points]
    members, examples = len(points), len(points[0])
    if examples < 4:
        raise ValueError(f"CKA needs at least 4 examples, not {examples}")
    # Sums over all pairs of different examples, and over the rows of each Gram matrix without its diagonal.
    products = points[0].new_zeros(members, members)
    rows, diagonals = points[0].new_zeros(2, members, examples)
    for some in blocks(examples, max(_ROWS, _ENTRIES // (members * examples))):
        width = some.stop - some.start
        gram = points[0].new_empty(members, width, examples - some.start)  # what lies left is its mirror image
        for x, out in zip(points, gram, strict=True):
            if kernel == "linear":
                torch.mm(x[some], x[some.start :].T, out=out)
            else:
                torch.exp(-torch.cdist(x[some], x[some.start :]).square(), out=out)
        diagonal = gram[:, :, :width].diagonal(dim1=1, dim2=2)
        diagonals[:, some] = diagonal
        diagonal.zero_()
        rows[:, some] += gram.sum(2)
        rows[:, some.stop :] += gram[:, :, width:].sum(1)
        gram[:, :, width:] *= 2**0.5  # each entry stands for two
        products += gram.flatten(1) @ gram.flatten(1).T
    if debiased:
        row, total = examples - 2, (examples - 1) * (examples - 2)
    else:
        products += diagonals @ diagonals.T
        rows += diagonals
        row, total = examples, examples**2
    whole = products.diagonal().clone()
    products += torch.outer(rows.sum(1), rows.sum(1)) / total - 2 / row * rows @ rows.T
    squares = products.diagonal()
    norms = torch.where(squares > _LEFT * whole, squares, torch.nan).sqrt()
    return products / torch.outer(norms, norms)


def shape_distances(representations: Sequence[Tensor], angular: bool = True) -> Tensor:
    """Distance `[M, M]` between representations `[N, p_m]` after the best rotation (Williams et al. 2021), in float64.

    Centred and scaled to unit norm, `cos = |X' Y|_*`, the nuclear norm, is their largest inner product over rotations;
    the distance is its `arccos`, or the Euclidean one, `sqrt(2 - 2 cos)`. NaN where a representation does not vary or
    is not finite.
    """
    points = [_checked(x, len(representations[0])) for x in representations]
    points = [x / x.norm() for x in points]
    cosines = points[0].new_full((len(points), len(points)), torch.nan)
    finite = [place for place, x in enumerate(points) if x.isfinite().all()]
    for i in finite:
        for j in finite[finite.index(i) :]:
            cosines[i, j] = cosines[j, i] = torch.linalg.svdvals(points[i].T @ points[j]).sum()
    cosines.clamp_(max=1.0)
    return cosines.arccos() if angular else (2 - 2 * cosines).sqrt()


def angle(similarity: Tensor) -> Tensor:
    """Angular CKA in radians: 0 for the same representation up to rotation and scale, pi / 2 for unrelated ones."""
    return similarity.clamp(-1, 1).arccos()


def disagreement(a: Tensor, b: Tensor) -> Tensor:
    """Share of the examples that two networks put in different classes: logits `[..., N, C]` -> `[...]`."""
    return (a.argmax(-1) != b.argmax(-1)).double().mean(-1)


def kl_divergence(a: Tensor, b: Tensor) -> Tensor:
    """Mean KL divergence in nats from the probabilities of `a` to those of `b`: logits `[..., N, C]` -> `[...]`."""
    log_a, log_b = a.double().log_softmax(-1), b.double().log_softmax(-1)
    return (log_a.exp() * (log_a - log_b)).sum(-1).mean(-1)


def _checked(x: Tensor, examples: int) -> Tensor:
    """A representation as a centred float64 matrix; centring does not change CKA, and keeps its digits."""
    if x.dim() < 2 or len(x) != examples:
        raise ValueError(
            f"a representation is a matrix with a row for each of {examples} examples, not {tuple(x.shape)}"
        )
    x = x.flatten(1).double()
    x = x - x[0]  # what does not vary is then exactly 0, where its mean would be off by rounding
    return x - x.mean(0)
