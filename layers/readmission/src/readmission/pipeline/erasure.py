"""Finds and deletes everything that is stored of one patient, and names the models that were trained on it.

It can stop anywhere and run again. First the patient is marked as erased, so that no delivery brings rows back, and
what was found is recorded. Then files, the database `clean` and at last `raw` lose the rows: until the end, `raw` knows
which rows, encounters and batches are the patient's.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict

from pg8000.native import Connection

from readmission.domain.contract import COLUMNS, SiteName
from readmission.domain.payloads import LONGEST_NAME
from readmission.domain.splits import Split, split_of
from readmission.errors import InvalidRequest
from readmission.pipeline import erased, patient_rows
from readmission.pipeline.patient_files import Bucket, File
from readmission.pipeline.patient_rows import Known, Patient
from readmission.registry import names
from readmission.registry.rest import ModelVersion, UnexpectedAnswer
from readmission.storage.database import transaction

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

type Keys = Callable[[str, int], str]
"""The key by which the prediction log knows a patient, of site and number."""

_LONGEST_REASON: Final = 500
_FIND_FIELDS: Final = frozenset({"patient", "site"})
_ERASE_FIELDS: Final = _FIND_FIELDS | {"reason", "by", "confirm"}
_MARK: Final = """
    INSERT INTO erasure (digest, site, requested_by, reason, report)
    VALUES (:digest, :site, :by, :reason, jsonb_build_array(CAST(:report AS jsonb)))
    ON CONFLICT (digest) DO UPDATE SET requested_by = excluded.requested_by, reason = excluded.reason,
        completed_at = NULL, report = erasure.report || excluded.report
"""
_COMPLETE: Final = "UPDATE erasure SET completed_at = now() WHERE digest = :digest"
_RECORDED: Final = ("rows", "elsewhere", "split", "versions", "uncertain")
_MARKED: Final = """
    SELECT CAST(requested_at AS text), requested_by, reason, CAST(completed_at AS text), report FROM erasure
    WHERE digest = :digest
"""


class Erasure(TypedDict):
    """An earlier request to erase the patient. `completed_at` is None if it broke off."""

    requested_at: str
    requested_by: str
    reason: str
    completed_at: str | None


class Found(TypedDict):
    """What is stored of a patient, without any of it.

    `rows` are counts by table. `files` are objects in the data bucket with rows of the patient, `exports` the number of
    those for training, and `jobs` that of the files of scoring jobs. `to_score` are files that were uploaded for such
    jobs, which are not searched, `unreadable` delivered files that could not be searched, and `elsewhere` sources
    outside the bucket that brought rows. `split` says what the patient's stays were used for, `versions` are those of
    the model that were trained on data with them, also before an earlier erasure, and `uncertain` those about which
    MLflow does not say it. `erasure` is the last request to erase the patient, if there was one.
    """

    site: str
    rows: dict[str, int]
    files: list[dict[str, Any]]
    exports: int
    jobs: int
    to_score: list[str]
    unreadable: list[str]
    elsewhere: list[str]
    split: Split
    versions: list[str]
    uncertain: list[str]
    erasure: Erasure | None


class Registry(Protocol):
    """The part of `registry.rest.RestClient` that is used."""

    def versions(self) -> list[ModelVersion]: ...

    def find_artifact(self, run_id: str, path: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Stores:
    """Where patients' data are. `keys` is None without a prediction log."""

    raw: Connection
    clean: Connection
    s3: "S3Client"
    bucket: str
    registry: Registry
    keys: Keys | None = None

    def patient(self, site: str, number: int) -> Patient:
        return Patient(site, number, self.keys(site, number) if self.keys else None)


def find(request: Any, stores: Stores) -> Found:
    """What is stored of the patient. Raises `InvalidRequest`, and the errors of the stores."""
    site, number = _patient(request, _FIND_FIELDS)
    known = patient_rows.know(stores.raw, stores.clean, stores.patient(site, number))
    found = _found(stores, known)
    return _with_files(found, _search(Bucket(stores.bucket, stores.s3), stores, known, ()))


def erase(request: Any, stores: Stores) -> Found:
    """Delete what is stored of the patient, and return what it was. Idempotent.

    Raises `InvalidRequest` without reason, name or confirmation, `LoadingInProgress`, and the errors of the stores.
    Nothing is deleted unless MLflow has said which versions were trained on the patient's data.
    """
    site, number = _patient(request, _ERASE_FIELDS)
    by, reason = _text(request, "by", LONGEST_NAME), _text(request, "reason", _LONGEST_REASON)
    if request.get("confirm") is not True:
        raise InvalidRequest("an erasure cannot be undone: 'confirm' must be true")
    patient = stores.patient(site, number)
    found = _found(stores, patient_rows.know(stores.raw, stores.clean, patient))
    digest = erased.digest(erased.salt_of(stores.raw), site, number)
    report = json.dumps({name: value for name, value in found.items() if name in _RECORDED})
    with transaction(stores.raw):
        stores.raw.run(_MARK, digest=digest, site=site, by=by, reason=reason, report=report)
    with transaction(stores.raw):
        erased.lock(stores.raw)
        # Again: a run may have loaded rows until the lock was there.
        known = patient_rows.know(stores.raw, stores.clean, patient)
        unloaded = patient_rows.unloaded(stores.raw, stores.clean, site)
        searched = _search(Bucket(stores.bucket, stores.s3, rewrites=True), stores, known, unloaded)
        patient_rows.delete_clean(stores.clean, known, {**searched.rows_left, **known.batches})
        patient_rows.delete_raw(stores.raw, known)
        stores.raw.run(_COMPLETE, digest=digest)
    found["erasure"], _ = _marked(stores.raw, digest)
    return _with_files(found, searched)


