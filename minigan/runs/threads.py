"""Threads of the CPU during training, and the notice where other processes take the processors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import threadpoolctl

from minigan.nn.gan import GAN
from minigan.runs.contention import Contention
from minigan.runs.cost import MOST

SMALL = 16_000_000
"""Floating-point operations of a matrix product below which a second BLAS thread saves a tenth of the time at best. On a busy
machine it multiplies the time instead: the threads of a product wait for each other in a spin loop."""

SECOND, SHARE = 1_000_000, 2_000_000
"""The same for a program, which partitions every operation: from how many operations on it takes a second thread, and how many
each of more than two must have. It takes `cost.MOST` threads at most unless told (--threads)."""


def limited_threads(gan: GAN) -> Any:
    """Apply --threads; 0 decides by the largest product, the same on every machine with as many processors.

    A context manager, in effect from the call on: at its end the BLAS has its threads back. Threads are either the BLAS's or a
    program's; a program keeps the number with which it was recorded.
    """
    largest = max(W.size for network in (gan.generator, gan.discriminator) for W, *_ in network.theta.layers)
    operations = 2 * (2 * gan.config.batch_size) * largest  # the discriminator sees real and generated rows at once
    threads = gan.config.threads
    if gan.ops.threads is not None:
        chosen = threads or max(1 + (operations >= SECOND), min(operations // SHARE, MOST))
        gan.ops.threads = min(chosen, processors())
        threads = 1
    return threadpoolctl.threadpool_limits(limits=threads or (1 if operations < SMALL else None), user_api="blas")


@contextmanager
def original_threads(limits: Any, gan: GAN) -> Iterator[None]:
    """Lift the `limits` that `limited_threads` set for `gan`, for work with larger products than its own."""
    limits.restore_original_limits()
    yield
    limited_threads(gan)


def processors() -> int:
    """Threads that the BLAS would take: one per processor, unless the environment (OPENBLAS_NUM_THREADS) says fewer."""
    found = threadpoolctl.threadpool_info()
    return max((info["num_threads"] for info in found if info["user_api"] == "blas"), default=1)


def held_up(found: Contention, gan: GAN) -> str:
    """A sentence about other processes that take the processors while `gan` is trained, and what to do about it."""
    on_host = gan.ops.name == "numpy"
    several = on_host and (gan.ops.threads or processors()) > 1
    return f"{found}: steps are slower than they need be" + ("; --threads 1 waits less" if several else "") + "."
