"""The benchmarks run, the report agrees with the results, and compared implementations compute the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from fakecuda import on_cpu, stand_in
from fakecupy import fake_cupy
from helpers import ROOT, exit_code
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import implementations, peers, report
from benchmarks.implementations import Case
from minigan.backends import Ops, get_ops
from minigan.errors import InputError

SMALL = Case("small", 6, (16, 16), 32, latent=3)
CASES = {
    "alternating": SMALL,
    "simultaneous": Case("simultaneous", 6, (16, 16), 32, latent=3, update="simultaneous"),
    "penalised": Case("penalised", 6, (16, 16), 32, latent=3, objective="relativistic", gamma=2.0),
    "relativistic": Case("relativistic", 6, (16, 16), 32, latent=3, objective="relativistic"),
}

# ------------------------------------------------------------------------------------------- pytest-benchmark


def test_benchmarks_run_and_report(tmp_path: Path) -> None:
    results, chosen = tmp_path / "results.json", "test_dense_forward[float32-16-256] test_step[float32-16-256-WGAN-GP]"
    nodes = [f"benchmarks/bench_{'step' if 'step' in name else 'kernels'}.py::{name}" for name in chosen.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--threads", "1"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [*command, f"--benchmark-json={results}", *nodes], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    forward, step = report.read([results])[0]
    assert (forward.kernel, forward.flops, forward.bytes) == (
        "dense forward", 2 * 16 * 256**2 + 3 * 16 * 256, 4 * (2 * 16 * 256 + 256**2 + 256),
    )  # fmt: skip
    assert step.kernel == "step: WGAN-GP" and step.gflops > forward.gflops / 100
    found = json.loads(results.read_text())["machine_info"]["minigan"]
    assert found["versions"]["numpy"] == np.__version__
    assert all(pool["num_threads"] == 1 for pool in found["pools"] if pool["user_api"] == "blas")
    assert not any("filepath" in pool for pool in found["pools"])
    assert report.main([str(results)]) == 0
    assert "| numpy | float32 | 16 | 256 |" in (tmp_path / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "code"), [(["--collect-only"], 0), (["-k", "nothing"], 5), (["-k", "nothing", "--threads", "0"], 4)]
)
@pytest.mark.parametrize("module", [["pytest", "benchmarks", "--benchmark-json=RESULTS"], ["benchmarks"]])
def test_a_run_that_measures_nothing_ends_without_a_traceback(
    module: list[str], flags: list[str], code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", *module, "-q", "-p", "no:cacheprovider", *flags]
    command = [word.replace("RESULTS", str(tmp_path / "results.json")) for word in command]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == code and "Traceback" not in said and "INTERNALERROR" not in said, said
    assert not (tmp_path / "results.json").exists()


def fake_pytest(monkeypatch: pytest.MonkeyPatch, folder: Path, values: dict[str, Any] | None, skipped: int = 0) -> None:
    """Replace pytest in `python -m benchmarks`: it writes these results, or none."""
    from benchmarks import __main__ as command

    def pytest_main(flags: list[str], plugins: list[Any]) -> int:
        (new,) = (flag.partition("=")[2] for flag in flags if flag.startswith("--benchmark-json="))
        if values is not None:
            Path(new).write_text(json.dumps(values), encoding="utf-8")
        for _ in range(skipped):
            plugins[0].pytest_runtest_logreport(SimpleNamespace(skipped=True))
        return 0

    monkeypatch.setattr(command, "RESULTS", folder)
    monkeypatch.setattr(command.pytest, "main", pytest_main)


def test_each_run_keeps_its_results_and_its_report(
    results: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import __main__ as command

    kept = tmp_path / "kept"
    for path in (results[0], results[1], results[0]):
        values = json.loads(path.read_text(encoding="utf-8"))
        if path == results[1]:
            for row in values["benchmarks"]:
                row["extra_info"].update(backend="cupy+cuda", device="NVIDIA H100")
        fake_pytest(monkeypatch, kept, values)
        assert command.main([]) == 0
    names = [
        "cupy-cuda-nvidia-h100-001",
        "numpy-reference-a-processor-2-cores-001",
        "numpy-reference-a-processor-2-cores-002",
    ]
    assert sorted(p.name for p in kept.iterdir()) == sorted([*names, *(f"{name}.json" for name in names)])
    assert all((kept / name / "report.md").is_file() for name in names)
    assert (kept / f"{names[1]}.json").read_bytes() == (kept / f"{names[2]}.json").read_bytes()
    assert capsys.readouterr().out.count("results: ") == 3


@pytest.mark.parametrize(("values", "skipped", "code"), [(None, 0, 0), (None, 3, 1), ({"benchmarks": []}, 0, 1)])
def test_where_nothing_was_measured_nothing_is_kept(
    values: dict[str, Any] | None, skipped: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import __main__ as command

    fake_pytest(monkeypatch, tmp_path / "kept", values, skipped)
    assert command.main([]) == code and not list((tmp_path / "kept").iterdir())


def test_other_load_during_a_benchmark_is_recorded_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import bench_kernels, conftest
    from minigan.runs.contention import Contention

    monkeypatch.setattr(bench_kernels.Meter, "read", lambda self: Contention(1.24, 2, 0.0))

    class Benchmark:
        def __init__(self) -> None:
            self.extra_info: dict[str, Any] = {}
            self.stats = SimpleNamespace(stats=SimpleNamespace(median=1.0))

        def __call__(self, run: Callable[[], None]) -> None:
            run()

    found = Benchmark()
    bench_kernels.timed(found, get_ops(), lambda: None, "nothing", 1, 1)
    assert found.extra_info["load"] == 0.62
    said: list[str] = []
    reporter = SimpleNamespace(write_line=lambda line, **colours: said.append(line))
    for loads in ([0.0, 0.62, 0.3], [0.0, 0.05]):
        stash = pytest.Stash()
        stash[conftest.LOADS] = loads
        conftest.pytest_terminal_summary(reporter, SimpleNamespace(stash=stash))
    assert said == [
        "warning: other processes used up to 62% of the processors during 2 of 3 benchmarks; measure them again."
    ]


def test_the_selection_is_a_cross_and_the_full_sweep_is_everything() -> None:
    from benchmarks.conftest import BATCHES, DTYPES, WIDTHS, sizes

    assert len(sizes(True)) == len(DTYPES) * len(BATCHES) * len(WIDTHS)
    assert set(sizes(False)) < set(sizes(True))
    assert {b for _, b, _ in sizes(False)} == set(BATCHES) and {w for *_, w in sizes(False)} == set(WIDTHS)


@pytest.mark.parametrize("name", ["numpy", "cupy"])
def test_calls_on_a_device_are_timed_in_a_queue(name: str) -> None:
    from benchmarks.bench_kernels import timed
    from minigan.runs.cost import QUEUE

    backend = get_ops() if name == "numpy" else fake_cupy()[0]
    made: list[float] = []

    class Benchmark:
        def __init__(self) -> None:
            self.extra_info: dict[str, Any] = {}
            self.stats = SimpleNamespace(stats=SimpleNamespace(median=2.0))

        def __call__(self, run: Callable[[], None]) -> None:
            made.clear()
            run()

    found = Benchmark()
    timed(found, backend, lambda: made.append(time.sleep(QUEUE / 50)), "nothing", 6e9, 4e9, batch=3)
    calls = found.extra_info["calls"]
    assert len(made) == calls and (calls == 1 if name == "numpy" else 5 < calls < 50)
    assert found.extra_info["GFLOP/s"] == pytest.approx(3 * calls)
    assert found.extra_info["GB/s"] == pytest.approx(2 * calls)
    assert (found.extra_info["kernel"], found.extra_info["batch"]) == ("nothing", 3)


# ------------------------------------------------------------------------------------------------------ report


def benchmark(kernel: str, backend: str, batch: int | None, seconds: float, flops: int, moved: int) -> dict[str, Any]:
    size = {} if batch is None else {"batch": batch, "width": 64}
    extra = {"kernel": kernel, "backend": backend, "device": "a device", "dtype": "float32", "flops": flops, **size}
    return {"extra_info": {**extra, "bytes": moved}, "stats": {"median": seconds, "q1": seconds, "q3": seconds}}


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    """CPU: time grows with work. GPU: 1 ms whatever the work, so they cross where the CPU takes 1 ms."""
    files = []
    for backend in ("numpy", "cupy"):
        rows = [
            benchmark("ceiling: product", backend, None, 1, 100 * 10**9, 1),
            benchmark("ceiling: copy", backend, None, 1, 0, 10 * 10**9),
        ]
        for batch in (16, 64, 256):
            work = batch * 10**6
            seconds = work / 64e9 if backend == "numpy" else 1e-3
            rows.append(benchmark("dense forward", backend, batch, seconds, work, batch * 10**3))
            rows.append(benchmark("gather", backend, batch, 1e-5, 0, work))
        if backend == "cupy":  # ten calls at a time
            for row in rows:
                row["extra_info"]["calls"] = 10
                row["stats"] = {name: 10 * seconds for name, seconds in row["stats"].items()}
        info = {"minigan": {"cpu": "a processor", "cores": 2, "versions": {"numpy": "2"}, "pools": []}}
        path = tmp_path / f"{backend}.json"
        path.write_text(json.dumps({"machine_info": info, "benchmarks": rows}), encoding="utf-8")
        files.append(path)
    return files


def test_report_makes_tables_and_pictures(results: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert report.main([*map(str, results), "-o", str(out)]) == 0
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "| numpy | float32 | 64 | 64 | 1 ms (1 ms - 1 ms) | 64 | 0.064 | 64% |" in text
    assert "| numpy float32 | 100 | 10 |" in text
    assert "| dense forward | float32 | 0.25 x | 4 x | work 6.4e+07 |" in text
    assert "| gather | float32 | 1 x | 1 x | every size measured |" in text
    for name in ("bench-time.png", "bench-roofline.png", "bench-speedup.png"):
        assert f"({name})" in text
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_the_report_marks_times_measured_under_other_load(results: list[Path], tmp_path: Path) -> None:
    values = json.loads(results[0].read_text(encoding="utf-8"))
    values["benchmarks"][2]["extra_info"]["load"] = 0.62
    results[0].write_text(json.dumps(values), encoding="utf-8")
    text = report.report([results[0]], tmp_path, "")
    assert "Marked *: other processes used up to 62% of the processors during 1 of 8 benchmarks" in text
    assert text.count(") * |") == 1 and "| numpy | float32 | 16 | 64 | 250 us (250 us - 250 us) * |" in text
    assert "other processes" not in report.report([results[1]], tmp_path, "")


@pytest.mark.parametrize(
    ("points", "crossover"),
    [
        ([(1, 0.5), (100, 2.0)], 10),
        ([(1, 2.0), (10, 3.0)], 0),
        ([(1, 0.1), (10, 0.2)], None),
        ([(1, 2.0), (10, 0.5)], None),
        ([(1, 0.5), (2, 2.0), (3, 0.5), (300, 2.0)], 30),
        ([(5, 1.5)], 0),
    ],
)
def test_crossover(points: list[tuple[int, float]], crossover: float | None) -> None:
    assert report.Speedup("kernel", "float32", points).crossover == pytest.approx(crossover)


def test_report_fills_a_page_between_its_marks(results: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n", encoding="utf-8")
    for _ in range(2):
        assert report.main([str(results[0]), "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("above\n") and text.endswith("below\n") and "old" not in text
    assert text.count("#### dense forward") == 1 and "(images/bench-time.png)" in text
    assert (tmp_path / "images" / "bench-time.png").exists()
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(InputError, match="has no place for results"):
        report.main([str(results[0]), "--page", str(page)])


def test_a_page_that_has_no_place_is_refused_before_a_picture_is_replaced(results: list[Path], tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("no marks", encoding="utf-8")
    for page in ("page.md", "missing.md"):
        with pytest.raises(InputError, match="has no place for results|cannot be read"):
            report.main([str(results[0]), "--page", str(tmp_path / page)])
    assert not (tmp_path / "images").exists()


@given(st.data())
def test_whatever_is_wrong_in_a_file_of_results_is_one_sentence(data: st.DataObject) -> None:
    """A valid file in which one value is replaced, or which is truncated."""
    case = {"case": SMALL.to_dict(), "seconds": {"minigan": [1e-3], "jax": [2e-3]}, "about": {"minigan": {}}, "left_out": {},
            "load": 0.5}  # fmt: skip
    files: list[dict[str, Any]] = [
        {"kind": "minigan-peers", "machine": {"cores": 2}, "threads": 2, "rounds": 2, "cases": [case]},
        {"machine_info": {"minigan": {"cores": 2, "versions": {}, "pools": []}},
         "benchmarks": [benchmark("gather", "numpy", 16, 1.0, 10, 10), benchmark("ceiling: copy", "numpy", 1, 1.0, 0, 10)]},
    ]  # fmt: skip
    values: Any = data.draw(st.sampled_from(files))
    place, key = values, None
    while isinstance(place, dict | list) and place and (key is None or data.draw(st.booleans())):
        parent, key = (
            place,
            data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place))))),
        )
        place = parent[key]
    parent[key] = data.draw(st.sampled_from([None, "", "x", 0, -1, 1e400, 10**400, [], {}, [[]], {"a": 1}, True]))
    text = json.dumps(values)
    text = text[: data.draw(st.sampled_from([len(text), len(text) // 2]))]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "panels", lambda *values: None, raising=False)  # which takes long
        path = Path(folder) / "results.json"
        path.write_text(text, encoding="utf-8")
        with suppress(InputError):
            report.report([path], Path(folder), "")


def test_several_files_one_of_which_is_missing_or_empty_are_refused_by_name(
    results: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "empty.json").touch()
    for name, words in (
        ("missing.json", "cannot be read"),
        ("empty.json", "holds no results"),
        (".", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            report.main([str(results[0]), str(tmp_path / name), "-o", str(tmp_path / "out")])
        assert str(caught.value).startswith(str(tmp_path / name)) and not (tmp_path / "out").exists()


def test_every_axis_of_a_picture_has_a_name_with_its_unit(
    results: list[Path], tmp_path: Path, monkeypatch: Any
) -> None:
    seen: list[str] = []

    def save(figure: Any, path: Path) -> None:
        seen.extend(label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()))
        assert figure.legends and all(axes.get_title(loc="left") for axes in figure.axes)

    monkeypatch.setattr("minigan.plots.style.save", save)
    report.report(results, tmp_path, "")
    from test_scaling import made

    from benchmarks import scaling

    scaling.draw(tmp_path / "scaling.png", made(1e-10))
    assert len(seen) == 2 * (2 + 2 + 2 + 4)
    units = (
        "(FLOPs)",
        "(bytes read and written)",
        "(ms)",
        "CPU time / GPU time",
        "per byte)",
        "(GFLOP/s)",
        *scaling.UNITS.values(),
    )
    assert all(any(unit in label for unit in units) for label in seen)


def test_the_page_of_the_documentation_has_its_marks() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert text.index(report.BEGIN) < text.index(report.END)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"benchmarks": [1]}', '{"kind": "minigan-peers"}'])
def test_report_refuses_what_is_no_result(content: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="holds no results"):
        report.main([str(path)])


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (0.00123, "1.23 ms"), (4.56e-6, "4.56 us"), (1e-9, "0.001 us")]
)
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


# ------------------------------------------------------------------------------------------------------- peers

FAKE = """
import json, sys, threading
def spin():
    while True: pass
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "end": sys.exit(3)
    if request["do"] == "sleep": threading.Event().wait()
    if request["do"] == "fail": print(json.dumps({"error": "no compiler"}), flush=True); continue
    if request["do"] == "spin": threading.Thread(target=spin, daemon=True).start()
    print(json.dumps({"seconds": SECONDS * request.get("steps", 1), "heard": request}), flush=True)
