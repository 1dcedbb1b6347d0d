"""`python -m benchmarks.report RESULTS.json...`: tables and pictures from the results of benchmarks.

Reads the JSON of pytest-benchmark (`make bench`) and of `python -m benchmarks.peers`, one or several files: results on
a CPU and on a GPU are compared with each other. Writes report.md and its pictures to the same directory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks import disturbed
from benchmarks.peers import tables as peer_tables
from benchmarks.pictures import line, panels, plot
from minigan import cli
from minigan.errors import InputError
from minigan.files import reading, write_bytes
from minigan.plots.style import FAKE, INK, MUTED, REAL
from minigan.runs.contention import LOAD

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
PEERS = "minigan-peers"


@dataclass(frozen=True)
class Row:
    """One benchmark: `seconds` is its median, low and high its quartiles."""

    kernel: str
    backend: str
    device: str
    dtype: str
    batch: int | None
    width: int | None
    flops: int
    bytes: int
    seconds: float
    low: float
    high: float
    load: float

    @property
    def disturbed(self) -> bool:
        """Whether other processes used so much of the processors that the time is uncertain."""
        return self.load > LOAD

    @property
    def series(self) -> str:
        return f"{self.backend} {self.dtype}"

    @property
    def size(self) -> tuple[int | None, int | None]:
        return self.batch, self.width

    @property
    def work(self) -> int:
        """The work that the time is proportional to: FLOPs of matrix products, else bytes."""
        return self.flops if self.flops > 4 * self.bytes else self.bytes

    @property
    def gflops(self) -> float:
        return self.flops / self.seconds / 1e9

    @property
    def gbs(self) -> float:
        return self.bytes / self.seconds / 1e9


@dataclass(frozen=True)
class Ceiling:
    """GFLOP/s of a large matrix product and GB/s of a large copy, measured in the same run."""

    gflops: float
    gbs: float

    def roof(self, row: Row) -> float:
        """The least seconds that this machine needs for the row's FLOPs and bytes."""
        return max(row.flops / self.gflops, row.bytes / self.gbs) / 1e9


# ----------------------------------------------------------------------------------------------------- reading


def read(paths: Iterable[Path]) -> tuple[list[Row], list[dict[str, Any]], list[dict[str, Any]]]:
    """(benchmarks, comparisons with peers, machines). Raises: InputError for a file that is neither."""
    rows: list[Row] = []
    peers: list[dict[str, Any]] = []
    machines: list[dict[str, Any]] = []
    for path in paths:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.get("kind") == PEERS:
                peer_section(values)
                peers.append(values)
                machine = {**values["machine"], "threads": values["threads"]}
            else:
                found = [_row(b) for b in values["benchmarks"] if "kernel" in b["extra_info"]]
                if not found:
                    raise ValueError("no benchmarks")
                rows += found
                machine = values["machine_info"].get("minigan", {})
                blas = [p["num_threads"] for p in machine.get("pools", []) if p.get("user_api") == "blas"]
                machine = {**machine, "threads": max(blas, default="?")}
            machine_lines([machine])
            machines.append(machine)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}).") from None
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
            raise InputError(
                f"{path} holds no results; give what `make bench` or `python -m benchmarks.peers` wrote as JSON."
            ) from None
    return rows, peers, machines


def _row(benchmark: dict[str, Any]) -> Row:
    """A row from an entry of the JSON. Raises: ValueError, KeyError or TypeError for an invalid entry or a time not above 0."""
    extra, stats = benchmark["extra_info"], benchmark["stats"]
    middle, low, high = (float(stats[name]) / extra.get("calls", 1) for name in ("median", "q1", "q3"))
    size = (None if extra.get(name) is None else int(extra[name]) for name in ("batch", "width"))
    row = Row(
        *(str(extra[name]) for name in ("kernel", "backend", "device", "dtype")), *size, int(extra["flops"]),
        int(extra["bytes"]), middle, low, high, float(extra.get("load", 0)),
    )  # fmt: skip
    if not (min(low, middle, high, row.work) > 0 and min(row.flops, row.bytes) >= 0):
        raise ValueError("no time, or no work")
    if not all(map(math.isfinite, (low, middle, high, row.gflops, row.gbs))):
        raise ValueError("not finite")
    return row


