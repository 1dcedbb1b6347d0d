"""The trial of a recorded program: its first replays are compared with the passes that it was recorded from.

A recording misses what passes compute without the recorder: in NumPy itself, or with a Python number that differs from one
minibatch to the next. That happens once, while they are recorded, and not in a replay. So the first replays are compared with the
passes, executed one operation at a time from the same state. The replay comes first: after the passes, memory would hold their
results, and would hide that the replay does not compute them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigan.backends.ops import Ops, Outcome
from minigan.errors import ProgramError

TRIALS = 2
"""Replays that must agree with the passes before comparison ends. The second is on another minibatch, which shows a number that
was recorded from the first one."""

BOUNDS = {"float32": 1e-3, "float64": 1e-9, "uint64": 0.0}
"""Largest relative difference (of Euclidean norms) of an array that passes write, by its type. Sums are added up in different
orders, which causes differences of 1e-6 in float32. In about one step of a thousand a value next to the kink of a ReLU falls on
its other side, which causes up to 0.05 (docs/reliability.md). So a recording is refused if two comparisons in a row exceed the
bound, or one exceeds `CLEAR`."""

CLEAR = 0.5
"""Relative difference with which a recording is refused at once: an operation that was not recorded causes one of this size."""

MOVED = 0.1
"""Largest difference of an array that passes update, relative to the size of the update."""

SURE = 0.01
"""Relative difference of a gradient's entries up to which the parameters that they update are compared: where an entry is nothing
but rounding error, Adam makes a full step in either direction."""


Copies = dict[str, np.ndarray]
"""The contents of the arrays that passes write, by name."""


class Trial:
    """A call replays a recording of `passes`; the first calls compare its results with theirs, and keep those of the replay.

    what: a name of the passes, the subject of the error's sentence.
    """

    def __init__(
        self,
        replay: Callable[[], None],
        passes: Callable[[], None],
        outcome: Sequence[Outcome],
        what: str,
        ops: Ops,
    ) -> None:
        self.replay = replay
        self.passes = passes
        self.outcome = outcome
        self.what = what
        self.ops = ops
        self.left = TRIALS if outcome else 0
        self.doubted = False

    def __call__(self) -> None:
        """Raises: ProgramError, naming the first array that differs."""
        if self.left == 0:
            self.replay()
            return
        before = self.copies()
        self.replay()
        replayed = self.copies()
        self.restore(before)
        self.passes()
        expected = self.copies()
        self.restore(replayed)
        found = self.first_difference(before, replayed, expected)
        if found is None:
            self.left -= 1
        elif self.doubted or found[1] > CLEAR:
            raise ProgramError(self.sentence(*found))
        self.doubted = found is not None

    def first_difference(self, before: Copies, replayed: Copies, expected: Copies) -> tuple[Outcome, float] | None:
        """The first array that differs by more than its bound, and by how much."""
        for outcome in self.outcome:
            apart = difference(outcome, before, replayed, expected)
            if outcome.compared and not apart <= self.bound(outcome):
                return outcome, apart
        return None

    def bound(self, outcome: Outcome) -> float:
        return BOUNDS[outcome.array.dtype.name] if outcome.gradient is None else MOVED

    def sentence(self, outcome: Outcome, apart: float) -> str:
        share = "norm" if outcome.gradient is None else "movement"
        return (
            f"{self.what} leaves another {outcome.name} when it is recorded and replayed (--kernels {self.ops.kernels}) "
            f"than when it is computed: it differs by {apart:.1e} of its {share}, more than {self.bound(outcome):g}. Something "
            "in it is not recorded, as plain NumPy or a number read from an array: compute it with self.ops.xp and out=, or "
            "use --kernels reference."
        )

    def copies(self) -> Copies:
        """All arrays that the passes write, copied to the host: the device may lack the memory."""
        return {outcome.name: np.array(self.ops.to_host(outcome.array)) for outcome in self.outcome}

    def restore(self, copies: Copies) -> None:
        for outcome in self.outcome:
            self.ops.fill(outcome.array, copies[outcome.name])


def difference(outcome: Outcome, before: Copies, got: Copies, expected: Copies) -> float:
    """The relative difference between `got` and `expected`; relative to the size of the update, where passes update the array.

    Infinite where one is finite and the other is not; 0 where both are not finite, which training reports.
    """
    name, gradient = outcome.name, outcome.gradient
    a, b = got[name].astype(np.float64), expected[name].astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0 if np.array_equal(np.isfinite(a), np.isfinite(b)) else np.inf
    scale, rounding = b, 0.0
    if gradient is not None:
        g, h = got[gradient].astype(np.float64), expected[gradient]
        sure = np.abs(g - h) <= SURE * np.abs(h)
        a, b = a[sure], b[sure]
        scale, rounding = b - before[name][sure], 4 * np.finfo(outcome.array.dtype).eps * float(np.linalg.norm(b))
    apart = float(np.linalg.norm(a - b))
    return 0.0 if apart <= rounding else apart / max(float(np.linalg.norm(scale)), 1e-300)
