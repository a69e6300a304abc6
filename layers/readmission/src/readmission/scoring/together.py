"""Evaluates a boosting for many rows at once in pure Python: a tree for all rows, where `models` takes a row at a time.

A long integer has a byte for each row. For a split, the bytes of the rows that go left are all ones. From its leaves
to its root, a tree then is a few operations on such integers for each node, and its value has the number of each row's
leaf. What a row adds up is what `models.boosting` adds up, in the same order, so that the results have the same bits.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from readmission.scoring.format import MOST_LEAVES
from readmission.scoring.inputs import Input, Row

# Fewer rows are faster one by one, since the operations take nearly as long.
FEWEST: Final = 100
# Of more rows, the integers of a tree do not fit into the processor's cache.
MOST: Final = 1000
_RANKS: Final = 254  # values of a column that fit in a byte, next to one code for those below and one for those above

_LEAVES: Final = MOST_LEAVES + 1  # numbers of leaves: they count from 1

type Mask = int
# For each inner node the places of its left and its right child, and its split.
type _Program = tuple[array[int], array[int], array[int]]


class Together:
    """The trees of a boosting over `inputs`. `leaves_of` gives the leaves of many rows."""

    def __init__(self, inputs: Sequence[Input], trees: Sequence[dict[str, Any]]) -> None:
        """`trees` are as in the document, of all classes one after another."""
        self._inputs = inputs
        self._splits = _Splits(sum(one.width for one in inputs))
        self._trees = [self._program(tree) for tree in trees]

    def _program(self, tree: dict[str, Any]) -> _Program:
        """The inner nodes from the last to the first: the places of their children, and the numbers of their splits.

        The leaves have the first places, in order from 1; then come the inner nodes.
        """
        leaf = sum(column < 0 for column in tree["columns"])
        waiting: list[int] = []
        program = array("I"), array("I"), array("I")
        nodes = zip(*(reversed(tree[name]) for name in ("columns", "thresholds", "missing")), strict=True)
        for column, threshold, side in nodes:
            if column < 0:
                waiting.append(leaf)
                leaf -= 1
                continue
            values = waiting.pop(), waiting.pop(), self._splits.number_of(column, float(threshold), side == "l")
            waiting.append(_LEAVES + len(program[0]))
            for one, value in zip(program, values, strict=True):
                one.append(value)
        return program

    def leaves_of(self, rows: Sequence[Row]) -> list[bytes]:
        """For each tree, the number of each row's leaf, from 1. Raises ValueError for a row of a wrong length."""
        if any(len(row) != len(self._inputs) for row in rows):
            raise ValueError(f"a row that does not have {len(self._inputs)} values")
        masks = self._masks(rows)
        ones = int.from_bytes(b"\1" * len(rows))
        numbers = [number * ones for number in range(_LEAVES)]
        return [_leaves(tree, masks, numbers).to_bytes(len(rows), "little") for tree in self._trees]

    def _masks(self, rows: Sequence[Row]) -> list[Mask]:
        """For each split, the rows that go left."""
        masks: list[Mask] = [0] * self._splits.count
        ends = list(accumulate((one.width for one in self._inputs), initial=0))
        for place, one in enumerate(self._inputs):
            values = [row[place] for row in rows]
            code_of = {value: code for code, value in enumerate(dict.fromkeys(values))}
            codes = [code_of[value] for value in values]
            encoded = [one.columns(value) for value in code_of]
            for index in range(one.width):
                column = _Column(codes, [columns[index] for columns in encoded])
                for threshold, missing_left, number in self._splits.of_column[ends[place] + index]:
                    masks[number] = column.at_most(threshold, missing_left=missing_left)
        return masks


def _leaves(program: _Program, masks: list[Mask], numbers: list[int]) -> int:
    """The number of each row's leaf in a byte of its own."""
    found = numbers.copy()
    for left, right, split in zip(*program, strict=True):
        other = found[right]
        found.append(other ^ ((found[left] ^ other) & masks[split]))
    return found[-1] if len(found) > _LEAVES else found[1]


class _Splits:
    """All different splits of a model's trees, numbered from 0: by column the threshold and where missing goes."""

    def __init__(self, width: int) -> None:
        self.of_column: list[list[tuple[float, bool, int]]] = [[] for _ in range(width)]
        self._numbers: dict[tuple[int, float, bool], int] = {}

    @property
    def count(self) -> int:
        return len(self._numbers)

    def number_of(self, column: int, threshold: float, missing_left: bool) -> int:
        key = column, threshold, missing_left
        if key not in self._numbers:
            self._numbers[key] = self.count
            self.of_column[column].append((threshold, missing_left, self._numbers[key]))
        return self._numbers[key]


class _Column:
    """One column of some rows: `codes` says which of the `different` values each row has."""

    def __init__(self, codes: list[int], different: list[float]) -> None:
        self._codes = codes
        self._different = different
        self._known = sorted({value for value in different if value == value})
        self._lacks = any(value != value for value in different)
        self._ranks: dict[tuple[int, bool], bytes] = {}
        self._masks: dict[tuple[int, bool], Mask] = {}

    def at_most(self, threshold: float, *, missing_left: bool) -> Mask:
        """The rows whose value is at most the threshold, or is missing if those go left, as bytes of ones."""
        below = bisect_right(self._known, threshold)
        key = below, missing_left and self._lacks
        if key not in self._masks:
            block, rank = divmod(below, _RANKS)
            ranks = self._ranks_of(block, key[1])
            self._masks[key] = int.from_bytes(ranks.translate(_up_to(rank)), "little")
        return self._masks[key]

    def _ranks_of(self, block: int, missing_left: bool) -> bytes:
        """For each row, how many of the known values from the block's first on are at most its own, in a byte.

        The values below have 0, and those above the block 255.
        """
        key = block, missing_left
        if key not in self._ranks:
            missing = 0 if missing_left else 255
            first = block * _RANKS
            rank = [
                min(max(bisect_right(self._known, value) - first, 0), 255) if value == value else missing
                for value in self._different
            ]
            self._ranks[key] = bytes([rank[code] for code in self._codes])
        return self._ranks[key]


def _up_to(rank: int) -> bytes:
    """What translates ranks up to this one to bytes of ones, and others to zeros."""
    return b"\xff" * (rank + 1) + bytes(255 - rank)
