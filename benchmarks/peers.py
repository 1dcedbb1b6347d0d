"""`python -m benchmarks.peers`: compare minigan's training step with PyTorch's and JAX's.

Each implementation (see implementations.py) runs in a process of its own, because their thread pools would compete for the cores
within one process. The processes take turns A B C A B C, so that other load on the machine affects all of them, and a ratio is
computed within a round. Before a turn begins, all other processes must be idle (thread pools spin for a while after work), and
their processor time must not increase during the turn. First the losses and weights of three steps from the same start are
compared.

A worker process reads a request as a line of JSON and answers with a line of JSON; between requests it blocks in `read`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from math import inf
from pathlib import Path
from select import select
from typing import Any

import numpy as np
import psutil

from benchmarks import machine, thread_pools
from benchmarks.implementations import (
    GPU_ONLY,
    IMPLEMENTATIONS,
    NAMES,
    NEEDS,
    Arrays,
    Case,
    Implementation,
    Products,
    make,
)
from minigan import GAN, cli, get_ops
from minigan.backends import noise as streams
from minigan.backends.noise import Noise
from minigan.errors import InputError, MiniganError, reason
from minigan.runs.contention import LOAD, Meter, cores
from minigan.runs.cost import flops

ROOT = Path(__file__).parents[1]
CASES = {
    case.name: case
    for case in (
        Case("mixtures", 2, (128, 128, 128), 256, latent=2),
        Case("digits", 64, (128, 128), 64),
        Case("mnist", 784, (256, 256), 128),
        Case("wide", 784, (1024, 1024), 512),
        Case("penalised-64", 784, (256, 256), 64, objective="relativistic", gamma=1.0),
        Case("penalised-128", 784, (256, 256), 128, objective="relativistic", gamma=1.0),
        Case("simultaneous", 784, (256, 256), 128, update="simultaneous"),
        Case("huge", 784, (4096, 4096), 4096),
    )
}
SIZES = {
    "cpu": [name for name in CASES if name != "huge"],
    "gpu": ["mnist", "wide", "huge", "penalised-128", "simultaneous"],
}
"""The sizes that are timed by default, by device."""

ROWS = 16384
CHECK_STEPS = 3
LOSS_TOLERANCE, WEIGHT_TOLERANCE, MOVE_TOLERANCE = 1e-4, 1e-4, 3e-2
"""Relative to: the loss; the norm of the weights; the norm of their change. Adam divides by the gradient's size. So where a
gradient is as small as its rounding error (or as the change by one unit at the kink of its leaky ReLU), the weight makes a full
step in either direction: measured, 1e-2 between JAX and float64 at the wide size."""
WARM_SECONDS = 1.0  # before the number of steps in a turn is chosen
BUSY = 0.05  # share of a core that a waiting process may use


# ----------------------------------------------------------------------------------------------------- workers


def serve(name: str, build: Callable[..., Implementation] = make) -> None:
    """Answer requests on standard input until it closes; the worker's main loop."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # keeps a library's output apart from the answers
    implementation: Implementation | None = None
    while line := sys.stdin.readline():
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                case, arrays = Case.from_dict(request["case"]), _read(request["start"])
                implementation = None  # frees the last one first
                implementation = build(name, case, arrays, np.load(request["rows"], allow_pickle=False))
                answer = {"about": implementation.about(), "checked": implementation.checked}
                if isinstance(implementation, Products):
                    answer["about"]["flops"] = flops(implementation.products)
            elif request["do"] == "check":
                assert implementation is not None
                batches = _read(request["batches"])
                losses = [implementation.step(x, z) for x, z in zip(batches["x"], batches["z"], strict=True)]
                np.savez(request["out"], **implementation.weights())  # type: ignore[arg-type]
                answer = {"losses": losses, "pools": thread_pools()}
            else:
                assert implementation is not None
                implementation.run(request["warm"])
                start = time.perf_counter()
                implementation.run(request["steps"])
                answer = {"seconds": time.perf_counter() - start, "nodes": implementation.nodes()}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {reason(error)}"}
        print(json.dumps(answer), file=replies, flush=True)


def _read(path: str) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


class WorkerError(MiniganError):
    """A worker could not answer a request."""


