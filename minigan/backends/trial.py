"""A recording on trial: held to the passes that it was made of, before it is trusted.

What passes compute behind the recorder's back (in NumPy itself, or with a number of Python's that differs from minibatch to
minibatch) happens once, while they are recorded, and never again. So the first replays are compared with the passes, done
one operation at a time from the same state. The recording goes first: after the passes, memory would hold their results,
and hide that the recording does not make them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigan.backends.ops import Ops, Outcome
from minigan.errors import ProgramError

TRIALS = 2
"""Replays in which nothing may differ before the recording is trusted: the second one on another minibatch, from which a
number kept from the first one differs."""

BOUNDS = {"float32": 1e-3, "float64": 1e-9, "uint64": 0.0}
"""Largest difference of an array that passes write, relative to it: Euclidean norms. Both sides add in different orders,
which makes 1e-6 in float32. In one step of a thousand a number next to the kink of a ReLU falls to the other side of it,
which has made up to 0.05 (docs/reliability.md): so a recording is refused if two trials in a row differ,"""

CLEAR = 0.5
"""or one by more than that, as whatever is left out of a recording does."""

MOVED = 0.1
"""The same for an array that passes move, relative to how far it moved."""

SURE = 0.01
"""Relative difference of a gradient's entry up to which it counts for the array that it moves: Adam makes a full step of an
entry that is nothing but rounding, in either direction."""


Copies = dict[str, np.ndarray]
"""What passes left, by name."""


class Trial:
    """A call replays a recording of `passes`. The first ones compare what both leave; what the replay left stays.

    what: the passes, as the subject of the sentence about their recording that differs.
    """

    def __init__(
        self, replay: Callable[[], None], passes: Callable[[], None], outcome: Sequence[Outcome], what: str, ops: Ops
    ) -> None:  # fmt: skip
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
        """Everything that the passes leave, on the host: a device may have no room for it."""
        return {outcome.name: np.array(self.ops.to_host(outcome.array)) for outcome in self.outcome}

    def restore(self, copies: Copies) -> None:
        for outcome in self.outcome:
            self.ops.fill(outcome.array, copies[outcome.name])


def difference(outcome: Outcome, before: Copies, got: Copies, expected: Copies) -> float:
    """How far what was got is from what was expected, as a share of it; of how far that moved, where passes move it.

    Infinite where one is finite and the other is not; 0 where both are not, which training finds and says.
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
