"""The models of a scorer document: each builds a function from a row to the probabilities of the classes.

A boosting has a second function for at least two rows, which is faster for many and gives the same bits. All raise
ValueError, LookupError or TypeError if the model is malformed.
"""

from array import array
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, chain, count
from math import exp, inf, isfinite, nan
from operator import getitem, itemgetter, mul, truediv
from typing import Any, Final

from readmission.errors import ScorerInvalid
from readmission.scoring.format import MOST_LEAVES
from readmission.scoring.inputs import Input, Node, Row, SplitTable, encoder, floats
from readmission.scoring.together import Together

type Evaluate = Callable[[Row], list[float]]
type EvaluateMany = Callable[[Sequence[Row]], list[list[float]]]

_BITS_OF_BYTE: Final = bytes(byte.bit_count() for byte in range(256))


def _softmax(scores: Sequence[float]) -> list[float]:
    highest = max(scores)
    powers = [exp(score - highest) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def linear(inputs: list[Input], model: dict[str, Any], _classes: int) -> tuple[Evaluate, None]:
    encode = encoder(inputs)
    mean, scale = model["mean"], model["scale"]
    lines = list(zip(model["coefficients"], model["intercepts"], strict=True))
    width = sum(one.width for one in inputs)
    if any(len(columns) != width for columns in (mean, scale, *model["coefficients"])):
        raise ValueError(f"the linear model does not have the {width} columns of the inputs")

    def evaluate(row: Row) -> list[float]:
        scaled = [(value - m) / s for value, m, s in zip(encode(row), mean, scale, strict=True)]
        scores = [sum(map(mul, weights, scaled)) + intercept for weights, intercept in lines]
        if not isfinite(sum(scores)):
            raise ScorerInvalid("the scorer has no value for a missing number, or a number is too large for it")
        return _softmax(scores)

    return evaluate, None


def right_subtrees(columns: list[int], width: int) -> list[int]:
    """The index at which each node's right subtree starts, 0 for a leaf, from the tree's `columns`.

    Raises ValueError or LookupError if they are not a tree over `width` columns.
    """
    right = [0] * len(columns)
    waiting = []
    for node, column in enumerate(columns[:-1]):
        if column >= 0:
            waiting.append(node)
        else:
            right[waiting.pop()] = node + 1
    if waiting or columns[-1] >= 0:
        raise ValueError("a tree lacks a leaf")
    if max(columns) >= width:
        raise ValueError(f"a tree uses column {max(columns)} of {width}")
    return right


def forest(inputs: list[Input], model: dict[str, Any], classes: int) -> tuple[Evaluate, None]:
    """Walks every tree: a forest has too many leaves for the method of `boosting`."""
    encode = encoder(inputs)
    width = sum(one.width for one in inputs)
    trees = [walkable(tree, width, classes) for tree in model["trees"]]

    def evaluate(row: Row) -> list[float]:
        # scikit-learn's forests round their input to 32 bits before comparing it.
        rounded = array("f", encode(row))
        # Each column twice: first for nodes that send a missing number right, then for those that send it left.
        values = [inf if value != value else value for value in rounded]
        values += [-inf if value != value else value for value in rounded]
        leaves = []
        for columns, thresholds, right, shares in trees:
            node = 0
            while (column := columns[node]) >= 0:
                node = node + 1 if values[column] <= thresholds[node] else right[node]
            first = ~column * classes
            leaves.append(shares[first : first + classes])
        return [sum(shares) / len(trees) for shares in zip(*leaves, strict=True)]

    return evaluate, None


def walkable(
    tree: dict[str, Any], width: int, classes: int
) -> tuple[array[int], array[float], array[int], array[float]]:
    """A tree's columns, thresholds and right subtrees, and the class shares of its leaves, one leaf after another.

    The column is higher by `width` if a missing number goes left; at a leaf it is the complement of the leaf's index.
    """
    right = right_subtrees(tree["columns"], width)
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
    totals = map(sum, zip(*(weights[index::classes] for index in range(classes)), strict=True))
    shares = map(truediv, weights, chain.from_iterable([total] * classes for total in totals))
    # `export` has rounded the thresholds to 32 bits already.
    return array("i", columns), array("f", tree["thresholds"]), array("i", right), array("d", shares)


def boosting(inputs: list[Input], model: dict[str, Any], _classes: int) -> tuple[Evaluate, EvaluateMany]:
    """Evaluates all trees at once, without walking them: QuickScorer (Lucchese et al., SIGIR 2015).

    One large integer holds a lane of bits for each tree, and a lane holds one bit for each leaf, counted from the
    left. A node that sends the row right excludes the leaves of its left subtree. The leaves excluded by all nodes
    that test the same input depend only on the value of that input, so a table holds them. The row's leaf is the
    leftmost one that no input excludes.
    """
    trees = [tree for group in model["trees"] for tree in group]
    most = max((len(tree["values"]) for tree in trees), default=1)
    if most > MOST_LEAVES:
        raise ValueError(f"a tree of a boosting has {most} leaves, more than {MOST_LEAVES}")
    lane = (most + 7) // 8
    masks = _masks(inputs, _split_tables(trees, sum(one.width for one in inputs), lane))
    ones = sum(1 << (8 * lane * index) for index in range(len(trees)))
    ends = list(accumulate(map(len, model["trees"]), initial=0))
    # Leaves count from 1.
    scores = [[nan, *floats(tree["values"])] for tree in trees]
    classes = [
        (baseline, scores[begin:end], slice(begin, end))
        for baseline, begin, end in zip(model["baseline"], ends[:-1], ends[1:], strict=True)
    ]

    def evaluate(row: Row) -> list[float]:
        excluded = 0
        for value, mask in zip(row, masks, strict=True):
            excluded |= mask(value)
        # Adding 1 to a lane flips its trailing ones and the zero above them, which is the bit of the row's leaf: the
        # number of flipped bits is the leaf's number. That zero exists, as no node excludes the rightmost leaf.
        changed = (excluded + ones) ^ excluded
        bits = changed.to_bytes(lane * len(trees), "little").translate(_BITS_OF_BYTE)
        # Count the bits of each byte of a lane, then add the bytes of all lanes at once.
        leaves = sum(int.from_bytes(bits[part::lane], "little") for part in range(lane)).to_bytes(len(trees), "little")
        return _softmax([baseline + sum(map(getitem, scores, leaves[group])) for baseline, scores, group in classes])

    @cache  # made when it is first needed: a process that answers single requests does without
    def together() -> Together:
        return Together(inputs, trees)

    def evaluate_many(rows: Sequence[Row]) -> list[list[float]]:
        leaves = together().leaves_of(rows)
        sums = [_sums(baseline, scores, leaves[group], len(rows)) for baseline, scores, group in classes]
        return [_softmax(of_row) for of_row in zip(*sums, strict=True)]

    return evaluate, evaluate_many


def _sums(baseline: float, scores: list[list[float]], leaves: list[bytes], rows: int) -> list[float]:
    """For each of at least two rows, the baseline and the scores of its leaves, of which each tree has all rows'."""
    if not leaves:
        return [baseline] * rows
    of_trees = [itemgetter(*of_rows)(of_leaf) for of_leaf, of_rows in zip(scores, leaves, strict=True)]
    return [baseline + sum(of_row) for of_row in zip(*of_trees, strict=True)]


def _split_tables(trees: list[dict[str, Any]], width: int, lane: int) -> list[SplitTable]:
    """For each of the `width` columns, its splits in all trees, whose lanes have `lane` bytes."""
    return [SplitTable(one, lane, len(trees)) for one in splits_by_column(trees, width)]


def splits_by_column(trees: list[dict[str, Any]], width: int) -> list[list[Node]]:
    """For each of the `width` columns, its splits in all trees. Raises `ValueError` for a tree that is not complete."""
    nodes: list[list[Node]] = [[] for _ in range(width)]
    for index, tree in enumerate(trees):
        columns = tree["columns"]
        right = right_subtrees(columns, width)
        before = list(accumulate((column < 0 for column in columns), initial=0))  # leaves before each node
        if len(tree["values"]) != before[-1]:
            raise ValueError(f"a tree of {before[-1]} leaves has {len(tree['values'])} values")
        entries = zip(columns, tree["thresholds"], tree["missing"], strict=True)
        for node, (column, threshold, side) in enumerate(entries):
            if column >= 0:
                first, end = before[node], before[right[node]]
                leaves = ((1 << (end - first)) - 1) << first
                nodes[column].append((threshold, index, leaves, side == "l"))
    return nodes


def _masks(inputs: list[Input], splits: list[SplitTable]) -> list[Callable[[Any], int]]:
    """For each input, a function from its value to the leaves it excludes."""
    ends = list(accumulate((one.width for one in inputs), initial=0))
    return [one.masks(splits[begin:end]) for one, begin, end in zip(inputs, ends[:-1], ends[1:], strict=True)]


EVALUATORS: Final = {"linear": linear, "forest": forest, "boosting": boosting}
