"""Evaluates a scorer document (`readmission.scoring.format`) in pure Python.

The serving function therefore needs neither numpy nor scikit-learn nor MLflow.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import batched
from math import isfinite
from typing import Any

from readmission.domain.features import FEATURES
from readmission.errors import ScorerInvalid
from readmission.scoring.format import FORMAT, FORMAT_VERSION, QUANTILES
from readmission.scoring.inputs import INPUTS, floats
from readmission.scoring.models import EVALUATORS
from readmission.scoring.together import FEWEST, MOST


class Scorer:
    """Evaluates one document.

    `features` and `classes` give the order of the values in a row and of the probabilities. `reference` and
    `risk_quantiles` are the document's context, or None without one.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        """Raises `ScorerInvalid` if this is not a scorer document of the supported version."""
        check_format(document)
        with malformed_is_invalid():
            inputs = [INPUTS[entry["kind"]](entry) for entry in document["inputs"]]
            self.features: tuple[str, ...] = tuple(entry["name"] for entry in document["inputs"])
            self.classes: tuple[str, ...] = tuple(document["classes"])
            model = document["model"]
            self._evaluate, self._evaluate_many = EVALUATORS[model["type"]](inputs, model, len(self.classes))
            # Evaluate one row, so that an inconsistent document fails here and not at the first request.
            shares = self._evaluate([one.example for one in inputs])
            self.reference, self.risk_quantiles = _context(document)
        if len(shares) != len(self.classes):
            raise ScorerInvalid(f"the scorer document has {len(self.classes)} classes with {len(shares)} probabilities")

    def probabilities(self, row: Sequence[float | str | None]) -> list[float]:
        """The probability of each class for one row of `features`; they sum to 1.

        None and NaN are missing numbers, and None is the category "?". A category that training has not seen is
        `unseen`. The caller must reject infinite numbers. Raises `ScorerInvalid` if a linear model has no value for a
        missing number, ValueError if the row has the wrong length, and TypeError for text where the model needs a
        number.
        """
        return self._evaluate(row)

    def probabilities_of(self, rows: Sequence[Sequence[float | str | None]]) -> list[list[float] | ScorerInvalid]:
        """`probabilities` of each row, with the same bits, or the `ScorerInvalid` that a row raises.

        A boosting evaluates many rows faster than one by one. Raises the other errors of `probabilities`.
        """
        found: list[list[float] | ScorerInvalid] = []
        for some in batched(rows, MOST, strict=False):
            if self._evaluate_many and len(some) >= FEWEST:
                found += self._evaluate_many(some)
            else:
                found += map(self._found, some)
        return found

    def _found(self, row: Sequence[float | str | None]) -> list[float] | ScorerInvalid:
        try:
            return self._evaluate(row)
        except ScorerInvalid as error:
            return error


def check_format(document: dict[str, Any]) -> None:
    """Raises `ScorerInvalid` if this is not a scorer document of the supported version."""
    if document.get("format") != FORMAT or document.get("format_version") != FORMAT_VERSION:
        raise ScorerInvalid(
            f"a scorer document of format {document.get('format')!r}, version {document.get('format_version')!r};"
            f" this code reads {FORMAT!r}, version {FORMAT_VERSION}"
        )


@contextmanager
def malformed_is_invalid() -> Iterator[None]:
    """Raise what a malformed document causes as `ScorerInvalid`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ScorerInvalid(f"the scorer document cannot be used: {type(error).__name__}: {error}") from error


def load(content: bytes, expected_sha256: str) -> Scorer:
    """Read a scorer from a document's bytes. Raises `ScorerInvalid` if they do not have that hash."""
    return Scorer(verified(content, expected_sha256))


def verified(content: bytes, expected_sha256: str) -> dict[str, Any]:
    """The document in these bytes. Raises `ScorerInvalid` if they do not have that hash, or are not a JSON object."""
    found = sha256(content).hexdigest()
    if found != expected_sha256:
        raise ScorerInvalid(f"the scorer document's SHA-256 is {found}, not the registered {expected_sha256}")
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ScorerInvalid(f"the scorer document is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise ScorerInvalid("the scorer document is not a JSON object")
    return document


def _context(document: dict[str, Any]) -> tuple[Mapping[str, float] | None, tuple[float, ...] | None]:
    """The reference and the risk quantiles. Raises ValueError, LookupError or TypeError if they are malformed."""
    if "context" not in document:
        return None, None
    context = document["context"]
    if set(context["reference"]) != set(FEATURES):
        raise ValueError("the reference does not consist of the 14 features")
    reference = dict(zip(FEATURES, floats(context["reference"][name] for name in FEATURES), strict=True))
    quantiles = tuple(floats(context["risk_quantiles"]))
    if not all(map(isfinite, (*reference.values(), *quantiles))):
        raise ValueError("the reference or a risk quantile is not finite")
    if len(quantiles) != QUANTILES or list(quantiles) != sorted(quantiles):
        raise ValueError(f"the risk quantiles are not {QUANTILES} ascending numbers")
    return reference, quantiles
