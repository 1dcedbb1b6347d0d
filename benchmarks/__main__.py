"""`python -m benchmarks [FLAGS OF PYTEST]`, also `make bench`: run the benchmarks, save the results, and write a report.

Each run writes its results to a new file, .benchmarks/BACKEND-KERNELS-MACHINE-001.json, -002, ..., and its report to the
folder of the same name. Nothing is overwritten, so results on a CPU and on a GPU can be compared later.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".benchmarks"


class Skips:
    """A plugin of pytest that counts the benchmarks that were skipped."""

    count = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.count += report.skipped


def main(argv: Sequence[str] | None = None) -> int:
    """Return pytest's exit code, or 1 where all benchmarks were skipped. Raises: OSError."""
    RESULTS.mkdir(exist_ok=True)
    skips = Skips()
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        new = Path(folder) / "results.json"
        flags = ["--benchmark-only", "--benchmark-quiet", f"--benchmark-json={new}"]
        given = sys.argv[1:] if argv is None else argv
        code = int(pytest.main([str(ROOT / "benchmarks"), "-q", *flags, *given], [skips]))
        if not new.exists():  # nothing was measured, as with --collect-only; pytest has printed the reason
            return code or int(skips.count > 0)
        from benchmarks import report  # after pytest has set the environment for NumPy (conftest.py)
        from minigan.errors import InputError

        try:
            kept = report.keep(new, RESULTS)
        except InputError:  # every benchmark failed; pytest has printed the errors
            return code or 1
    print(f"results: {kept}")
    return report.main([str(kept), "-o", str(kept.with_suffix(""))]) or code


if __name__ == "__main__":
    from minigan import cli

    cli.run(main)
