"""How models perform on the test rows: measured now for a comparison, and as recorded at training."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from pg8000.native import Connection

from readmission.domain.payloads import DataKind
from readmission.errors import ScorerInvalid
from readmission.evaluation import comparison, dataset
from readmission.evaluation.arrays import Floats
from readmission.evaluation.calibration import calibration_of
from readmission.promotion.verdict import Counts
from readmission.registry.mlflow_client import find_version, reachable
from readmission.scoring import export
from readmission.scoring.scorer import Scorer
from readmission.settings import ModelSettings
from readmission.telemetry.metrics import SCORES


@dataclass(frozen=True, slots=True)
class TestRows:
    """Today's test split: what the models forecast from, and what they are judged by."""

    features: pd.DataFrame
    rows: comparison.Rows

    @classmethod
    def load(cls, clean: Connection, kind: DataKind, newest: int, site: str | None = None) -> Self:
        """The test split of the `newest` encounters, or its rows of one site. Raises `NoTrainingData`."""
        test = dataset.load_split(clean, kind, "test", newest, site)
        return cls(test.features, comparison.Rows(test.target.to_numpy().astype(str), test.patients, test.groups))

    @property
    def counts(self) -> Counts:
        """Its rows, patients and early readmissions."""
        patients = len(np.unique(self.rows.patients))
        return Counts(rows=len(self.rows.target), patients=patients, early=int(self.rows.early.sum()))


@dataclass(frozen=True, slots=True)
class Forecasts:
    """A model's probabilities (test rows x `classes`)."""

    classes: tuple[str, ...]
    probabilities: Floats

    def ordered_by(self, classes: tuple[str, ...]) -> "Forecasts":
        """The same with columns in the order of `classes`. Raises `ScorerInvalid` if the model has other classes."""
        if set(classes) != set(self.classes):
            raise ScorerInvalid(f"its classes are {', '.join(self.classes)} instead of {', '.join(classes)}")
        return Forecasts(classes, self.probabilities[:, [self.classes.index(name) for name in classes]])


def forecast(scorer: Scorer, test: TestRows) -> Forecasts:
    """Score the test rows. Raises `ScorerInvalid` if a feature is missing or a probability is not finite."""
    if missing := [name for name in scorer.features if name not in test.features]:
        raise ScorerInvalid(f"the data no longer contains its features {', '.join(missing)}")
    probabilities = export.scores(scorer, test.features)
    if not np.isfinite(probabilities).all():
        raise ScorerInvalid("some of its probabilities are not finite numbers")
    return Forecasts(scorer.classes, probabilities)


def figures(test: TestRows, forecasts: Forecasts) -> comparison.Figures:
    """Log loss, AUC and calibration of the forecasts."""
    early = forecasts.probabilities[:, forecasts.classes.index("<30")]
    return comparison.figures(
        test.rows, forecasts.probabilities, forecasts.classes, calibration_of(test.rows.early, early)
    )


def test_scores(settings: ModelSettings, number: str) -> dict[str, float]:
    """The finite ones of `metrics.SCORES` that training recorded for a version on its test rows.

    Empty if the registry does not have the version. Raises `TrackingUnavailable`.
    """
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        version = find_version(client, settings.name, number)
        if version is None:
            return {}
        recorded = client.get_run(str(version.run_id)).data.metrics
    scores = {name: recorded.get(f"test_{name}", math.nan) for name in SCORES}
    return {name: value for name, value in scores.items() if math.isfinite(value)}
