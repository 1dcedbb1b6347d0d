"""The exact earth mover's distance between two sets of rows, as an assignment of each row of one to a row of the other."""

from __future__ import annotations

import numpy as np

ROWS = 256
"""Rows of each set at most."""


def earth_mover(real: np.ndarray, made: np.ndarray) -> float:
    """W1 = min over permutations s of mean_i |real_i - made_s(i)|_1, of as many rows (n, d) of each; of the first `ROWS`.

    For sets of equal size the optimal transport is a permutation (Birkhoff), so W1 is the value of an assignment problem.
    """
    n = min(len(real), len(made), ROWS)
    cost = np.abs(real[:n, None, :] - made[None, :n, :]).sum(axis=2)
    return float(cost[np.arange(n), assignment(cost)].mean())


def assignment(cost: np.ndarray) -> np.ndarray:
    """The permutation s (n,) with the least sum of cost[i, s(i)], cost (n, n).

    By shortest augmenting paths (Jonker and Volgenant 1987): rows are added one by one, each along the path of least reduced
    cost to a free column, while potentials u_i + v_j <= cost_ij with equality along the assignment prove it optimal.
    O(n^3), of which the innermost loop is one pass of NumPy.
    """
    n = len(cost)
    u, v = np.zeros(n), np.zeros(n)
    row_of = np.full(n, -1)  # of each column
    for row in range(n):
        least, before = np.full(n, np.inf), np.full(n, -1)  # of the paths to each column, and the column before on it
        done = np.zeros(n, bool)
        i, j, length = row, -1, 0.0
        while True:
            reduced = length + cost[i] - u[i] - v
            better = ~done & (reduced < least)
            least[better] = reduced[better]
            before[better] = j
            j = int(np.where(done, np.inf, least).argmin())
            length = float(least[j])
            done[j] = True
            if row_of[j] < 0:
                break
            i = int(row_of[j])
        u[row] += length
        reached = done & (row_of >= 0)
        u[row_of[reached]] += length - least[reached]
        v[done] -= length - least[done]
        while j >= 0:  # flip the path
            i = row if before[j] < 0 else int(row_of[before[j]])
            row_of[j], j = i, int(before[j])
    result = np.empty(n, np.int64)
    result[row_of] = np.arange(n)
    return result
