"""Random numbers as pure functions of (seed, stream, step).

There is no random state: a number depends on nothing else, so a resumed run draws the same numbers as an uninterrupted one.
Every backend draws the same integers and uniforms, and the same normals to rounding (4e-6).

Integers come from Philox-4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the counter-based
generator that NumPy ships, with key = (seed, stream) and counter = (block, step, 0, 0). Uniforms are the top 24 bits of
32-bit words; normals come from pairs of uniforms by Box and Muller (1958):

    r = sqrt(-2 log(1 - u1))        n1 = r cos(2 pi u2)        n2 = r sin(2 pi u2)

`1 - u1` because u1 is in [0, 1), and log(0) must not occur. Numbers are always drawn in float32, so runs in float32 and float64 see
the same noise.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.ops import Array, Ops

# One stream for each use, so that no two uses share a number.
INIT_GENERATOR = 1
INIT_DISCRIMINATOR = 2
LATENT = 3
ORDER = 4
DATA = 5
INTERPOLATION = 6
PREVIEW = 7
SAMPLE = 8
SPLIT = 9
CLASSIFIER = 11
METRIC = 12
EYE = 13
SPOIL = 14
DETECTION = 15


class Noise:
    """Random numbers of one seed, written to arrays that the caller owns; scratch is cached by length.

    >>> a, b = np.empty((2, 3), np.float32), np.empty((2, 3), np.float32)
    >>> Noise(7).normal(a, LATENT, 5)
    >>> Noise(7).normal(b, LATENT, 5)
    >>> bool((a == b).all())
    True

    docs/math.md, "Random numbers".
    """

    def __init__(self, seed: int, ops: Ops | None = None) -> None:
        """ops: the operations that draw the numbers; by default NumPy's, on the host."""
        self.seed = seed
        self.ops = ops or Ops()
        self._philox = np.random.Philox(0)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state
        self._scratch: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def uniform(self, out: Array, stream: int, step: int) -> None:
        """Fill `out` with uniforms on [0, 1)."""
        self.ops.uniform(out, self, stream, step)

    def normal(self, out: Array, stream: int, step: int) -> None:
        """Fill `out` with N(0, 1): Box and Muller on the two halves of a vector of uniforms."""
        self.ops.normal(out, self, stream, step)

    def integers(self, n: int, stream: int, step: int) -> np.ndarray:
        """n raw 64-bit words (a fresh host array)."""
        self._seek(stream, step)
        return self._philox.random_raw(n)

    def permutation(self, n: int, stream: int, step: int) -> np.ndarray:
        """A permutation of range(n): the stable argsort of n raw words (a fresh host array of int64)."""
        words = self.integers(n, stream, step)
        order = np.argsort(
            words
        )  # in less than half the time of a stable sort, with the same result unless two words are equal
        ordered = words[order]
        return np.argsort(words, kind="stable") if (ordered[1:] == ordered[:-1]).any() else order

    def host_uniform(self, n: int, stream: int, step: int) -> np.ndarray:
        """n uniforms, float32, in scratch that the next call overwrites."""
        flat, _ = self.scratch(n)
        self._seek(stream, step)
        self._generator.random(out=flat, dtype=np.float32)
        return flat

    def host_normal(self, n: int, stream: int, step: int) -> np.ndarray:
        """n normal numbers, float32, in scratch that the next call overwrites."""
        half = (n + 1) // 2
        u, s = self.scratch(2 * half)
        r, angle = u[:half], u[half:]
        self._seek(stream, step)
        self._generator.random(out=u, dtype=np.float32)
        np.subtract(1, r, out=r)
        np.log(r, out=r)
        np.multiply(r, -2, out=r)
        np.sqrt(r, out=r)
        np.multiply(angle, np.float32(2 * np.pi), out=angle)
        np.cos(angle, out=s[:half])
        np.sin(angle, out=s[half:])
        np.multiply(s[:half], r, out=s[:half])
        np.multiply(s[half:], r, out=s[half:])
        return s[:n]

    def scratch(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Two float32 vectors of this length, cached."""
        if n not in self._scratch:
            self._scratch[n] = (np.empty(n, np.float32), np.empty(n, np.float32))
        return self._scratch[n]

    def _seek(self, stream: int, step: int) -> None:
        state = self._state
        state["state"]["key"][:] = (self.seed, stream)
        state["state"]["counter"][:] = (0, step, 0, 0)
        state["buffer_pos"] = 4  # forget buffered words
        state["has_uint32"] = 0
        self._philox.state = state
