"""Files for which a loader failed in the past, and seeds of the fuzzer: each is read, or refused with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import check, loaders, seeds, whole

REGRESSIONS = Path(__file__).with_name("regressions")
LOADERS = loaders()
FILES = [path for path in sorted(REGRESSIONS.glob("*/*")) if path.is_file()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_fixed(path: Path) -> None:
    check(LOADERS[path.parent.name][0], path)


@pytest.mark.parametrize("name", LOADERS)
def test_the_fuzzer_begins_with_files_that_are_read(tmp_path: Path, name: str) -> None:
    load, suffix = LOADERS[name]
    read = 0
    for i, seed in enumerate(seeds(name)):
        path = tmp_path / f"{i}{suffix}"
        path.write_bytes(whole(name, seed))
        check(load, path)
        try:
            load(path)
            read += 1
        except Exception:
            pass
    assert read
