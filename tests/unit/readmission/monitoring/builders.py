"""Made-up stays, a version that forecasts them, and its reference."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from readmission.domain.features import CATEGORIES, NUMBERS
from readmission.evaluation.arrays import Floats
from readmission.evaluation.metrics import compute_intervals, compute_metrics
from readmission.evaluation.reference import Columns, Reference, reference_document
from readmission.monitoring.rows import Rows

CLASSES = ("<30", ">30", "NO")
EXTRA = {"num_medications": 15.0, "number_inpatient": 0.6}


def stays(count: int, seed: int, medications: float = 1.0, payer: str | None = None) -> Rows:
    """Stays of as many patients, all with labels; risk rises with the number of earlier inpatient visits."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {name: random.poisson(EXTRA.get(name, 2.0), count).astype(float) for name in NUMBERS}
    columns["num_medications"] *= medications
    columns["last_num_medications"][random.random(count) < 0.3] = np.nan
    columns |= {
        name: random.choice(np.array(["?", "A", "B", "C"], dtype=object), count, p=[0.4, 0.3, 0.2, 0.1])
        for name in CATEGORIES
    }
    if payer:
        columns["payer_code"] = np.full(count, payer, dtype=object)
    early = random.random(count) < risk(columns)
    groups = {
        "race": random.choice(np.array(["Caucasian", "AfricanAmerican"], dtype=object), count),
        "gender": random.choice(np.array(["Female", "Male"], dtype=object), count),
        "age": np.full(count, "60 to 79", dtype=object),
    }
    return Rows(columns, groups, np.arange(count), early, np.ones(count, dtype=bool))


def risk(columns: Columns) -> Floats:
    logit = -2.6 + 0.9 * np.minimum(columns["number_inpatient"], 4.0)
    return np.asarray(1 / (1 + np.exp(-logit)))


def document(count: int = 8000, seed: int = 0) -> dict[str, Any]:
    """The reference document of a version that has learned the risk."""
    training, validation = stays(count, seed), stays(count // 4, seed + 1000)
    early = risk(validation.columns)
    shares = np.stack([early, (1 - early) / 2, (1 - early) / 2], axis=1)
    target = np.where(validation.early, "<30", "NO").astype(object)
    target[~validation.early] = np.where(np.arange((~validation.early).sum()) % 2, ">30", "NO")
    figures = {
        "metrics": compute_metrics(target.tolist(), shares, CLASSES),
        "intervals": compute_intervals(target.tolist(), shares, CLASSES, validation.patients, 50),
    }
    return reference_document(training.columns, early, figures)


@dataclass
class Version:
    """Stands for a `Judge`."""

    reference: Reference | None
    number: str = "3"
    without_reference: str = ""

    def forecasts(self, columns: Columns) -> Floats:
        return risk(columns)
