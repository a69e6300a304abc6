"""Writes the scorer document (`readmission.scoring.format`) of a fitted pipeline, and checks that both agree."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from readmission.domain.features import FEATURES
from readmission.errors import ScorerInvalid
from readmission.scoring import export_models
from readmission.scoring.export_inputs import Floats, encode
from readmission.scoring.format import FORMAT, FORMAT_VERSION, QUANTILES
from readmission.scoring.scorer import Scorer
from readmission.scoring.vectorised import VectorisedScorer

TOLERANCE: Final = 1e-9  # the largest accepted difference between a probability of the scorer and of the pipeline

# The scorer is compared on these, as it is much slower than the vectorised reader of the same document.
_ROWS_OF_SCORER: Final = 2000

type Forecast = Callable[[pd.DataFrame], Floats]


def document_of(
    pipeline: Pipeline, features: Sequence[str], context: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The scorer document of a pipeline fitted on a table with the columns `features`, in that order.

    The model may follow a `StandardScaler`, or a `ColumnTransformer` and then a `StandardScaler`. The transformer may
    contain `TargetEncoder` for text, and "passthrough", `SimpleImputer`, `StandardScaler` or a pipeline of the latter
    two for numbers. Columns that it drops are not part of the document's inputs. Raises TypeError for any other step
    or model, and for a setting that a document cannot express.
    """
    *before, model = (step for _, step in pipeline.steps)
    block = encode(before, list(features))
    described = export_models.describe(model, block)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "inputs": block.inputs,
        "classes": [str(name) for name in pipeline.classes_],
        "model": described,
        **({"context": dict(context)} if context is not None else {}),
    }


def forecaster(pipeline: Pipeline, document: dict[str, Any]) -> Forecast:
    """What forecasts as the pipeline's `predict_proba` does, to the last bit, given the pipeline's document.

    scikit-learn's boosting walks each row through each tree. The vectorised reader finds the same leaves several times
    as fast, and adds them up in the same order. Other models are fast enough themselves.
    """
    if not isinstance(pipeline[-1], HistGradientBoostingClassifier):
        return lambda rows: np.asarray(pipeline.predict_proba(rows))
    scorer = VectorisedScorer(document)
    return lambda rows: _vectorised(scorer, rows)


def context_of(pipeline: Pipeline, rows: pd.DataFrame) -> dict[str, Any]:
    """The document's context, from the rows that the pipeline was fitted on.

    The quantiles are probabilities that occur, not means of two, so they are certain to ascend. They are rounded,
    because the threads of a forest add in any order and the same rows must give the same document.
    """
    forecast = forecaster(pipeline, document_of(pipeline, rows.columns.tolist()))
    early = forecast(rows)[:, list(pipeline.classes_).index("<30")]
    quantiles = np.quantile(early, np.linspace(0, 1, QUANTILES), method="inverted_cdf")
    return {"reference": rows[list(FEATURES)].median().to_dict(), "risk_quantiles": quantiles.round(9).tolist()}


def to_json(document: dict[str, Any]) -> bytes:
    """The document's bytes, as they are stored and hashed. Raises ValueError for NaN or infinity."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def scores(scorer: Scorer, rows: pd.DataFrame) -> Floats:
    """The scorer's probabilities (rows x classes, in the order of its classes) for a table with its features.

    Raises `ScorerInvalid` if it has none for a row.
    """
    found = scorer.probabilities_of(rows[list(scorer.features)].to_numpy().tolist())
    if errors := [one for one in found if isinstance(one, ScorerInvalid)]:
        raise errors[0]
    return np.asarray(found)


def largest_difference(document: bytes, expected: Floats, rows: pd.DataFrame) -> float:
    """The largest absolute difference between the document's probabilities and the `expected` ones of the pipeline.

    The vectorised reader evaluates all `rows`. The scorer, as it answers batches and as it answers single requests,
    evaluates 2,000 of them, spread evenly.
    """
    known = json.loads(document)
    scorer = Scorer(known)
    places = np.unique(np.linspace(0, len(rows) - 1, _ROWS_OF_SCORER).astype(np.intp))
    some = rows.iloc[places]
    one_by_one = [scorer.probabilities(row) for row in some[list(scorer.features)].to_numpy().tolist()]
    found = [_vectorised(VectorisedScorer(known), rows), scores(scorer, some), np.asarray(one_by_one)]
    differences = [ours - theirs for ours, theirs in zip(found, (expected, *[expected[places]] * 2), strict=True)]
    return float(np.abs(np.concatenate(differences)).max())


def _vectorised(scorer: VectorisedScorer, rows: pd.DataFrame) -> Floats:
    """`scores` by the vectorised reader."""
    return scorer.probabilities_of([rows[name].to_numpy() for name in scorer.features])