class Worker:
    """A worker process. command: started instead of the implementation `name`."""

    def __init__(
        self, name: str, threads: int, log: Any = None, command: Sequence[str] | None = None, device: str = "cpu"
    ) -> None:
        self.name = name
        variables = ("OMP", "OPENBLAS", "MKL", "NUMBA")
        environment = {**os.environ, **{f"{v}_NUM_THREADS": str(threads) for v in variables}}
        environment["VECLIB_MAXIMUM_THREADS"] = str(threads)
        environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # starts no processes that keep running
        environment["JAX_PLATFORMS"] = "cpu" if device == "cpu" else "cuda,cpu"
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # all workers share the GPU
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "benchmarks.peers", "--worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            preexec_fn=partial(_pin, threads),
        )
        self.watched = psutil.Process(self.process.pid)

    def ask(self, until: float = inf, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer; a worker without an answer by time.monotonic() `until` is killed.
        Raises: WorkerError."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            wait = None if until == inf else min(max(0.0, until - time.monotonic()), 1e6)
            if not select([self.process.stdout], [], [], wait)[0]:
                self.process.kill()
                self.process.wait()
                raise WorkerError(f"{self.name}: had no answer in time.")
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"{self.name}: the worker ended with exit code {self.process.wait()}.")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def cpu(self) -> float:
        """Seconds of processor time used so far, by all of its threads."""
        times = self.watched.cpu_times()
        return times.user + times.system

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _pin(threads: int) -> None:
    """In the new process: as many cores as threads, because JAX takes its number of threads from there."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


# ------------------------------------------------------------------------------------------------- a comparison


def start_arrays(case: Case) -> Arrays:
    """The initial weights of all implementations: minigan's."""
    gan = GAN(case.config(), case.size, get_ops())
    state = gan.state()
    return {"generator": state["generator"], "discriminator": state["discriminator"], "average": state["generator"]}


def check_batches(case: Case, rows: np.ndarray) -> Arrays:
    """Minibatches and latents of the checked steps; the latents are those that minigan draws itself.

    The minibatches differ in mean and size, so that gradients change and Adam's moments matter.
    """
    z = np.empty((CHECK_STEPS, case.batch, case.latent), np.float32)
    for i in range(CHECK_STEPS):
        Noise(case.seed).normal(z[i], streams.LATENT, i)
    x = rows[: CHECK_STEPS * case.batch].reshape(CHECK_STEPS, case.batch, case.size)
    return {"x": (x + 1) * np.array([1, -0.5, 0.2], np.float32)[:, None, None], "z": z}


Seen = tuple[Sequence[Sequence[float]], Arrays]
"""Results of the checked steps: (loss_d, loss_g) of each, and the weights after the last."""


def difference(case: Case, got: Seen, expected: Seen, start: Arrays) -> str | None:
    """The first difference between two implementations, in words; None where they agree."""
    a, b = np.array(got[0]), np.array(expected[0])
    error = np.abs(a - b).max() / np.abs(b).max()
    if not error <= LOSS_TOLERANCE:
        return f"losses differ by {error:.1e}: {a.tolist()} against {b.tolist()}"
    for name in NAMES:
        have, want, origin = (arrays[name].astype(np.float64) for arrays in (got[1], expected[1], start))
        if name == "discriminator" and case.objective == "relativistic":
            # the loss depends on r - f only: the last bias has gradient 0 up to rounding, and Adam makes a step of any size of it
            have, want, origin = have[:-1], want[:-1], origin[:-1]
        error = np.linalg.norm(have - want)
        for size, tolerance, what in (
            (np.linalg.norm(want), WEIGHT_TOLERANCE, "weights"),
            (np.linalg.norm(want - origin), MOVE_TOLERANCE, "moves"),
        ):
            if not error <= tolerance * size:
                return f"the {what} of the {name} differ by {error / size:.1e} of their norm"
    return None


def settle(workers: Sequence[Worker], limit: float = 3.0) -> None:
    """Wait until no worker uses the processor, at most `limit` seconds."""
    end, before = time.monotonic() + limit, [w.cpu() for w in workers]
    while time.monotonic() < end:
        time.sleep(0.05)
        now = [w.cpu() for w in workers]
        if now == before:
            return
        before = now


