"""Carries out decisions in MLflow's registry: moves the aliases `Production` and `Challenger`, and tags versions."""

import warnings
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.promotion import ledger
from readmission.registry import names
from readmission.registry.mlflow_client import find_version, version_challenging


def settle(client: MlflowClient, clean: Connection, model_name: str) -> None:
    """Carry out the newest decisions on both aliases if a step failed after writing one to the ledger.

    A version tagged with that entry did get the alias. If the alias is elsewhere now, somebody moved it, and it stays.
    """
    moved = ledger.newest_move(clean, model_name)
    tried = ledger.newest_try(clean, model_name)
    for entry, tag in sorted(
        ((one, tag) for one, tag in ((moved, names.LEDGER_ENTRY), (tried, names.CHALLENGE_ENTRY)) if one),
        key=lambda pair: pair[0].id or 0,
    ):
        version = find_version(client, model_name, entry.version)
        if version and version.run_id == entry.mlflow_run_id and version.tags.get(tag) != str(entry.id):
            carry_out(client, version, entry)


def carry_out(client: MlflowClient, version: ModelVersion, entry: ledger.Entry) -> None:
    """Do in the registry what the written entry says: move an alias unless refused, and tag the version."""
    tag = None
    match entry.decision:
        case "promoted" | "rolled back":
            move(client, version, entry.reason)
            # Whatever is tried beside the version that served before ends with it.
            if challenger := version_challenging(client, version.name):
                end_trial(client, challenger)
            tag = names.LEDGER_ENTRY
        case "shadowed" | "canaried":
            try_out(client, version, entry.metrics.get(names.CANARY_SHARE, 0))
            tag = names.CHALLENGE_ENTRY
        case "withdrawn":
            challenger = version_challenging(client, version.name)
            if challenger and challenger.version == version.version:
                end_trial(client, challenger)
            tag = names.CHALLENGE_ENTRY
    # Informative only: the ledger is authoritative.
    client.set_model_version_tag(version.name, version.version, names.DECISION, f"{entry.decision}: {entry.reason}")
    if tag:
        client.set_model_version_tag(version.name, version.version, tag, str(entry.id))


def try_out(client: MlflowClient, version: ModelVersion, share: float) -> None:
    """Give the version the alias `Challenger`. Serving reads its share of the patients from a tag."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(version.name, version.version, names.CHALLENGED_AT, now)
    client.set_model_version_tag(version.name, version.version, names.CANARY_SHARE, str(share))
    client.set_registered_model_alias(version.name, names.CHALLENGER, version.version)


def end_trial(client: MlflowClient, challenger: ModelVersion) -> None:
    """Take the alias `Challenger` from the version."""
    client.delete_registered_model_alias(challenger.name, names.CHALLENGER)
    client.set_model_version_tag(challenger.name, challenger.version, names.CANARY_SHARE, "0")


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
