"""Makes EMF lines for tests."""

import json
from datetime import UTC, datetime
from typing import Any

TIME = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


def emf(*directives: dict[str, Any], **members: Any) -> str:
    metadata = {"Timestamp": int(TIME.timestamp() * 1000), "CloudWatchMetrics": list(directives)}
    return json.dumps({"_aws": metadata, **members})


def directive(*metrics: dict[str, Any], namespace: str = "Space", dimensions: Any = ((),)) -> dict[str, Any]:
    return {"Namespace": namespace, "Dimensions": dimensions, "Metrics": list(metrics)}
