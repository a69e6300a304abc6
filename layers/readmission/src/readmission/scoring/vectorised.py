"""Evaluates a scorer document for many rows at once with numpy, where `scorer` evaluates one row in pure Python.

Both give the same probabilities. This one is for functions that have numpy and thousands of rows: those that compare
versions on the logged traffic. It needs neither scikit-learn nor MLflow nor pandas.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise
from math import nan
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from readmission.errors import ScorerInvalid
from readmission.scoring.inputs import INPUTS, Lookup, floats
from readmission.scoring.models import splits_by_column, walkable
from readmission.scoring.scorer import check_format, malformed_is_invalid

type Floats = NDArray[np.float64]
type Codes = NDArray[np.intp]
type Masks = NDArray[np.unsignedinteger]
type Values = Sequence[Any] | Floats
type Evaluate = Callable[[list[Values]], Floats]

_BATCH: Final = 16_384  # rows for which combinations of values are looked for at once
_CHUNK: Final = 1024  # rows whose leaves are found at once
_BLOCK: Final = 128  # trees of a boosting whose leaves are found at once: their masks must fit into the cache
_MOST_COMBINATIONS: Final = 1 << 20  # of the states of two inputs: the size of a table that lists them


class VectorisedScorer:
    """Evaluates one document. `features` and `classes` give the order of a row's values and of the probabilities."""

    def __init__(self, document: dict[str, Any]) -> None:
        """Raises `ScorerInvalid` for what `Scorer` would refuse."""
        check_format(document)
        with malformed_is_invalid():
            entries = document["inputs"]
            for entry in entries:
                INPUTS[entry["kind"]](entry)  # checks the entry
            inputs = [_KINDS[entry["kind"]](entry) for entry in entries]
            self.features: tuple[str, ...] = tuple(entry["name"] for entry in entries)
            self.classes: tuple[str, ...] = tuple(document["classes"])
            model = document["model"]
            self._evaluate = _EVALUATORS[model["type"]](inputs, model, len(self.classes))
            shares = self._evaluate([[one.example] for one in inputs])
        if shares.shape != (1, len(self.classes)):
            raise ScorerInvalid(f"the scorer document has {len(self.classes)} classes with {shares.size} probabilities")

    def probabilities(self, rows: NDArray[Any]) -> Floats:
        """The probabilities (rows x classes) of rows (rows x features) of floats or objects.

        As for `Scorer.probabilities`, None and NaN are missing numbers, None is the category "?", and a category that
        training has not seen is `unseen`. Raises `ScorerInvalid`, with the row, if a linear model has no value for a
        missing number, ValueError if the rows have the wrong width, and TypeError for text where the model needs a
        number.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.features):
            raise ValueError(f"rows of the shape {rows.shape} for {len(self.features)} features")
        return self.probabilities_of(list(rows.T))

    def probabilities_of(self, columns: Sequence[NDArray[Any]]) -> Floats:
        """`probabilities` of rows given as columns, in the order of `features`. Columns of float64 are not copied."""
        if len(columns) != len(self.features):
            raise ValueError(f"{len(columns)} columns for {len(self.features)} features")
        rows = len(columns[0])
        found = np.empty((rows, len(self.classes)))
        for begin in range(0, rows, _BATCH):
            batch = slice(begin, begin + _BATCH)
            try:
                found[batch] = self._evaluate([_values(column[batch]) for column in columns])
            except _NoValue as error:
                raise ScorerInvalid(f"row {begin + error.row}: {error}") from error
        return found


class _NoValue(ScorerInvalid):
    """The model has no finite score for a row of the batch."""

    def __init__(self, row: int) -> None:
        super().__init__("the scorer has no value for a missing number, or a number is too large for it")
        self.row = row


class _Input(Protocol):
    """An input of the document; `width` is the number of its columns in the model."""

    width: int

    @property
    def example(self) -> Any: ...

    def columns(self, values: Values) -> Floats:
        """rows x width."""
        ...

    def states(self, splits: "list[_Splits]") -> "_States":
        """What the input's value excludes, by state; `splits` are those of its columns."""
        ...


class _States:
    """The states that an input can be in, as far as the trees tell them apart.

    `masks` (states x trees x words) holds the leaves that each state excludes; `codes` finds the states of values.
    """

    def __init__(self, masks: Masks, codes: Callable[[Values], Codes]) -> None:
        self.masks, self.codes = masks, codes


