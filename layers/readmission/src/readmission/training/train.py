"""The training step: trains one model family on the clean rows and logs it as one MLflow run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from platform import machine, python_version
from typing import Any, Final

import mlflow
import mlflow.sklearn
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.models import infer_signature
from pg8000.native import Connection

from readmission.domain.payloads import DataKind, TrainEvent, TrainResult
from readmission.evaluation import dataset, origin
from readmission.evaluation.origin import Origin
from readmission.pipeline import data_report, deliveries
from readmission.registry import names
from readmission.registry.mlflow_client import digest, experiment_id, reachable
from readmission.scoring.format import FORMAT
from readmission.settings import ModelSettings
from readmission.training import families, progress, recipe, unfinished
from readmission.training.code_version import code_version
from readmission.training.model import TrainedModel, train_model

REQUIREMENTS: Final = ("mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops")

type Fit = Callable[[Mapping[str, int]], TrainedModel]


@dataclass(frozen=True, slots=True)
class Library:
    """MLflow's model needs the packages of `requirements`, and skops the types of `trusted`."""

    requirements: Sequence[str]
    trusted: Sequence[str]


SCIKIT_LEARN: Final = Library(REQUIREMENTS, families.TRUSTED)


@dataclass(frozen=True, slots=True)
class Engine:
    """What fits and evaluates a family on the `newest` clean rows.

    `prepare` reads them, or makes sure that others can, and raises `NoTrainingData` and `SplitsOverlap`. It returns
    their origin, and what trains, given the number of rows that are not used, by reason. `tags` are those of the run,
    and `recipe` is what the model depends on besides rows and code.
    """

    prepare: Callable[[Connection, DataKind], tuple[Origin, Fit]]
    newest: int
    tags: Mapping[str, str]
    library: Library
    recipe: str


def train(event: TrainEvent, clean: Connection, settings: ModelSettings) -> TrainResult:
    """Train the family `event["model"]` on the clean rows in this process, and return its MLflow run.

    If this execution has already finished a run of the family, returns that run. Raises `NoTrainingData` and
    `SplitsOverlap` for unsuitable rows, and `TrackingUnavailable` if MLflow does not answer.
    """

    def prepare(clean: Connection, kind: DataKind) -> tuple[Origin, Fit]:
        parts, read = origin.load(clean, kind, settings.max_training_rows)
        return read, lambda excluded: train_model(event["model"], parts, excluded)

    newest = settings.max_training_rows
    text = recipe.of_one_process(newest, REQUIREMENTS)
    engine = Engine(prepare, newest, {}, SCIKIT_LEARN, text)
    return train_with(engine, event, clean, settings)


def train_with(engine: Engine, event: TrainEvent, clean: Connection, settings: ModelSettings) -> TrainResult:
    """`train` by another engine. Raises what that raises too."""
    family, kind = event["model"], event["data_kind"]
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        experiment = experiment_id(client, settings)
        if finished := _finished_run(client, experiment, event):
            return TrainResult(model=family, mlflow_run_id=finished.info.run_id)
        unfinished.end(client, experiment, event, timedelta(seconds=settings.longest_training))
        rows, fit = engine.prepare(clean, kind)
        excluded = dataset.excluded(clean, kind, engine.newest)
        reports, delivered = data_report.of_clean_rows(clean, kind), deliveries.accepted(clean, kind)
        sites = dataset.sites(clean, kind)
        tags = {
            names.PIPELINE_RUN: event["execution"],
            names.FAMILY: family,
            names.DATA_KIND: kind,
            names.DATA_HASH: rows.rows_hash,
            names.CODE_VERSION: code_version(),
            names.RECIPE: engine.recipe,
            names.SITES: ",".join(sites),
            **engine.tags,
        }
        mlflow.set_tracking_uri(settings.tracking_uri)
        with mlflow.start_run(experiment_id=experiment, run_name=family, tags=tags) as run:
            # A long fit may outlive the connection to the database, which is not used from here on.
            with progress.reported(client, run.info.run_id):
                model = fit(excluded)
            log_model(model, engine.library)
            how = {"family": family, **engine.tags}
            mlflow.log_dict(rows_document(rows, how, engine.library), names.TRAINING_ROWS)
            mlflow.log_params({f"rows_site_{site}": rows for site, rows in sites.items()})
            _log_data_report(reports, delivered)
        return TrainResult(model=family, mlflow_run_id=run.info.run_id)


def finished(event: TrainEvent, settings: ModelSettings) -> TrainResult | None:
    """The run of the family that this execution has finished, or None. Raises `TrackingUnavailable`."""
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        run = _finished_run(client, experiment_id(client, settings), event)
        return TrainResult(model=event["model"], mlflow_run_id=run.info.run_id) if run else None


def _finished_run(client: MlflowClient, experiment: str, event: TrainEvent) -> Run | None:
    """The run that an earlier attempt of the same step has finished, or None."""
    finished = f"attributes.status = 'FINISHED' AND {unfinished.of_step(event)}"
    runs = client.search_runs([experiment], finished, max_results=1)
    return runs[0] if runs else None


def rows_document(rows: Origin, how: Mapping[str, Any], library: Library) -> dict[str, Any]:
    """What has to be the same for the same model: the rows, `how` they were learned from, and what ran it."""
    return {
        **rows.as_json(),
        "recipe": dict(how),
        "code_version": code_version(),
        "packages": {name: version(name) for name in (*library.requirements, "scipy")},
        "python": python_version(),
        "machine": machine(),
    }


def log_model(model: TrainedModel, library: Library) -> None:
    """Log everything about the model to the active run."""
    parameters = families.parameters(model.pipeline)
    mlflow.log_params({name: value for name, value in parameters.items() if value is not None})
    mlflow.log_params({f"rows_{split}": rows for split, rows in model.rows.items()})
    mlflow.set_tags({names.SCORER_SHA256: digest(model.scorer), "scorer_format": FORMAT})
    mlflow.log_text(model.scorer.decode(), names.SCORER)
    model_id = _log_pipeline(model, library)
    mlflow.log_dict(model.evaluation, names.EVALUATION)
    mlflow.log_dict(model.reference, names.REFERENCE)
    # After the pipeline: when logging it, MLflow fetches each metric of the run separately.
    mlflow.log_metrics(model.metrics, model_id=model_id)


def _log_pipeline(model: TrainedModel, library: Library) -> str:
    """Log the pipeline with a signature and an input example; returns its MLflow model id."""
    info = mlflow.sklearn.log_model(
        model.pipeline,
        name="model",
        signature=infer_signature(model.example, model.pipeline.predict(model.example)),
        input_example=model.example,
        skops_trusted_types=list(library.trusted),
        # Without this list, MLflow loads the model in another process to find them, which takes longer than the fit.
        pip_requirements=[f"{name}=={version(name)}" for name in library.requirements],
    )
    return str(info.model_id)


def _log_data_report(reports: Mapping[str, data_report.Report], delivered: Sequence[Mapping[str, Any]]) -> None:
    """Log what the batches and deliveries behind the clean rows contained, and how they met the data contract."""
    mlflow.log_dict(data_report.document(reports, delivered), names.DATA_REPORT)
    mlflow.log_metrics(data_report.metrics(reports))
