"""The inputs of a scorer document: how a number or a category becomes the model's columns.

For a boosting, an input also looks up which leaves its value excludes (`models.boosting` explains the method).
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from math import nan
from operator import itemgetter
from typing import Any, Final

from readmission.domain.contract import MISSING

type Row = Sequence[Any]
type Columns = list[float]
type Input = Number | Category

# The threshold, the index of the tree, the leaves left of the node as bits, and whether a missing number goes left.
type Node = tuple[float, int, int, bool]


def floats(values: Iterable[Any]) -> list[float]:
    """The values as floats. Raises TypeError for anything that is not a number."""
    return array("d", values).tolist()


class SplitTable:
    """All splits of one column: the leaves excluded by each value of the column.

    `masks[n]` holds the leaves excluded by a value above exactly `n` of the ascending `thresholds`.
    """

    def __init__(self, nodes: list[Node], lane: int, trees: int) -> None:
        """`nodes` are from `trees` trees, whose lanes have `lane` bytes each."""
        self.thresholds: list[float] = []
        self.masks = [0]
        # Nodes with equal thresholds share one mask. A mask is as long as all lanes together, so that one for every
        # node would take a hundred megabytes.
        excluded, missing = bytearray(lane * trees), bytearray(lane * trees)
        for threshold, equal in groupby(sorted(nodes), itemgetter(0)):
            for _, index, leaves, missing_left in equal:
                _exclude(excluded, slice(index * lane, (index + 1) * lane), leaves)
                if not missing_left:
                    _exclude(missing, slice(index * lane, (index + 1) * lane), leaves)
            self.thresholds.append(threshold)
            self.masks.append(int.from_bytes(excluded, "little"))
        self.missing = int.from_bytes(missing, "little")

    def excluded(self, value: float) -> int:
        # NaN is the only number that differs from itself.
        return self.missing if value != value else self.masks[bisect_left(self.thresholds, value)]


def _exclude(mask: bytearray, lane: slice, leaves: int) -> None:
    mask[lane] = (int.from_bytes(mask[lane], "little") | leaves).to_bytes(lane.stop - lane.start, "little")


def _excluded(columns: list[SplitTable], values: list[float]) -> int:
    mask = 0
    for column, value in zip(columns, values, strict=True):
        mask |= column.excluded(value)
    return mask


class Number:
    """A number. Its columns are the number itself, then zeros; or `missing`, if the number is missing."""

    example: Final = 0.0

    def __init__(self, entry: dict[str, Any]) -> None:
        self.missing: Columns = floats(entry.get("missing", [nan]))
        self.width = len(self.missing)
        if not self.width:
            raise ValueError(f"{entry['name']} has no column for a missing number")
        self._zeros = [0.0] * (self.width - 1)

    def columns(self, value: float | None) -> Columns:
        return self.missing if value is None or value != value else [value, *self._zeros]

    def masks(self, columns: list[SplitTable]) -> Callable[[float | None], int]:
        """A function from a value to the leaves it excludes; `columns` are the splits of this input's columns."""
        missing = _excluded(columns, self.missing)
        zeros = _excluded(columns[1:], self._zeros)
        thresholds, masks = columns[0].thresholds, [mask | zeros for mask in columns[0].masks]

        def mask(value: float | None) -> int:
            return missing if value is None or value != value else masks[bisect_left(thresholds, value)]

        return mask


class Category:
    """A category. Its columns are looked up; an unknown category has those of `unseen`."""

    example: Final = None

    def __init__(self, entry: dict[str, Any]) -> None:
        self._values = {category: floats(columns) for category, columns in entry["values"].items()}
        self._unseen = floats(entry["unseen"])
        self.width = len(self._unseen)
        if any(len(columns) != self.width for columns in self._values.values()):
            raise ValueError(f"a category of {entry['name']} does not have {self.width} columns")
        self.columns: Callable[[str | None], Columns] = Lookup(self._values, self._unseen).__getitem__

    def masks(self, columns: list[SplitTable]) -> Callable[[str | None], int]:
        """A function from a category to the leaves it excludes; `columns` are the splits of this input's columns."""
        masks = {category: _excluded(columns, values) for category, values in self._values.items()}
        return Lookup(masks, _excluded(columns, self._unseen)).__getitem__


class Lookup[V](dict[str | None, V]):
    """One value per known category, and `unseen` for any other; None is the category "?"."""

    def __init__(self, known: Mapping[str, V], unseen: V) -> None:
        super().__init__(known.items())
        self[None] = known.get(MISSING, unseen)
        self._unseen = unseen

    def __missing__(self, _category: str | None) -> V:
        return self._unseen


def encoder(inputs: list[Input]) -> Callable[[Row], Columns]:
    """A function from a row to the columns of all inputs."""
    encoders: list[Callable[[Any], Columns]] = [one.columns for one in inputs]

    def encode(row: Row) -> Columns:
        columns: Columns = []
        for value, encode_one in zip(row, encoders, strict=True):
            columns += encode_one(value)
        return columns

    return encode


INPUTS: Final[dict[str, Callable[[dict[str, Any]], Input]]] = {"number": Number, "category": Category}