class _Number:
    example: Final = 0.0

    def __init__(self, entry: dict[str, Any]) -> None:
        self._missing = np.asarray(floats(entry.get("missing", [nan])))
        self.width = len(self._missing)

    def columns(self, values: Values) -> Floats:
        numbers = _numbers(values)
        found = np.zeros((len(numbers), self.width))
        found[:, 0] = numbers
        found[np.isnan(numbers)] = self._missing
        return found

    def states(self, splits: "list[_Splits]") -> _States:
        first, *indicators = splits
        thresholds = first.thresholds
        present = first.masks
        for column in indicators:
            present = present | column.excluded(np.zeros(1))
        missing = _excluded(splits, self._missing[np.newaxis])

        def codes(values: Values) -> Codes:
            numbers = _numbers(values)
            found = np.searchsorted(thresholds, numbers, "left")
            found[np.isnan(numbers)] = len(thresholds) + 1
            return found

        return _States(np.concatenate([present, missing]), codes)


class _Category:
    example: Final = None

    def __init__(self, entry: dict[str, Any]) -> None:
        values = entry["values"]
        self._table = np.asarray([*map(floats, values.values()), floats(entry["unseen"])])
        self.width = self._table.shape[1]
        codes = Lookup({name: code for code, name in enumerate(values)}, len(values))
        self._code_of: Callable[[str | None], int] = codes.__getitem__

    def columns(self, values: Values) -> Floats:
        return self._table[self._found(values)]

    def states(self, splits: "list[_Splits]") -> _States:
        return _States(_excluded(splits, self._table), self._found)

    def _found(self, values: Values) -> Codes:
        return np.fromiter(map(self._code_of, values), np.intp, len(values))


_KINDS: Final[dict[str, Callable[[dict[str, Any]], _Input]]] = {"number": _Number, "category": _Category}


def _values(column: NDArray[Any]) -> Values:
    """The column as it is, if it has floats, else as a list."""
    return column if column.dtype == np.float64 else column.tolist()


def _numbers(values: Values) -> Floats:
    """The values as floats, NaN for None. Raises TypeError for text."""
    if isinstance(values, np.ndarray):
        return values
    return np.frombuffer(array("d", [nan if value is None else value for value in values]))


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _encoder(inputs: list[_Input]) -> Callable[[list[Values]], Floats]:
    def encode(columns: list[Values]) -> Floats:
        return np.hstack([one.columns(values) for one, values in zip(inputs, columns, strict=True)])

    return encode


def _linear(inputs: list[_Input], model: dict[str, Any], _classes: int) -> Evaluate:
    encode = _encoder(inputs)
    mean, scale, intercepts = (np.asarray(floats(model[name])) for name in ("mean", "scale", "intercepts"))
    coefficients = np.asarray([floats(one) for one in model["coefficients"]])
    width = sum(one.width for one in inputs)
    if not (mean.shape == scale.shape == (width,)) or coefficients.shape != (len(intercepts), width):
        raise ValueError(f"the linear model does not have the {width} columns of the inputs")

    def evaluate(columns: list[Values]) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            scores = ((encode(columns) - mean) / scale) @ coefficients.T + intercepts
            finite = np.isfinite(scores.sum(axis=1))
        if not finite.all():
            raise _NoValue(int(np.argmin(finite)))
        return _softmax(scores)

    return evaluate


