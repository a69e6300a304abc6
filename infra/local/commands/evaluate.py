"""`make evaluate`: cross-validates the recipe over patient-grouped folds of the clean rows."""

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from readmission.domain.payloads import FAMILIES, DataKind, Family
from readmission.storage.migrations import migrate

from infra.local import stack
from infra.local.commands import dataset, pipeline
from infra.local.errors import LocalError
from infra.local.servers import postgres
from infra.local.settings import Settings
from infra.local.terminal import table

if TYPE_CHECKING:
    from readmission.training import cross_validation

METRICS = {
    "auc_early": "(a) within 30 days: AUC",
    "average_precision_early": "    average precision",
    "brier_early": "    Brier score",
    "early_calibration_slope": "    calibration slope",
    "early_ece": "    calibration error",
    "auc_any": "(b) any readmission: AUC",
    "auc_macro_ovr": "(c) three classes: macro one-vs-rest AUC",
    "log_loss": "    log loss",
    "accuracy": "    accuracy",
    "f1_macro": "    macro F1",
}


ENGINES = ("scikit-learn", "lightgbm")


def evaluate(settings: Settings, name: str | None, model: str, engine: str = ENGINES[0]) -> str:
    """Evaluates one model family on the clean rows and returns the table.

    Given a data set, or if there are no clean rows, runs the pipeline up to cleaning first. Raises LocalError for an
    unknown family, an engine that does not have it, a failed run, or too few rows.
    """
    # Waiting threads must sleep. Spinning threads take the CPU from each other on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imported late: only this command needs scikit-learn, which takes two seconds to import and reads the above.
    from readmission.errors import NoTrainingData
    from readmission.evaluation.dataset import read
    from readmission.training import cross_validation

    if model not in FAMILIES:
        raise LocalError(f"MODEL: {model!r} must be one of {', '.join(FAMILIES)}")
    if engine not in ENGINES:
        raise LocalError(f"ENGINE: {engine!r} must be one of {', '.join(ENGINES)}")
    if engine == "lightgbm" and model != "gradient_boosting":
        raise LocalError(f"ENGINE: {engine!r} has only gradient_boosting, not {model}")
    kind = clean_rows(settings, name)
    connection = postgres.connect(postgres.database(settings), "clean")
    try:
        rows = read(connection, kind)
    finally:
        connection.close()
    began = time.monotonic()

    def progress(fold: int) -> None:
        print(f"evaluate    fold {fold + 1} of {cross_validation.FOLDS} ({time.monotonic() - began:.0f} s)", flush=True)

    try:
        found = cross_validation.evaluate(rows, model, progress, _fit(model, engine))
    except NoTrainingData as error:
        raise LocalError(str(error)) from error
    return f"\n{_heading(found, kind)}\n\n{_table(found)}"


def _fit(model: Family, engine: str) -> "cross_validation.Fit":
    from readmission.training import families

    if engine == "lightgbm":
        from readmission.training import boosting

        return boosting.fit
    return partial(families.fit, model)


def clean_rows(settings: Settings, name: str | None) -> DataKind:
    """Makes sure that there are clean rows and returns their kind, `real` or `synthetic`."""
    if name is None:
        connection = postgres.connect(postgres.database(settings), "clean")
        try:
            migrate(connection, "clean")
            kinds = connection.run("SELECT DISTINCT data_kind FROM diabetes_clean")
        finally:
            connection.close()
        preferred: tuple[DataKind, ...] = ("real", "synthetic")
        for kind in preferred:
            if [kind] in kinds:
                return kind
        name = dataset.default()
    deployed = stack.get(settings)
    request = {"source": dataset.source(settings, deployed, name), "stop_after": "clean"}
    return cast(DataKind, pipeline.run(settings, deployed, request)["data_kind"])


def _heading(found: Any, kind: str) -> str:
    warning = "SYNTHETIC data: these figures say nothing about patients.\n" if kind == "synthetic" else ""
    return (
        f"{warning}{found.family} on {found.rows:,} encounters of {found.patients:,} patients, test metrics over"
        f" {len(next(iter(found.metrics.values())))} patient-grouped folds: mean ± standard deviation"
    )


def _table(found: Any) -> str:
    recipes = list(found.metrics)
    rows = [("", *recipes)]
    for metric, label in METRICS.items():
        cells = [found.mean(recipe, metric) for recipe in recipes]
        rows.append((label, *(f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in cells)))
    return (
        f"{table(rows)}\n\n“{recipes[0]}” minus “{recipes[-1]}”, paired by patient, with 95 % confidence interval:\n"
        f"    (a) AUC {found.gain.auc_early}\n    log loss {found.gain.log_loss}\n"
        f"“{recipes[1]}” is the same model, given only the 14 required fields."
    )
