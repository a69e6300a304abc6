"""By how much a challenger is meant to forecast otherwise: a recalibration shifts every forecast, by known weights."""

import json
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from readmission.evaluation.arrays import Floats
from readmission.promotion.trial import CLASSES
from readmission.registry import names


def weights(client: MlflowClient, version: ModelVersion, production: str | None) -> Floats | None:
    """The weights of `CLASSES` by which the version differs from the one in Production; None unless it is made of it.

    Those of a version that was made of another one say nothing about the difference from Production.
    """
    if version.tags.get(names.RECALIBRATED_FROM) != production or production is None:
        return None
    document = json.loads(Path(client.download_artifacts(str(version.run_id), names.RECALIBRATION)).read_text())
    return np.asarray([document["weights"][name] for name in CLASSES], dtype=np.float64)