"""


@pytest.fixture
def fakes() -> Iterator[list[peers.Worker]]:
    workers = [
        peers.Worker(name, 1, subprocess.DEVNULL, [sys.executable, "-c", FAKE.replace("SECONDS", seconds)])
        for name, seconds in (("minigan", "1"), ("torch", "2"), ("jax", "4"))
    ]
    yield workers
    for worker in workers:
        worker.close()


def test_workers_answer_a_line_with_a_line(fakes: list[peers.Worker]) -> None:
    worker = fakes[0]
    assert worker.ask(do="time", steps=3) == {"seconds": 3, "heard": {"do": "time", "steps": 3}}
    with pytest.raises(peers.WorkerError, match="minigan: no compiler"):
        worker.ask(do="fail")
    assert worker.ask(do="time")["seconds"] == 1  # it is still there
    with pytest.raises(peers.WorkerError, match="ended with exit code 3"):
        worker.ask(do="end")
    with pytest.raises(peers.WorkerError, match="ended with exit code 3"):
        worker.ask(do="time")


def test_turns_are_rounds_of_all(fakes: list[peers.Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    order, ask = [], peers.Worker.ask

    def heard(self: peers.Worker, *until: float, **request: Any) -> dict[str, Any]:
        order.append(self.name)
        return ask(self, *until, **request)

    monkeypatch.setattr(peers.Worker, "ask", heard)
    result = peers.turns(fakes, {"minigan": 10, "torch": 5, "jax": 2}, 2)
    assert order == ["minigan", "torch", "jax"] * 2
    assert result["seconds"] == {"minigan": [1, 1], "torch": [2, 2], "jax": [4, 4]}
    assert peers.best_peer(result["seconds"]) == "torch"
    assert peers.ratios(result["seconds"], "minigan", "jax") == (0.25, 0.25, 0.25)


def test_a_worker_that_does_not_answer_in_time_is_ended(fakes: list[peers.Worker]) -> None:
    with pytest.raises(peers.WorkerError, match=r"minigan: had no answer in time\."):
        fakes[0].ask(time.monotonic() + 0.1, do="sleep")
    with pytest.raises(peers.WorkerError, match="minigan: the worker ended"):
        fakes[0].ask(do="time")
    assert fakes[1].ask(time.monotonic() + 60, do="time")["seconds"] == 2


READY = """
import json, shutil, sys, threading
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == LATE: threading.Event().wait()
    if request["do"] == "check": shutil.copy(request["batches"].replace("batches", "start"), request["out"])
    answer = {"about": {}, "checked": True, "losses": [[1, 1]], "pools": [], "nodes": 41, "seconds": 0.6}
    print(json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize("when", ["prepare", "check", "time"])
def test_a_worker_that_is_not_ready_in_time_is_left_out(when: str) -> None:
    """A worker is left out after two thirds of the limit; no round begins after it. The numbers of nodes are kept."""
    workers = [
        peers.Worker(name, 1, subprocess.DEVNULL, [sys.executable, "-c", READY.replace("LATE", repr(late))])
        for name, late in (("minigan", "never"), ("jax", when))
    ]
    said: list[str] = []
    began = time.monotonic()
    result = peers.compare(SMALL, workers, 10**6, 1.0, said.append, 3.0)
    took = time.monotonic() - began
    for worker in workers:
        worker.close()
    assert said[0] == "small: left out: jax: had no answer in time." and 2 < took < 30
    assert list(result["seconds"]) == ["minigan"] and 1 < len(result["seconds"]["minigan"]) < 10**6
    assert result["about"]["minigan"]["nodes"] == 41


@pytest.mark.parametrize("within", ["0", "-1", "nan"])
def test_time_without_extent_is_refused(within: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(peers.main, "--only", "minigan", "--sizes", "digits", "--within", within) == 2
    assert "--within" in capsys.readouterr().err


def test_nothing_measured_is_a_failure_and_the_next_size_starts(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ("digits", "mixtures")
    assert exit_code(peers.main, "--only", "minigan", "--sizes", *sizes, "--within", 1e-3, "--rounds", 1) == 1
    said = capsys.readouterr().err
    assert [f"{size}: left out: minigan: had no answer in time." in said for size in sizes] == [True, True]


def test_no_round_begins_when_time_is_up(fakes: list[peers.Worker]) -> None:
    """The first round is always made, so that there is a result."""
    result = peers.turns(fakes, {"minigan": 10, "torch": 5, "jax": 2}, 50, until=time.monotonic())
    assert result["seconds"] == {"minigan": [1], "torch": [2], "jax": [4]}


def test_a_worker_that_is_not_idle_is_reported(fakes: list[peers.Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    for worker in fakes:
        worker.ask(do="time")  # all have started: what a Python costs to start is not seen as work
    fakes[1].ask(do="spin")
    monkeypatch.setattr(peers, "settle", lambda workers: None)
    ask = peers.Worker.ask

    def slow(self: peers.Worker, *until: float, **request: Any) -> dict[str, Any]:
        before = fakes[1].cpu()
        while fakes[1].cpu() < before + 0.05:
            pass
        return ask(self, *until, **request)

    monkeypatch.setattr(peers.Worker, "ask", slow)
    assert set(peers.turns(fakes, dict.fromkeys(("minigan", "torch", "jax"), 1), 1)["parked"]) == {"torch"}


def test_ratios_are_taken_round_by_round() -> None:
    assert peers.ratios({"a": [1.0, 20.0, 3.0], "b": [2.0, 40.0, 6.0]}, "a", "b") == (0.5, 0.5, 0.5)


def test_tables_of_a_comparison(tmp_path: Path) -> None:
    seconds = {"minigan": [1e-3, 1e-3], "products": [5e-4, 5e-4], "torch": [2e-3, 2e-3], "jax": [1.25e-3, 1.25e-3]}
    case = {
        "case": SMALL.to_dict(), "seconds": seconds, "about": {"minigan": {"nodes": 41}}, "steps": {}, "parked": {},
        "left_out": {"torch-compiled": "torch-compiled: no compiler"}, "load": 0.5,
    }  # fmt: skip
    values = {"kind": "minigan-peers", "machine": {"cores": 2}, "threads": 2, "rounds": 2, "cases": [case]}
    text = peers.tables(values)
    assert "| small | 1 (1-1) | 0.5 (0.5-0.5) | 2 (2-2) | 1.25 (1.25-1.25) |" in text
    assert "| small | jax | 0.5 (0.5-0.5) | 0.8 (0.8-0.8) | 2 (2-2) |" in text
    assert "small: a launch of minigan is a graph of 41 nodes." in text
    assert "left out: torch-compiled: no compiler" in text and "50% of the machine" in text
    (tmp_path / "peers.json").write_text(json.dumps(values), encoding="utf-8")
    assert text in report.report([tmp_path / "peers.json"], tmp_path, "")


# ----------------------------------------------------------------------------------------- what is compared is equal


def checked(name: str, case: Case) -> tuple[list[tuple[float, float]], dict[str, np.ndarray]]:
    """(losses, weights) of the checked steps, in this process."""
    start = peers.start_arrays(case)
    rows = np.random.default_rng(0).uniform(-1, 1, (160, case.size)).astype(np.float32)
    batches = peers.check_batches(case, rows)
    implementation = implementations.make(name, case, start, rows)
    losses = [implementation.step(x, z) for x, z in zip(batches["x"], batches["z"], strict=True)]
    weights = {k: np.array(v) for k, v in implementation.weights().items()}
    implementation.run(24)  # several epochs, and launches of eight steps, the second of which is recorded
    return losses, weights


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch.compile
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("name", [n for n in peers.runnable("cpu") if n != "products"])
def test_implementations_compute_the_same(name: str, case: Case) -> None:
    package = implementations.NEEDS["cpu"].get(name)
    if package and not find_spec(package):
        pytest.skip(f"{package} is not installed (extra bench-peers)")
    assert peers.difference(case, checked(name, case), checked("minigan", case), peers.start_arrays(case)) is None


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")  # those of others
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("name", [n for n in peers.runnable("gpu") if implementations.IMPLEMENTATIONS[n].checked])
def test_implementations_on_a_gpu_compute_the_same(name: str, case: Case) -> None:
    if not find_spec(package := implementations.NEEDS["gpu"][name]):
        pytest.skip(f"{package} is not installed")
    seen = checked(name, replace(case, device="gpu"))
    assert peers.difference(case, seen, checked("minigan", case), peers.start_arrays(case)) is None


@on_cpu
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("name", ["minigan", "minigan-fast", "minigan-eight", "minigan-tf32", "products"])
def test_minigan_on_a_gpu_computes_the_same(name: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stand-ins for the GPU."""

    def backend(which: str = "numpy", kernels: str = "reference") -> Ops:
        if which == "numpy":
            return get_ops(which, kernels)
        return fake_cupy()[0] if kernels == "reference" else stand_in(kernels)

    expected = checked("minigan", case)
    monkeypatch.setattr(implementations, "get_ops", backend)
    there = replace(case, device="gpu")
    if name == "products":
        implementations.make(name, there, {}, np.ones((64, case.size), np.float32)).run(3)
        return
    seen, start = checked(name, there), peers.start_arrays(case)
    if name == "minigan-tf32":
        assert 0 < np.abs(np.array(seen[0]) - expected[0]).max() < 1e-2
    else:
        assert peers.difference(case, seen, expected, start) is None


@pytest.mark.parametrize(
    "change", [{"lr": 2.1e-4}, {"beta1": 0.45}, {"ema": 0.1}, {"objective": "relativistic"}, {"update": "simultaneous"}]
)
def test_a_different_step_is_found(change: dict[str, Any]) -> None:
    other = Case.from_dict({**SMALL.to_dict(), **change})
    parted = peers.difference(SMALL, checked("minigan", other), checked("minigan", SMALL), peers.start_arrays(SMALL))
    assert parted is not None and "differ" in parted
    assert "average" in parted or "ema" not in change


def test_a_loss_that_is_no_number_is_a_difference() -> None:
    losses, weights = checked("minigan", SMALL)
    broken = [(float("nan"), 0.0), *losses[1:]], weights
    assert "losses" in str(peers.difference(SMALL, broken, (losses, weights), peers.start_arrays(SMALL)))


def test_peers_command_with_minigan_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "peers.json"
    flags = ["--only", "minigan", "products", "--sizes", "digits", "--rounds", "2", "--turn", "0.01", "--threads", "1"]
    assert peers.main([*flags, "--json", str(out)]) == 0
    assert "| digits | " in capsys.readouterr().out
    (case,) = json.loads(out.read_text(encoding="utf-8"))["cases"]
    assert case["about"]["products"]["flops"] > 10**6 and not case["left_out"]
    assert all(len(times) == 2 and min(times) > 0 for times in case["seconds"].values())


def test_a_worker_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = peers.Worker("nonsense", 1, subprocess.DEVNULL)
    whole = peers.Worker("minigan", 1, subprocess.DEVNULL)
    said: list[str] = []
    monkeypatch.setattr(peers, "WARM_SECONDS", 0.01)
    try:
        result = peers.compare(CASES["alternating"], [whole, broken], 1, 0.001, said.append)
    finally:
        broken.close()
        whole.close()
    assert list(result["seconds"]) == ["minigan"]
    assert "KeyError" in result["left_out"]["nonsense"] and "left out" in said[0]


def test_peers_that_differ_are_left_out_and_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "WARM_SECONDS", 0.001)
    monkeypatch.setattr(peers, "difference", lambda case, got, expected, start: got is not expected and "all differs")
    monkeypatch.setattr(peers, "IMPLEMENTATIONS", {"minigan": 0, "minigan-again": 0})
    real = peers.Worker
    monkeypatch.setattr(peers, "Worker", lambda name, *rest, **more: real("minigan", *rest, **more))
    flags = ["--only", "minigan", "minigan-again", "--sizes", "digits", "--rounds", "1", "--turn", "0.001"]
    assert peers.main([*flags, "--threads", "1"]) == 1
    assert "left out: minigan: does not compute what minigan does: all differs." in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--rounds", "0"], ["--threads", "0"], ["--turn", "0"], ["--sizes", "no"], ["--only", "torch-graph"]]
)
def test_peers_refuses_bad_flags(flags: list[str]) -> None:
    assert exit_code(peers.main, *flags) == 2


# ------------------------------------------------------------------------------------------------- on_gpu.sh


@pytest.mark.parametrize(("python", "code", "word"), [("true", 0, "passed"), ("false", 1, "FAILED (1)")])
def test_the_script_for_a_gpu_does_every_step_and_says_what_failed(
    tmp_path: Path, python: str, code: int, word: str
) -> None:
    command = ["bash", str(ROOT / "benchmarks" / "on_gpu.sh"), str(tmp_path / "out")]
    done = subprocess.run(command, env={**os.environ, "PYTHON": python}, capture_output=True, text=True)
    summary = (tmp_path / "out" / "summary.txt").read_text(encoding="utf-8")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (code, sorted(summary.splitlines()))
    assert summary.count(word) == len(summary.splitlines()) == 22
    assert all((tmp_path / "out" / f"{line.split()[0]}.log").is_file() for line in summary.splitlines())


SLOW = """#!/bin/bash
case "$*" in
    *benchmarks.report*) exit 0 ;;
    *"$WAIT_IN"*) echo $$ >>"$PIDS"; sleep 60 ;;
esac
"""


@pytest.mark.parametrize(
    ("where", "count"), [("-m", 12), ("benchmark-only", 1)]
)  # in what is checked, in what is timed
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_script_for_a_gpu_reports_when_it_is_stopped_and_leaves_nothing_running(
    tmp_path: Path, where: str, count: int, number: int
) -> None:
    python, pids, out = tmp_path / "python", tmp_path / "pids", tmp_path / "out"
    python.write_text(SLOW)
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "PIDS": str(pids), "WAIT_IN": where}
    command = ["bash", str(ROOT / "benchmarks" / "on_gpu.sh"), str(out)]
    script = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    began = time.monotonic()
    while not pids.exists() or len(pids.read_text().splitlines()) < count:
        assert time.monotonic() < began + 60
        time.sleep(0.05)
    script.send_signal(number)
    assert script.wait(30) == 128 + number
    lines = (out / "summary.txt").read_text(encoding="utf-8").splitlines()
    assert lines[-1].split()[:2] == ["report", "passed"]
    assert count == len(pids.read_text().splitlines())
    assert sum("FAILED" in line for line in lines) == (0 if count == 1 else count)  # one that is timed has no line then
    left = [psutil.Process(int(pid)) for pid in pids.read_text().split() if psutil.pid_exists(int(pid))]
    assert not psutil.wait_procs(left, 10)[1]  # on a busy machine a process that was killed needs a moment to end


def test_the_script_for_a_gpu_does_not_mix_the_results_of_two_runs(tmp_path: Path) -> None:
    (tmp_path / "summary.txt").write_text("the other run\n")
    command = ["bash", str(ROOT / "benchmarks" / "on_gpu.sh"), str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHON": "true"}, capture_output=True, text=True)
    assert done.returncode == 2 and "holds the results of another run; name another folder" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["summary.txt"]


def test_a_report_that_fails_is_a_failure(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/bash\ncase "$*" in *benchmarks.report*) exit 5 ;; esac\n')
    python.chmod(0o755)
    command = ["bash", str(ROOT / "benchmarks" / "on_gpu.sh"), str(tmp_path / "out")]
    done = subprocess.run(command, env={**os.environ, "PYTHON": str(python)}, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.splitlines()[-1].split()[:3] == ["report", "FAILED", "(5)"]


def test_the_steps_on_a_gpu_take_less_than_ten_minutes_and_exist() -> None:
    import re

    text = (ROOT / "benchmarks" / "on_gpu.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    modules = set(re.findall(r"-m (\S+)", text)) - {"pytest"}
    assert modules and all(find_spec(module) for module in modules)
    functions, rest = text.split("trap finish EXIT\n")
    checked, timed = rest.split("\nwait\n")

    def limits(script: str) -> int:
        """The time limits of all steps of the script, and the time until a step is killed that an interrupt does not end."""
        (grace,) = re.findall(r"timeout -s INT -k (\d+) ", functions)
        return sum(int(found) + int(grace) for found in re.findall(r"(?m)^ *step \S+ (\d+) ", script))

    seconds = max(map(limits, checked.split(" &\n"))) + limits(timed) + limits(functions)  # the first are side by side
    for loop, body in re.findall(r"for \w+ in (.+?); do\n(.+?)\ndone", timed, re.DOTALL):
        seconds += (len(loop.split()) - 1) * limits(body)
    assert 500 < seconds < 590
