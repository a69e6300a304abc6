"""What a version was trained on, as the monitor needs it: the artifact `reference.json` of a training run.

It has the distribution of every input over the training rows, and that of the forecasts over the validation rows, which
the model has not learned from. It names no patient; the categories are those that the scorer document names too.

The inputs of other rows are compared with it bin by bin (`readmission.evaluation.psi`). A missing number is a bin of
its own, as "?" is a category of its own; categories of less than 1 % of the training rows are one bin together, to
which new categories belong too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from readmission.domain.contract import MISSING
from readmission.domain.features import CATEGORIES, NUMBERS
from readmission.evaluation import cbpe, psi
from readmission.evaluation.arrays import Floats

FORMAT: Final = "readmission-reference"
FORMAT_VERSION: Final = 1
_FREQUENT: Final = 0.01  # share from which on a category has a bin of its own
_NAMED: Final = 10  # rows from which on a new category is named: a rare one may be anything typed into the field
# The figures of `readmission.evaluation.quality` by the names of the evaluation document.
_FIGURES: Final = {
    "auc_early": "auc_early",
    "log_loss": "log_loss_early",
    "calibration_error_early": "early_ece",
    "top_decile_precision": "top10_ppv",
}

# By name, the values of each input (one entry per row): numbers as float64 with NaN if unknown, categories as text.
type Columns = Mapping[str, NDArray[Any]]


def reference_document(training: Columns, early: Floats, validation: Mapping[str, Any]) -> dict[str, Any]:
    """The document, ready for JSON.

    `training` are the inputs of the training rows, `early` the forecasts of early readmission for the validation rows,
    and `validation` that part of the evaluation document.
    """
    metrics, intervals = validation["metrics"], validation["intervals"]
    edges = psi.edges_of(early)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "rows": len(training[NUMBERS[0]]),
        "inputs": [
            *({"name": name, "kind": "number", **_number(training[name])} for name in NUMBERS),
            *({"name": name, "kind": "category", **_category(training[name])} for name in CATEGORIES),
        ],
        "forecasts": {
            "rows": len(early),
            "edges": edges.tolist(),
            "shares": _shares(psi.counts_of(early, edges)),
        },
        "quality": {
            "realised": {
                name: dict(zip(("value", "low", "high"), (metrics[other], *intervals[other]), strict=True))
                for name, other in _FIGURES.items()
            },
            "estimated": {name: figure.as_json() for name, figure in cbpe.estimated(early).items()},
        },
    }


def _number(values: NDArray[Any]) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    edges = psi.edges_of(known)
    return {
        "missing_share": 1 - len(known) / len(values),
        "edges": edges.tolist(),
        "shares": _shares(psi.counts_of(known, edges)),
    }


def _category(values: NDArray[Any]) -> dict[str, Any]:
    counts = Counter(values.tolist())
    return {
        "missing_share": counts[MISSING] / len(values),
        "shares": {value: counts[value] / len(values) for value in sorted(counts)},
    }


def _shares(counts: Floats) -> list[float]:
    found: list[float] = (counts / max(counts.sum(), 1)).tolist()
    return found


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one input of some rows is from the reference.

    `counts` are the rows in each bin, and `chance` how large the index gets by chance. `new` are the categories that
    the training rows do not have, with their number of rows; those of fewer than ten rows are not named, but count in
    `new_share`. `new_by_chance` is the share that is to be expected, because training rows never have every category.
    """

    name: str
    psi: float
    chance: float
    counts: Floats
    missing_share: float
    reference_missing_share: float
    new: Mapping[str, int]
    new_share: float
    new_by_chance: float


@dataclass(frozen=True, slots=True)
class _Input:
    """The bins of one input: of a number by `edges`, of a category by the `frequent` ones."""

    name: str
    edges: Floats | None
    frequent: tuple[str, ...]
    known: frozenset[str]
    counts: Floats
    missing_share: float
    new_by_chance: float = 0.0

    @classmethod
    def read(cls, entry: Mapping[str, Any], rows: int) -> Self:
        missing = float(entry["missing_share"])
        if entry["kind"] == "number":
            shares = np.array([*(share * (1 - missing) for share in entry["shares"]), missing])
            return cls(entry["name"], np.array(entry["edges"], np.float64), (), frozenset(), shares * rows, missing)
        of_categories: Mapping[str, float] = entry["shares"]
        frequent = tuple(value for value, share in of_categories.items() if share >= _FREQUENT)
        shares = np.array([of_categories[value] for value in frequent])
        counts = np.append(shares, max(1 - shares.sum(), 0.0)) * rows
        # Good's and Turing's estimate: as many as the training rows have categories that occur once.
        once = sum(share * rows < 1.5 for share in of_categories.values()) / rows
        return cls(entry["name"], None, frequent, frozenset(of_categories), counts, missing, once)

    def drift(self, values: NDArray[Any]) -> Drift:
        rows = len(values)
        new: dict[str, int] = {}
        if self.edges is not None:
            known = values[~np.isnan(values)]
            counts = np.append(psi.counts_of(known, self.edges), rows - len(known))
            missing = rows - len(known)
        else:
            found = Counter(values.tolist())
            missing = found[MISSING]
            own = [found[value] for value in self.frequent]
            counts = np.array([*own, rows - sum(own)], np.float64)
            new = {value: count for value, count in found.items() if value not in self.known and value != MISSING}
        used = int(((counts > 0) | (self.counts > 0)).sum())
        return Drift(
            name=self.name,
            psi=psi.index(self.counts, counts),
            chance=psi.chance(used, self.counts.sum(), rows),
            counts=counts,
            missing_share=missing / rows,
            reference_missing_share=self.missing_share,
            new={value: count for value, count in sorted(new.items()) if count >= _NAMED},
            new_share=sum(new.values()) / rows,
            new_by_chance=self.new_by_chance,
        )


class Reference:
    """A reference document, to compare rows with."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Raises ValueError for another format, and LookupError or TypeError for a document that lacks something."""
        if document.get("format") != FORMAT or document.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"a reference of format {document.get('format')!r}, version {document.get('format_version')!r}; this"
                f" code reads {FORMAT!r}, version {FORMAT_VERSION}"
            )
        self._inputs = [_Input.read(entry, document["rows"]) for entry in document["inputs"]]
        forecasts = document["forecasts"]
        self._edges = np.array(forecasts["edges"], np.float64)
        self._forecasts: Floats = np.array(forecasts["shares"]) * forecasts["rows"]
        self.quality: Mapping[str, Mapping[str, Mapping[str, float | None]]] = document["quality"]

    def inputs(self, columns: Columns) -> list[Drift]:
        """The drift of every input of some rows, at least one, that `columns` has."""
        return [one.drift(columns[one.name]) for one in self._inputs if one.name in columns]

    def forecasts(self, early: Floats) -> tuple[float, float]:
        """The index of some forecasts (at least one) of early readmission, and how large it gets by chance."""
        counts = psi.counts_of(early, self._edges)
        return psi.index(self._forecasts, counts), psi.chance(len(counts), self._forecasts.sum(), len(early))


def nearest(drift: Drift, others: Sequence[Drift]) -> float | None:
    """The smallest index of the input between its rows and those of any of the others; None without others.

    All must have been compared with the same reference.
    """
    return min((psi.index(other.counts, drift.counts) for other in others), default=None)
