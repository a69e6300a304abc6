"""`make deliveries` and `make withdraw`: what the runs have delivered, through the function `check`."""

from typing import Any

from infra.local.commands.functions import invoke
from infra.local.settings import Settings
from infra.local.stack import NAME, Stack
from infra.local.terminal import table

FUNCTION = f"{NAME}-check"
_COLUMNS_SHOWN = 4


def deliveries(settings: Settings, stack: Stack) -> str:
    """The newest deliveries as a table. Raises LocalError as `invoke` does."""
    lines = invoke(settings, FUNCTION, {"deliveries": {}})
    if not lines:
        return "Nothing has been delivered yet. To deliver data: make pipeline"
    head = ("TIME (UTC)", "DELIVERY", "SITE", "DATA", "ROWS", "STATUS", "MAPPING", "DIFFERS IN", "SOURCE OR REASON")
    return table([head, *map(_row, lines)])


def withdraw(settings: Settings, stack: Stack, delivery: str, reason: str | None) -> str:
    """Takes a delivery back. Raises LocalError as `invoke` does."""
    result = invoke(settings, FUNCTION, {"withdraw": {"delivery": delivery, "reason": reason}})
    return (
        f"Delivery {result['delivery']} is withdrawn: {result['removed']:,} of its encounters left the clean table, and"
        f" {result['kept']:,} have a row of another delivery.\n"
        "The models in MLflow still know what they learned. To train without it: make pipeline START_AT=train"
    )


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    notable = (line["comparison"] or {}).get("notable", [])
    more = f" and {len(notable) - _COLUMNS_SHOWN} more" if len(notable) > _COLUMNS_SHOWN else ""
    return (
        line["delivered_at"][:19].replace("T", " "),
        line["delivery_id"],
        line["site"],
        line["data_kind"],
        f"{line['rows']:,}",
        line["status"],
        line.get("mapping_hash") or "-",
        f"{', '.join(notable[:_COLUMNS_SHOWN])}{more}" or "-",
        line["reason"] or line["source"],
    )