@dataclass(frozen=True, slots=True)
class _Searched:
    """The files with rows of the patient. `rows_left` are those of the batches that are not loaded, without them."""

    files: list[File]
    exports: int
    jobs: int
    to_score: list[str]
    unreadable: list[str]
    rows_left: dict[str, int]


def _search(bucket: Bucket, stores: Stores, known: Known, unloaded: Collection[str]) -> _Searched:
    """Search the files, and take the patient out of them if the bucket is one that `rewrites`."""
    batches, left = bucket.batches(known.patient, patient_rows.sites_of_batches(stores.clean), unloaded)
    every, _ = patient_rows.sources(stores.clean, known)
    delivered, unreadable = bucket.deliveries(known.patient, every)
    files = [*batches, *delivered, *bucket.forecasts(_is_forecast_of(known))]
    return _Searched(files, len(bucket.exports()), bucket.jobs(), bucket.to_score(), unreadable, left)


def _found(stores: Stores, known: Known) -> Found:
    """What is stored of the patient outside files."""
    patient = known.patient
    _, holding = patient_rows.sources(stores.clean, known)
    erasure, earlier = _marked(stores.raw, erased.digest(erased.salt_of(stores.raw), patient.site, patient.number))
    versions, uncertain = trained_on(stores.registry, known.batches)
    return Found(
        site=patient.site,
        rows=patient_rows.count(stores.clean, known),
        files=[],
        exports=0,
        jobs=0,
        to_score=[],
        unreadable=[],
        elsewhere=[source for source in holding if not source.startswith(f"s3://{stores.bucket}/")],
        split=split_of(str(patient.number)),
        versions=sorted({*versions, *earlier}, key=int),
        uncertain=uncertain,
        erasure=erasure,
    )


def _with_files(found: Found, searched: _Searched) -> Found:
    return {
        **found,
        "files": [asdict(file) for file in searched.files],
        "exports": searched.exports,
        "jobs": searched.jobs,
        "to_score": searched.to_score,
        "unreadable": searched.unreadable,
    }


def trained_on(registry: Registry, batches: Iterable[str]) -> tuple[list[str], list[str]]:
    """The model versions that were trained on rows of these batches, and those that do not say what they learned from.

    The data report of a training run names the batches of its rows.
    """
    wanted = set(batches)
    known: list[str] = []
    uncertain: list[str] = []
    for version in registry.versions() if wanted else ():
        learned = _batches_of(registry, version)
        if learned is None:
            uncertain.append(version.number)
        elif not wanted.isdisjoint(learned):
            known.append(version.number)
    return known, uncertain


def _batches_of(registry: Registry, version: ModelVersion) -> set[str] | None:
    try:
        content = registry.find_artifact(version.run_id, names.DATA_REPORT)
    except UnexpectedAnswer:
        return None  # its run was deleted
    return set(json.loads(content)["batches"]) if content else None


def _marked(raw: Connection, digest: str) -> tuple[Erasure | None, set[str]]:
    """The last request to erase the patient, and the versions that all of them have named."""
    for requested_at, by, reason, completed_at, reports in raw.run(_MARKED, digest=digest):
        erasure = Erasure(requested_at=requested_at, requested_by=by, reason=reason, completed_at=completed_at)
        return erasure, {version for report in reports for version in report["versions"]}
    return None, set()


def _is_forecast_of(known: Known) -> Callable[[Mapping[str, Any]], bool]:
    patient, encounters = known.patient, set(known.encounters)

    def is_of_patient(forecast: Mapping[str, Any]) -> bool:
        key = forecast.get("patient_key")
        if key is not None and patient.key is not None:
            return bool(key == patient.key)
        return forecast.get("site") == patient.site and forecast.get("encounter_id") in encounters

    return is_of_patient


def _patient(request: Any, fields: frozenset[str]) -> tuple[str, int]:
    if not isinstance(request, dict) or not request.keys() <= fields:
        raise InvalidRequest(f"the request must be a JSON object with the fields {', '.join(sorted(fields))}")
    number, site = request.get("patient"), request.get("site")
    rule = COLUMNS["patient_nbr"]
    if type(number) is not int or not rule.allows(str(number)):
        raise InvalidRequest(f"'patient' must be a patient's number, {rule.expected}")
    if not isinstance(site, str) or not SiteName().allows(site):
        raise InvalidRequest(f"'site' must name the patient's site: {SiteName().expected}")
    return site, number


def _text(request: Mapping[str, Any], name: Literal["by", "reason"], longest: int) -> str:
    text = request.get(name)
    if not isinstance(text, str) or not 1 <= len(text.strip()) <= longest or "\0" in text:
        raise InvalidRequest(f"'{name}' must be a text of 1 to {longest} characters, which is recorded")
    return text.strip()
