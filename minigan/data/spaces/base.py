"""What all kinds of data have in common: the shape of a sample, the values that it can have, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan.data.raw import MAX_FEATURES, MAX_NAME, is_name
from minigan.data.reading import Reading
from minigan.errors import InputError


@dataclass(frozen=True)
class Space:
    """What one sample is; a checkpoint keeps it, so that sampling needs no data.

    shape: of one sample; columns: the names of its values, () where they have none; classes: the names of the labels that real
    samples have, () without labels.
    """

    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    kind: ClassVar[str]
    """Its name in checkpoints and messages."""
    dimensions: ClassVar[int] = 1
    """Length of `shape`."""
    limits: ClassVar[tuple[float, float] | None] = None
    """The range of all data values where it is fixed: they share one scale then, and float32 has digits enough."""
    family: ClassVar[str] = "table"
    """The recipes for a person's own data of this kind."""
    previewed: ClassVar[int] = 1000
    """Samples in a picture of a run."""
    measured: ClassVar[int] = 2500
    """Samples measured by --evaluate-every."""
    files: ClassVar[tuple[str, ...]] = (".npz", ".npy", ".csv", ".tsv")
    """The files that hold samples, by the ends of their names."""
    separator = ","
    """What stands between the cells of a file."""
    usual: ClassVar[str] = ".png"
    """The file in which people want most samples of this kind."""
    single: ClassVar[str] = ""
    """The end of the name of a file that holds one sample; empty where there is no such file."""

    @property
    def size(self) -> int:
        """Values in a sample: the product of the shape."""
        return math.prod(self.shape)

    @property
    def pictured(self) -> tuple[int, ...]:
        """The shape of the images that a sample consists of, where it does."""
        return self.shape

    def settle(self, x: np.ndarray) -> np.ndarray:
        """The nearest samples that this kind can have to data values x (n, size), of any float type; x may be changed."""
        return x if self.limits is None else np.clip(x, *self.limits)

    def scales(self, x: np.ndarray) -> np.ndarray:
        """What the values of rows x (n, size) are compared in, (size,): 0 where that is their own standard deviation."""
        return np.zeros(self.size)

    def fitted(self, x: np.ndarray) -> Space:
        """The same kind, with what training rows x (n, size) say about it."""
        return self

    @property
    def fine(self) -> bool:
        """Whether float32 does not hold all digits of some values."""
        return False

    @property
    def counts(self) -> bool:
        """Whether it knows how frequent some values are in training rows, and so can be calibrated."""
        return False

    def calibrated(self, x: np.ndarray) -> Space:
        """The same kind, which settles values such as those of generated samples x (n, size) so that values are as frequent as
        in training rows."""
        return self

    def arrays(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Samples x (n, size) as the arrays of a file, by their names."""
        return {"x": x.reshape(-1, *self.shape)}

    def reading(self, reading: Reading) -> Reading:
        """How further samples of this kind are read from a folder."""
        return reading

    def unclipped(self) -> Space:
        """The same without a least and a largest value of what has them. Raises: InputError where nothing has."""
        raise InputError(f"--no-clip has no effect on {self.kind} samples; leave it out.")

    def header(self) -> list[str]:
        """The names of the cells of a row, as text files have them."""
        return list(self.columns) or [f"p{i}" for i in range(self.size)]

    def cells(self, x: np.ndarray) -> Iterator[Sequence[str]]:
        """The rows of samples x (n, size) as text: the shortest that reads back as the same number."""
        return ([str(value) for value in row] for row in x)

    def encoded(self, x: np.ndarray) -> bytes:
        """One sample x, of this shape, as the content of a file that ends in `single`."""
        raise NotImplementedError(f"a sample of kind {self.kind} has no file of its own")

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        """Whether there are as many names as the values of a sample need."""
        return len(columns) == shape[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        known = {"kind": self.kind, "shape": list(self.shape), "columns": list(self.columns)}
        return known | ({"classes": list(self.classes)} if self.classes else {}) | self.details()

    def details(self) -> dict[str, Any]:
        """What this kind has beside shape, columns and classes, JSON-ready."""
        return {}

    @classmethod
    def read_details(cls, details: dict[str, Any], shape: tuple[int, ...], source: str) -> dict[str, Any]:
        """The inverse of `details`, for untrusted input: further arguments of the class.

        Raises: InputError, naming `source`, for anything that is not such details of samples of this shape.
        """
        if details:
            raise InputError(
                f"{source}: a description of {cls.kind} data has no {sorted(map(str, details))[0][:40]!r}."
            )
        return {}


def described(values: Any, kinds: dict[str, type[Space]], source: str) -> Space:
    """The inverse of `Space.to_dict`, for untrusted input; kinds: the classes by their names.

    Raises: InputError, naming `source`, for anything that is not a space.
    """
    known = {"kind", "shape", "columns"}
    if not isinstance(values, dict) or not known <= set(values):
        raise InputError(f"{source}: the description of the data must have kind, shape and columns.")
    kind, shape, columns = (values[name] for name in ("kind", "shape", "columns"))
    classes = values.get("classes", [])
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"{source}: the kind of the data must be one of: {', '.join(kinds)}.")
    space = kinds[kind]
    n = space.dimensions
    if not isinstance(shape, list) or len(shape) != n or not all(type(side) is int and side > 0 for side in shape):
        raise InputError(f"{source}: the shape of the data must be {n} whole number(s) above 0.")
    if math.prod(shape) > MAX_FEATURES:
        raise InputError(f"{source}: samples have at most {MAX_FEATURES:,} values.")
    for names, what in ((columns, "columns"), (classes, "classes")):
        if not isinstance(names, list) or not all(isinstance(c, str) and is_name(c) for c in names):
            raise InputError(
                f"{source}: the {what} of the data must be a list of names, each printable and of at most "
                f"{MAX_NAME} characters."
            )
    details = {key: value for key, value in values.items() if key not in {*known, "classes"}}
    more = space.read_details(details, tuple(shape), source)
    if not space.fits(shape, columns) and "schema" not in more:
        raise InputError(f"{source}: the data have another number of columns than of names for them.")
    return space(tuple(shape), tuple(columns), tuple(classes), **more)
