"""What a model card needs to know about a version, apart from its evaluation document."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Facts:
    """A version, its training run and its data, from MLflow. `data_report` is None for a run of an earlier release."""

    name: str
    number: str
    family: str
    data_kind: str
    run_id: str
    created: datetime
    tags: Mapping[str, str]
    params: Mapping[str, str]
    data_report: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the promotion decided about the version, and which version was in Production afterwards."""

    decision: str
    reason: str
    production_version: str
