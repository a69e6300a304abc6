"""One gradient boosting model in both forms: the scorer document, and the folder that `mlflow.pyfunc` loads."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from readmission.domain.features import INPUTS
from readmission.evaluation import dataset
from readmission.scoring import export
from readmission.training import families
from sklearn.pipeline import Pipeline

SCORER = "scorer.json"
PYFUNC = "pyfunc"
_ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Model:
    """The model's location and size."""

    folder: Path
    trees: int
    leaves: int

    @property
    def scorer(self) -> bytes:
        return (self.folder / SCORER).read_bytes()

    @property
    def scorer_sha256(self) -> str:
        return sha256(self.scorer).hexdigest()


def make(table: pd.DataFrame, folder: Path) -> Model:
    """Train on the table's rows and write both forms to `folder`."""
    training, validation = (dataset.part_of(table[table["split"] == split]) for split in ("train", "validation"))
    pipeline = families.fit_pipeline(_full_size(families.known_columns(training)), training, validation)
    document = export.document_of(pipeline, list(INPUTS))
    (folder / SCORER).write_bytes(export.to_json(document))
    example = training.features.head(5)
    mlflow.sklearn.save_model(
        pipeline,
        folder / PYFUNC,
        signature=infer_signature(example, pipeline.predict_proba(example)),
        pyfunc_predict_fn="predict_proba",
        skops_trusted_types=list(families.TRUSTED),
        pip_requirements=[],
    )
    trees = [tree for group in document["model"]["trees"] for tree in group]
    (folder / _ABOUT).write_text(json.dumps([len(trees), sum(len(tree["values"]) for tree in trees)]))
    return read(folder)


def read(folder: Path) -> Model:
    """A model written by `make`."""
    return Model(folder, *json.loads((folder / _ABOUT).read_text()))


def is_in(folder: Path) -> bool:
    return (folder / _ABOUT).is_file()


def _full_size(columns: list[str]) -> Pipeline:
    """The family's own pipeline, with all its rounds: on few or synthetic rows boosting would stop early, and be fast
    for that alone."""
    pipeline = families.PIPELINES["gradient_boosting"](columns)
    return pipeline.set_params(model__n_iter_no_change=pipeline["model"].max_iter)
