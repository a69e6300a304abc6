"""Patients for requests, from the real archive or synthetic, in the form a client sends."""

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from readmission.domain.contract import NAMES
from readmission.domain.features import FEATURES, fields_of
from readmission.http.problems import Refused
from readmission.pipeline import sources
from readmission.serving.encounters import fields_of_encounter

from tests.benchmarks import server

_SYNTHETIC = "synthetic:rows=2000,seed=5"


@dataclass(frozen=True, slots=True)
class Patient:
    """One encounter in the API's two forms."""

    prepared: dict[str, Any]
    raw: dict[str, str]

    @property
    def named(self) -> dict[str, Any]:
        """The prepared form with the numbers by which an API with histories looks up the patient's."""
        return self.prepared | {name: int(self.raw[name]) for name in ("patient_nbr", "encounter_id")}


def read(count: int, archive: Path | None = None) -> list[Patient]:
    """`count` patients that the API accepts, from the archive if there is one."""
    pages = {"/archive.zip": archive.read_bytes()} if archive else {}
    with server.serve(pages) as address:
        source = f"{address}/archive.zip" if archive else _SYNTHETIC
        with sources.open_rows(source, cast(Any, None), server.SETTINGS) as rows:
            raw = (dict(zip(NAMES, row, strict=True)) for row in rows)
            return [_patient(one) for one in islice(filter(_is_answered, raw), count)]


def archive_of_environment() -> Path | None:
    """The archive named by DIABETES_DATA."""
    name = os.environ.get("DIABETES_DATA")
    return Path(name) if name else None


def _is_answered(raw: dict[str, str]) -> bool:
    try:
        fields_of_encounter(raw)
    except Refused:
        return False
    return True


def _patient(raw: dict[str, str]) -> Patient:
    fields = fields_of(raw)
    return Patient({name: fields[name] for name in FEATURES}, raw)