def keep(results: Path, folder: Path) -> Path:
    """Copy results to the first unused file name for their backend, kernels and machine. Raises: InputError, OSError."""
    rows, _, (machine,) = read([results])
    backend, _, kernels_ = rows[0].backend.partition("+")
    cpu = f"{machine.get('cpu')} {machine.get('cores')} cores"
    device = cpu if backend == "numpy" else rows[0].device
    name = re.sub("[^a-z0-9]+", "-", f"{backend} {kernels_ or 'reference'} {device}".lower())[:80].strip("-")
    for number in itertools.count(1):
        path = folder / f"{name}-{number:03}.json"
        with suppress(FileExistsError):
            path.with_suffix("").mkdir()  # for the report; it also reserves the name
            with open(path, "xb") as file:
                file.write(results.read_bytes())
            return path
    raise AssertionError


def peer_section(values: dict[str, Any]) -> str:
    return f"{values['threads']} threads, {values['rounds']} rounds.\n\n{peer_tables(values)}"


def ceilings(rows: Iterable[Row]) -> dict[str, Ceiling]:
    """The ceilings of each series that has both."""
    products = {r.series: r.gflops for r in rows if r.kernel == "ceiling: product" and r.flops}
    copies = {r.series: r.gbs for r in rows if r.kernel == "ceiling: copy" and r.bytes}
    return {s: Ceiling(products[s], copies[s]) for s in products.keys() & copies.keys()}


