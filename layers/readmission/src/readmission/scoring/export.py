"""Writes the scorer document (`readmission.scoring.format`) of a fitted pipeline, and checks that both agree."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from readmission.domain.features import FEATURES
from readmission.scoring import export_models
from readmission.scoring.export_inputs import Floats, encode
from readmission.scoring.format import FORMAT, FORMAT_VERSION, QUANTILES
from readmission.scoring.scorer import Scorer

TOLERANCE: Final = 1e-9  # the largest accepted difference between a probability of the scorer and of the pipeline


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


def context_of(pipeline: Pipeline, rows: pd.DataFrame) -> dict[str, Any]:
    """The document's context, from the rows that the pipeline was fitted on.

    The quantiles are probabilities that occur, not means of two, so they are certain to ascend. They are rounded,
    because the threads of a forest add in any order and the same rows must give the same document.
    """
    early = pipeline.predict_proba(rows)[:, list(pipeline.classes_).index("<30")]
    quantiles = np.quantile(early, np.linspace(0, 1, QUANTILES), method="inverted_cdf")
    return {"reference": rows[list(FEATURES)].median().to_dict(), "risk_quantiles": quantiles.round(9).tolist()}


def to_json(document: dict[str, Any]) -> bytes:
    """The document's bytes, as they are stored and hashed. Raises ValueError for NaN or infinity."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def scores(scorer: Scorer, rows: pd.DataFrame) -> Floats:
    """The scorer's probabilities (rows x classes, in the order of its classes) for a table with its features."""
    return np.asarray([scorer.probabilities(row) for row in rows[list(scorer.features)].to_numpy().tolist()])


def largest_difference(document: bytes, pipeline: Pipeline, rows: pd.DataFrame) -> float:
    """The largest absolute difference between the probabilities of scorer and pipeline over all `rows`."""
    ours = scores(Scorer(json.loads(document)), rows)
    return float(np.abs(ours - pipeline.predict_proba(rows)).max())
