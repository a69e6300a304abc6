"""A job from plan to results: the forecasts of single requests, and the same bytes however it is repeated."""

import asyncio
import io
import json
import logging
from typing import Any

import pyarrow.parquet as pq
import pytest
from readmission.bulk import model, results, rows, score
from readmission.domain import jobs
from readmission.errors import InvalidRequest, RowsMissing, SourceLimitExceeded, SourceMalformed, SourceNotFound
from readmission.scoring.scorer import Scorer
from readmission.serving import patient_history
from readmission.serving.encounters import encounter_of
from readmission.serving.explanation import explain
from readmission.serving.forecasts import forecast
from readmission.serving.model_cache import Served

from tests.unit.readmission.bulk.fakes import KEY, MODEL, PREPARED, STARTED, Bucket, Job, Killed, csv_file
from tests.unit.readmission.documents import CONTEXT, constant

NIGHT = [
    PREPARED | {"encounter_id": 10, "patient_nbr": 1},
    PREPARED | {"encounter_id": 11, "patient_nbr": 2, "number_inpatient": 2},
    PREPARED | {"encounter_id": 12, "patient_nbr": 3, "age_numeric": 500},
    PREPARED | {"encounter_id": 13, "patient_nbr": "", "num_medications": 2},
    PREPARED | {"encounter_id": 14, "patient_nbr": 5, "num_medications": 1},
]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Job:
    made = Job(csv_file(*NIGHT))
    made.stays = {1: 2, 5: 1}
    monkeypatch.setattr(rows, "look_up", made.look_up)
    return made


def _single(job: Job, encounter: dict[str, Any]) -> dict[str, Any]:
    """What `POST /predict` answers."""

    class Source:
        def open(self) -> None: ...

        def read(self, data_kind: str, patients: Any) -> Any:
            return job.look_up(patients, data_kind, None)

    asked = encounter_of({name: value for name, value in encounter.items() if value != ""})
    histories = patient_history.PatientHistories(Source(), 5, logging.getLogger("test"))
    asyncio.run(histories.fill_in([asked], "synthetic"))
    scorer = Scorer(MODEL)
    found = forecast(Served(job.registry.production(), scorer), asked)
    return found | {"explanation": explain(scorer, asked.fields)}


def test_results_are_those_of_single_requests(job: Job) -> None:
    result = job.run(explain="all", chunk_rows=2)
    assert (result["rows"], result["answered"], result["refused"]) == (5, 4, 1)
    assert result["model_version"] == "1" and result["data_kind"] == "synthetic" and result["source"] == KEY
    table = {int(one["row"]): one for one in job.table(jobs.CSV)}
    assert list(table) == [1, 2, 4, 5]
    for row, line in table.items():
        single = _single(job, NIGHT[row - 1])
        assert line["encounter_id"] == str(NIGHT[row - 1]["encounter_id"])
        assert line["readmitted"] == single["readmitted"]
        assert line["band"] == single["early_risk"]["band"]
        assert float(line["percentile"]) == single["early_risk"]["percentile"]
        for name, probability in single["probabilities"].items():
            assert float(line[f"probability_{name}"]) == pytest.approx(probability, abs=1e-12)
        history = single.get("history") or {"status": "", "earlier_stays": ""}
        assert (line["history"], line["earlier_stays"]) == (history["status"], str(history["earlier_stays"]))
        assert float(line["base_score"]) == pytest.approx(single["explanation"].base_score, abs=1e-9)
        first = max(single["explanation"].contributions, key=lambda one: abs(one.contribution))
        assert line["contributions"].startswith(f"{first.field} {first.contribution:+.4f}")


def test_parquet_holds_the_same_rows(job: Job) -> None:
    result = job.run(explain="all", chunk_rows=2)
    parts = [content for key, content in sorted(job.bucket.objects.items()) if key.startswith(result["parquet"])]
    assert len(parts) == 3
    found = [row for part in parts for row in pq.read_table(io.BytesIO(part)).to_pylist()]
    assert [str(row["row"]) for row in found] == [line["row"] for line in job.table(jobs.CSV)]
    for row, line in zip(found, job.table(jobs.CSV), strict=True):
        assert row["early_risk"] == float(line["early_risk"]) and row["score"] == float(line["score"])
        assert sum(one["contribution"] for one in row["contributions"]) == pytest.approx(
            row["score"] - row["base_score"]
        )
        assert row["earlier_stays"] == (int(line["earlier_stays"]) if line["earlier_stays"] else None)