def kernels(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by kernel, in the order of the results, without the ceilings."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row.kernel.startswith("ceiling"):
            groups.setdefault(row.kernel, []).append(row)
    return groups


# ------------------------------------------------------------------------------------------------------ tables


def duration(seconds: float) -> str:
    """Three figures with a unit: 1.23 ms."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}"
    raise AssertionError


def table(rows: Sequence[Row], tops: dict[str, Ceiling]) -> str:
    """A table of one kernel at all sizes. The last column is the least time that the ceilings allow, divided by the measured time.
    A star marks times measured while other processes used the processors."""
    lines = [
        "| backend | dtype | batch | width | time (quartiles) | GFLOP/s | GB/s | of the roof |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for r in sorted(rows, key=lambda r: (r.backend, r.dtype, r.work)):
        share = f"{tops[r.series].roof(r) / r.seconds:.0%}" if r.series in tops else ""
        size = " | ".join("" if n is None else str(n) for n in r.size)
        spread = f"{duration(r.seconds)} ({duration(r.low)} - {duration(r.high)})" + " *" * r.disturbed
        lines.append(f"| {r.backend} | {r.dtype} | {size} | {spread} | {r.gflops:.3g} | {r.gbs:.3g} | {share} |")
    return "\n".join(lines)


def ceiling_table(tops: dict[str, Ceiling]) -> str:
    lines = ["| backend, dtype | large product, GFLOP/s | large copy, GB/s |", "|---|--:|--:|"]
    lines += [f"| {name} | {top.gflops:.4g} | {top.gbs:.4g} |" for name, top in sorted(tops.items())]
    return "\n".join(lines)


def machine_lines(machines: Iterable[dict[str, Any]]) -> str:
    lines = []
    for m in machines:
        packages = ", ".join(f"{name} {v}" for name, v in m.get("versions", {}).items())
        lines.append(
            f"- {m.get('cpu', 'unknown processor')}, {m.get('cores', '?')} cores, {m['threads']} threads, "
            f"{m.get('system', 'unknown system')}, Python {m.get('python', '?')}, {packages}"
        )
    return "\n".join(dict.fromkeys(lines))


# -------------------------------------------------------------------------------------- the GPU against the CPU


@dataclass(frozen=True)
class Speedup:
    """CPU time / GPU time of one kernel and dtype against work, where both ran the same size."""

    kernel: str
    dtype: str
    points: list[tuple[int, float]]

    @property
    def crossover(self) -> float | None:
        """The work from which on the GPU is faster, interpolated linearly in logarithms between two sizes.

        0 where it always is, None where it is not at the largest size.
        """
        cross = 0.0
        for (w0, s0), (w1, s1) in zip(self.points, self.points[1:], strict=False):
            if s0 < 1 <= s1 and w1 > w0:
                share = -math.log(s0) / (math.log(s1) - math.log(s0))
                cross = math.exp(math.log(w0) + share * (math.log(w1) - math.log(w0)))
        return cross if self.points[-1][1] >= 1 else None


def speedups(rows: Iterable[Row]) -> list[Speedup]:
    """Of the fastest CPU variant over CuPy, wherever both are among the rows."""
    found: list[Speedup] = []
    for kernel, group in kernels(rows).items():
        for dtype in sorted({r.dtype for r in group}):
            best: dict[tuple[bool, Any], Row] = {}
            for r in (r for r in group if r.dtype == dtype):
                key = r.backend.startswith("cupy"), r.size
                if key not in best or r.seconds < best[key].seconds:
                    best[key] = r
            both = [s for gpu, s in best if not gpu and (True, s) in best]
            points = [(best[False, s].work, best[False, s].seconds / best[True, s].seconds) for s in both]
            if points:
                found.append(Speedup(kernel, dtype, sorted(points)))
    return found


def speedup_table(found: Sequence[Speedup]) -> str:
    lines = ["| kernel | dtype | smallest size | largest size | the GPU is faster from |", "|---|---|--:|--:|--:|"]
    for s in found:
        cross = {None: "no size measured", 0.0: "every size measured"}.get(s.crossover) or f"work {s.crossover:.2g}"
        lines.append(f"| {s.kernel} | {s.dtype} | {s.points[0][1]:.3g} x | {s.points[-1][1]:.3g} x | {cross} |")
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------- pictures


def draw_times(path: Path, rows: Sequence[Row]) -> None:
    """Time against work, a panel for each kernel. Raises: OSError."""
    groups = kernels(rows)
    keys = {series: line(series) for series in sorted({r.series for group in groups.values() for r in group})}

    def draw(axes: Axes, name: str) -> None:
        for series, key in keys.items():
            if points := sorted((r.work, r.seconds * 1e3) for r in groups[name] if r.series == series):
                plot(axes, key, points)
        axes.set_xlabel(unit_of_work(groups[name]))
        axes.set_ylabel("time (ms)")

    panels(path, "time against work", list(groups), draw, list(keys.values()))


def unit_of_work(rows: Iterable[Row]) -> str:
    return "work (FLOPs)" if any(r.work == r.flops for r in rows) else "work (bytes read and written)"


def draw_speedups(path: Path, found: Sequence[Speedup], rows: Sequence[Row]) -> None:
    """CPU time / GPU time against work; a cross where the line meets 1. Raises: OSError."""
    groups = kernels(rows)
    colours = {"float32": FAKE, "float64": REAL}
    keys = {
        s.dtype: Line2D([], [], color=colours.get(s.dtype, MUTED), marker="o", markersize=3.5, label=s.dtype)
        for s in found
    }
    cross = Line2D([], [], linestyle="", marker="x", color=INK, label="crossover")

    def draw(axes: Axes, name: str) -> None:
        axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        for s in (s for s in found if s.kernel == name):
            plot(axes, keys[s.dtype], s.points)
            if s.crossover:
                plot(axes, cross, [(s.crossover, 1)])
        axes.set_xlabel(unit_of_work(groups[name]))
        axes.set_ylabel("CPU time / GPU time")

    panels(path, "the GPU against the CPU", list(dict.fromkeys(s.kernel for s in found)), draw, [*keys.values(), cross])


def draw_roofline(path: Path, rows: Sequence[Row], tops: dict[str, Ceiling]) -> None:
    """GFLOP/s against FLOPs per byte, below the measured ceilings, a panel for each series. Raises: OSError."""
    roof = Line2D([], [], color=INK, linewidth=1.2, label="ceiling")
    keys = {
        family: Line2D(
            [], [], linestyle="", marker=marker, markersize=4, alpha=0.7, color=colour, label=family or "elementwise"
        )
        for family, marker, colour in (("step", "s", FAKE), ("dense", "o", REAL), ("", "^", MUTED))
    }

    def draw(axes: Axes, name: str) -> None:
        top = tops[name]
        chosen = [r for r in rows if r.series == name and r.flops and not r.kernel.startswith("ceiling")]
        x = [r.flops / r.bytes for r in chosen] or [1.0]
        low, ridge, high = min(*x, 0.1) / 2, top.gflops / top.gbs, max(*x, 10 * top.gflops / top.gbs)
        plot(axes, roof, [(low, low * top.gbs), (ridge, top.gflops), (high, top.gflops)])
        for family, key in keys.items():
            if points := [(r.flops / r.bytes, r.gflops) for r in chosen if _family(r.kernel) == family]:
                plot(axes, key, points)
        axes.set_xlabel("intensity (FLOPs per byte)")
        axes.set_ylabel("speed (GFLOP/s)")

    panels(path, "speed against the ceiling", sorted(tops), draw, [roof, *keys.values()])


def _family(kernel: str) -> str:
    return next((f for f in ("step", "dense") if kernel.startswith(f)), "")


# ----------------------------------------------------------------------------------------------------- command


def report(paths: Sequence[Path], pictures: Path, link: str) -> str:
    """Markdown of all results; pictures are written into a directory that the text links to as `link`."""
    rows, peers, machines = read(paths)
    tops, found = ceilings(rows), speedups(rows)
    parts = ["### Machine", machine_lines(machines)]
    if loads := [r.load for r in rows if r.disturbed]:
        parts.append(f"Marked *: {disturbed(len(loads), len(rows), max(loads))}")

    def picture(name: str, what: str, draw: Callable[..., None], *values: Any) -> str:
        pictures.mkdir(parents=True, exist_ok=True)
        draw(pictures / name, *values)
        return f"![{what}]({link}{name})"

    for run, values in enumerate(peers, 1):
        title = "### Beside other libraries" + (f", run {run}" if len(peers) > 1 else "")
        parts += [title, peer_section(values)]
    if tops:
        parts += ["### Ceilings and roofline", ceiling_table(tops)]
        parts.append(picture("bench-roofline.png", "GFLOP/s against FLOPs per byte", draw_roofline, rows, tops))
    if found:
        parts += ["### The GPU against the CPU", speedup_table(found)]
        parts.append(picture("bench-speedup.png", "CPU time divided by GPU time", draw_speedups, found, rows))
    if kernels(rows):
        parts += ["### Time against size", picture("bench-time.png", "Time of each kernel", draw_times, rows)]
    for kernel, group in kernels(rows).items():
        parts += [f"#### {kernel}", table(group, tops)]
    return "\n\n".join(parts) + "\n"


def around(page: Path) -> tuple[str, str]:
    """The text of a page before and after its two marks. Raises: InputError where there is none, or they are missing."""
    with reading(page) as (file, _):
        old = file.read().decode(errors="surrogateescape")
    if not (BEGIN in old and END in old.partition(BEGIN)[2]):
        raise InputError(f"{page} has no place for results: it needs the lines {BEGIN} and {END}.")
    return old.partition(BEGIN)[0], old.partition(BEGIN)[2].partition(END)[2]


def insert(page: Path, text: str) -> None:
    """Put `text` between the two marks of a page. Raises: InputError where they are missing."""
    before, after = around(page)
    write_bytes(page, f"{before}{BEGIN}\n\n{text}\n{END}{after}".encode(errors="surrogateescape"))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser(prog="python -m benchmarks.report", description=__doc__.partition("\n\n")[0])
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json", help="result files of the benchmarks")
    parser.add_argument("-o", "--out", type=Path, default=None, metavar="DIR",
                        help="directory of report.md and its pictures (default: that of the first results)")  # fmt: skip
    parser.add_argument("--page", type=Path, default=None, metavar="FILE.md",
                        help="put the report between the marks of this page instead, pictures into images/ beside it")  # fmt: skip
    return parser.parse(argv)


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    if values.page:
        around(values.page)  # refused before pictures are replaced
        insert(values.page, report(values.results, values.page.parent / "images", "images/"))
        print(values.page)
        return 0
    folder = values.out or values.results[0].parent
    text = report(values.results, folder, "")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text("# Benchmarks\n\n" + text, encoding="utf-8")
    print(folder / "report.md")
    return 0


if __name__ == "__main__":
    cli.run(main)
