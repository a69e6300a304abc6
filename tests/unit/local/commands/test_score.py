"""What `make score` says of a job."""

from typing import Any, cast

import pytest
from readmission.client import Job

from infra.local.commands.score import progress_line, summary
from infra.local.errors import LocalError

RESULT = {
    "job": "a",
    "source": "scoring/incoming/a.csv",
    "model_name": "readmission",
    "model_version": "3",
    "data_kind": "real",
    "rows": 5000,
    "answered": 4998,
    "refused": 2,
    "results": "scoring/jobs/a/results.csv",
    "refused_rows": "scoring/jobs/a/refused.csv",
    "parquet": "scoring/jobs/a/parquet/",
}


def _job(**changes: Any) -> Job:
    return cast(Job, {"id": "a", "status": "succeeded", **changes})


def test_the_end_names_version_counts_and_files() -> None:
    said = summary(_job(result=RESULT), "data", 12.34)
    assert "4,998 forecasts by version 3 (real data), 2 rows refused, 12.3 s" in said
    assert "s3://data/scoring/jobs/a/results.csv" in said and "s3://data/scoring/jobs/a/refused.csv" in said
    assert "refused.csv" not in summary(_job(result=RESULT | {"refused": 0}), "data", 1)


def test_progress_counts_rows_and_parts() -> None:
    assert progress_line(_job()).strip() == "reading the rows"
    line = progress_line(_job(rows=12000, chunks=3, chunks_done=1))
    assert line.strip() == "12,000 rows, 1 of 3 parts done"


def test_a_job_that_failed_says_why_and_how_to_go_on() -> None:
    with pytest.raises(LocalError, match="ColumnsMismatch: x is not a column\nTo see its logs: make logs"):
        summary(_job(error={"code": "ColumnsMismatch", "message": "x is not a column"}), "data", 1)
    with pytest.raises(LocalError, match="was stopped"):
        summary(_job(status="stopped"), "data", 1)


def test_nothing_to_score_is_said() -> None:
    assert summary(_job(skipped="there is no file"), "data", 1) == "Nothing was scored: there is no file."
