"""Outcomes through the gateway, and a patient who is erased from the deployed application."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from readmission.client import Client
from readmission.domain.contract import NAMES
from readmission.pipeline import synthetic
from readmission.pipeline.plan import to_csv

from tests.e2e.conftest import Application, Trained

SITE = "erasing"


@pytest.fixture
def api(application: Application) -> Iterator[Client]:
    stack, certificate = application.stack, application.settings.certificate
    with Client(stack.api_url, stack.api_key, ca_file=certificate, retries=0) as client:
        yield client


def test_outcomes_are_taken_one_by_one_and_answered_for_themselves(api: Client, trained: Trained) -> None:
    report = api.report(
        [
            {"site": "outcomes", "encounter_id": 17, "readmitted": "<30", "discharge_date": "2026-01-31"},
            {"site": "outcomes", "encounter_id": 18, "readmitted": "maybe"},
        ]
    )
    assert (report["stored"], report["refused"]) == (1, 1)
    assert report["outcomes"][1]["problem"]["errors"][0]["field"] == "readmitted"
    assert api.report_csv("encounter_id,readmitted,site\n19,NO,outcomes\n")["stored"] == 1


def test_the_same_request_stores_nothing_twice(application: Application, trained: Trained) -> None:
    outcome = {"site": "outcomes", "encounter_id": 20, "readmitted": ">30"}
    told = [
        application.call("/outcomes", outcome, method="POST", **{"x-request-id": "outcomes-20"}).json for _ in range(2)
    ]
    assert [(one["stored"], one["repeated"]) for one in told] == [(1, 0), (0, 1)]
    refused = application.call("/outcomes", {**outcome, "readmitted": "yes"}, method="POST")
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "readmitted")
    assert application.call("/outcomes", outcome, method="POST", key=None).status == 403


@pytest.fixture
def delivered(application: Application) -> Iterator[None]:
    """Takes back what the test delivers for its site, so that the other tests train on the stack's own rows."""
    yield
    for (delivery,) in application.platform.query("clean", f"SELECT delivery_id FROM delivery WHERE site = '{SITE}'"):
        application.platform.run("withdraw", delivery, "--reason", "the test has ended")
    left = application.platform.query("clean", f"SELECT count(*) FROM diabetes_clean WHERE site = '{SITE}'")
    assert left == [[0]]


def test_a_patient_is_found_erased_and_stays_away(
    application: Application, trained: Trained, delivered: None, tmp_path: Path
) -> None:
    rows = list(synthetic.rows(60, seed=11))
    patient = rows[0][NAMES.index("patient_nbr")]
    mine = sum(row[NAMES.index("patient_nbr")] == patient for row in rows)
    file = tmp_path / "delivery.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("delivery.csv", to_csv([NAMES, *rows]))
    options = ("--dataset", str(file), "--site", SITE, "--stop-after", "clean")
    application.platform.run("pipeline", *options)

    named = (patient, "--site", SITE)
    assert f"table diabetes_raw  {mine}" in _squeezed(application.platform.run("find-patient", *named))
    refused = application.platform.run("erase", *named, "--reason", "a test", exit_code=1)
    assert "Nothing has been deleted" in refused
    said = application.platform.run("erase", *named, "--reason", "a test", "--by", "a test", "--force")
    assert "All of this is deleted" in said
    told = _squeezed(application.platform.run("find-patient", *named))
    assert "table diabetes_raw  0" in told and "sources/" not in told and "pipeline/" not in told
    assert "Erased by a test (a test)" in told

    # The delivered file itself has lost the rows, and the same file brings nothing back.
    assert _patients(application, SITE).isdisjoint({patient})
    application.platform.run("pipeline", *options)
    assert "table diabetes_raw  0" in _squeezed(application.platform.run("find-patient", *named))


def _squeezed(text: str) -> str:
    """The lines of a table with two spaces between its columns."""
    return "\n".join("  ".join(part.strip() for part in line.split("  ") if part.strip()) for line in text.splitlines())


def _patients(application: Application, site: str) -> set[str]:
    """The patients in the files that were delivered as delivery.zip."""
    s3, bucket = application.platform.client("s3"), application.stack.data_bucket
    found: set[str] = set()
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix="sources/")["Contents"]:
        if entry["Key"].endswith("/delivery.zip"):
            body: Any = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"]
            with zipfile.ZipFile(io.BytesIO(body.read())) as archive:
                text = archive.read("delivery.csv").decode()
            found |= {row["patient_nbr"] for row in csv.DictReader(io.StringIO(text))}
    assert found
    return found
