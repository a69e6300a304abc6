"""Carries out decisions in MLflow's registry: moves the alias and stage `Production`, and tags versions."""

import warnings
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.promotion import ledger
from readmission.registry import names
from readmission.registry.mlflow_client import find_version


def settle(client: MlflowClient, clean: Connection, model_name: str) -> None:
    """Carry out the newest promotion or rollback if a step failed after writing it to the ledger.

    A version tagged with that entry did get the alias. If the alias is elsewhere now, somebody moved it, and it stays.
    """
    entry = ledger.newest_move(clean, model_name)
    version = find_version(client, model_name, entry.version) if entry else None
    if entry is None or version is None or version.run_id != entry.mlflow_run_id:
        return
    if version.tags.get(names.LEDGER_ENTRY) != str(entry.id):
        carry_out(client, version, entry)


def carry_out(client: MlflowClient, version: ModelVersion, entry: ledger.Entry) -> None:
    """Do in the registry what the written entry says: move `Production` unless refused, and tag the version."""
    moves = entry.decision != "refused"
    if moves:
        move(client, version, entry.reason)
    # Informative only: the ledger is authoritative.
    client.set_model_version_tag(version.name, version.version, names.DECISION, f"{entry.decision}: {entry.reason}")
    if moves:
        client.set_model_version_tag(version.name, version.version, names.LEDGER_ENTRY, str(entry.id))


def move(client: MlflowClient, version: ModelVersion, reason: str) -> None:
    """Give the version the alias, and the deprecated stage for clients that still use it.

    Serving has no access to the ledger and reads time and reason from tags. They are set before the alias, so that
    they exist once the alias is found. Other versions are archived one by one: MLflow's own
    `archive_existing_versions` compares an integer with a text, which Postgres refuses through pg8000 (MLflow 3.17).
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(version.name, version.version, names.PROMOTED_AT, now)
    client.set_model_version_tag(version.name, version.version, names.DECISION_REASON, reason)
    client.set_registered_model_alias(version.name, names.PRODUCTION, version.version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # stages are deprecated
        for other in client.search_model_versions(f"name = '{version.name}'"):
            if other.current_stage == names.PRODUCTION and other.version != version.version:
                client.transition_model_version_stage(version.name, other.version, "Archived")
        client.transition_model_version_stage(version.name, version.version, names.PRODUCTION)
