"""What `make score` uploads, and what it says of a job."""

from pathlib import Path
from typing import Any, cast

import pytest
from readmission.client import Job
from readmission.domain.jobs import INCOMING, parse_request

from infra.local import aws, settings
from infra.local.commands import predict, score
from infra.local.commands.score import progress_line, summary
from infra.local.errors import LocalError
from infra.local.stack import Stack

STACK = Stack("api", "key", "https://localhost", "token", "pipeline", "data", {})
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


class FakeApi:
    """Keeps the order, and says that the job has nothing to score."""

    def __init__(self) -> None:
        self.order: dict[str, Any] = {}

    def __enter__(self) -> "FakeApi":
        return self

    def __exit__(self, *_: object) -> None: ...

    def start_job(self, **order: Any) -> None:
        self.order = order

    def wait_for_job(self, *_: Any, **__: Any) -> Job:
        return _job(skipped="there is no file")


class Uploads:
    """Keeps the keys of what is uploaded."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def upload_file(self, file: str, bucket: str, key: str) -> None:
        assert Path(file).read_bytes() == b"rows" and bucket == "data"
        self.keys.append(key)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    monkeypatch.setattr(predict, "client", lambda *_: fake)
    return fake


def test_a_file_is_uploaded_to_where_a_job_may_read_it_and_the_schedule_does_not_look(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3 = Uploads()
    monkeypatch.setattr(aws, "client", lambda *_: s3)
    file = tmp_path / "tonight.csv"
    file.write_bytes(b"rows")
    score.score(settings.load({}), STACK, str(file), None, "none")
    (key,) = s3.keys
    assert api.order["source"] == key and key.endswith("/tonight.csv")
    assert parse_request({"source": key}, "data").source == key
    assert not key.startswith(INCOMING)


@pytest.mark.parametrize("key", ["scoring/incoming/a.csv", "scoring/uploads/a.csv", "incoming/north/a.csv"])
def test_a_key_of_the_bucket_is_scored_where_it_is(api: FakeApi, key: str) -> None:
    score.score(settings.load({}), STACK, key, None, "high")
    assert api.order["source"] == key


def test_a_file_that_does_not_exist_is_named() -> None:
    with pytest.raises(LocalError, match=r"SOURCE: tonigth\.csv does not exist"):
        score.score(settings.load({}), STACK, "tonigth.csv", None, "none")