def turns(workers: Sequence[Worker], steps: dict[str, int], rounds: int, until: float = inf) -> dict[str, Any]:
    """Time all workers in rounds: seconds per step of each worker in each round, and the workers that were not idle while waiting.
    No round begins after `until`."""
    seconds: dict[str, list[float]] = {w.name: [] for w in workers}
    parked = {w.name: 0.0 for w in workers}
    others = wall = 0.0
    meter = Meter(lambda: time.process_time() + sum(w.cpu() for w in workers))
    for i in range(rounds):
        if i and time.monotonic() > until:
            break
        for worker in workers:
            settle(workers)
            meter.read()
            start, before = time.monotonic(), [w.cpu() for w in workers]
            n = steps[worker.name]
            seconds[worker.name].append(worker.ask(do="time", warm=-(-n // 8), steps=n)["seconds"] / n)
            took, after = time.monotonic() - start, [w.cpu() for w in workers]
            wall += took
            others += meter.read().others * took
            for w, a, b in zip(workers, before, after, strict=True):
                if w is not worker and b - a > BUSY * took + 0.01:  # processor time comes in hundredths of a second
                    parked[w.name] = max(parked[w.name], (b - a) / took)
    load = others / (wall * cores()) if wall else 0.0
    return {"seconds": seconds, "parked": {k: v for k, v in parked.items() if v}, "load": load}


def compare(
    case: Case, workers: list[Worker], rounds: int, turn: float, say: Callable[[str], None], within: float = inf
) -> dict[str, Any]:
    """Compare the workers on one case. A worker that fails, or differs from the first one, is left out and named.

    within: seconds after which no further round begins; a worker that is not ready after two thirds of them is left out.
    """
    began = time.monotonic()
    ready = began + within * 2 / 3
    about: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    parted: list[str] = []
    steps: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = partial(os.path.join, folder)
        start, rows = start_arrays(case), np.random.default_rng(case.seed).uniform(-1, 1, (ROWS, case.size))
        rows = rows.astype(np.float32)
        np.savez(path("start.npz"), **start)  # type: ignore[arg-type]
        np.savez(path("batches.npz"), **check_batches(case, rows))  # type: ignore[arg-type]
        np.save(path("rows.npy"), rows)
        expected: Seen | None = None
        for worker in workers:
            name = worker.name
            try:
                answer = worker.ask(
                    ready, do="prepare", case=case.to_dict(), start=path("start.npz"), rows=path("rows.npy")
                )
                about[name] = answer["about"]
                if answer["checked"]:
                    checked = worker.ask(ready, do="check", batches=path("batches.npz"), out=path("weights.npz"))
                    got = checked["losses"], _read(path("weights.npz"))
                    about[name]["pools"] = checked["pools"]
                    expected = expected or got
                    words = difference(case, got, expected, start)
                    if words:
                        parted.append(name)
                        raise WorkerError(f"{name}: does not compute what {workers[0].name} does: {words}.")
                n, seconds = 1, 0.0
                while seconds < WARM_SECONDS / 2:  # the first step may compile; the last number of steps is timed warm
                    n = max(n, min(4 * n, int(n * WARM_SECONDS / seconds))) if seconds else n
                    answer = worker.ask(ready, do="time", warm=1, steps=n)
                    seconds, nodes = answer["seconds"], answer.get("nodes", 0)
                if nodes:
                    about[name]["nodes"] = nodes
                steps[name] = max(2, round(n * turn / seconds))
            except WorkerError as error:
                left_out[name] = str(error)
                say(f"{case.name}: left out: {error}")
        active = [w for w in workers if w.name in steps]
        result = turns(active, steps, rounds, began + within)
    for name, share in result["parked"].items():
        say(f"{case.name}: warning: {name} used {share:.0%} of a core while another was timed")
    if result["load"] > LOAD:
        say(f"{case.name}: warning: other processes used {result['load']:.0%} of the machine; ratios are uncertain")
    return {
        "case": case.to_dict(), "about": about, "steps": steps, "left_out": left_out, "parted": parted, **result,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------ tables


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """(median, lower, upper quartile)."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(middle), float(low), float(high)


def best_peer(seconds: dict[str, list[float]]) -> str | None:
    """The implementation in another library with the smallest median."""
    peers = [name for name in seconds if not name.startswith(("minigan", "products"))]
    return min(peers, key=lambda name: quartiles(seconds[name])[0], default=None)


def ratios(seconds: dict[str, list[float]], one: str, other: str) -> tuple[float, float, float]:
    """Quartiles of one's time divided by the other's, round by round."""
    return quartiles([a / b for a, b in zip(seconds[one], seconds[other], strict=True)])


def tables(results: dict[str, Any]) -> str:
    """Markdown: milliseconds per step, then ratios; each a median with its quartiles."""
    cases = results["cases"]
    names = [n for n in IMPLEMENTATIONS if any(n in c["seconds"] for c in cases)]
    names += sorted({n for c in cases for n in c["seconds"]} - set(names))
    devices = {about["device"] for c in cases for about in c["about"].values() if "device" in about}
    on = f" on {', '.join(sorted(devices))}" if results.get("device") == "gpu" else ""
    lines = [f"Milliseconds per step{on}, median (quartiles):", ""]
    lines += ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]

    def cell(values: tuple[float, float, float] | None, scale: float = 1) -> str:
        if values is None:
            return ""
        middle, low, high = (f"{v * scale:.3g}" for v in values)
        return f"{middle} ({low}-{high})"

    for c in cases:
        row = [cell(quartiles(c["seconds"][n]), 1e3) if n in c["seconds"] else "" for n in names]
        lines.append(f"| {c['case']['name']} | " + " | ".join(row) + " |")
    pairs = [
        ("minigan-fast", "torch"), ("minigan-fast", "best"), ("minigan", "torch"), ("minigan", "best"),
        ("minigan-fast", "products"), ("minigan", "products"), ("minigan-eight", "best"), ("minigan-tf32", "products"),
    ]  # fmt: skip
    pairs = [(a, b) for a, b in pairs if a in names and (b in names or b == "best")]
    lines += ["", "Ratios of times, round by round (below 1: minigan is faster):", ""]
    lines += ["| | best peer | " + " | ".join(f"{a} / {b}" for a, b in pairs) + " |", "|---" * (len(pairs) + 2) + "|"]
    for c in cases:
        s, best = c["seconds"], best_peer(c["seconds"])
        row = []
        for a, b in pairs:
            b = best if b == "best" else b
            row.append(cell(ratios(s, a, b)) if a in s and b in s else "")
        lines.append(f"| {c['case']['name']} | {best or ''} | " + " | ".join(row) + " |")
    for c in cases:
        for name, about in c["about"].items():
            if "nodes" in about:
                lines.append(f"\n{c['case']['name']}: a launch of {name} is a graph of {about['nodes']} nodes.")
        lines += [f"\n{c['case']['name']}: left out: {words}" for words in c["left_out"].values()]
        if c["load"] > LOAD:
            lines.append(f"\n{c['case']['name']}: other processes used {c['load']:.0%} of the machine.")
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------------------- command


def runnable(device: str) -> list[str]:
    """The implementations for a device."""
    return [name for name in IMPLEMENTATIONS if device == "gpu" or name not in GPU_ONLY]


def available(device: str) -> list[str]:
    """The implementations for a device whose packages are installed."""
    return [name for name in runnable(device) if name not in NEEDS[device] or find_spec(NEEDS[device][name])]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    cores = machine()["cores"]
    parser = cli.Parser(prog="python -m benchmarks.peers", description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--device", choices=SIZES, default="cpu", help="the device of all implementations (default: cpu)"
    )
    parser.add_argument("--sizes", nargs="+", choices=CASES, metavar="NAME", default=None,
                        help=f"which steps: {', '.join(CASES)} (default: on a CPU all but the last; on a GPU "
                             f"{', '.join(SIZES['gpu'])})")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=IMPLEMENTATIONS, metavar="NAME", default=None,
                        help=f"which implementations: {', '.join(IMPLEMENTATIONS)} (default: all installed)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=15, help="turns of each (default: 15)")
    parser.add_argument("--turn", type=float, default=0.4, help="seconds in a turn, about (default: 0.4)")
    parser.add_argument("--within", type=float, default=inf, metavar="SECONDS",
                        help="limit for each size: an implementation that is not ready after two thirds of it is left out, "
                             "and no round begins after it (default: no limit)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=cores, help=f"of each implementation (default: {cores})")
    parser.add_argument("--json", type=Path, default=None, help="write all times to this file")
    parser.add_argument("--worker", default=None, help=argparse.SUPPRESS)
    values = parser.parse(argv)
    if not (values.rounds >= 1 and values.turn > 0 and values.within > 0 and 1 <= values.threads <= cores):
        raise InputError(
            f"--rounds must be >= 1, --turn and --within > 0, and --threads between 1 and {cores} (the cores)."
        )
    for name in set(values.only or []) - set(runnable(values.device)):
        raise InputError(f"--only {name} is for a GPU; add --device gpu.")
    if values.device == "gpu" and not values.worker:
        get_ops("cupy")  # raises an error that names what is missing
    values.sizes = values.sizes or SIZES[values.device]
    return values


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    if values.worker:
        serve(values.worker)
        return 0
    device, every = values.device, runnable(values.device)
    names = [n for n in every if n in values.only] if values.only else available(device)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    for name in sorted(set(every) - set(names)) if not values.only else ():
        say(f"left out: {name} needs {NEEDS[device][name]}, which is not installed")
    results: dict[str, Any] = {
        "kind": "minigan-peers", "machine": machine(), "device": device, "threads": values.threads,
        "rounds": values.rounds, "cases": [],
    }  # fmt: skip
    with tempfile.TemporaryFile("w+") as log:
        started = partial(Worker, threads=values.threads, log=log, device=device)
        workers = [started(name) for name in names]
        try:
            for size in values.sizes:
                for i, worker in enumerate(workers):
                    if worker.process.poll() is not None:  # it failed, or had no answer in time, at another size
                        worker.close()
                        workers[i] = started(worker.name)
                say(f"{size}: checking, then {values.rounds} rounds of {', '.join(names)}")
                case = replace(CASES[size], device=device)
                results["cases"].append(compare(case, workers, values.rounds, values.turn, say, values.within))
                if values.json:
                    values.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        finally:
            for worker in workers:
                worker.close()
        parted = any(case["parted"] for case in results["cases"])
        if parted:
            log.seek(0)
            say(log.read())
    print(tables(results))
    return 1 if parted or not all(case["seconds"] for case in results["cases"]) else 0


if __name__ == "__main__":
    cli.run(main)
