"""Makes a recalibrated version's run: an existing version, fitted to the class shares of one site."""

from typing import Any, Final, cast, get_args

import mlflow
import mlflow.sklearn
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.domain.payloads import FAMILIES, DataKind, Family, RecalibrationRequest, RecalibrationResult
from readmission.errors import InvalidRequest
from readmission.evaluation import dataset, origin
from readmission.registry import names
from readmission.registry.mlflow_client import experiment_id, find_version, reachable, version_in_production
from readmission.scoring import export
from readmission.settings import ModelSettings
from readmission.training.code_version import code_version
from readmission.training.model import evaluated
from readmission.training.recalibration import Recalibrated, recalibrated
from readmission.training.train import SCIKIT_LEARN, log_model, rows_document

_FIELDS: Final = ("site", "version")
# The reason in `excluded` for what the evaluation of a recalibrated version leaves out.
_OTHER_SITES: Final = "stays of other sites"


def recalibrate(request: Any, clean: Connection, settings: ModelSettings) -> RecalibrationResult:
    """Recalibrate a version, by default the one in Production, for a site, and return the run. Idempotent.

    The weights come from the site's training and validation rows, the figures from its own test rows. The run is a
    candidate like any other: *promote* registers and judges it. Raises `InvalidRequest`, `NoTrainingData` for a site
    with too few rows, and `TrackingUnavailable`.
    """
    asked = _parsed(request)
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        source = _source(client, asked.get("version"), settings.name)
        kind, family = _kind_and_family(source)
        site = asked["site"]
        sites = dataset.sites(clean, kind)
        if site not in sites:
            known = ", ".join(sites) or "none"
            raise InvalidRequest(f"the {kind} clean rows have no site {site!r}; sites with due labels: {known}")
        parts, rows = origin.load(clean, kind, settings.max_training_rows, site)
        result = RecalibrationResult(
            data_kind=kind, model=family, site=site, recalibrated_from=str(source.version), mlflow_run_id=""
        )
        name = f"recalibrate-{site}-{str(source.run_id)[:8]}-{rows.rows_hash[:12]}"
        experiment = experiment_id(client, settings)
        if finished := _finished(client, experiment, name):
            return RecalibrationResult(**{**result, "mlflow_run_id": finished.info.run_id})
        found = recalibrated(pipeline_of(settings, str(source.version)), parts, site)
        others = sum(count for other, count in sites.items() if other != site)
        model = evaluated(
            found.pipeline,
            export.context_of(found.pipeline, parts["train"].features),
            parts,
            {_OTHER_SITES: others} if others else {},
        )
        tags = {
            names.PIPELINE_RUN: name,
            names.FAMILY: family,
            names.DATA_KIND: kind,
            names.DATA_HASH: rows.rows_hash,
            names.CODE_VERSION: code_version(),
            names.SITES: source.tags.get(names.SITES, ""),
            names.RECALIBRATED_FROM: str(source.version),
            names.RECALIBRATED_FOR: site,
        }
        document = _document(found, source, site)
        with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags) as run:
            log_model(model, SCIKIT_LEARN)
            mlflow.log_dict(document, names.RECALIBRATION)
            recipe = {"family": family, names.RECALIBRATED_FROM: str(source.version), names.RECALIBRATED_FOR: site}
            mlflow.log_dict(rows_document(rows, recipe, SCIKIT_LEARN), names.TRAINING_ROWS)
        return RecalibrationResult(**{**result, "mlflow_run_id": run.info.run_id})


def _parsed(request: Any) -> RecalibrationRequest:
    if not isinstance(request, dict) or (unknown := set(request) - set(_FIELDS)):
        found = f", not {', '.join(sorted(map(str, unknown)))}" if isinstance(request, dict) else ""
        raise InvalidRequest(f"'recalibrate' must be an object with 'site' and optionally 'version'{found}")
    site, version = request.get("site"), request.get("version")
    if not isinstance(site, str) or not site:
        raise InvalidRequest("'site' must name the site whose patients the version is to be recalibrated for")
    if version is not None and not (isinstance(version, str) and version.isdecimal() and version.isascii()):
        raise InvalidRequest(f"'version' must be a version number as a string, not {version!r}")
    return RecalibrationRequest(site=site, version=version)


def _source(client: MlflowClient, number: str | None, model_name: str) -> ModelVersion:
    """The version to recalibrate. Raises `InvalidRequest` if there is none, or this process cannot load it."""
    found = find_version(client, model_name, number) if number else version_in_production(client, model_name)
    if found is None:
        missing = f"there is no version {number}" if number else "no version is in Production"
        raise InvalidRequest(f"{missing} of {model_name!r}: there is nothing to recalibrate")
    engine = found.tags.get(names.ENGINE)
    if engine:
        raise InvalidRequest(
            f"version {found.version} was trained by {engine}, and only versions of the pipeline's own training can be"
            " recalibrated; name one with 'version'"
        )
    return found


def _kind_and_family(source: ModelVersion) -> tuple[DataKind, Family]:
    kind, family = source.tags.get(names.DATA_KIND), source.tags.get(names.FAMILY)
    if kind not in get_args(DataKind.__value__) or family not in FAMILIES:
        raise InvalidRequest(f"version {source.version} has no data kind or family: the pipeline did not register it")
    return cast(DataKind, kind), family


def pipeline_of(settings: ModelSettings, number: str) -> Any:
    """The fitted pipeline of a version, as MLflow has it. Raises `TrackingUnavailable`."""
    mlflow.set_tracking_uri(settings.tracking_uri)
    with reachable(settings):
        return mlflow.sklearn.load_model(f"models:/{settings.name}/{number}")


def _finished(client: MlflowClient, experiment: str, name: str) -> Run | None:
    """The run of an earlier request for the same, or None."""
    same = f"attributes.status = 'FINISHED' AND tags.{names.PIPELINE_RUN} = '{name}'"
    runs = client.search_runs([experiment], same, max_results=1)
    return runs[0] if runs else None


def _document(found: Recalibrated, source: ModelVersion, site: str) -> dict[str, Any]:
    return {
        "format": "readmission-recalibration",
        "format_version": 1,
        "site": site,
        "version": str(source.version),
        "run_id": source.run_id,
        "weights": dict(found.weights),
        "observed": dict(found.observed),
        "predicted": dict(found.predicted),
    }
