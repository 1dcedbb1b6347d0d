"""Ending a run early: Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """The first Ctrl-C or SIGTERM asks the loop to finish its step and save; the second ends the process at once."""

    def __init__(self) -> None:
        self.signal = 0

    @property
    def requested(self) -> bool:
        return self.signal != 0

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
            yield self
            return

        def note(number: int, frame: Any) -> None:
            if self.signal:
                os._exit(128 + number)
            self.signal = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
