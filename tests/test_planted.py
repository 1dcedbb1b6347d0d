"""Planted faults: each is seen by the measures that are for it and named by the verdict; real samples have no finding.

At the usual number of samples for digits and tables. For MNIST and the mixtures with fewer samples and draws than
`python -m benchmarks.planted`, which takes minutes; what few samples do not show is left to it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import planted
from minigan.metrics.measures import MEASURES
from minigan.metrics.verdict import CLEAN, FINDINGS


@pytest.mark.parametrize(("name", "n", "draws"), [("digits", 10_000, 20), ("table", 10_000, 20), ("ring", 1500, 5)])
def test_every_fault_is_seen_and_named_and_real_samples_have_no_finding(name: str, n: int, draws: int) -> None:
    with np.errstate(all="ignore"):
        record = planted.matrix(name, n, draws, repeats=2, seed=50)
    assert planted.complaints(record) == []
    assert record["real_findings"] == 0 and set(record["faults"]) == {fault.name for fault in planted.FAULTS[name]}


def test_the_committed_matrix_is_of_every_data_set_and_has_no_complaint() -> None:
    found = planted.records()
    assert set(found) == set(planted.FAULTS)
    for record in found.values():
        assert planted.complaints(record) == [] and record["draws"] == planted.DRAWS
    assert {found["mnist"]["compared"], found["ring"]["compared"], found["grid"]["compared"]} == {10_000}


def test_a_blind_measure_and_a_verdict_that_says_nothing_are_complaints() -> None:
    """The test of the test: a record in which a measure stays where it was, one in which nothing is said."""
    record = json.loads(json.dumps(planted.records()["digits"]))
    of = record["faults"]["blur"]
    of["errors"]["sharpness"] = 4.9
    of["errors"]["digit_kl"] = 5.1
    of["verdict"][1] = [CLEAN]
    record["real_findings"] = 1
    assert planted.complaints(record) == [
        "1 of 20 real draws have a finding",
        "blur: sharpness moves by 4.9",
        "blur: digit_kl moves by 5.1, for no reason",
        f"blur: the verdict says {CLEAN!r}",
    ]


def test_faults_name_measures_and_findings_that_exist() -> None:
    findings = {finding.name for group in FINDINGS for finding in group}
    for faults in planted.FAULTS.values():
        for fault in faults:
            assert fault.seen and set(fault.seen + fault.unseen) <= set(MEASURES) and fault.finding in findings
            assert not set(fault.seen) & set(fault.unseen)


@pytest.mark.parametrize("name", ["digits", "ring", "table"])
def test_a_fault_changes_what_its_name_says_and_leaves_samples_enough(name: str) -> None:
    draw = planted.drawn(name, 0, 2000)
    m = min(2000, len(draw.data.validation))
    for fault in planted.FAULTS[name]:
        x = fault.spoil(draw)
        assert len(x) >= m and x.shape[1] == draw.x.shape[1] and np.isfinite(x).all(), fault.name
        assert x.shape != draw.x.shape or (x != draw.x).any()


def test_a_draw_parts_new_real_samples_from_the_rows_that_a_person_has() -> None:
    draw = planted.drawn("table", 3, 10_000)
    rows = np.concatenate([draw.data.values(part) for part in (draw.data.train, draw.data.validation)])
    assert len(rows) + len(draw.x) == 6000 and not set(map(tuple, rows)) & set(map(tuple, draw.x))
    assert {len(planted.drawn("table", seed, 10_000).x) for seed in range(3)} == {len(draw.x)}


def test_the_picture_shows_every_matrix(tmp_path: Path) -> None:
    path = tmp_path / "matrix.png"
    planted.picture(path, planted.records())
    assert path.stat().st_size > 20_000


def test_numbers_that_json_lacks_are_written_in_words() -> None:
    assert planted.plain({"a": [math.inf, -math.inf, math.nan, 1.5]}) == {"a": ["inf", "-inf", None, 1.5]}
