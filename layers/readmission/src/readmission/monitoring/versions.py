"""The versions that the monitor judges rows by: their scorer, their training reference, and what they learned from."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np

from readmission.errors import ScorerInvalid
from readmission.evaluation.arrays import Floats
from readmission.evaluation.reference import Columns, Reference
from readmission.registry import names
from readmission.registry.rest import ModelVersion, RestClient, UnexpectedAnswer
from readmission.scoring.scorer import load
from readmission.scoring.vectorised import VectorisedScorer


@dataclass(frozen=True, slots=True)
class Judge:
    """A version. `reference` is None, for the reason `without_reference`, if an earlier release trained it.

    `learned` are the deliveries that it has learned from, None if that is not known.
    """

    number: str
    run_id: str
    data_kind: str
    scorer: VectorisedScorer
    reference: Reference | None
    without_reference: str = ""
    learned: frozenset[str] | None = None

    def may_have_learned(self, delivery_id: str) -> bool:
        """Whether rows of the delivery may be among those that the version learned from."""
        return self.learned is None or delivery_id in self.learned

    def forecasts(self, columns: Columns) -> Floats:
        """The probability of early readmission of each row."""
        early = self.scorer.classes.index("<30")
        rows = np.stack([columns[name].astype(object) for name in self.scorer.features], axis=1)
        found: Floats = self.scorer.probabilities(rows)[:, early]
        return found


@dataclass
class Judges:
    """The versions of one model, each read once."""

    mlflow: RestClient
    _found: dict[str, Judge | None] = field(default_factory=dict)

    def production(self) -> Judge | None:
        """The version with the alias `Production`, or None.

        Raises `ScorerInvalid` if it cannot be used, and `TrackingUnavailable`.
        """
        version = _or_none(lambda: self.mlflow.version_by_alias(names.PRODUCTION))
        if version is None:
            return None
        if version.number not in self._found:
            self._found[version.number] = self._read(version)
        return self._found[version.number]

    def find(self, number: str, run_id: str = "") -> Judge | None:
        """The version with that number, of that run if it is given; None if it is gone or its scorer cannot be used."""
        if number not in self._found:
            version = _or_none(lambda: self.mlflow.version(number))
            try:
                self._found[number] = self._read(version) if version else None
            except ScorerInvalid:
                self._found[number] = None
        judge = self._found[number]
        return judge if judge and run_id in ("", judge.run_id) else None

    def _read(self, version: ModelVersion) -> Judge:
        document = self.mlflow.find_artifact(version.run_id, names.SCORER)
        if document is None:
            raise ScorerInvalid(f"version {version.number} has no scorer document")
        load(document, version.tags.get(names.SCORER_SHA256, ""))  # it is what was registered
        reference, problem = self._reference(version)
        return Judge(
            number=version.number,
            run_id=version.run_id,
            data_kind=version.tags.get(names.DATA_KIND, ""),
            scorer=VectorisedScorer(json.loads(document)),
            reference=reference,
            without_reference=problem,
            learned=self._learned(version.run_id),
        )

    def _reference(self, version: ModelVersion) -> tuple[Reference | None, str]:
        content = self.mlflow.find_artifact(version.run_id, names.REFERENCE)
        if content is None:
            return None, f"version {version.number} has no {names.REFERENCE}: an earlier release trained it"
        try:
            return Reference(json.loads(content)), ""
        except (ValueError, LookupError, TypeError) as error:
            return None, f"the {names.REFERENCE} of version {version.number} cannot be used: {error}"

    def _learned(self, run_id: str) -> frozenset[str] | None:
        content = self.mlflow.find_artifact(run_id, names.DATA_REPORT)
        if content is None:
            return None
        document: dict[str, Any] = json.loads(content)
        deliveries = document.get("deliveries")
        return None if deliveries is None else frozenset(one["delivery"] for one in deliveries)


def _or_none(ask: Callable[[], ModelVersion]) -> ModelVersion | None:
    try:
        return ask()
    except UnexpectedAnswer as error:
        if error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
            return None
        raise
