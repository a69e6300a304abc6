"""Going back to an earlier version, by a person's decision; the ledger keeps it."""

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pg8000.native import Connection

from readmission.database import transaction
from readmission.errors import InvalidRequest, ScorerInvalid
from readmission.payloads import RollbackRequest, RollbackResult
from readmission.settings import ModelSettings
from readmission.training import ledger, production
from readmission.training.tracking import reachable


def rollback(request: RollbackRequest, clean: Connection, settings: ModelSettings) -> RollbackResult:
    """Put `version` into Production, or the one that served before the current one.

    Raises `InvalidRequest` when there is no such version, it serves already, or its scorer cannot be served.
    """
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        serving = production.current(client, settings.name)
        if serving is None:
            raise InvalidRequest(f"no version of {settings.name!r} is in Production: there is nothing to go back from")
        wanted = request.get("version") or ledger.served_before(clean, settings.name, str(serving.version))
        if wanted is None:
            raise InvalidRequest(f"the ledger knows no version before {serving.version}; name one")
        version = _servable(client, settings.name, str(wanted))
        if version.version == serving.version:
            raise InvalidRequest(f"version {wanted} is in Production already")
        reason = request.get("reason") or "asked for"
        with transaction(clean):
            ledger.append(clean, _line(version, str(serving.version), reason))
            production.put(client, version)
        return RollbackResult(version=str(version.version), previous_version=str(serving.version), reason=reason)


def _servable(client: MlflowClient, name: str, number: str) -> ModelVersion:
    try:
        version = client.get_model_version(name, number)
        production.scorer_of(client, version)
    except (MlflowException, ScorerInvalid) as error:
        raise InvalidRequest(f"version {number} of {name!r} cannot be served: {error}") from error
    return version


def _line(version: ModelVersion, previous: str, reason: str) -> ledger.Line:
    return ledger.Line(
        model_name=version.name,
        version=str(version.version),
        previous_version=previous,
        decision="rolled back",
        reason=reason,
        metrics={},
        data_kind=version.tags.get("data_kind", ""),
        data_hash=version.tags.get("data_hash", ""),
        code_version=version.tags.get("code_version", ""),
        execution=None,
    )
