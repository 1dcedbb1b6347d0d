"""What a table is like column by column and pair by pair: shapes, tails, correlations, and how values are written.

Neighbourhoods of whole rows overlook a column that is a little wrong: they are computed from all columns at once.
"""

from __future__ import annotations

import math

import numpy as np

from minigan.data.columns import Category, Column, Number
from minigan.data.spaces.table import Rows

TAIL = 0.025
"""The share of real values in each tail of a column."""

LEAST = 40
"""Real values in all tails below which their number is chance."""

FEW, RARE, SEEN = 50, 0.1, 10
"""Most values of a column of categories; a category is lost below such a share of its rows, if it has so many real ones."""

REPEATED = 0.5
"""Share of values that are met again in other real rows, from which a column counts as one of whole numbers, categories or few
decimals."""


def shapes(space: Rows, real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """How far each column of generated rows (m, size) is from that of real ones (n, size), from 0 to 1: (k,), k columns that vary.

    Numbers: the Kolmogorov-Smirnov distance, the largest difference of the shares of rows up to a value; or, where it is more, the
    difference of the shares of missing cells.  Categories: the total variation distance, half of sum_l |p_l - q_l|.
    """
    result = []
    for column, part in typed(space):
        a, b = real[:, part], made[:, part]
        if isinstance(column, Category):
            p, q = (np.bincount(column.places(x), minlength=len(column.levels)) / len(x) for x in (a, b))
            result.append(float(np.abs(p - q).sum() / 2))
            continue
        gone = [x[:, 1] > 0.5 if x.shape[1] == 2 else np.zeros(len(x), bool) for x in (a, b)]
        there = [np.sort(x[~g, 0]) for x, g in zip((a, b), gone, strict=True)]
        distance = _distance(*there) if all(map(len, there)) else 0.0
        result.append(max(distance, float(abs(gone[0].mean() - gone[1].mean()))))
    return np.array(result)


def typed(space: Rows) -> list[tuple[Column, slice]]:
    """The columns that vary and where their values lie; values without a kind are numbers."""
    if not space.schema:
        return [(Number(name), slice(j, j + 1)) for j, name in enumerate(space.columns)]
    return [(column, part) for column, part in zip(space.schema, space.slices, strict=True) if column.width]


def spread_out(space: Rows, training: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rows x (k, size) in which the range of training values of a number, or another category, is a distance of 1 in L1.

    One-hot values are halved, because two of them change (Jolicoeur-Martineau et al. 2024, arXiv 2309.09968, section 4).
    """
    result = np.empty(x.shape)
    for column, part in typed(space):
        if isinstance(column, Category):
            result[:, part] = x[:, part] / min(column.width, 2)
        else:
            low, high = training[:, part].min(axis=0), training[:, part].max(axis=0)
            result[:, part] = (x[:, part] - low) / np.where(high > low, high - low, 1)
    return result


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    values = np.concatenate([a, b])
    upto = (np.searchsorted(rows, values, side="right") / len(rows) for rows in (a, b))
    return float(np.abs(next(upto) - next(upto)).max())


def correlations(real: np.ndarray, made: np.ndarray) -> float:
    """The largest difference of Pearson's correlation of two columns; 0 of a constant one.

    r_ij = sum_k x_ki x_kj / sqrt(sum_k x_ki^2 sum_k x_kj^2),    x centred
    """
    return float(np.abs(_correlation(real) - _correlation(made)).max())


def _correlation(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=0)
    length = np.linalg.norm(x, axis=0)
    # what rounding leaves of a constant column is no direction
    x = np.divide(x, length, out=np.zeros_like(x), where=length > 1e-9 * np.sqrt(len(x)))
    result = x.T @ x
    np.fill_diagonal(result, 1)
    return result


def associations(space: Rows, x: np.ndarray) -> np.ndarray:
    """How strongly each two columns of rows x (n, size) go together, from 0 to 1: (k, k), for k columns that vary.

    Two numbers: |r|, Pearson's.  A number and a category: sqrt(between-level variance / variance), the correlation ratio.
    Two categories: Cramer's V = sqrt(chi^2 / n / (min(a, b) - 1)).  All three are sqrt(trace of the squared canonical
    correlations / their number), of numbers centred and of levels as 0 and 1: so one formula does for all.

        A = U_a S V'    U_a an orthonormal basis of the centred block    value = |U_a' U_b| / sqrt(min(rank a, rank b))
    """
    bases = []
    for part in _parts(space):
        block = x[:, part].astype(np.float64)
        block = block - block.mean(axis=0)
        u, s, _ = np.linalg.svd(block, full_matrices=False)
        rounding = 8 * np.finfo(np.float64).eps * float(np.abs(x[:, part]).max())
        bases.append(u[:, s > rounding * math.sqrt(len(x))])
    result = np.zeros((len(bases), len(bases)))
    for i, a in enumerate(bases):
        for j, b in enumerate(bases[: i + 1]):
            rank = min(a.shape[1], b.shape[1])
            result[i, j] = result[j, i] = np.linalg.norm(a.T @ b) / math.sqrt(rank) if rank else 0.0
    return np.minimum(result, 1.0)


def _parts(space: Rows) -> list[slice]:
    """Where the values of each column lie, without those that say that a cell is missing."""
    return [slice(part.start, part.stop - (column.missing is not None)) for column, part in typed(space)]


def tails(real: np.ndarray, made: np.ndarray) -> float:
    """How many values lie in the tails of real columns, over how many should: 1 for equal distributions, 0 where tails are cut.

    A tail is what lies beyond the TAIL quantile, at either end; of the columns that have one, the mean. nan where fewer than
    LEAST real values lie in all of them.
    """
    low, high = np.quantile(real, [TAIL, 1 - TAIL], axis=0)
    should, have = (((x < low).mean(axis=0), (x > high).mean(axis=0)) for x in (real, made))
    expected, found = np.concatenate(should), np.concatenate(have)
    counted = expected > TAIL / 2
    enough = expected[counted].sum() * len(real) >= LEAST
    return float((found[counted] / expected[counted]).mean()) if enough else float("nan")


def familiar(training: np.ndarray, real: np.ndarray, made: np.ndarray) -> float:
    """The share of values that training rows have too, of columns where they repeat: whole numbers, categories, few decimals.

    Those are the columns of which at least half of the real values are found among the training rows. nan without any.
    """
    shares = []
    for t, r, m in zip(training.T, real.T, made.T, strict=True):
        known = np.unique(t)
        if np.isin(r, known).mean() >= REPEATED:
            shares.append(np.isin(m, known).mean())
    return float(np.mean(shares)) if shares else float("nan")


def lost(real: np.ndarray, made: np.ndarray) -> float:
    """The share of real rows whose category is lost, of the column with most; nan where no column has few values.

    A category is a value of a column of at most FEW, and lost where less than a tenth of its rows are made.
    """
    shares = []
    for r, m in zip(real.T, made.T, strict=True):
        values, counts = np.unique(r, return_counts=True)
        if len(values) <= FEW:
            found = (m[:, None] == values).sum(axis=0) * (len(r) / len(m))
            shares.append(counts[(counts >= SEEN) & (found < RARE * counts)].sum() / len(r))
    return float(max(shares)) if shares else float("nan")
