"""What lines of text are like: which letters stand together and how often, how long lines are, and how many are new.

Lines are places in an alphabet (n, length), int64; `end` is the end sign's, which stands behind each line that is shorter.
"""

from __future__ import annotations

import numpy as np


def grams_apart(made: np.ndarray, real: np.ndarray, n: int, end: int) -> float:
    """The total variation distance of the shares of all runs of n neighbours, from 0 for equal shares to 1 where none is met in
    both. The ends of a line are neighbours too.

    1/2 sum_g |p(g) - q(g)|
    """
    (a, counts_a), (b, counts_b) = (np.unique(_grams(codes, n, end), return_counts=True) for codes in (made, real))
    known = np.union1d(a, b)
    p, q = np.zeros(len(known)), np.zeros(len(known))
    p[np.searchsorted(known, a)] = counts_a / counts_a.sum()
    q[np.searchsorted(known, b)] = counts_b / counts_b.sum()
    return float(np.abs(p - q).sum() / 2)


def _grams(codes: np.ndarray, n: int, end: int) -> np.ndarray:
    """Every run of n neighbours, as a number for each: of letters, and for n > 1 of the end signs before and behind each line."""
    ends = 0 if n == 1 else 1
    length = lengths(codes, end) + 2 * ends
    codes = np.pad(codes, ((0, 0), (ends, ends)), constant_values=end)
    runs = max(0, codes.shape[1] - n + 1)
    numbers = np.zeros((len(codes), runs), np.int64)
    for i in range(n):
        numbers = numbers * (end + 1) + codes[:, i : i + runs]
    return numbers[np.arange(runs) + n <= length[:, None]]


def lengths(codes: np.ndarray, end: int) -> np.ndarray:
    """Characters of each line (n,)."""
    return (codes != end).sum(axis=1)


def lengths_apart(made: np.ndarray, real: np.ndarray, end: int) -> float:
    """The earth mover's distance of the lengths of lines, in characters: the area between the shares of lines up to a length."""
    upto = [
        np.cumsum(np.bincount(lengths(codes, end), minlength=codes.shape[1] + 1)) / len(codes) for codes in (made, real)
    ]
    return float(np.abs(upto[0] - upto[1]).sum())


def lines(codes: np.ndarray) -> list[bytes]:
    """Each line as bytes, equal for equal lines."""
    return [line.tobytes() for line in np.ascontiguousarray(codes, np.int32)]


def distinct(codes: np.ndarray) -> float:
    """How many different lines there are, over how many lines."""
    return len(set(lines(codes))) / len(codes)
