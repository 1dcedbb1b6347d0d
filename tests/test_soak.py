"""Half an hour of training increases neither its memory nor its number of open files (make soak)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from minigan.runs import checkpoint

SECONDS = float(os.environ.get("MINIGAN_SOAK_SECONDS", "1800"))
WARM = 0.1  # of the time: caches of fonts, colour maps and file buffers fill


@pytest.mark.slow
def test_memory_is_flat_and_no_files_stay_open(tmp_path):
    command = [sys.executable, "-m", "minigan.train", "--steps", "2000000000", "--out", str(tmp_path / "run"), "--quiet",
               "--log-every", "500", "--sample-every", "5000", "--save-every", "5000"]  # fmt: skip
    seen = []
    with subprocess.Popen(command) as process:
        watched = psutil.Process(process.pid)
        began = time.monotonic()
        while (now := time.monotonic() - began) < SECONDS:
            time.sleep(min(5, SECONDS / 60))
            assert process.poll() is None, "training ended by itself"
            seen.append((now, watched.memory_info().rss / 2**20, watched.num_fds()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    steps = checkpoint.load(tmp_path / "run").step
    t, rss, files = np.array([s for s in seen if s[0] > WARM * SECONDS]).T
    slope = np.polyfit(t * steps / SECONDS / 10_000, rss, 1)[0]
    print(
        f"\n{steps} steps in {SECONDS:.0f} s, {rss[-1]:.0f} MB, {slope:+.4f} MB per 10,000 steps, {files.max():.0f} files at most"
    )
    assert slope < 1
    assert files.max() <= files[0] + 5  # one picture or checkpoint may be open at any moment
