"""The drawn figures of docs/math.md: `python docs/figures.py` writes them to docs/images.

Curves and paths are computed by `minigan.plain`, so a picture shows what the code does. Colours are those of
`minigan.plots`: blue for real samples and D, orange for generated samples and G.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from minigan import plain
from minigan.plots.style import FAKE, INK, MUTED, REAL, RULE, STYLE

IMAGES = Path(__file__).parent / "images"
WIDTH, DPI = 7.0, 200
"""Inches and pixels per inch: 1400 pixels, shown at 700, at which a point of type is 1.4 pixels."""
COLOURS = 48
"""Entries of the palette to which a picture is reduced: flat colours and the edges of letters need no more."""
LARGER = {"font.size": 9, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8, "mathtext.fontset": "cm",
          "axes.labelcolor": INK, "axes.titlesize": 9.5}  # fmt: skip


# ------------------------------------------------------------------------------------------ (a) one training step


class Graph:
    """Boxes and arrows on a plane whose unit is an inch, the origin at the bottom left."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        self.axes.text(x, y, text, **{"ha": "center", "va": "center", "color": INK, "fontsize": 11} | style)

    def box(self, x: float, y: float, text: str, colour: str, width: float = 0.86, height: float = 0.62) -> None:
        style = {"boxstyle": "round,pad=0,rounding_size=0.07", "linewidth": 1.2, "edgecolor": colour}
        corner = (x - width / 2, y - height / 2)
        self.axes.add_patch(FancyBboxPatch(corner, width, height, facecolor=colour + "1f", **style))
        self.text(x, y, text, fontsize=13)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], colour: str, *, back: bool = False) -> None:
        style = {"linestyle": (0, (4, 2.4)), "linewidth": 1.1} if back else {"linewidth": 1.4}
        head = "-|>,head_length=4.2,head_width=2"
        self.axes.add_patch(
            FancyArrowPatch(start, end, arrowstyle=head, shrinkA=0, shrinkB=0, mutation_scale=1, color=colour, **style)
        )


