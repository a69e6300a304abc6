"""Which trained model serves: the best candidate by validation, if nothing speaks against it; or what a person says."""

import math
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import requests
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from pg8000.native import Connection

from readmission.domain.payloads import DataKind, Family, PromoteEvent, PromoteResult, RollbackResult
from readmission.errors import InvalidRequest, NoCandidates, ScorerInvalid
from readmission.evaluation import comparison, dataset
from readmission.evaluation.arrays import Floats
from readmission.evaluation.calibration import calibration_of
from readmission.promotion import ledger, production
from readmission.registry.mlflow_client import experiment_id, reachable
from readmission.scoring import export
from readmission.scoring.scorer import Scorer
from readmission.settings import ModelSettings

_METRIC: Final = "validation_log_loss"
_DIFFERENCE: Final = "scorer_largest_difference"
_TAGS: Final = ("family", "data_kind", "scorer_sha256", "pipeline_run", "data_hash", "code_version")
_CARRIED_OUT: Final = "ledger_line"  # tag of a version: the ledger's line that last gave it `Production`


@dataclass(frozen=True, slots=True)
class _Verdict:
    take: bool
    reason: str
    metrics: dict[str, Any] = field(default_factory=dict)


class _NotComparable(Exception):
    """A model that cannot be asked about today's rows; the message says why."""


