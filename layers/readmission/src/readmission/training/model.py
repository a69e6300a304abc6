"""One trained model: fitted, exported, checked against its export, and evaluated. Nothing here uses MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from readmission.domain.contract import CLASSES
from readmission.domain.features import INPUTS
from readmission.domain.payloads import Family
from readmission.domain.splits import Split
from readmission.evaluation.dataset import Part, patients_in_two_splits
from readmission.evaluation.document import EVALUATED, evaluation_document, flat_metrics
from readmission.evaluation.feature_effects import feature_effects
from readmission.evaluation.metrics import compute_metrics
from readmission.scoring import export
from readmission.training import families


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A fitted pipeline, its scorer document as JSON, its evaluation document, and its metrics by MLflow name."""

    pipeline: Pipeline
    scorer: bytes
    evaluation: dict[str, Any]
    metrics: dict[str, float]


def train_model(family: Family, parts: Mapping[Split, Part], excluded: Mapping[str, int]) -> TrainedModel:
    """Fit the family on the training split, and evaluate it on the validation and the test split.

    `excluded` is the number of rows left out of `parts`, by reason.
    """
    training, test = parts["train"], parts["test"]
    pipeline = families.fit(family, training, parts["validation"])
    context = export.context_of(pipeline, training.features)
    scorer = export.to_json(export.document_of(pipeline, list(INPUTS), context))
    evaluation = _evaluation(pipeline, parts, excluded)
    complete_and_masked = pd.concat([test.features, families.masked(test.features)], ignore_index=True)
    metrics = {
        **flat_metrics(evaluation),
        **_metrics_of_14_features(pipeline, test),
        "rows_excluded": sum(excluded.values()),
        "scorer_largest_difference": export.largest_difference(scorer, pipeline, complete_and_masked),
        "patients_in_two_splits": patients_in_two_splits(parts),
    }
    return TrainedModel(pipeline, scorer, evaluation, metrics)


def _evaluation(pipeline: Pipeline, parts: Mapping[Split, Part], excluded: Mapping[str, int]) -> dict[str, Any]:
    classes = sorted(CLASSES)
    probabilities = {split: pipeline.predict_proba(parts[split].features) for split in EVALUATED}
    effects = feature_effects(pipeline.predict_proba, parts["validation"], classes)
    return evaluation_document(parts, probabilities, classes, effects=effects, excluded=excluded)


def _metrics_of_14_features(pipeline: Pipeline, test: Part) -> dict[str, float]:
    """The test metrics of requests with only the 14 features."""
    shares = pipeline.predict_proba(families.masked(test.features))
    found = compute_metrics(test.target.to_numpy().astype(str).tolist(), shares, sorted(CLASSES))
    return {f"test_features_only_{name}": value for name, value in found.items()}