def training_step() -> Figure:
    """The two updates of a training step, forward and back, in the symbols of docs/math.md."""
    height = 4.3
    figure = Figure((WIDTH, height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    g = Graph(axes)
    z, G, x, D, s, L = 0.3, 1.32, 2.62, 3.95, 5.2, 6.42  # the columns

    def title(y: float, bold: str, rest: str) -> None:
        g.text(0.14, y, bold, ha="left", fontsize=9.5, fontweight="bold")
        g.text(1.62, y, rest, ha="left", fontsize=9, color=MUTED)

    # the discriminator's update: two kinds of rows in, one gradient out
    y = 2.98
    title(4.08, "Update of D", "generated samples are constants: nothing flows back into G")
    real, fake = y + 0.42, y - 0.14
    g.text(z, fake, "$z$")
    g.arrow((z + 0.16, fake), (G - 0.47, fake), FAKE)
    g.box(G, fake, "$G$", FAKE)
    g.arrow((G + 0.47, fake), (x - 0.26, fake), FAKE)
    g.text(x, fake, r"$x_{\mathrm{fake}}$", color=FAKE)
    g.text(x, real, "$x$", color=REAL)
    g.text(x - 0.55, real, "real rows", fontsize=8.5, color=MUTED)
    g.box(D, y + 0.14, "$D$", REAL, height=0.98)
    for row, colour, left, logit in ((real, REAL, 0.14, "$r$"), (fake, FAKE, 0.28, "$f$")):
        g.arrow((x + left, row), (D - 0.47, row), colour)
        g.arrow((D + 0.47, row), (s - 0.15, row), colour)
        g.text(s, row, logit, color=colour)
        g.arrow((s + 0.15, row), (L - 0.41, row), colour)
    g.box(L, y + 0.14, "$L_D$", INK, width=0.76, height=0.98)
    back = y - 0.28
    g.arrow((L - 0.41, back), (D + 0.47, back), INK, back=True)
    g.text(s, back - 0.16, "$dr,\\ df$")
    g.arrow((D, y - 0.38), (D, y - 0.78), INK, back=True)
    g.text(D, y - 0.91, r"$d\theta_D$")
    g.text(D + 0.25, y - 0.91, r"to Adam", ha="left", fontsize=8.5, color=MUTED)

    axes.plot([0.14, WIDTH - 0.14], [1.86, 1.86], color=RULE, linewidth=0.8)

    # the generator's update: through D, and on to G
    y = 1.0
    title(1.64, "Update of G", "through D, whose weights do not move, and on into G")
    ahead, back = y + 0.13, y - 0.15
    g.text(z, ahead, "$z$")
    g.arrow((z + 0.16, ahead), (G - 0.47, ahead), FAKE)
    g.box(G, y, "$G$", FAKE)
    g.arrow((G + 0.47, ahead), (x - 0.26, ahead), FAKE)
    g.text(x, ahead, r"$x_{\mathrm{fake}}$", color=FAKE)
    g.arrow((x + 0.28, ahead), (D - 0.47, ahead), FAKE)
    g.box(D, y, "$D$", REAL)
    g.arrow((D + 0.47, ahead), (s - 0.15, ahead), FAKE)
    g.text(s, ahead, "$f$", color=FAKE)
    g.arrow((s + 0.15, ahead), (L - 0.41, ahead), FAKE)
    g.box(L, y, "$L_G$", INK, width=0.76)
    g.arrow((L - 0.41, back), (D + 0.47, back), INK, back=True)
    g.text(s, back - 0.16, "$df$")
    g.arrow((D - 0.47, back), (G + 0.47, back), INK, back=True)
    g.text(x, back - 0.17, r"$dx_{\mathrm{fake}}$")
    g.arrow((G, y - 0.34), (G, y - 0.62), INK, back=True)
    g.text(G, y - 0.76, r"$d\theta_G$")
    g.text(G + 0.25, y - 0.76, r"to Adam", ha="left", fontsize=8.5, color=MUTED)

    # what the two kinds of arrows mean
    g.arrow((4.3, 0.24), (4.75, 0.24), INK)
    g.text(4.82, 0.24, "forward", ha="left", fontsize=8.5, color=MUTED)
    g.arrow((6.05, 0.24), (5.6, 0.24), INK, back=True)
    g.text(6.12, 0.24, "gradients", ha="left", fontsize=8.5, color=MUTED)
    return figure


# ---------------------------------------------------------------------------- (b) what the generator's losses ask


def generator_gradients() -> Figure:
    """-dL_G/df of one sample, how hard each loss pushes its logit up: over D's probability, and over the logit."""
    figure = Figure((WIDTH, 2.95), dpi=DPI)
    left = figure.add_axes((0.078, 0.175, 0.38, 0.68))
    right = figure.add_axes((0.57, 0.175, 0.41, 0.68))
    f = np.linspace(-9, 9, 2001)

    def push(name: str, f: np.ndarray) -> np.ndarray:
        return -plain.generator_loss(name, np.zeros_like(f), f)[1]

    p = plain.sigma(f)
    left.plot(p, push("minimax", f), color=REAL, linewidth=2)
    left.plot(p, push("non-saturating", f), color=FAKE, linewidth=2)
    left.text(0.13, 0.97, "non-saturating", color=FAKE, rotation=0, va="center")
    left.text(0.87, 0.97, "minimax", color=REAL, ha="right", va="center")
    left.annotate("G is beaten here:\nminimax stops pushing", (0.02, 0.03), (0.27, 0.14), color=MUTED, fontsize=8,
                  va="center", arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 0.8})  # fmt: skip
    left.set(xlabel=r"$\sigma(f)$,  how real D takes the sample to be", ylabel=r"$-B\,\partial L_G/\partial f$",
             title="The two cross-entropies", xlim=(0, 1), ylim=(0, 1.06))  # fmt: skip

    lines = (
        ("least-squares", INK, (0, (1, 1.2)), "least squares", (-0.3, 1.72)),
        ("hinge", MUTED, "-", "hinge, Wasserstein", (4.9, 1.13)),
        ("minimax", REAL, "-", "minimax", (-4.9, 0.13)),
        ("relativistic", INK, (0, (5, 2)), "relativistic,\nbeside $r = 2$", (4.9, 0.66)),
        ("non-saturating", FAKE, "-", "non-saturating", (-4.9, 0.78)),
    )
    s = np.linspace(-5, 5, 1001)
    for name, colour, dashes, _, _ in lines:
        r = np.full_like(s, 2.0)
        right.plot(s, -plain.generator_loss(name, r, s)[1], color=colour, linestyle=dashes,
                   linewidth=2 if colour in (REAL, FAKE) else 1.5)  # fmt: skip
    right.axhline(0, color=RULE, linewidth=0.8, zorder=0)
    for _, colour, _, label, (x, y) in lines:
        right.text(x, y, label, color=colour, va="center", ha="left" if x < 0 else "right", fontsize=8.5)
    right.set(xlabel="$f$,  the logit of the sample", ylabel=r"$-B\,\partial L_G/\partial f$",
              title="All objectives", xlim=(-5, 5), ylim=(-0.3, 2))  # fmt: skip
    return figure


# ----------------------------------------------------------------------------------------------- (c) the Dirac-GAN


def dirac(name: str, update: str, gamma: float, steps: int, rate: float, start: tuple[float, float]) -> np.ndarray:
    """(psi, theta) of each step: D(x) = psi x, the only real sample is 0, the only generated one is theta."""
    psi, theta = start
    path = [start]
    real = np.zeros((1, 1))  # D(0)
    for _ in range(steps):
        _, _, df = plain.discriminator_loss(name, real, np.array([[psi * theta]]))
        _, penalty = plain.zero_centred(np.array([[psi]]), gamma)
        moved = psi - rate * float(df[0, 0] * theta + penalty[0, 0])
        seen = moved if update == "alternating" else psi  # the D that the generator meets
        _, df = plain.generator_loss(name, real, np.array([[seen * theta]]))
        psi, theta = moved, theta - rate * float(df[0, 0] * seen)
        path.append((psi, theta))
    return np.array(path)


def dirac_paths() -> Figure:
    """The paths of both players with a linear and a saturating loss, without a penalty and with R1."""
    height, side = 7.1, 2.82
    figure = Figure((WIDTH, height), dpi=DPI)
    reach, rate, start = 1.75, 0.2, (0.0, 1.0)
    rows = (("wasserstein", "Wasserstein", 100), ("non-saturating", "Non-saturating", 400))
    for i, (name, label, steps) in enumerate(rows):
        for j, gamma in enumerate((0.0, 0.5)):
            corner = (0.6 + 3.44 * j, 3.98 - 3.52 * i)
            axes = figure.add_axes((corner[0] / WIDTH, corner[1] / height, side / WIDTH, side / height))
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=(-1, 0, 1), yticks=(-1, 0, 1),
                     title=f"{label}, " + ("no penalty" if gamma == 0 else rf"R1 with $\gamma = {gamma}$"),
                     xlabel=r"$\theta$,  the generated point", ylabel=r"$\psi$,  the slope of $D$")  # fmt: skip
            axes.axhline(0, color=RULE, linewidth=0.8, zorder=0)
            axes.axvline(0, color=RULE, linewidth=0.8, zorder=0)
            for update, colour in (("simultaneous", FAKE), ("alternating", REAL)):
                path = dirac(name, update, gamma, steps, rate, start)
                inside = np.abs(path).max(axis=1) < reach
                path = path[: len(path) if inside.all() else int(inside.argmin()) + 1]
                axes.plot(path[:, 1], path[:, 0], color=colour, linewidth=1, label=update)
                axes.plot(*path[-1, ::-1], "o", color=colour, markersize=4.5, zorder=3)
            axes.plot(*start[::-1], "o", color=INK, markersize=4.5, zorder=3)
            axes.annotate("start", start[::-1], (6, 6), textcoords="offset points", fontsize=8.5)
            axes.plot(0, 0, "+", color=INK, markersize=9, markeredgewidth=1.2, zorder=4)
            if i == 0 and j == 1:
                axes.legend(loc="upper left", handlelength=1.4, borderaxespad=0.3)
    return figure


# -------------------------------------------------------------------------------------------------------- to files

FIGURES = {"math-step": training_step, "math-gradients": generator_gradients, "math-dirac": dirac_paths}
"""Name of the file in docs/images, without its ending, and what draws it."""


def png(figure: Figure) -> bytes:
    """The figure as a PNG with a palette: a third of the size, and the same bytes for the same figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    out = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    """Draw all figures and print their sizes."""
    style: dict[Any, Any] = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"} | STYLE | LARGER
    for name, draw in FIGURES.items():
        with matplotlib.rc_context(style):
            data = png(draw())
        path = IMAGES / f"{name}.png"
        path.write_bytes(data)
        print(f"{path.name}: {len(data) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
