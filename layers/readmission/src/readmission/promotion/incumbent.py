"""The version that serves or, if the registry has none in Production, the one that served last by the ledger."""

from dataclasses import dataclass
from typing import Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.promotion import ledger
from readmission.promotion.verdict import Contender
from readmission.registry import names
from readmission.registry.mlflow_client import find_version, version_in_production


@dataclass(frozen=True, slots=True)
class Incumbent:
    """What a challenger has to replace.

    `version` is None if somebody deleted it in the registry. `serves` is whether it has the alias. `data_kinds` are
    those of this version and of the one that the ledger put into Production last: somebody may have moved or removed
    the alias, and the rules on data hold against both.
    """

    contender: Contender
    version: ModelVersion | None
    serves: bool
    data_kinds: frozenset[str]

    @property
    def number(self) -> str:
        return self.contender.version

    @property
    def is_real(self) -> bool:
        """Whether a model trained on synthetic data must not replace it."""
        return "real" in self.data_kinds

    @classmethod
    def find(cls, client: MlflowClient, clean: Connection, model_name: str) -> Self | None:
        """None if no version is in Production and the ledger knows none that was."""
        entry = ledger.newest_move(clean, model_name)
        kinds = {entry.data_kind} if entry else set()
        if aliased := version_in_production(client, model_name):
            found = contender(aliased)
            return cls(found, aliased, True, frozenset(kinds | {found.data_kind}))
        if entry is None:
            return None
        version = find_version(client, model_name, entry.version)
        if version is not None and entry.mlflow_run_id not in ("", version.run_id):
            version = None  # another one of the same number, in a registry that was emptied
        return cls(Contender(entry.version, entry.family, entry.data_kind), version, False, frozenset(kinds))


def contender(version: ModelVersion) -> Contender:
    """The version as the rules see it."""
    tags = version.tags
    site = tags.get(names.RECALIBRATED_FOR, "")
    return Contender(str(version.version), tags.get(names.FAMILY, ""), tags.get(names.DATA_KIND, ""), site)