def promote(event: PromoteEvent, clean: Connection, settings: ModelSettings) -> PromoteResult:
    """Register the best candidate, write down whether it takes `Production`, and let it.

    An execution decides once: asked again, it answers what it has decided. Raises `NoCandidates` when no candidate
    was finished, and `TrackingUnavailable` when MLflow does not answer.
    """
    execution = event.get("execution")
    with reachable(settings), ledger.deciding(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        settle(client, clean, settings.name)
        if line := ledger.of_execution(clean, settings.name, execution):
            return _result(line)
        best = _best(_candidates(client, event, settings))
        version = _register(client, best, settings)
        incumbent = production.current(client, settings.name)
        if incumbent and incumbent.version == version.version:
            return _nothing_to_decide(clean, version)
        verdict = _judge(client, best, version, incumbent, clean, event["data_kind"], settings)
        decision: ledger.Decision = "promoted" if verdict.take else "refused"
        line = _line(version, incumbent, decision, verdict.reason, verdict.metrics, execution)
        if execution is None and _said_before(ledger.newest_on(clean, line.model_name, line.version), line):
            return _result(line)
        line = ledger.append(clean, line)
        if verdict.take:
            _carry_out(client, version, line)
        else:
            _tag_decision(client, version, line)
        return _result(line)


def rollback(request: Any, clean: Connection, settings: ModelSettings) -> RollbackResult:
    """Put the version that a `RollbackRequest` names into Production, or the one that served before the current one.

    Raises `InvalidRequest` when there is no such version, it serves already, or its scorer cannot be served.
    """
    wanted, reason = _rollback_request(request)
    with reachable(settings), ledger.deciding(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        settle(client, clean, settings.name)
        serving = production.current(client, settings.name)
        if serving is None:
            raise InvalidRequest(f"no version of {settings.name!r} is in Production: there is nothing to go back from")
        wanted = wanted or ledger.served_before(clean, settings.name, str(serving.version))
        if wanted is None:
            raise InvalidRequest(f"the ledger knows no version before {serving.version}; name one")
        if wanted == str(serving.version):
            raise InvalidRequest(f"version {wanted} is in Production already")
        version = _servable(client, settings, wanted)
        line = ledger.append(clean, _line(version, serving, "rolled back", reason, {}, None))
        _carry_out(client, version, line)
        return RollbackResult(version=str(version.version), previous_version=str(serving.version), reason=reason)


def settle(client: MlflowClient, clean: Connection, name: str) -> None:
    """Carry out the newest decision of the ledger, should the step that took it have broken off behind writing it.

    A version whose tag names that line had its turn: should `Production` be elsewhere now, then somebody moved it.
    """
    line = ledger.newest_move(clean, name)
    version = _version(client, name, line.version) if line else None
    if line is None or version is None or version.run_id != line.mlflow_run_id:
        return
    if version.tags.get(_CARRIED_OUT) != str(line.id):
        _carry_out(client, version, line)


def _carry_out(client: MlflowClient, version: ModelVersion, line: ledger.Line) -> None:
    production.put(client, version, line.reason)
    _tag_decision(client, version, line)
    client.set_model_version_tag(version.name, version.version, _CARRIED_OUT, str(line.id))


def _tag_decision(client: MlflowClient, version: ModelVersion, line: ledger.Line) -> None:
    """For those who look at the registry; the ledger is what counts."""
    client.set_model_version_tag(version.name, version.version, "decision", f"{line.decision}: {line.reason}")


def _scorer(client: MlflowClient, version: ModelVersion, settings: ModelSettings) -> Scorer:
    """Raises `ScorerInvalid`, also when the document is not there, and `TrackingUnavailable`."""
    try:
        with reachable(settings):
            return production.scorer_of(client, version)
    except (MlflowException, requests.HTTPError) as error:
        raise ScorerInvalid(f"its scorer document cannot be read: {error}") from error


def _version(client: MlflowClient, name: str, number: str) -> ModelVersion | None:
    """None when there is none of that number; MLflow calls one that is no number an invalid parameter."""
    try:
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


# ---------------------------------------------------------------- the challenger
def _candidates(client: MlflowClient, event: PromoteEvent, settings: ModelSettings) -> list[Run]:
    if event["candidates"]:
        runs = [client.get_run(candidate["mlflow_run_id"]) for candidate in event["candidates"]]
    else:
        runs = _newest(client, event, settings)
    runs = [run for run in runs if math.isfinite(run.data.metrics.get(_METRIC, math.nan))]
    if not runs:
        raise NoCandidates(
            f"no finished {event['data_kind']} training run of {', '.join(event['models'])} is there to promote;"
            " run the pipeline from 'train'"
        )
    return runs


def _newest(client: MlflowClient, event: PromoteEvent, settings: ModelSettings) -> list[Run]:
    """The newest finished run of each family on that kind of data."""
    experiment = experiment_id(client, settings)
    found: list[Run] = []
    for family in event["models"]:
        condition = f"tags.family = '{family}' AND tags.data_kind = '{event['data_kind']}'"
        found += client.search_runs(
            [experiment],
            f"attributes.status = 'FINISHED' AND {condition}",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
    return found


def _best(runs: list[Run]) -> Run:
    """By validation log loss among those whose scorer is exact; when none is, the decision will say so."""
    exact = [run for run in runs if _difference(run) <= export.TOLERANCE]
    return min(exact or runs, key=lambda run: run.data.metrics[_METRIC])


def _difference(run: Run) -> float:
    """The largest difference between scorer and pipeline that the training found; infinite when it found none."""
    found = float(run.data.metrics.get(_DIFFERENCE, math.inf))
    return math.inf if math.isnan(found) else found


def _register(client: MlflowClient, run: Run, settings: ModelSettings) -> ModelVersion:
    """The run's model version; the one of an earlier try when there is one."""
    try:
        client.create_registered_model(settings.name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    for version in client.search_model_versions(f"run_id = '{run.info.run_id}'"):
        if version.name == settings.name:
            return version
    models = run.outputs.model_outputs if run.outputs else []
    if not models:
        raise NoCandidates(f"the MLflow run {run.info.run_id} has logged no model")
    return client.create_model_version(
        settings.name,
        source=f"models:/{models[0].model_id}",
        run_id=run.info.run_id,
        model_id=models[0].model_id,
        tags={name: run.data.tags.get(name, "") for name in _TAGS},
    )


# ---------------------------------------------------------------- the decision
def _judge(
    client: MlflowClient,
    run: Run,
    version: ModelVersion,
    incumbent: ModelVersion | None,
    clean: Connection,
    kind: DataKind,
    settings: ModelSettings,
) -> _Verdict:
    """Whether the version takes over, and why: what needs no rows first, then both models on today's test rows."""
    name = f"version {version.version} ({version.tags.get('family', '')})"
    if (difference := _difference(run)) > export.TOLERANCE:
        return _Verdict(
            False, f"{name}: its scorer differs from its pipeline by {difference:g}, above {export.TOLERANCE:g}"
        )
    if incumbent and kind == "synthetic" and incumbent.tags.get("data_kind") == "real":
        return _Verdict(False, f"{name} learned from synthetic data, version {incumbent.version} from real data")
    if left := ledger.left_by_rollback(clean, version.name, str(version.version)):
        return _Verdict(
            False,
            f"{name} was taken out of Production by the rollback to version {left.version} ({left.reason});"
            " only a rollback to it brings it back",
        )
    test = dataset.load(clean, kind, settings.newest)["test"]
    rows = comparison.Rows(test.target.to_numpy().astype(str), test.patients, test.groups)
    try:
        classes, shares = _asked(_scorer(client, version, settings), test.features)
    except (ScorerInvalid, _NotComparable) as error:
        return _Verdict(False, f"{name} cannot be scored: {error}")
    early = int(rows.early.sum())
    ours = _figures(rows, classes, shares)
    metrics: dict[str, Any] = {"challenger": ours.as_json()}
    if objections := comparison.miscalibration(ours.calibration, early):
        return _Verdict(False, f"{name}: {'; '.join(objections)}", metrics)
    alone = f"test log loss {ours.log_loss:.4f}, {comparison.calibration_text(ours.calibration, early)}"
    if incumbent is None:
        return _Verdict(True, f"{name} is the first: {alone}", metrics)
    opponent = f"version {incumbent.version} ({incumbent.tags.get('family', '')})"
    if kind == "real" and incumbent.tags.get("data_kind") != "real":
        return _Verdict(True, f"{name} learned from real data, {opponent} from synthetic data: {alone}", metrics)
    try:
        their_classes, theirs = _asked(_scorer(client, incumbent, settings), test.features)
        if set(their_classes) != set(classes):
            raise _NotComparable(f"its classes are {', '.join(their_classes)}")
    except (ScorerInvalid, _NotComparable) as error:
        return _Verdict(True, f"{name}: {alone}; {opponent} cannot be scored any more: {error}", metrics)
    theirs = theirs[:, [their_classes.index(one) for one in classes]]
    against = comparison.compare(rows, shares, theirs, classes)
    metrics |= {"incumbent": _figures(rows, classes, theirs).as_json(), "difference": against.as_json()}
    if objections := comparison.objections(against, _newer(client, run, incumbent)):
        return _Verdict(False, f"{name} against {opponent}: {'; '.join(objections)}", metrics)
    how = "better" if against.log_loss.high < 0 else f"not worse by more than {comparison.MARGIN}, and newer"
    reason = f"{name} against {opponent}: test log loss {against.log_loss}: {how}; {alone}"
    return _Verdict(True, reason, metrics)


def _asked(scorer: Scorer, features: pd.DataFrame) -> tuple[tuple[str, ...], Floats]:
    """The scorer's classes, and its probabilities of the rows in their order. Raises `_NotComparable`."""
    if missing := [name for name in scorer.features if name not in features]:
        raise _NotComparable(f"the data no longer have its features {', '.join(missing)}")
    shares = export.scores(scorer, features)
    if not np.isfinite(shares).all():
        raise _NotComparable("some of its probabilities are no numbers")
    return scorer.classes, shares


def _figures(rows: comparison.Rows, classes: tuple[str, ...], shares: Floats) -> comparison.Figures:
    return comparison.figures(rows, shares, classes, calibration_of(rows.early, shares[:, classes.index("<30")]))


def _newer(client: MlflowClient, run: Run, incumbent: ModelVersion) -> bool:
    """By the start of the training: a version's number only tells when it was first put forward."""
    return bool(run.info.start_time > client.get_run(str(incumbent.run_id)).info.start_time)


def _line(
    version: ModelVersion,
    incumbent: ModelVersion | None,
    decision: ledger.Decision,
    reason: str,
    metrics: dict[str, Any],
    execution: str | None,
) -> ledger.Line:
    return ledger.Line(
        model_name=version.name,
        version=str(version.version),
        previous_version=str(incumbent.version) if incumbent else None,
        decision=decision,
        reason=reason,
        metrics=metrics,
        data_kind=version.tags.get("data_kind", ""),
        data_hash=version.tags.get("data_hash", ""),
        code_version=version.tags.get("code_version", ""),
        family=version.tags.get("family", ""),
        mlflow_run_id=str(version.run_id),
        execution=execution,
    )


def _said_before(before: ledger.Line | None, line: ledger.Line) -> bool:
    """Whether a caller without an execution's name has had that very decision: the reason holds the figures."""
    same = ("previous_version", "decision", "reason", "execution")
    return before is not None and all(getattr(before, name) == getattr(line, name) for name in same)


def _nothing_to_decide(clean: Connection, version: ModelVersion) -> PromoteResult:
    """What to answer for the version that serves: how it came there."""
    reason = f"version {version.version} ({version.tags.get('family', '')}) is in Production already"
    if line := ledger.newest_on(clean, version.name, str(version.version)):
        reason += f" ({line.decision}: {line.reason})"
    return _result(_line(version, None, "promoted", reason, {}, None))


def _result(line: ledger.Line) -> PromoteResult:
    serving = line.version if line.decision == "promoted" else line.previous_version
    return PromoteResult(
        decision="promoted" if line.decision == "promoted" else "refused",
        reason=line.reason,
        model=cast(Family, line.family),
        version=line.version,
        production_version=serving or "",
    )


# ---------------------------------------------------------------- going back
def _rollback_request(request: Any) -> tuple[str | None, str]:
    """The version, None for the one before, and the reason."""
    if not isinstance(request, dict):
        raise InvalidRequest("'rollback' must be an object with, at most, 'version' and 'reason'")
    if unknown := set(request) - {"version", "reason"}:
        raise InvalidRequest(f"'rollback' has unknown fields: {', '.join(sorted(map(str, unknown)))}")
    version, reason = request.get("version"), request.get("reason")
    if version is not None and not (isinstance(version, str) and version.isdecimal() and version.isascii()):
        raise InvalidRequest(f"'version' must be the number of a version as a text, not {version!r}")
    if reason is not None and not isinstance(reason, str):
        raise InvalidRequest(f"'reason' must be a text, not {reason!r}")
    return (str(int(version)) if version else None), (reason or "").strip() or "asked for"


def _servable(client: MlflowClient, settings: ModelSettings, number: str) -> ModelVersion:
    version = _version(client, settings.name, number)
    if version is None:
        raise InvalidRequest(f"there is no version {number} of {settings.name!r}")
    try:
        _scorer(client, version, settings)
    except ScorerInvalid as error:
        raise InvalidRequest(f"version {number} of {settings.name!r} cannot be served: {error}") from error
    return version