def _forest(inputs: list[_Input], model: dict[str, Any], classes: int) -> Evaluate:
    """Walks all trees together, one level at a time."""
    encode = _encoder(inputs)
    width = sum(one.width for one in inputs)
    trees = [walkable(tree, width, classes) for tree in model["trees"]]
    ends = list(accumulate((len(columns) for columns, *_ in trees), initial=0))
    roots = np.asarray(ends[:-1])
    columns = np.concatenate([np.asarray(one) for one, *_ in trees])
    thresholds = np.concatenate([np.asarray(one) for _, one, *_ in trees])
    right = np.concatenate([np.asarray(one) + root for (_, _, one, _), root in zip(trees, ends, strict=False)])
    firsts = accumulate((len(shares) // classes for *_, shares in trees), initial=0)
    shares = np.concatenate([np.asarray(one).reshape(-1, classes) for *_, one in trees])
    first_leaf = np.repeat(list(firsts)[:-1], np.diff(ends))
    leaf = columns < 0
    leaves = np.where(leaf, ~columns + first_leaf, 0)
    # A leaf is its own child, so that a row that has arrived stays.
    following = np.arange(len(columns)) + ~leaf
    right = np.where(leaf, following, right)
    columns = np.where(leaf, 0, columns)

    def evaluate(values: list[Values]) -> Floats:
        with np.errstate(over="ignore"):
            rounded = encode(values).astype(np.float32)
        missing = np.isnan(rounded)
        # Each column twice: first for nodes that send a missing number right, then for those that send it left.
        both = np.hstack([np.where(missing, np.float32(side), rounded) for side in (np.inf, -np.inf)])
        found = np.empty((len(both), classes))
        for begin in range(0, len(both), _CHUNK):
            chunk = both[begin : begin + _CHUNK]
            rows = np.arange(len(chunk))[:, np.newaxis]
            nodes = np.broadcast_to(roots, (len(chunk), len(roots)))
            while not leaf[nodes].all():
                goes_left = chunk[rows, columns[nodes]] <= thresholds[nodes]
                nodes = np.where(goes_left, following[nodes], right[nodes])
            found[begin : begin + len(chunk)] = shares[leaves[nodes]].sum(axis=1) / len(trees)
        return found

    return evaluate


class _Splits:
    """All splits of one column: the leaves excluded by each value of the column (`inputs.SplitTable`)."""

    def __init__(self, nodes: list[tuple[float, int, int, bool]], empty: Masks) -> None:
        """`nodes`: threshold, index of the tree, the leaves left of the node as bits, whether missing goes left."""
        self.thresholds = np.unique([threshold for threshold, *_ in nodes])
        self.masks = np.zeros((len(self.thresholds) + 1, *empty.shape), empty.dtype)
        self.missing = empty.copy()
        after = np.searchsorted(self.thresholds, [threshold for threshold, *_ in nodes]) + 1
        for place, (_, tree, leaves, missing_left) in zip(after.tolist(), nodes, strict=True):
            mask = _words(leaves, empty)
            self.masks[place, tree] |= mask
            if not missing_left:
                self.missing[tree] |= mask
        self.masks = np.bitwise_or.accumulate(self.masks, axis=0)

    def excluded(self, values: Floats) -> Masks:
        """values x trees x words."""
        found: Masks = self.masks[np.searchsorted(self.thresholds, values, "left")]
        found[np.isnan(values)] = self.missing
        return found


def _words(leaves: int, like: Masks) -> Masks:
    """The bits as `like`'s words, least significant first."""
    size = like.dtype.itemsize
    return np.frombuffer(leaves.to_bytes(size * like.shape[1], "little"), like.dtype)


def _excluded(splits: list[_Splits], table: Floats) -> Masks:
    """What each row of columns excludes."""
    found = splits[0].excluded(table[:, 0])
    for column, values in zip(splits[1:], table.T[1:], strict=True):
        found |= column.excluded(values)
    return found


def _boosting(inputs: list[_Input], model: dict[str, Any], _classes: int) -> Evaluate:
    """`models.boosting` for many rows: an array of masks takes the place of one large integer."""
    trees = [tree for group in model["trees"] for tree in group]
    baseline = np.asarray(floats(model["baseline"]))
    if len(baseline) != len(model["trees"]):
        raise ValueError(f"{len(baseline)} baselines of {len(model['trees'])} classes")
    most = max((len(tree["values"]) for tree in trees), default=1)
    splits = _split_columns(trees, sum(one.width for one in inputs), _no_leaves(len(trees), most))
    ends = list(accumulate((one.width for one in inputs), initial=0))
    states = [one.states(splits[begin:end]) for one, (begin, end) in zip(inputs, pairwise(ends), strict=True)]
    scores = np.full((len(trees), most + 1), nan)  # leaves count from 1
    for index, tree in enumerate(trees):
        scores[index, 1 : len(tree["values"]) + 1] = floats(tree["values"])
    groups = list(pairwise(accumulate(map(len, model["trees"]), initial=0)))

    def evaluate(columns: list[Values]) -> Floats:
        plan = _Plan([one.codes(values) for one, values in zip(states, columns, strict=True)])
        found = np.repeat(baseline[:, np.newaxis], len(columns[0]), axis=1)
        for total, (begin, end) in zip(found, groups, strict=True):
            for first in range(begin, end, _BLOCK):
                block = slice(first, min(first + _BLOCK, end))
                _add_block(plan, [one.masks[:, block] for one in states], scores[block], total)
        return _softmax(found.T)

    return evaluate


def _no_leaves(trees: int, leaves: int) -> Masks:
    """No leaf of any tree, as words of the smallest type that has a bit for each of the leaves."""
    size = next((bits for bits in (8, 16, 32) if leaves <= bits), 64)
    return np.zeros((trees, -(-leaves // size)), np.dtype(f"u{size // 8}"))


def _split_columns(trees: list[dict[str, Any]], width: int, empty: Masks) -> list[_Splits]:
    return [_Splits(one, empty) for one in splits_by_column(trees, width)]


@dataclass(frozen=True, slots=True)
class _Merge:
    """The states of two inputs as one: for each combination that occurs, the state of each."""

    first: int
    second: int
    states_of_first: Codes
    states_of_second: Codes


class _Plan:
    """How to find the excluded leaves of a batch with few operations per row.

    Most inputs hardly vary, so that many of them together have fewer combinations than the batch has rows. Those are
    combined once for each combination; `rows` has what is left to combine for each row: an input, and its states.
    """

    def __init__(self, codes: list[Codes]) -> None:
        self.merges: list[_Merge] = []
        self.rows: list[tuple[int, Codes]] = []
        count = len(codes[0])
        known = dict(enumerate(codes))
        queue = [(int(one.max(initial=0)) + 1, index) for index, one in known.items()]
        heapify(queue)
        while len(queue) > 1:
            size, index = heappop(queue)
            other_size, other = queue[0]
            found = _combined(known[index], known[other], size, other_size, count // 8)
            if found is None:
                self.rows.append((index, known[index]))
                continue
            heappop(queue)
            combinations, known[len(known)] = found
            self.merges.append(_Merge(index, other, *np.divmod(combinations, other_size)))
            heappush(queue, (len(combinations), len(known) - 1))
        self.rows += ((index, known[index]) for _, index in queue)

    def tables(self, masks: list[Masks]) -> list[Masks]:
        """The masks by state, of the inputs and of what was merged of them."""
        tables = [*masks]
        for one in self.merges:
            tables.append(tables[one.first][one.states_of_first] | tables[one.second][one.states_of_second])
        return tables


def _combined(first: Codes, second: Codes, size: int, other_size: int, most: int) -> tuple[Codes, Codes] | None:
    """The combinations that occur and the one of each row, or None if they are more than `most`."""
    if size * other_size > _MOST_COMBINATIONS:
        return None
    both = first * other_size + second
    occurs = np.zeros(size * other_size, np.bool_)
    occurs[both] = True
    combinations = np.flatnonzero(occurs)
    if len(combinations) > most:
        return None
    places = np.empty(size * other_size, np.intp)
    places[combinations] = np.arange(len(combinations))
    return combinations, places[both]


def _add_block(plan: _Plan, masks: list[Masks], scores: Floats, total: Floats) -> None:
    """Add the scores of some trees to the `total` of each row of the plan.

    One tree after the other, as scikit-learn adds them: the sums have the same bits.
    """
    tables = plan.tables(masks)
    starts = (np.arange(len(scores)) * scores.shape[1])[:, np.newaxis]
    flat = scores.ravel()
    for begin in range(0, len(total), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        (index, codes), *others = plan.rows
        excluded = tables[index].take(codes[rows], axis=0)
        for index, codes in others:
            excluded |= tables[index].take(codes[rows], axis=0)
        sum_of_rows = total[rows]  # a view
        for scores_of_tree in flat.take(_leaves(excluded).T + starts):
            sum_of_rows += scores_of_tree


def _leaves(excluded: Masks) -> NDArray[np.integer]:
    """The number of each tree's leftmost leaf that is not excluded, counted from 1 (`models.boosting`)."""
    changed = np.bitwise_count((excluded + excluded.dtype.type(1)) ^ excluded)
    if excluded.shape[-1] == 1:
        return changed[..., 0]
    leaves = changed[..., 0].astype(np.intp)
    # A word whose leaves are all excluded is all ones: the next word has the leaf.
    bits = excluded.dtype.itemsize * 8
    full = np.iinfo(excluded.dtype).max
    searching = excluded[..., 0] == full
    for word in range(1, excluded.shape[-1]):
        leaves = np.where(searching, word * bits + changed[..., word], leaves)
        searching &= excluded[..., word] == full
    return leaves


_EVALUATORS: Final = {"linear": _linear, "forest": _forest, "boosting": _boosting}
