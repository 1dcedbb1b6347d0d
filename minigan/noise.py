"""Random numbers as pure functions of (seed, stream, step).

There is no random state: the value depends on nothing else, so a resumed run draws what an uninterrupted one would
have drawn. Every backend draws the same integers and uniforms, and the same normals to rounding (4e-6).

Integers come from Philox-4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the counter-based
generator that NumPy ships, with key = (seed, stream) and counter = (block, step, 0, 0). Uniforms are the top 24 bits of
32-bit words; normals come from pairs of uniforms by Box and Muller (1958):

    r = sqrt(-2 log(1 - u1))        n1 = r cos(2 pi u2)        n2 = r sin(2 pi u2)

`1 - u1` because u1 can be 0 and can not be 1. The numbers are drawn in float32 whatever the precision of training, so
float32 and float64 runs see the same noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backend import Array, Backend

# One stream per use, so that no two uses ever share a number.
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


class Noise:
    """Draws into caller-owned arrays; scratch is kept per length.

    >>> from minigan.backend import get_backend
    >>> a, b = np.empty((2, 3), np.float32), np.empty((2, 3), np.float32)
    >>> Noise(7).normal(a, LATENT, 5)
    >>> Noise(7).normal(b, LATENT, 5)
    >>> bool((a == b).all())
    True
    """

    def __init__(self, seed: int, backend: Backend | None = None) -> None:
        self.seed = seed
        self.backend = backend
        self._philox = np.random.Philox(0)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state
        ops: Any = None if backend is None else backend.ops
        self._device = ops if hasattr(ops, "draw") else None
        self._compiled = ops if hasattr(ops, "box_muller") else None
        self._scratch: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _seek(self, stream: int, step: int) -> None:
        state = self._state
        state["state"]["key"][:] = (self.seed, stream)
        state["state"]["counter"][:] = (0, step, 0, 0)
        state["buffer_pos"] = 4  # forget buffered words
        state["has_uint32"] = 0
        self._philox.state = state

    def integers(self, n: int, stream: int, step: int) -> np.ndarray:
        """n raw 64-bit words (a fresh host array)."""
        self._seek(stream, step)
        return self._philox.random_raw(n)

    def uniform(self, out: Array, stream: int, step: int) -> None:
        """Fill `out` with uniforms on [0, 1)."""
        if self._device is not None:
            self._device.draw("uniform", out, self.seed, stream, step)
            return
        flat, _ = self._buffers(out.size)
        self._seek(stream, step)
        self._generator.random(out=flat, dtype=np.float32)
        self._deliver(flat, out)

    def normal(self, out: Array, stream: int, step: int) -> None:
        """Fill `out` with N(0, 1): Box and Muller on the two halves of a vector of uniforms."""
        if self._device is not None:
            self._device.draw("normal", out, self.seed, stream, step)
            return
        n = out.size
        half = (n + 1) // 2
        u, s = self._buffers(2 * half)
        r, angle = u[:half], u[half:]
        if self._compiled is not None:
            self._compiled.box_muller(self.integers(half, stream, step), r, s)
            self._deliver(s[:n], out)
            return
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
        self._deliver(s[:n], out)

    def permutation(self, n: int, stream: int, step: int) -> np.ndarray:
        """A permutation of range(n): the stable argsort of n raw words (a fresh host array of int64)."""
        words = self.integers(n, stream, step)
        order = np.argsort(words)  # less than half the time of a stable one, and the same unless two words are equal
        ordered = words[order]
        return np.argsort(words, kind="stable") if (ordered[1:] == ordered[:-1]).any() else order

    def _buffers(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        if n not in self._scratch:
            self._scratch[n] = (np.empty(n, np.float32), np.empty(n, np.float32))
        return self._scratch[n]

    def _deliver(self, flat: np.ndarray, out: Array) -> None:
        if isinstance(out, np.ndarray):
            np.copyto(out, flat.reshape(out.shape))  # widens to float64 where asked
        elif self.backend is not None:
            self.backend.fill(out, flat)
        else:  # the host's noise on a device, where both are compared: this waits
            out.set(np.ascontiguousarray(flat.reshape(out.shape), dtype=out.dtype))