def test_refused_rows_have_a_file_with_row_field_and_reason(job: Job) -> None:
    job.run()
    assert job.table(jobs.REFUSED) == [
        {"row": "3", "field": "age_numeric", "message": "must be a whole number from 0 to 120"}
    ]


def test_names_of_fields_cannot_be_formulas() -> None:
    problem = {"detail": "x", "errors": [{"field": "=1+1", "message": "@x"}]}
    assert results.refused_csv_of([(1, problem)]).decode().splitlines()[1] == "1,'=1+1,'@x"


def test_only_high_risks_are_explained_if_asked_so(job: Job) -> None:
    job.run(explain="high")
    found = {one["band"]: bool(one["contributions"]) for one in job.table(jobs.CSV)}
    assert found and all(has == (band in ("high", "very high")) for band, has in found.items())
    assert any(found.values()) or {"high", "very high"}.isdisjoint(found)


def test_without_explanations_there_are_no_columns_for_them(job: Job) -> None:
    job.run()
    assert tuple(job.table(jobs.CSV)[0]) == results.COLUMNS


def test_all_chunks_use_the_version_of_the_plan(job: Job) -> None:
    planned = job.plan(chunk_rows=2)
    job.score(1)
    job.registry.promote("2", constant(1, 0, 0, context=CONTEXT))
    assert job.plan(chunk_rows=2) == planned  # repeated
    job.score(2)
    job.score(3)
    assert score.finish(job.files)["model_version"] == "1"
    assert len({one["probability_NO"] for one in job.table(jobs.CSV)}) > 1


STEPS = (
    "/chunk-0002.jsonl.gz",
    "plan.json",
    "work/histories-0001.json",
    "work/results-0001.csv",
    "work/refused-0001.csv",
    "parquet/part-0001.parquet",
    "counts/0001.json",
    "results.csv",
    "refused.csv",
    "job.json",
)


