"""Versions of a promotion that stopped between registering them and deciding."""

from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.promotion import alias, ledger, versions
from readmission.promotion.incumbent import Incumbent, contender
from readmission.registry import names

_REASON: Final = "was registered by a promotion that stopped before its decision; it has not been judged"


def refuse(
    client: MlflowClient, clean: Connection, model_name: str, incumbent: Incumbent | None, but: str | None = None
) -> None:
    """Write a refusal for each version that the pipeline registered and never decided on, except the version `but`.

    The entry has no execution: if the step that stopped runs again, it judges the version. Call it under
    `ledger.exclusive`, so that no other promotion is at work on what it finds.
    """
    decided = ledger.decided(clean, model_name)
    for version in client.search_model_versions(f"name = '{model_name}'"):
        if str(version.version) == but or not _is_ours(version) or versions.among(version, decided):
            continue
        if incumbent and incumbent.serves and incumbent.number == str(version.version):
            continue
        previous = incumbent.number if incumbent else None
        reason = f"{contender(version)} {_REASON}"
        entry = ledger.append(clean, versions.ledger_entry(version, previous, "refused", reason, "broke_off"))
        alias.carry_out(client, version, entry)


def _is_ours(version: ModelVersion) -> bool:
    """Whether a promotion registered the version, and no decision was carried out (which the ledger may have lost)."""
    return names.PIPELINE_RUN in version.tags and names.DECISION not in version.tags
