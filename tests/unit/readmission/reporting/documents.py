"""An evaluation document with plain numbers."""

from typing import Any

QUESTIONS = ("early", "any")
NAMES = [
    "log_loss",
    "accuracy",
    "f1_macro",
    "auc_macro_ovr",
    "top10_ppv",
    "top10_recall",
    *(f"{metric}_{question}" for metric in ("auc", "average_precision", "brier", "log_loss") for question in QUESTIONS),
    *(
        f"{question}_{metric}"
        for metric in ("calibration_slope", "calibration_intercept", "ece")
        for question in QUESTIONS
    ),
]


def document(**changes: Any) -> dict[str, Any]:
    return {
        "format": "readmission-evaluation",
        "format_version": 1,
        "classes": ["<30", ">30", "NO"],
        "resamples": 500,
        "splits": {name: _size(rows) for name, rows in (("train", 7000), ("validation", 1500), ("test", 1500))},
        "excluded": {"death or hospice": 242},
        "feature_effects": [_effect("number_inpatient", 0.02), _effect("age_numeric", 0.001)],
        "validation": _split(0.68),
        "test": _split(0.684),
    } | changes


def _size(rows: int) -> dict[str, Any]:
    return {"rows": rows, "patients": rows // 2, "classes": {"<30": rows // 10, ">30": rows // 5, "NO": rows * 7 // 10}}


def _effect(feature: str, size: float) -> dict[str, Any]:
    columns = ("log_loss", "log_loss_deviation", "auc_early", "auc_early_deviation")
    return {"feature": feature, **dict.fromkeys(columns, size)}


def _figures(value: float) -> dict[str, Any]:
    return {
        "metrics": dict.fromkeys(NAMES, value),
        "intervals": {name: [value - 0.01, value + 0.01] for name in NAMES},
    }


def _split(value: float) -> dict[str, Any]:
    curve = {
        "base_rate": 0.11,
        "roc": {"x": [0.0, 0.2, 1.0], "y": [0.0, 0.5, 1.0]},
        "precision_recall": {"x": [0.1, 0.5, 1.0], "y": [0.4, 0.2, 0.11]},
        "reliability": [
            {"rows": 150, "probability": 0.05, "observed": 0.06, "low": 0.03, "high": 0.1},
            {"rows": 150, "probability": 0.2, "observed": 0.19, "low": 0.14, "high": 0.26},
        ],
    }
    few = {"attribute": "race", "group": "Asian", "rows": 12, "patients": 9, "early": 1, "too_few": True}
    many = {"attribute": "age_band", "group": "[70-80)", "rows": 400, "patients": 300, "early": 40, "too_few": False}
    shares = {"base_rate": 0.1, "mean_probability": 0.11, "calibration_in_the_large": 0.01}
    flags = {"flagged_share": 0.12, "flagged_ppv": 0.25, "flagged_recall": 0.3}
    return {
        **_figures(value),
        "subgroups": [few, many | _figures(0.65) | shares | flags],
        "curves": {"early": curve, "any": curve},
        "thresholds": {
            "decision_curve": [_benefit(0.01 * step) for step in range(1, 51)],
            "workload": [_called(0.1, 0.2, 0.3), _called(0.2, 0.15, 0.5), _called(1.0, 0.01, 1.0)],
        },
    }


def _benefit(threshold: float) -> dict[str, float]:
    found = {"net_benefit": 0.1 - threshold / 5, "treat_all": 0.11 - 0.89 * threshold / (1 - threshold)}
    found["gain"] = found["net_benefit"] - max(found["treat_all"], 0)
    ends = {
        f"{name}_{end}": value + by for name, value in found.items() for end, by in (("low", -0.01), ("high", 0.01))
    }
    return {"threshold": threshold, **found, **ends}


def _called(share: float, threshold: float, recall: float) -> dict[str, float]:
    found = {"ppv": 0.11 * recall / share, "recall": recall}
    ends = {
        f"{name}_{end}": value + by for name, value in found.items() for end, by in (("low", -0.02), ("high", 0.02))
    }
    return {"threshold": threshold, "share": share, **found, **ends}