@pytest.mark.parametrize("ending", STEPS)
def test_a_step_that_is_killed_and_repeated_leaves_the_same(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fresh() -> Job:
        made = Job(csv_file(*NIGHT))
        made.stays = {1: 2, 5: 1}
        return made

    whole = fresh()
    monkeypatch.setattr(rows, "look_up", whole.look_up)
    expected = whole.run(chunk_rows=2, explain="all")
    broken = fresh()
    monkeypatch.setattr(rows, "look_up", broken.look_up)
    broken.bucket.fails_at = [ending]
    with pytest.raises(Killed):
        broken.run(chunk_rows=2, explain="all")
    # Meanwhile the patients have come back, if the histories were kept before.
    if STEPS.index(ending) > STEPS.index("work/histories-0001.json"):
        broken.stays |= {1: 9}
    assert broken.run(chunk_rows=2, explain="all") == expected
    assert broken.written() == whole.written()


def test_a_chunk_that_is_done_is_not_scored_again(job: Job) -> None:
    job.plan()
    first = job.score(1)
    asked = len(job.asked)
    assert job.score(1) == first and len(job.asked) == asked


def test_rows_in_the_files_are_gone_at_the_end_and_a_repeated_finish_says_the_same(job: Job) -> None:
    result = job.run()
    assert not any(f"/{jobs.WORK}" in key for key in job.written())
    assert score.finish(job.files) == result


def test_rows_that_are_not_accounted_for_fail_the_job(job: Job) -> None:
    job.plan(chunk_rows=2)
    job.score(1)
    with pytest.raises(RowsMissing, match="of 5 rows, 2 were scored or refused"):
        score.finish(job.files)


def test_a_file_that_is_replaced_between_two_attempts_to_plan_is_not_mixed_with_the_first(job: Job) -> None:
    job.bucket.fails_at = ["plan.json"]
    with pytest.raises(Killed):
        job.plan(chunk_rows=2)
    replaced = [one | {"encounter_id": 77} for one in NIGHT[3:]]
    job.bucket.objects[KEY] = csv_file(*replaced)
    assert job.run(chunk_rows=2)["rows"] == 2
    assert {one["encounter_id"] for one in job.table(jobs.CSV)} == {"77"}
    assert not any(f"/{jobs.WORK}" in key for key in job.written())


def test_an_id_stands_for_one_request(job: Job) -> None:
    job.plan(chunk_rows=2)
    with pytest.raises(InvalidRequest, match="choose another id"):
        job.plan(chunk_rows=3)


def test_more_chunks_than_a_job_can_have_are_refused(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    monkeypatch.setattr(jobs, "MAX_CHUNKS", 2)
    with pytest.raises(SourceLimitExceeded, match="'chunk_rows' 2; give more"):
        job.plan(chunk_rows=2)


def test_a_file_without_rows_is_refused() -> None:
    with pytest.raises(SourceMalformed, match=r"night\.csv has no rows"):
        Job(csv_file(*NIGHT, header=list(NIGHT[0])).splitlines()[0]).plan()


def test_files_that_are_gone_fail_the_step_with_a_name(job: Job) -> None:
    with pytest.raises(SourceNotFound, match="the plan of the job job is no longer in S3"):
        job.score(1)
    job.plan()
    (chunk,) = (key for key in job.bucket.objects if key.endswith("/chunk-0001.jsonl.gz"))
    del job.bucket.objects[chunk]
    with pytest.raises(SourceNotFound, match="chunk 1 of the job job is no longer in S3"):
        job.score(1)


def test_a_close_call_is_scored_as_a_request_is() -> None:
    # All patients have the same risk: the percentile depends on whether the risk equals the quantiles exactly.
    shares = (0.3, 0.3, 0.4)
    content = constant(*shares, context=CONTEXT | {"risk_quantiles": [0.3] * 101})
    job = Job(csv_file(PREPARED), model=content)
    used = model.JobModel(job.registry.production(), job.registry.scorer_document(job.registry.production()))
    asked = encounter_of(PREPARED)
    (found,) = used.probabilities([{name: asked.fields[name] for name in used.scorer.features}])
    assert found == Scorer(content).probabilities([asked.fields[name] for name in used.scorer.features])


def test_a_row_that_the_model_cannot_score_is_refused_alone(job: Job) -> None:
    linear = {
        "type": "linear",
        "mean": [0.0],
        "scale": [1.0],
        "coefficients": [[1.0], [0.0], [0.0]],
        "intercepts": [0.0, 0.0, 0.0],
    }
    content = {**MODEL, "model": linear, "inputs": [{"name": "prior_encounters", "kind": "number"}]}
    job.registry.promote("1", content)
    result = job.run()
    assert (result["answered"], result["refused"]) == (3, 2)
    assert [one["row"] for one in job.table(jobs.REFUSED)] == ["3", "4"]
    assert "no value for a missing number" in job.table(jobs.REFUSED)[1]["message"]


# ---------------------------------------------------------------- the schedule
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


def _scheduled(job: Job, at: str = STARTED) -> jobs.JobPlan:
    from contextlib import nullcontext

    from readmission.bulk import plan

    from tests.unit.readmission.bulk.fakes import LIMITS

    event: Any = {"task": "plan", "execution": job.files.job, "started_at": at, "input": SCHEDULED}
    return plan.plan(event, job.files, job.registry, nullcontext(), LIMITS)  # type: ignore[arg-type]


def test_the_schedule_scores_the_newest_file_once(job: Job) -> None:
    job.bucket.objects["scoring/incoming/newer.csv"] = csv_file(*NIGHT[:2])
    assert _scheduled(job)["rows"] == 2
    assert _scheduled(job)["rows"] == 2  # the same job, repeated
    beside = Job(b"", job="beside", bucket=job.bucket)
    job.bucket.objects[KEY] = csv_file(*NIGHT)
    assert _scheduled(beside)["skipped"] == "scoring/incoming/newer.csv is being scored by the job job"
    job.score(1)
    score.finish(job.files)
    assert _scheduled(beside)["skipped"] == "scoring/incoming/newer.csv has been scored by the job job"


def test_the_schedule_takes_a_file_whose_job_has_failed(job: Job) -> None:
    _scheduled(job)
    later = Job(csv_file(*NIGHT), job="later", bucket=job.bucket)
    assert _scheduled(later, "2026-11-27T06:59:00+00:00")["skipped"]
    assert _scheduled(later, "2026-11-27T07:00:00+00:00")["rows"] == 5


def test_the_schedule_leaves_what_people_have_uploaded_to_jobs_of_their_own(job: Job) -> None:
    uploaded = f"{jobs.UPLOADS}make-1/newer.csv"
    job.bucket.objects[uploaded] = csv_file(*NIGHT[:2])
    assert _scheduled(job)["rows"] == len(NIGHT)
    own = Job(csv_file(*NIGHT), job="own", bucket=job.bucket)
    assert own.plan(source=uploaded)["rows"] == 2


def test_the_schedule_has_nothing_to_do_without_a_file() -> None:
    job = Job(b"", bucket=Bucket())
    assert _scheduled(job) == {
        "rows": 0,
        "chunks": [],
        "model_version": None,
        "skipped": "there is no file below scoring/incoming/",
    }


def test_a_plan_is_json(job: Job) -> None:
    assert json.dumps(job.plan())
