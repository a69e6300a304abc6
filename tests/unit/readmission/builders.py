"""Small fakes and builders that several of these tests share."""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError
from readmission.domain.contract import DRUGS, NAMES

BUCKET = "data"

_ENCOUNTER = {
    "encounter_id": "2278392",
    "patient_nbr": "8222157",
    "race": "Caucasian",
    "gender": "Female",
    "age": "[50-60)",
    "weight": "?",
    "admission_type_id": "6",
    "discharge_disposition_id": "25",
    "admission_source_id": "1",
    "time_in_hospital": "3",
    "payer_code": "?",
    "medical_specialty": "Pediatrics-Endocrinology",
    "num_lab_procedures": "41",
    "num_procedures": "0",
    "num_medications": "15",
    "number_outpatient": "2",
    "number_emergency": "4",
    "number_inpatient": "5",
    "diag_1": "250.83",
    "diag_2": "?",
    "diag_3": "?",
    "number_diagnoses": "9",
    "max_glu_serum": "None",
    "A1Cresult": "None",
    **dict.fromkeys(DRUGS, "No"),
    "change": "No",
    "diabetesMed": "No",
    "readmitted": "NO",
}


def encounter(**changes: str) -> dict[str, str]:
    """A valid encounter with some fields changed."""
    assert changes.keys() <= _ENCOUNTER.keys()
    return {**_ENCOUNTER, **changes}


def fields(**changes: str) -> list[str]:
    """A valid row of 50 fields in the contract's order, with some changed."""
    changed = encounter(**changes)
    return [changed[name] for name in NAMES]


def numbered(count: int) -> list[list[str]]:
    """`count` distinct valid rows."""
    return [fields(encounter_id=str(number), patient_nbr=str(number)) for number in range(1, count + 1)]


def batch(
    *encounters: dict[str, str],
    data_kind: str = "real",
    dates: Sequence[str] | None = None,
    versions: Sequence[str] | None = None,
) -> dict[str, list[str]]:
    """The raw rows of a batch by column, as *clean* reads them, with their numbers in the delivery.

    `dates` are their discharge dates, and `versions` those of their diagnoses; None if the delivery has none. It came
    on 2026-03-01.
    """
    return {
        "data_kind": [data_kind] * len(encounters),
        "split": ["train"] * len(encounters),
        "row_number": [str(number) for number in range(1, len(encounters) + 1)],
        "delivered_at": ["2026-03-01 12:00:00+00"] * len(encounters),
        "dated": ["f" if dates is None else "t"] * len(encounters),
        "discharge_date": list(dates or [""] * len(encounters)),
        "diag_version": list(versions or [""] * len(encounters)),
        **{name: [one[name] for one in encounters] for name in NAMES},
    }


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = NAMES, newline: str = "\n") -> bytes:
    """A CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=newline).writerows([header, *rows])
    return text.getvalue().encode()


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file:
        for name, member in members.items():
            file.writestr(name, member)
    return content.getvalue()


class _Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Iterator[bytes]:
        while chunk := self.read(size):
            yield chunk


class FakeS3:
    """The S3 calls that the project makes, backed by a dictionary; `writes` lists the keys in order."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.writes: list[str] = []

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        assert Bucket == BUCKET
        self.objects[Key] = Body
        self.writes.append(Key)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        if Bucket != BUCKET:
            raise client_error("NoSuchBucket")
        if Key not in self.objects:
            raise client_error("NoSuchKey")
        return {"Body": _Body(self.objects[Key])}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        if Bucket != BUCKET or Key not in self.objects:
            raise client_error("404")
        return {"ContentLength": len(self.objects[Key])}


def client_error(code: str) -> ClientError:
    """The exception that boto3 raises for an error code."""
    return ClientError({"Error": {"Code": code, "Message": "…"}}, "GetObject")
