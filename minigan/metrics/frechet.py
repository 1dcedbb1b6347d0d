"""Frechet distance and kernel distance: how far apart two sets of features are, as distributions.

Both are 0 for equal distributions. The Frechet distance sees means and covariances only, and is biased upwards by small
sets, so sets of one size are compared. The kernel distance sees third moments too and is unbiased, so it can be
negative.
"""

from __future__ import annotations

import math

from minigan.backends import Array, Ops
from minigan.metrics.neighbours import in_blocks


def frechet_distance(a: Array, b: Array, backend: Ops) -> float:
    """Frechet distance between Gaussians with the moments of a (n, d) and b (m, d), n, m >= 2 (Heusel et al. 2017).

        |mu_a - mu_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)

    A, B the covariances. A^1/2 B A^1/2 is symmetric, so its eigenvalues come from `eigvalsh`; those that rounding made
    negative count as 0. (The general matrix square root of A B, which is often used, can fail or come out complex.)
    With fewer samples than features, A = X^T X and B = Y^T Y for the centred rows X, Y over sqrt(n - 1), sqrt(m - 1),
    and its eigenvalues other than 0 are those of the smaller matrix (X Y^T)(X Y^T)^T.
    """
    xp = backend.xp
    mean_a, mean_b = a.mean(axis=0, dtype=xp.float64), b.mean(axis=0, dtype=xp.float64)
    X, Y = (a - mean_a) / math.sqrt(len(a) - 1), (b - mean_b) / math.sqrt(len(b) - 1)
    if min(len(a), len(b)) < a.shape[1]:
        cross = X @ Y.T if len(a) <= len(b) else Y @ X.T
        product = cross @ cross.T
    else:
        values, vectors = xp.linalg.eigh(X.T @ X)
        root = (vectors * xp.sqrt(xp.maximum(values, 0))) @ vectors.T
        product = root @ (Y.T @ Y) @ root
    eigenvalues = xp.linalg.eigvalsh((product + product.T) / 2)
    shift, variance = mean_a - mean_b, (X * X).sum() + (Y * Y).sum()
    return float(shift @ shift + variance - 2 * xp.sqrt(xp.maximum(eigenvalues, 0)).sum())


def kernel_distance(a: Array, b: Array, backend: Ops, *, within_b: float | None = None) -> float:
    """Kernel (inception) distance of a (n, d) and b (m, d), n, m >= 2: the unbiased squared MMD (Binkowski et al. 2018).

        k(x, y) = (x . y / d + 1)^3
        sum_{i != j} k(a_i, a_j) / n(n-1)  +  sum_{i != j} k(b_i, b_j) / m(m-1)  -  2 sum_ij k(a_i, b_j) / nm

    Over all pairs, not over random subsets: no luck is involved. within_b: `within(b, backend)`, where it is known.
    """
    own = within(b, backend) if within_b is None else within_b
    return within(a, backend) + own - 2 * _sum(a, b, backend) / (len(a) * len(b))


def within(x: Array, backend: Ops) -> float:
    """The mean kernel of all pairs of different rows of x (n, d)."""
    xp, n = backend.xp, len(x)
    own = float(_cubed(xp.einsum("ij,ij->i", x, x), x.shape[1]).sum())
    return (_sum(x, x, backend) - own) / (n * (n - 1))


def _sum(a: Array, b: Array, backend: Ops) -> float:
    """sum_ij k(a_i, b_j), in blocks."""
    d = a.shape[1]
    return math.fsum(in_blocks(lambda rows: float(_cubed(a[rows] @ b.T, d).sum()), len(a), max(b.shape), backend))


def _cubed(products: Array, d: int) -> Array:
    """(p / d + 1)^3; overwrites p."""
    products /= d
    products += 1
    cubes = products * products  # much quicker than a power
    cubes *= products
    return cubes
