"""What the networks of a configuration are made of, known before any of them is made.

    dense layers        G: z -> hidden -> sample             D: sample -> hidden -> logit
    with convolutions   G: z -> hidden -> maps -> image      D: image -> maps -> hidden -> logit

The maps of the generator have the shapes of the discriminator's, in the opposite order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from minigan.backends import Array, Ops
from minigan.errors import InputError
from minigan.nn.layers import Convolution, Dense, Make, Patches, TransposedConvolution
from minigan.nn.network import Network, parameter_count

if TYPE_CHECKING:
    from minigan.config import Config


@dataclass(frozen=True)
class Architecture:
    """A network that is not made yet: its widths, what makes each of its layers, their activations, its parameters' number."""

    sizes: tuple[int, ...]
    layers: tuple[Make, ...]
    activation: str
    output: str
    dtype: str
    count: int

    def network(self, ops: Ops, flat: Array | None = None) -> Network:
        """The network; flat: its parameters (default: zeros)."""
        return Network(self.sizes, self.activation, self.output, ops, self.dtype, flat, self.layers)


@dataclass(frozen=True)
class Level:
    """A step between two maps: the patches of the larger one, each of which is a pixel of the smaller one, with channels."""

    patches: Patches
    channels: int

    @property
    def size(self) -> int:
        """Numbers in the smaller map."""
        return self.patches.count * self.channels


def generator(config: Config, shape: Sequence[int]) -> Architecture:
    """From latent points to samples of this shape. Raises: InputError where convolutions do not fit to it."""
    levels = maps(config, shape)[::-1]
    dense = (config.latent, *config.hidden, levels[0].size if levels else math.prod(shape))
    return Architecture(
        sizes=(*dense, *(level.patches.size for level in levels)),
        layers=(*[Dense] * (len(dense) - 1), *(partial(TransposedConvolution, level.patches) for level in levels)),
        activation=config.activation,
        output=config.output,
        dtype=config.dtype,
        count=parameter_count(dense)
        + sum(level.channels * level.patches.inside + level.patches.shape[2] for level in levels),
    )


def discriminator(config: Config, shape: Sequence[int]) -> Architecture:
    """From samples of this shape to logits. Raises: InputError where convolutions do not fit to it."""
    levels = maps(config, shape)
    dense = (levels[-1].size if levels else math.prod(shape), *config.hidden, 1)
    return Architecture(
        sizes=(*(level.patches.size for level in levels), *dense),
        layers=(*(partial(Convolution, level.patches) for level in levels), *[Dense] * (len(dense) - 1)),
        activation=config.activation,
        output="identity",
        dtype=config.dtype,
        count=sum((level.patches.inside + 1) * level.channels for level in levels) + parameter_count(dense),
    )


def maps(config: Config, shape: Sequence[int]) -> list[Level]:
    """The levels from the image (h, w) down; none without convolutions. Raises: InputError where they do not fit to it."""
    if not config.convolutions:
        return []
    coloured = len(shape) == 3 and shape[2] == 3
    if len(shape) != 2 and not coloured:
        raise InputError(
            "--convolutions are for images, whose neighbouring values belong together; leave them out here."
        )
    h, w, c = (*shape, 1)[:3]
    levels = []
    for i in range(0, len(config.convolutions), 3):
        side, stride, channels = config.convolutions[i : i + 3]
        levels.append(Level(Patches((h, w, c), side, stride), channels))
        (h, w), c = levels[-1].patches.places, channels
    return levels
