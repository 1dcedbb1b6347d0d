"""Ending a run early: Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """The first Ctrl-C or SIGTERM asks the loop to finish its step and save; the second does not wait for that.

    ends_process: the second ends the process at once; else, in a session of Python, it raises KeyboardInterrupt.
    """

    def __init__(self, *, ends_process: bool = True) -> None:
        self.signal = 0
        self.ends_process = ends_process

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.signal != 0

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Handle both signals until the block ends; only the main thread receives them, in another this does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return

        def note(number: int, frame: Any) -> None:
            if self.signal and self.ends_process:
                os._exit(128 + number)
            if self.signal:
                raise KeyboardInterrupt
            self.signal = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                if handler is not None:  # one that is not Python's can not be set by Python
                    signal.signal(number, handler)
