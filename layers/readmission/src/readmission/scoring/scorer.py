"""The scorer: a fitted pipeline as one JSON document, evaluated in pure Python.

The serving function needs neither numpy nor scikit-learn nor MLflow for it. `training/export.py` writes the
document and proves that it equals the fitted pipeline; its form:

    {"format": "readmission-scorer", "format_version": 2, "inputs": [input, …], "classes": [name, …], "model": model,
     "context": {"reference": {feature: number}, "risk_quantiles": [number x 101]}}

The context, which may be left out, is of the rows that the model learned from: the medians of the 14 features, and the
percentiles 0 to 100 of the probability of an early readmission.

An input is one value of a row, and becomes one or more columns, which the model sees in the order of the inputs:

    {"name", "kind": "number"}                              the number; a missing one stays missing
    {"name", "kind": "number", "missing": [column, …]}      the number, then zeros; `missing` in place of a missing one
    {"name", "kind": "category", "values": {category: [column, …]}, "unseen": [column, …]}

The model is one of

    {"type": "linear",   "mean": [column], "scale": [column], "coefficients": [[column] x class], "intercepts": [class]}
    {"type": "forest",   "trees": [tree, …]}                                 a leaf has a weight for each class
    {"type": "boosting", "baseline": [class], "trees": [[tree, …] x class]}  a leaf has a raw score

A tree is `{"columns", "thresholds", "missing", "values"}`: the first three have an entry a node, the last has one a
leaf (in a forest: one a leaf and class). The nodes are in preorder, each before its left side and that before its
right side, which makes pointers needless. A leaf has column -1. At another node a row goes left when the column is
not above the threshold; a missing number goes left when the node's character in the text `missing` is `l`.
"""

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import accumulate, chain, count, groupby
from math import exp, inf, isfinite, nan
from operator import getitem, itemgetter, mul, truediv
from typing import Any, Final

from readmission.domain.contract import MISSING
from readmission.domain.features import FEATURES
from readmission.errors import ScorerInvalid

FORMAT: Final = "readmission-scorer"
FORMAT_VERSION: Final = 2
QUANTILES: Final = 101  # of the risk: those of 0, 1, … 100 %
MOST_LEAVES: Final = 255  # of a tree in a boosting: the number of a leaf, from 1 on, has to fit into a byte

_BITS_OF_BYTE: Final = bytes(byte.bit_count() for byte in range(256))

type _Row = Sequence[Any]
type _Columns = list[float]
type _Evaluate = Callable[[_Row], list[float]]


