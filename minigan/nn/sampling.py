"""Samples of a generator, each a function of the seed and its number alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from minigan.backends import Array
from minigan.backends import noise as streams
from minigan.backends.noise import Noise
from minigan.nn.network import Network

CHUNK = 256
"""Latents to sample from are drawn in chunks of this many rows: sample i does not depend on how many are asked for."""


def sample(generator: Network, n: int, seed: int, stream: int = streams.SAMPLE) -> Array:
    """n samples (n, size) of `generator`, z ~ N(0, I) a function of (seed, stream) alone; a host array."""
    return collected(samples(generator, n, seed, stream), np.empty((n, generator.sizes[-1]), generator.dtype))


def collected(parts: Iterable[Array], out: Array) -> Array:
    """out, filled with the rows of `parts` one after the other."""
    at = 0
    for part in parts:
        out[at : at + len(part)] = part
        at += len(part)
    return out


def samples(generator: Network, n: int, seed: int, stream: int = streams.SAMPLE) -> Iterator[Array]:
    """The same, CHUNK at a time: host arrays, which may be overwritten when the next one is asked for."""
    ops = generator.ops
    noise = Noise(seed, ops)
    z = ops.empty((CHUNK, generator.sizes[0]), generator.dtype)
    tape = generator.tape(CHUNK)
    for chunk in range(-(-n // CHUNK)):
        noise.normal(z, stream, chunk)
        yield ops.to_host(generator.forward(z, tape))[: n - chunk * CHUNK]
