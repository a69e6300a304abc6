"""`python -m readmission.training.rebuild --version 3`: trains a version again from the same rows, and compares.

The rows are those of the deliveries that had been accepted when the version was trained, as its run recorded them
(`training_rows.json`), whatever has been delivered or withdrawn since. Nothing is changed: neither tables nor MLflow.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from platform import machine, python_version
from typing import Any, Final, cast

from pg8000.native import Connection

from readmission.domain.contract import LABEL_DUE_DAYS
from readmission.domain.payloads import DataKind
from readmission.errors import ReadmissionError, RebuildImpossible
from readmission.evaluation import dataset, origin
from readmission.evaluation.origin import Origin
from readmission.registry import names
from readmission.registry.mlflow_client import digest
from readmission.registry.rest import RestClient, UnexpectedAnswer
from readmission.scoring import export
from readmission.settings import ModelSettings, TrainSettings
from readmission.storage.database import connect
from readmission.training import families, recalibrate
from readmission.training.code_version import code_version
from readmission.training.model import scorer_of
from readmission.training.recalibration import recalibrated

_TIMEOUT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A version trained again: `scorer` is the SHA-256 of what came out, None if that was not tried.

    `differences` are what is not as it was at the training, in words.
    """

    version: str
    rows: Origin
    expected: str
    scorer: str | None
    differences: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        return self.scorer == self.expected

    def __str__(self) -> str:
        count = len(self.rows.deliveries)
        deliveries = "1 delivery" if count == 1 else f"{count} deliveries"
        rows = f"its {self.rows.rows:,} rows of {deliveries} as they were on {self.rows.read_at[:16]}"
        but = "; ".join(self.differences) or "nothing that was recorded; another processor may round differently"
        if self.scorer is None:
            return f"Version {self.version} was not trained again from {rows}. What differs: {but}."
        if self.is_exact:
            aside = f" What differs without effect: {but}." if self.differences else ""
            return f"Version {self.version}, trained again from {rows}, has the same scorer: {self.scorer}.{aside}"
        return (
            f"Version {self.version}, trained again from {rows}, has another scorer: {self.scorer} instead of"
            f" {self.expected}. What differs: {but}."
        )


def rebuild(number: str, clean: Connection, raw: Connection, settings: ModelSettings) -> Rebuilt:
    """Train the version again from its rows of then, if these can be had, and compare the scorers.

    Raises `RebuildImpossible` for a version that does not exist, or of which an earlier release recorded too little,
    its subclass `PatientsErased`, and `TrackingUnavailable`.
    """
    mlflow = RestClient(settings, _TIMEOUT_SECONDS)
    try:
        found = mlflow.version(number)
    except UnexpectedAnswer as error:
        if error.status in (400, 404):
            raise RebuildImpossible(f"there is no version {number} of {settings.name!r}") from error
        raise
    run = mlflow.run(found.run_id)
    content = mlflow.find_artifact(run.id, names.TRAINING_ROWS)
    if content is None:
        raise RebuildImpossible(_unrecorded(number, run.tags, clean))
    document = json.loads(content)
    rows = Origin.from_json(document)
    return _again(Rebuilt(number, rows, run.tags[names.SCORER_SHA256], None), document, clean, raw, settings)


def _again(
    asked: Rebuilt, document: Mapping[str, Any], clean: Connection, raw: Connection, settings: ModelSettings
) -> Rebuilt:
    rows, recipe = asked.rows, document["recipe"]
    changed = _differences(document)
    site = recipe.get(names.RECALIBRATED_FOR)
    with origin.restored(clean, raw, rows):
        parts, found = origin.load(clean, rows.data_kind, rows.newest, site)
    if other := _other_rows(rows, found):
        return replace(asked, differences=(other, *changed))
    if names.ENGINE in recipe:
        how = f"it was trained by {recipe[names.ENGINE]} in {recipe.get(names.WORKERS, 1)} processes"
        only = "its rows are the same, but make rebuild trains in one process; use make train-distributed"
        return replace(asked, differences=(f"{how}: {only}", *changed))
    if site:
        source = recalibrate.pipeline_of(settings, recipe[names.RECALIBRATED_FROM])
        pipeline = recalibrated(source, parts, site).pipeline
    else:
        pipeline = families.fit(recipe["family"], parts["train"], parts["validation"])
    scorer = scorer_of(pipeline, export.context_of(pipeline, parts["train"].features))
    return replace(asked, scorer=digest(scorer), differences=changed)


def _other_rows(then: Origin, now: Origin) -> str:
    """How the rows differ from those of then; empty if they do not."""
    if then.rows_hash != now.rows_hash or then.rows != now.rows:
        return (
            f"the rows: {now.rows:,} with the hash {now.rows_hash[:12]}, not {then.rows:,} with {then.rows_hash[:12]}"
        )
    if then.content_sha256 not in ("", now.content_sha256):
        return "the rows: the same ones were delivered, but this release makes other features of them"
    return ""


def _differences(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What of the code and its surroundings is not as it was."""
    then: dict[str, Any] = {
        "code version": document["code_version"],
        "Python": document["python"],
        "machine": document["machine"],
    }
    now: dict[str, Any] = {"code version": code_version(), "Python": python_version(), "machine": machine()}
    then |= {"days until a label is due": document["label_due_days"]} | document["packages"]
    now |= {"days until a label is due": LABEL_DUE_DAYS} | {name: _installed(name) for name in document["packages"]}
    return tuple(f"{name} {now[name]}, not {value}" for name, value in then.items() if now[name] != value)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def _unrecorded(number: str, tags: Mapping[str, str], clean: Connection) -> str:
    """What is missing of a version of an earlier release, and what is known nevertheless."""
    kind, then = tags.get(names.DATA_KIND, ""), tags.get(names.DATA_HASH, "")
    message = (
        f"version {number} has no {names.TRAINING_ROWS}: an earlier release trained it, and did not record from which"
        " deliveries"
    )
    if kind not in ("real", "synthetic") or not then:
        return message
    same = dataset.rows_hash(clean, cast(DataKind, kind)) == then
    rows = "the clean rows of today are the same" if same else "the clean rows of today are others"
    return (
        f"{message}. {rows.capitalize()}, by their hash; its code version was {tags.get(names.CODE_VERSION, 'unknown')}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 if the same scorer came out, 1 otherwise; the output says why."""
    parser = argparse.ArgumentParser(prog="python -m readmission.training.rebuild", description=__doc__)
    parser.add_argument("--version", required=True, help="the number of the version in MLflow's registry")
    number = parser.parse_args(arguments).version
    settings = TrainSettings.from_environment()
    try:
        with connect("clean", settings.database) as clean, connect("raw", settings.database) as raw:
            found = rebuild(number, clean, raw, settings.model)
    except ReadmissionError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print(found)
    return 0 if found.is_exact else 1


if __name__ == "__main__":
    sys.exit(main())
