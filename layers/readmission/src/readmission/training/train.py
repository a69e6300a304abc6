"""Training one family: fit, evaluate, export, prove the export, and log it all to one MLflow run."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.models import infer_signature
from pg8000.native import Connection
from sklearn.pipeline import Pipeline

from readmission.domain.contract import CLASSES
from readmission.domain.features import INPUTS
from readmission.domain.payloads import TrainEvent, TrainResult
from readmission.domain.splits import Split
from readmission.evaluation import dataset
from readmission.evaluation.document import EVALUATED, evaluation_document, flat_metrics
from readmission.evaluation.feature_effects import feature_effects
from readmission.evaluation.metrics import compute_metrics
from readmission.pipeline import data_report
from readmission.registry import names
from readmission.registry.mlflow_client import digest, experiment_id, reachable
from readmission.scoring import export
from readmission.scoring.format import FORMAT
from readmission.settings import ModelSettings
from readmission.training import families
from readmission.training.code_version import code_version

_EXAMPLE_ROWS: Final = 5
_REQUIREMENTS: Final = ("mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops")


def train(event: TrainEvent, clean: Connection, settings: ModelSettings) -> TrainResult:
    """Train `event["model"]` on the clean rows, and answer its MLflow run.

    A run that this execution has finished already is answered again, not trained anew. Raises `NoTrainingData`, and
    `TrackingUnavailable` when MLflow does not answer.
    """
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        experiment = experiment_id(client, settings)
        if finished := _finished(client, experiment, event):
            return TrainResult(model=event["model"], mlflow_run_id=finished.info.run_id)
        parts = dataset.load(clean, event["data_kind"], settings.newest)
        tags = {
            "pipeline_run": event["execution"],
            "family": event["model"],
            "data_kind": event["data_kind"],
            "data_hash": dataset.rows_hash(clean, event["data_kind"]),
            "code_version": code_version(),
        }
        mlflow.set_tracking_uri(settings.tracking_uri)
        with mlflow.start_run(experiment_id=experiment, run_name=event["model"], tags=tags) as run:
            _fit_and_log(event, parts, dataset.excluded(clean, event["data_kind"], settings.newest))
            _log_data_report(data_report.of_clean_rows(clean, event["data_kind"]))
        return TrainResult(model=event["model"], mlflow_run_id=run.info.run_id)


def _finished(client: MlflowClient, experiment: str, event: TrainEvent) -> Run | None:
    """The run that a first try of this very step left, if it got to its end."""
    runs = client.search_runs(
        [experiment],
        f"attributes.status = 'FINISHED' AND tags.pipeline_run = '{_quoted(event['execution'])}'"
        f" AND tags.family = '{event['model']}'",
        max_results=1,
    )
    return runs[0] if runs else None


def _quoted(value: str) -> str:
    """An execution's name for MLflow's filter: the characters Step Functions allows there hold no quote."""
    if "'" in value or "\\" in value:
        raise ValueError(f"no execution name: {value!r}")
    return value


def _fit_and_log(event: TrainEvent, parts: dict[Split, dataset.Part], excluded: dict[str, int]) -> None:
    training = parts["train"]
    pipeline = families.fit(event["model"], training, parts["validation"])
    context = export.context_of(pipeline, training.features)
    document = export.to_json(export.document_of(pipeline, list(INPUTS), context))
    test = parts["test"].features
    difference = export.largest_difference(
        document, pipeline, pd.concat([test, families.masked(test)], ignore_index=True)
    )
    mlflow.log_params({name: value for name, value in families.parameters(pipeline).items() if value is not None})
    mlflow.log_params({f"rows_{split}": len(part.target) for split, part in parts.items()})
    mlflow.set_tags({"scorer_sha256": digest(document), "scorer_format": FORMAT})
    mlflow.log_text(document.decode(), names.SCORER)
    model_id = _log_pipeline(pipeline, training)
    evaluated = _evaluate(pipeline, parts, excluded)
    mlflow.log_dict(evaluated, names.EVALUATION)
    figures = {
        **flat_metrics(evaluated),
        **_with_features_only(pipeline, parts["test"]),
        "rows_excluded": sum(excluded.values()),
        "scorer_largest_difference": difference,
        "patients_in_two_splits": dataset.patients_in_two_splits(parts),
    }
    # Behind the model, for which MLflow would ask for every metric of the run one by one.
    mlflow.log_metrics(figures, model_id=model_id)


def _log_data_report(reports: Mapping[str, data_report.Report]) -> None:
    """What the batches that the rows are from held, and how they kept to the data contract."""
    mlflow.log_dict(data_report.document(reports), names.DATA_REPORT)
    mlflow.log_metrics(data_report.metrics(reports))


def _evaluate(pipeline: Pipeline, parts: dict[Split, dataset.Part], excluded: dict[str, int]) -> dict[str, Any]:
    """The evaluation document: metrics with intervals, subgroups, curves, and what each feature is worth."""
    classes = sorted(CLASSES)
    probabilities = {split: pipeline.predict_proba(parts[split].features) for split in EVALUATED}
    effects = feature_effects(pipeline.predict_proba, parts["validation"], classes)
    return evaluation_document(parts, probabilities, classes, effects=effects, excluded=excluded)


def _with_features_only(pipeline: Pipeline, test: dataset.Part) -> dict[str, float]:
    """The test metrics of a request that gives the 14 features and nothing else."""
    shares = pipeline.predict_proba(families.masked(test.features))
    found = compute_metrics(test.target.to_numpy().astype(str).tolist(), shares, sorted(CLASSES))
    return {f"test_features_only_{name}": value for name, value in found.items()}


def _log_pipeline(pipeline: Pipeline, training: dataset.Part) -> str:
    """Log the model with signature and input example; answers its MLflow id."""
    example = training.features.head(_EXAMPLE_ROWS)
    info = mlflow.sklearn.log_model(
        pipeline,
        name="model",
        signature=infer_signature(example, pipeline.predict(example)),
        input_example=example,
        skops_trusted_types=list(families.TRUSTED),
        # Named here: MLflow finds them out by loading the model in another process, which takes longer than the fit.
        pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
    )
    return str(info.model_id)
