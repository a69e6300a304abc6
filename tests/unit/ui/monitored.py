"""A document of the monitor: six deliveries, of which the fifth differs and the last two have no outcomes yet."""

from datetime import UTC, datetime, timedelta
from typing import Any

FIRST = datetime(2026, 5, 31, 6, 10, tzinfo=UTC)
LIMITS = {"psi": 0.25, "missing": 0.1, "new_share": 0.02, "auc_loss": 0.05}
_SHIFTED = 5
_WITHOUT_OUTCOMES = (5, 6)


def figure(value: float, spread: float) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread}


def quality(auc: float, spread: float) -> dict[str, Any]:
    return {
        "auc_early": figure(auc, spread),
        "log_loss": figure(1.55 - auc, spread / 2),
        "calibration_error_early": figure(0.012, 0.004),
        "top_decile_precision": figure(auc - 0.43, spread),
    }


def group(by: str, value: str, rows: int, auc: float | None) -> dict[str, Any]:
    known = auc is not None
    return {
        "by": by,
        "value": value,
        "rows": rows,
        "labels": rows if known else 0,
        "realised": {"auc_early": figure(auc, 0.04)} if auc is not None else None,
        "estimated": {"auc_early": figure(0.67, 0.03)},
    }


def alert(code: str, subject: str, value: float, limit: float) -> dict[str, Any]:
    return {"code": code, "subject": subject, "value": value, "limit": limit, "what_to_do": "Ask."}


def window(number: int) -> dict[str, Any]:
    shifted = number == _SHIFTED
    known = number not in _WITHOUT_OUTCOMES
    end = FIRST + timedelta(days=30 * number)
    inputs = [
        {
            "name": name,
            "psi": psi if shifted else 0.004 * (index + 1),
            "missing_share": 0.3,
            "reference_missing_share": 0.31,
            "new_categories": ["XX", "YY"] if shifted and name == "payer_code" else [],
        }
        for index, (name, psi) in enumerate(
            {
                "number_inpatient": 0.01,
                "num_medications": 2.31,
                "payer_code": 1.42,
                "diag_1_group": 0.02,
                "discharge_disposition_id": 0.006,
                "medical_specialty": 0.011,
            }.items()
        )
    ]
    drifting = [one for one in inputs if one["psi"] > LIMITS["psi"]]
    return {
        "kind": "delivery",
        "name": f"execution-{number}",
        "site": "default",
        "version": "3",
        "from": end.isoformat(),
        "to": end.isoformat(),
        "newest": False,
        "only_test_rows": number == 1,
        "forecasts": 2345,
        "labels": 2340 if known else 0,
        "realised": quality(0.66 + 0.004 * number, 0.03) if known else None,
        "estimated": quality(0.62 if shifted else 0.67, 0.02),
        "drift": {"inputs": inputs, "forecasts": {"psi": 0.31 if shifted else 0.02}},
        "groups": [
            group("race", "Caucasian", 1750, 0.67 if known else None),
            group("race", "AfricanAmerican", 420, 0.66 if known else None),
            group("gender", "Female", 1260, 0.68 if known else None),
            group("gender", "Male", 1085, 0.66 if known else None),
            group("age", "under 40", 210, None),
            group("age", "60 to 79", 1100, 0.65 if known else None),
        ],
        "alerts": [alert("input_drift", one["name"], one["psi"], LIMITS["psi"]) for one in drifting]
        + ([alert("new_categories", "payer_code", 0.5, 0.02)] if shifted else [])
        + ([alert("delivery_quality", "columns: num_medications, payer_code", 2, 0)] if shifted else []),
    }


def days(number: int, version: str) -> dict[str, Any]:
    begin = (FIRST + timedelta(days=7 * number)).date()
    span = {"from": begin.isoformat(), "to": (begin + timedelta(days=7)).isoformat()}
    return window(number) | span | {"kind": "days", "name": str(begin), "site": None, "version": version, "alerts": []}


def document(deliveries: int = 6) -> dict[str, Any]:
    """The document after that many deliveries."""
    comparison = {
        "notable": ["num_medications"],
        "means": {"num_medications": {"before": 16.0, "now": 32.0, "difference": 1.9}},
        "missing": {},
        "shares": {},
    }
    return {
        "format": "readmission-monitor",
        "format_version": 1,
        "made_at": "2026-11-27T06:10:00Z",
        "model_name": "readmission",
        "data_kind": "real",
        "started_by": "schedule",
        "limits": LIMITS,
        "windows": [window(number) | {"newest": number == deliveries} for number in range(1, deliveries + 1)],
        "deliveries": [
            {
                "delivery_id": f"execution-{number}",
                "site": "default",
                "delivered_at": (FIRST + timedelta(days=30 * number)).isoformat(),
                "status": "accepted",
                "rows": 2345,
                "invalid_share": 0.0012,
                "comparison": None if number == 1 else comparison if number == _SHIFTED else {"notable": []},
            }
            for number in range(1, deliveries + 1)
        ],
    }
