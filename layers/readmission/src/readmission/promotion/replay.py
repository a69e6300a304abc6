"""Scores a registered version on the logged traffic, before it gets any of it."""

import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pg8000.native import Connection

from readmission.errors import InvalidRequest, ScorerInvalid, VersionNotFound, VersionUnusable
from readmission.evaluation.arrays import Floats
from readmission.promotion import request, trial
from readmission.registry import names
from readmission.registry.mlflow_client import find_version, reachable
from readmission.scoring.scorer import verified
from readmission.scoring.vectorised import VectorisedScorer
from readmission.settings import ModelSettings
from readmission.storage.database import transaction

MOST: Final = 1_000_000  # forecasts
_DEFAULT: Final = 20_000  # takes seconds
_PAGE: Final = 10_000
_READ: Final = """
    DECLARE logged NO SCROLL CURSOR FOR
    SELECT inputs, p_early, p_late, p_none, {label},
        coalesce(patient_key, site || ' ' || encounter_id, CAST(row_number() OVER () AS text)), model_version
    FROM {table}
    WHERE model_name = :model_name
    ORDER BY answered_at DESC LIMIT :limit
"""


def replay(asked: Any, clean: Connection, settings: ModelSettings, due_days: int = 30) -> dict[str, Any]:
    """What a version would have forecast for the newest logged requests, beside what was answered.

    `asked` is `{"version": "4", "limit": n}`. Raises `InvalidRequest`, `VersionNotFound`, `VersionUnusable` and
    `TrackingUnavailable`.
    """
    fields = request.object_of(asked, "replay", ("limit", "version"))
    number, limit = request.version_of(fields), fields.get("limit")
    if number is None:
        raise InvalidRequest("'version' is required: the number of the version to replay")
    limit = _DEFAULT if limit is None else limit
    if type(limit) is not int or not 1 <= limit <= MOST:
        raise InvalidRequest(f"'limit' must be a whole number from 1 to {MOST:,}")
    return _Replay(_scorer(settings, number)).over(clean, settings.name, limit, due_days) | {"version": number}


def _scorer(settings: ModelSettings, number: str) -> VectorisedScorer:
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        version = find_version(client, settings.name, number)
        if version is None:
            raise VersionNotFound(f"there is no version {number} of {settings.name!r}")
        try:
            path = client.download_artifacts(str(version.run_id), names.SCORER)
        except (MlflowException, requests.HTTPError) as error:
            raise VersionUnusable(f"the scorer document of version {number} cannot be read: {error}") from error
    try:
        with open(path, "rb") as file:
            scorer = VectorisedScorer(verified(file.read(), version.tags.get(names.SCORER_SHA256, "")))
        if set(scorer.classes) != set(trial.CLASSES):
            raise ScorerInvalid(f"its classes are {', '.join(scorer.classes)}")
    except ScorerInvalid as error:
        raise VersionUnusable(f"version {number} of {settings.name!r} cannot be replayed: {error}") from error
    return scorer


_NOTHING: Final = (
    np.empty((0, 3)),
    np.empty((0, 3)),
    np.empty(0, dtype=object),
    np.empty(0, dtype=np.str_),
    np.empty(0, dtype=np.str_),
)


class _Replay:
    """The forecasts of one version so far, page by page."""

    def __init__(self, scorer: VectorisedScorer) -> None:
        self._scorer = scorer
        self._order = [scorer.classes.index(name) for name in trial.CLASSES]
        self._seconds = 0.0
        self._failed = 0
        self._lacking: set[str] = set()

    def over(self, clean: Connection, model_name: str, limit: int, due_days: int) -> dict[str, Any]:
        pages = [_NOTHING, *(self._page(rows) for rows in _pages(clean, model_name, limit, due_days))]
        mine, theirs, labels, patients, answered = (np.concatenate(part) for part in zip(*pages, strict=True))
        errors = {"ScorerInvalid": self._failed} if self._failed else {}
        pairs = trial.Pairs(mine, theirs, labels, patients, errors=errors)
        found = trial.evidence(pairs)
        objection = trial.objection(found)
        return {
            "forecasts": len(pairs),
            "answered_by": dict(zip(*(one.tolist() for one in np.unique(answered, return_counts=True)), strict=True)),
            "evidence": found.as_json(),
            "summary": trial.summary(found),
            "objection": objection.reason if objection else None,
            "inputs_not_logged": sorted(self._lacking),
            "rows_per_second": round(len(pairs) / self._seconds) if self._seconds else None,
        }

    def _page(self, rows: list[list[Any]]) -> tuple[Any, ...]:
        """The probabilities of both, the labels, the patients, and the versions that answered."""
        features = self._scorer.features
        self._lacking.update(name for name in features if name not in rows[0][0])
        inputs = np.empty((len(rows), len(features)), dtype=object)
        inputs[:] = [[row[0].get(name) for name in features] for row in rows]
        start = time.perf_counter()
        mine = self._probabilities(inputs)
        self._seconds += time.perf_counter() - start
        whole = np.isfinite(mine).all(axis=1)
        self._failed += int((~whole).sum())
        kept = [row for row, ok in zip(rows, whole.tolist(), strict=True) if ok]
        return (
            mine[whole][:, self._order],
            np.asarray([row[1:4] for row in kept], dtype=np.float64).reshape(-1, 3),
            np.asarray([row[4] for row in kept], dtype=object),
            np.asarray([row[5] for row in kept], dtype=np.str_),
            np.asarray([row[6] for row in kept], dtype=np.str_),
        )

    def _probabilities(self, inputs: Any) -> Floats:
        """NaN for a row that the version cannot score."""
        try:
            return self._scorer.probabilities(inputs)
        except (ScorerInvalid, TypeError):
            found = np.full((len(inputs), len(self._scorer.classes)), np.nan)
            for index in range(len(inputs)):
                try:
                    found[index] = self._scorer.probabilities(inputs[index : index + 1])
                except (ScorerInvalid, TypeError):
                    continue  # counted as failed
            return found


def _pages(clean: Connection, model_name: str, limit: int, due_days: int) -> Iterator[list[list[Any]]]:
    """The logged forecasts, newest first, so many at a time that they fit into memory."""
    label, table = trial.labels_of(clean)
    due = {"due": due_days} if label == trial.LABEL else {}
    with transaction(clean):
        clean.run(_READ.format(label=label, table=table), model_name=model_name, limit=limit, **due)
        while rows := clean.run(f"FETCH {_PAGE} FROM logged"):
            yield rows
