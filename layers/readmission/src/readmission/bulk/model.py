"""The version that a job scores with: for all rows of a chunk at once, and row by row for what needs that."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from readmission.domain.features import INPUTS
from readmission.errors import ScorerInvalid
from readmission.registry.production import Version
from readmission.scoring.scorer import Scorer, load
from readmission.scoring.vectorised import VectorisedScorer
from readmission.serving.forecasts import EARLY
from readmission.serving.risk import percentile_of

if TYPE_CHECKING:
    from readmission.registry.production import MlflowRegistry

# Both evaluations agree to 1e-12.
_LAST_DIGITS: Final = 1e-11
_ROUNDING: Final = 1e-6  # of tenths of a percentile

type Inputs = Mapping[str, Any]


class JobModel:
    """A version's scorer. `scorer` evaluates one row, and knows the risks of the training patients."""

    def __init__(self, version: Version, content: bytes) -> None:
        """Raises `ScorerInvalid`, also if the document needs inputs that this release does not compute."""
        self.version = version
        self.scorer: Scorer = load(content, version.scorer_sha256)
        self._many = VectorisedScorer(json.loads(content))
        self._early = self.scorer.classes.index(EARLY)
        if unknown := [name for name in self.scorer.features if name not in INPUTS]:
            raise ScorerInvalid(f"version {version.number} needs unknown features: {', '.join(unknown)}")

    def probabilities(self, rows: Sequence[Inputs]) -> list[list[float] | ScorerInvalid]:
        """The probabilities of each row, in the order of the scorer's classes, or why the model cannot score it."""
        if not rows:
            return []
        table = self._table(rows)
        try:
            found: list[list[float] | ScorerInvalid] = list(self._many.probabilities(table).tolist())
        except ScorerInvalid:
            # It names the first row that has no value. The others have theirs.
            return [self._one(row) for row in table.tolist()]
        for index, shares in enumerate(found):
            if self._is_close_call(cast(list[float], shares)):
                found[index] = self._one(table[index].tolist())
        return found

    def evaluate(self, rows: Sequence[Inputs]) -> list[list[float]]:
        """The same to 1e-12, for explanations. Raises `ScorerInvalid` if the model cannot score one of the rows."""
        found: list[list[float]] = self._many.probabilities(self._table(rows)).tolist()
        return found

    def _table(self, rows: Sequence[Inputs]) -> NDArray[Any]:
        table = np.empty((len(rows), len(self.scorer.features)), dtype=object)
        for index, row in enumerate(rows):
            table[index] = [row[name] for name in self.scorer.features]
        return table

    def _is_close_call(self, shares: list[float]) -> bool:
        """Whether the last digits, in which the two evaluations may differ, decide on the class or the percentile."""
        first, second = sorted(shares, reverse=True)[:2]
        if first - second < _LAST_DIGITS:
            return True
        quantiles = self.scorer.risk_quantiles
        if quantiles is None:
            return False
        risk = shares[self._early]
        if bisect_left(quantiles, risk - _LAST_DIGITS) < bisect_left(quantiles, risk + _LAST_DIGITS):
            return True
        return abs(percentile_of(quantiles, risk) * 10 % 1 - 0.5) < _ROUNDING

    def _one(self, row: list[Any]) -> list[float] | ScorerInvalid:
        try:
            return self.scorer.probabilities(row)
        except ScorerInvalid as error:
            return error


def of_plan(document: Mapping[str, Any], registry: "MlflowRegistry") -> JobModel:
    """The version that the plan names. Raises `ModelUnavailable` and `ScorerInvalid`."""
    named = document["version"]
    version = Version(**(named | {"sites": tuple(named["sites"])}))
    return _model(version, registry)


@lru_cache(maxsize=2)
def _model(version: Version, registry: "MlflowRegistry") -> JobModel:
    """Kept, because an execution environment scores many chunks with one version."""
    return JobModel(version, registry.scorer_document(version))
