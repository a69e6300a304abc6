"""One trained model: fitted, exported, checked against its export, and evaluated. Nothing here uses MLflow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from readmission.domain.contract import CLASSES
from readmission.domain.features import INPUTS
from readmission.domain.payloads import Family
from readmission.domain.splits import Split
from readmission.evaluation.dataset import Part, patients_in_two_splits
from readmission.evaluation.document import evaluation_document, flat_metrics
from readmission.evaluation.feature_effects import feature_effects
from readmission.evaluation.metrics import compute_metrics
from readmission.evaluation.reference import reference_document
from readmission.scoring import export
from readmission.training import families

_EXAMPLE_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A fitted pipeline, its scorer document as JSON, its evaluation document, and its metrics by MLflow name.

    `reference` is what the monitor compares new rows with (`readmission.evaluation.reference`). `rows` are the numbers
    of rows of the splits, `example` a few training rows.
    """

    pipeline: Pipeline
    scorer: bytes
    evaluation: dict[str, Any]
    metrics: dict[str, float]
    reference: dict[str, Any]
    rows: Mapping[Split, int]
    example: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of all rows, where a model is evaluated on a sample: rows, patients and classes of each split.

    `patients_in_two_splits` is the number of patients in more than one.
    """

    splits: Mapping[Split, Mapping[str, Any]]
    patients_in_two_splits: int


def train_model(family: Family, parts: Mapping[Split, Part], excluded: Mapping[str, int]) -> TrainedModel:
    """Fit the family on the training split, and evaluate it on the validation and the test split.

    `excluded` is the number of rows left out of `parts`, by reason.
    """
    training = parts["train"]
    pipeline = families.fit(family, training, parts["validation"])
    return evaluated(pipeline, export.context_of(pipeline, training.features), parts, excluded)


def evaluated(
    pipeline: Pipeline,
    context: Mapping[str, Any],
    parts: Mapping[Split, Part],
    excluded: Mapping[str, int],
    sizes: Sizes | None = None,
) -> TrainedModel:
    """The fitted pipeline with its scorer and its evaluation on `parts`, a sample of the rows if there are `sizes`."""
    test = parts["test"]
    masked = families.masked(test.features)
    scorer = scorer_of(pipeline, context)
    forecast = export.forecaster(pipeline, json.loads(scorer))
    # The pipeline itself forecasts for the test rows: its scorer has to be compared with it.
    of_test, of_masked = (np.asarray(pipeline.predict_proba(rows)) for rows in (test.features, masked))
    probabilities: dict[Split, Any] = {"validation": forecast(parts["validation"].features), "test": of_test}
    evaluation = _evaluation(forecast, parts, probabilities, excluded)
    difference = export.largest_difference(
        scorer, np.concatenate([of_test, of_masked]), pd.concat([test.features, masked], ignore_index=True)
    )
    metrics = {
        **flat_metrics(evaluation),
        **_metrics_of_14_features(test, of_masked),
        "rows_excluded": sum(excluded.values()),
        "scorer_largest_difference": difference,
        "patients_in_two_splits": sizes.patients_in_two_splits if sizes else patients_in_two_splits(parts),
    }
    if sizes:
        evaluation["splits"] = {split: dict(size) for split, size in sizes.splits.items()}
    rows = {split: int(evaluation["splits"][split]["rows"]) for split in parts}
    training = parts["train"].features
    reference = reference_document(
        {str(name): training[name].to_numpy() for name in training},
        probabilities["validation"][:, sorted(CLASSES).index("<30")],
        evaluation["validation"],
    )
    return TrainedModel(pipeline, scorer, evaluation, metrics, reference, rows, training.head(_EXAMPLE_ROWS))


def scorer_of(pipeline: Pipeline, context: Mapping[str, Any]) -> bytes:
    """The scorer document of a fitted pipeline."""
    return export.to_json(export.document_of(pipeline, list(INPUTS), context))


def _evaluation(
    forecast: export.Forecast,
    parts: Mapping[Split, Part],
    probabilities: Mapping[Split, Any],
    excluded: Mapping[str, int],
) -> dict[str, Any]:
    classes = sorted(CLASSES)
    effects = feature_effects(forecast, parts["validation"], classes)
    return evaluation_document(parts, probabilities, classes, effects=effects, excluded=excluded)


def _metrics_of_14_features(test: Part, shares: Any) -> dict[str, float]:
    """The test metrics of requests with only the 14 features, from the forecasts for them (rows x classes)."""
    found = compute_metrics(test.target.to_numpy().astype(str).tolist(), shares, sorted(CLASSES))
    return {f"test_features_only_{name}": value for name, value in found.items()}
