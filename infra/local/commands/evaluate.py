"""`make evaluate`: the recipe over five patient-grouped splits of the clean rows, as one table."""

import os
import time
from typing import Any, cast

from infra.local import stack
from infra.local.commands import dataset, pipeline
from infra.local.errors import LocalError
from infra.local.servers import postgres
from infra.local.settings import Settings
from infra.local.terminal import table

METRICS = {
    "auc_early": "(a) within 30 days: AUC",
    "average_precision_early": "    average precision",
    "brier_early": "    Brier score",
    "early_calibration_slope": "    calibration slope",
    "early_ece": "    calibration error",
    "auc_any": "(b) any readmission: AUC",
    "auc_macro_ovr": "(c) three classes: macro OvR AUC",
    "log_loss": "    log loss",
    "accuracy": "    accuracy",
    "f1_macro": "    macro F1",
}


def evaluate(settings: Settings, name: str | None, model: str) -> str:
    """Evaluates one model family on the clean rows; with a data set, or without rows, cleans that first.

    Answers the table. Raises LocalError where there are no rows and nothing to take them from.
    """
    # Threads that wait for each other are to sleep: spinning, they stand still on a machine that is busy otherwise.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Only this command needs scikit-learn, which takes two seconds to import, and reads the above.
    from readmission.domain.payloads import FAMILIES, Family
    from readmission.errors import NoTrainingData
    from readmission.evaluation.dataset import read
    from readmission.training import cross_validation

    if model not in FAMILIES:
        raise LocalError(f"MODEL: {model!r} is none of {', '.join(FAMILIES)}")
    kind = _clean_rows(settings, name)
    connection = postgres.connect(postgres.database(settings), "clean")
    try:
        rows = read(connection, cast(Any, kind))
    finally:
        connection.close()
    began = time.monotonic()

    def progress(split: int) -> None:
        print(
            f"evaluate    split {split + 1} of {cross_validation.SPLITS} ({time.monotonic() - began:.0f} s)", flush=True
        )

    try:
        found = cross_validation.evaluate(rows, cast(Family, model), progress)
    except NoTrainingData as error:
        raise LocalError(str(error)) from error
    return f"\n{_heading(found, kind)}\n\n{_table(found)}"


def _clean_rows(settings: Settings, name: str | None) -> str:
    """The kind of the rows to evaluate on, which are there afterwards."""
    if name is None:
        connection = postgres.connect(postgres.database(settings), "clean")
        try:
            (present,) = connection.run("SELECT to_regclass('encounters') IS NOT NULL")
            kinds = connection.run("SELECT DISTINCT data_kind FROM diabetes_clean") if present[0] else []
        finally:
            connection.close()
        for kind in ("real", "synthetic"):
            if [kind] in kinds:
                return kind
        name = dataset.default()
    deployed = stack.get(settings)
    request = {"source": dataset.source(settings, deployed, name), "stop_after": "clean"}
    return str(pipeline.run(settings, deployed, request)["data_kind"])


def _heading(found: Any, kind: str) -> str:
    warning = "SYNTHETIC data: these figures say nothing about patients.\n" if kind == "synthetic" else ""
    return (
        f"{warning}{found.family} on {found.rows:,} encounters of {found.patients:,} patients, test rows of"
        f" {len(next(iter(found.metrics.values())))} patient-grouped splits: mean ± standard deviation"
    )


def _table(found: Any) -> str:
    recipes = list(found.metrics)
    rows = [("", *recipes)]
    for metric, label in METRICS.items():
        cells = [found.mean(recipe, metric) for recipe in recipes]
        rows.append((label, *(f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in cells)))
    return (
        f"{table(rows)}\n\n{recipes[0]} less {recipes[-1]}, paired over patients, with 95 % interval:\n"
        f"    (a) AUC {found.gain.auc_early}\n    log loss {found.gain.log_loss}\n"
        f"“{recipes[1]}” is the same model where nothing but the 14 features is known."
    )