class Scorer:
    """Evaluates one document.

    `features` and `classes` give the order of the input and of the probabilities. `reference` and `risk_quantiles` are
    the document's context, None when it has none.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        """Raises `ScorerInvalid` when the document is none, or of a version that this code does not know."""
        if document.get("format") != FORMAT or document.get("format_version") != FORMAT_VERSION:
            raise ScorerInvalid(
                f"a scorer document of format {document.get('format')!r}, version {document.get('format_version')!r};"
                f" this code reads {FORMAT!r}, version {FORMAT_VERSION}"
            )
        try:
            inputs = [_INPUTS[entry["kind"]](entry) for entry in document["inputs"]]
            self.features: tuple[str, ...] = tuple(entry["name"] for entry in document["inputs"])
            self.classes: tuple[str, ...] = tuple(document["classes"])
            model = document["model"]
            self._evaluate = _EVALUATORS[model["type"]](inputs, model, len(self.classes))
            # One try, so that a document that does not fit together is found out here and not by a request.
            shares = self._evaluate([one.example for one in inputs])
            self.reference, self.risk_quantiles = _context(document)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ScorerInvalid(f"a scorer document that cannot be used: {type(error).__name__}: {error}") from error
        if len(shares) != len(self.classes):
            raise ScorerInvalid(f"a scorer document of {len(self.classes)} classes with {len(shares)} probabilities")

    def probabilities(self, row: Sequence[float | str | None]) -> list[float]:
        """The probability of each class for one row of `features`; they sum to 1.

        A number that is None or NaN is missing. A category that training has not seen is `unseen`; None is the
        category "?". Infinite numbers are the caller's to refuse. Raises `ScorerInvalid` when a number is missing for
        which a linear model has no value, ValueError for a row of another length, and TypeError for text in place of
        a number that the model asks for.
        """
        return self._evaluate(row)


def _context(document: dict[str, Any]) -> tuple[Mapping[str, float] | None, tuple[float, ...] | None]:
    """The reference and the quantiles of the risk. Raises ValueError, LookupError or TypeError for malformed ones."""
    if "context" not in document:
        return None, None
    context = document["context"]
    if set(context["reference"]) != set(FEATURES):
        raise ValueError("the reference is not of the 14 features")
    reference = dict(zip(FEATURES, _floats(context["reference"][name] for name in FEATURES), strict=True))
    quantiles = tuple(_floats(context["risk_quantiles"]))
    if not all(map(isfinite, (*reference.values(), *quantiles))):
        raise ValueError("the reference or a quantile of the risk is not finite")
    if len(quantiles) != QUANTILES or list(quantiles) != sorted(quantiles):
        raise ValueError(f"the quantiles of the risk are not {QUANTILES} ascending numbers")
    return reference, quantiles


def load(content: bytes, expected_sha256: str) -> Scorer:
    """A scorer from a document's bytes. Raises `ScorerInvalid` when they are not the ones of that hash."""
    found = sha256(content).hexdigest()
    if found != expected_sha256:
        raise ScorerInvalid(f"the scorer document's SHA-256 is {found}, not the registered {expected_sha256}")
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ScorerInvalid(f"the scorer document is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ScorerInvalid("the scorer document is no JSON object")
    return Scorer(document)


# A threshold, the tree's place, the leaves on the node's left as bits, and whether a missing number goes there.
type _Node = tuple[float, int, int, bool]


class _Splits:
    """All splits of one column, as a table: the leaves that a value takes away from the row.

    `masks[n]` belongs to the values that are above `n` of the `thresholds`.
    """

    def __init__(self, nodes: list[_Node], lane: int, trees: int) -> None:
        """From nodes of `trees` trees, whose lanes have `lane` bytes."""
        self.thresholds: list[float] = []
        self.masks = [0]
        # All nodes of a threshold share one mask, and only these are kept: each is as long as all lanes together, and
        # one for each node would be a hundred megabytes.
        taken, missing = bytearray(lane * trees), bytearray(lane * trees)
        for threshold, equal in groupby(sorted(nodes), itemgetter(0)):
            for _, place, leaves, missing_left in equal:
                _take_away(taken, slice(place * lane, (place + 1) * lane), leaves)
                if not missing_left:
                    _take_away(missing, slice(place * lane, (place + 1) * lane), leaves)
            self.thresholds.append(threshold)
            self.masks.append(int.from_bytes(taken, "little"))
        self.missing = int.from_bytes(missing, "little")

    def taken_away(self, value: float) -> int:
        return self.missing if value != value else self.masks[bisect_left(self.thresholds, value)]


def _take_away(taken: bytearray, lane: slice, leaves: int) -> None:
    taken[lane] = (int.from_bytes(taken[lane], "little") | leaves).to_bytes(lane.stop - lane.start, "little")


def _taken_away(columns: list[_Splits], values: list[float]) -> int:
    mask = 0
    for column, value in zip(columns, values, strict=True):
        mask |= column.taken_away(value)
    return mask


class _Number:
    """A number and the columns that it becomes: itself, then zeros, unless it is missing."""

    example: Final = 0.0

    def __init__(self, entry: dict[str, Any]) -> None:
        self.missing: _Columns = _floats(entry.get("missing", [nan]))
        self.width = len(self.missing)
        if not self.width:
            raise ValueError(f"no column for a missing {entry['name']}")
        self._zeros = [0.0] * (self.width - 1)

    def columns(self, value: float | None) -> _Columns:
        # NaN is the one number that differs from itself.
        return self.missing if value is None or value != value else [value, *self._zeros]

    def masks(self, columns: list[_Splits]) -> Callable[[float | None], int]:
        """For a value, the leaves that `columns`, the splits of its columns, take away from the row."""
        missing = _taken_away(columns, self.missing)
        zeros = _taken_away(columns[1:], self._zeros)
        thresholds, masks = columns[0].thresholds, [mask | zeros for mask in columns[0].masks]

        def mask(value: float | None) -> int:
            return missing if value is None or value != value else masks[bisect_left(thresholds, value)]

        return mask


class _Category:
    """A category and the columns that it becomes."""

    example: Final = None

    def __init__(self, entry: dict[str, Any]) -> None:
        self._values = {category: _floats(columns) for category, columns in entry["values"].items()}
        self._unseen = _floats(entry["unseen"])
        self.width = len(self._unseen)
        if any(len(columns) != self.width for columns in self._values.values()):
            raise ValueError(f"categories of {entry['name']} that have not {self.width} columns each")
        self.columns: Callable[[str | None], _Columns] = _Known(self._values, self._unseen).__getitem__

    def masks(self, columns: list[_Splits]) -> Callable[[str | None], int]:
        """For a category, the leaves that `columns`, the splits of its columns, take away from the row."""
        masks = {category: _taken_away(columns, values) for category, values in self._values.items()}
        return _Known(masks, _taken_away(columns, self._unseen)).__getitem__


class _Known[V](dict[str | None, V]):
    """What is known of each category; every other one is `unseen`, and None is the category "?"."""

    def __init__(self, known: Mapping[str, V], unseen: V) -> None:
        super().__init__(known.items())
        self[None] = known.get(MISSING, unseen)
        self._unseen = unseen

    def __missing__(self, _category: str | None) -> V:
        return self._unseen


type _Input = _Number | _Category


def _floats(values: Iterable[Any]) -> list[float]:
    """The values, checked to be numbers."""
    return array("d", values).tolist()


def _encoder(inputs: list[_Input]) -> Callable[[_Row], _Columns]:
    """The function from a row to the columns of all inputs."""
    encoders: list[Callable[[Any], _Columns]] = [one.columns for one in inputs]

    def encode(row: _Row) -> _Columns:
        columns: _Columns = []
        for value, encoder in zip(row, encoders, strict=True):
            columns += encoder(value)
        return columns

    return encode


def _softmax(scores: list[float]) -> list[float]:
    highest = max(scores)
    powers = [exp(score - highest) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def _linear(inputs: list[_Input], model: dict[str, Any], _classes: int) -> _Evaluate:
    encode = _encoder(inputs)
    mean, scale = model["mean"], model["scale"]
    lines = list(zip(model["coefficients"], model["intercepts"], strict=True))
    width = sum(one.width for one in inputs)
    if any(len(columns) != width for columns in (mean, scale, *model["coefficients"])):
        raise ValueError(f"a linear model of another number of columns than the inputs' {width}")

    def evaluate(row: _Row) -> list[float]:
        scaled = [(value - m) / s for value, m, s in zip(encode(row), mean, scale, strict=True)]
        scores = [sum(map(mul, weights, scaled)) + intercept for weights, intercept in lines]
        if not isfinite(sum(scores)):
            raise ScorerInvalid("the scorer has no value for a missing number, or a number is too large for it")
        return _softmax(scores)

    return evaluate


def _right_sides(columns: list[int], width: int) -> list[int]:
    """For each node of a tree where its right side begins; 0 for a leaf. `columns` are the tree's.

    Raises ValueError or LookupError for what is no tree over `width` columns.
    """
    right = [0] * len(columns)
    waiting = []
    for node, column in enumerate(columns[:-1]):
        if column >= 0:
            waiting.append(node)
        else:
            right[waiting.pop()] = node + 1
    if waiting or columns[-1] >= 0:
        raise ValueError("a tree that lacks a leaf")
    if max(columns) >= width:
        raise ValueError(f"a tree that asks for column {max(columns)} of {width}")
    return right


def _forest(inputs: list[_Input], model: dict[str, Any], classes: int) -> _Evaluate:
    """Walks every tree: the leaves of a forest are too many for `_boosting`'s way."""
    encode = _encoder(inputs)
    width = sum(one.width for one in inputs)
    trees = [_walkable(tree, width, classes) for tree in model["trees"]]

    def evaluate(row: _Row) -> list[float]:
        # scikit-learn's forests round their input to 32 bits before they compare it.
        rounded = array("f", encode(row))
        # Each column twice, for the nodes where a missing number goes right and for those where it goes left.
        values = [inf if value != value else value for value in rounded]
        values += [-inf if value != value else value for value in rounded]
        leaves = []
        for columns, thresholds, right, shares in trees:
            node = 0
            while (column := columns[node]) >= 0:
                node = node + 1 if values[column] <= thresholds[node] else right[node]
            place = ~column * classes
            leaves.append(shares[place : place + classes])
        return [sum(shares) / len(trees) for shares in zip(*leaves, strict=True)]

    return evaluate


def _walkable(
    tree: dict[str, Any], width: int, classes: int
) -> tuple[array[int], array[float], array[int], array[float]]:
    """A tree's columns, thresholds and right sides, and the shares of the classes at its leaves, one after another.

    The column is `width` higher where a missing number goes left; at a leaf it is the complement of the leaf's number.
    """
    right = _right_sides(tree["columns"], width)
    leaf = count()
    columns = [
        ~next(leaf) if column < 0 else column + width * (side == "l")
        for column, side in zip(tree["columns"], tree["missing"], strict=True)
    ]
    weights, leaves = tree["values"], next(leaf)
    if len(weights) != leaves * classes or len(tree["thresholds"]) != len(columns):
        raise ValueError(
            f"a tree of {len(columns)} nodes, {leaves} leaves and {classes} classes"
            f" with {len(tree['thresholds'])} thresholds and {len(weights)} values"
        )
    totals = map(sum, zip(*(weights[place::classes] for place in range(classes)), strict=True))
    shares = map(truediv, weights, chain.from_iterable([total] * classes for total in totals))
    # 32 bits are all that a threshold has: see `export`.
    return array("i", columns), array("f", tree["thresholds"]), array("i", right), array("d", shares)


def _boosting(inputs: list[_Input], model: dict[str, Any], _classes: int) -> _Evaluate:
    """Evaluates all trees at once, without walking any: the QuickScorer of Lucchese et al., SIGIR 2015.

    Every tree has a lane of bits in one large integer, every leaf, from the left, a bit in its tree's lane. A node
    that sends the row to its right takes away the leaves on its left. What is taken away by all nodes together that
    ask for one input depends on that input's value alone, so it is in a table. The row's leaf is the leftmost one
    that no input takes away.
    """
    trees = [tree for group in model["trees"] for tree in group]
    most = max((len(tree["values"]) for tree in trees), default=1)
    if most > MOST_LEAVES:
        raise ValueError(f"a tree of {most} leaves in a boosting, where {MOST_LEAVES} are the most")
    lane = (most + 7) // 8
    masks = _masks(inputs, _splits(trees, sum(one.width for one in inputs), lane))
    ones = sum(1 << (8 * lane * place) for place in range(len(trees)))
    ends = list(accumulate(map(len, model["trees"]), initial=0))
    # Leaves count from 1.
    scores = [[nan, *_floats(tree["values"])] for tree in trees]
    classes = [
        (baseline, scores[begin:end], slice(begin, end))
        for baseline, begin, end in zip(model["baseline"], ends[:-1], ends[1:], strict=True)
    ]

    def evaluate(row: _Row) -> list[float]:
        taken = 0
        for value, mask in zip(row, masks, strict=True):
            taken |= mask(value)
        # 1 more in a lane changes the ones at its low end and the zero above them, the bit of the row's leaf: as many
        # bits as is the leaf's number. That zero is always there, since no node takes the rightmost leaf away.
        changed = (taken + ones) ^ taken
        bits = changed.to_bytes(lane * len(trees), "little").translate(_BITS_OF_BYTE)
        # Bits are counted in each byte of a lane, and then summed for all lanes at once: byte on byte.
        leaves = sum(int.from_bytes(bits[part::lane], "little") for part in range(lane)).to_bytes(len(trees), "little")
        return _softmax([baseline + sum(map(getitem, scores, leaves[places])) for baseline, scores, places in classes])

    return evaluate


def _splits(trees: list[dict[str, Any]], width: int, lane: int) -> list[_Splits]:
    """For each of the `width` columns the table of its splits in all trees, whose lanes have `lane` bytes."""
    nodes: list[list[_Node]] = [[] for _ in range(width)]
    for place, tree in enumerate(trees):
        columns = tree["columns"]
        right = _right_sides(columns, width)
        before = list(accumulate((column < 0 for column in columns), initial=0))  # leaves before each node
        if len(tree["values"]) != before[-1]:
            raise ValueError(f"a tree of {before[-1]} leaves with {len(tree['values'])} values")
        entries = zip(columns, tree["thresholds"], tree["missing"], strict=True)
        for node, (column, threshold, side) in enumerate(entries):
            if column >= 0:
                first, end = before[node], before[right[node]]
                leaves = ((1 << (end - first)) - 1) << first
                nodes[column].append((threshold, place, leaves, side == "l"))
    return [_Splits(one, lane, len(trees)) for one in nodes]


def _masks(inputs: list[_Input], splits: list[_Splits]) -> list[Callable[[Any], int]]:
    """For each input the function from its value to the leaves that it takes away from the row."""
    ends = list(accumulate((one.width for one in inputs), initial=0))
    return [one.masks(splits[begin:end]) for one, begin, end in zip(inputs, ends[:-1], ends[1:], strict=True)]


_INPUTS: Final[dict[str, Callable[[dict[str, Any]], _Input]]] = {"number": _Number, "category": _Category}
_EVALUATORS: Final = {"linear": _linear, "forest": _forest, "boosting": _boosting}
