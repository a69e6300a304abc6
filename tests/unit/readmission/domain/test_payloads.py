from datetime import date
from typing import Any

import pytest
from readmission.domain.payloads import FAMILIES, MAX_BATCH_SIZE, STAGES, PipelineRequest, error_name, parse_request
from readmission.errors import InvalidRequest


def test_an_empty_input_requests_all_stages_and_models() -> None:
    assert parse_request({}) == PipelineRequest(None, 15_000, FAMILIES, "ingest", "promote")


def test_every_field_can_be_set() -> None:
    request = {
        "source": "synthetic",
        "batch_size": 10,
        "models": ["random_forest"],
        "start_at": "clean",
        "stop_after": "train",
    }
    assert parse_request(request) == PipelineRequest("synthetic", 10, ("random_forest",), "clean", "train")


def _refused(document: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(document)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("source", "", id="source-empty"),
        pytest.param("source", "  ", id="source-blank"),
        pytest.param("source", 5, id="source-number"),
        pytest.param("source", ["s3://a/b"], id="source-list"),
        pytest.param("batch_size", 0, id="batch_size-0"),
        pytest.param("batch_size", -1, id="batch_size-negative"),
        pytest.param("batch_size", MAX_BATCH_SIZE + 1, id="batch_size-too-large"),
        pytest.param("batch_size", 10.0, id="batch_size-float"),
        pytest.param("batch_size", True, id="batch_size-boolean"),
        pytest.param("batch_size", "10", id="batch_size-text"),
        pytest.param("batch_size", None, id="batch_size-null"),
        pytest.param("models", [], id="models-empty"),
        pytest.param("models", "random_forest", id="models-text"),
        pytest.param("models", ["random_forest", "xgboost"], id="models-unknown"),
        pytest.param("models", [["random_forest"]], id="models-nested"),
        pytest.param("models", [{}], id="models-object"),
        pytest.param("models", None, id="models-null"),
        pytest.param("models", {"random_forest": 1}, id="models-mapping"),
        pytest.param("start_at", "plan", id="start_at-unknown"),
        pytest.param("start_at", "Ingest", id="start_at-capital"),
        pytest.param("start_at", None, id="start_at-null"),
        pytest.param("start_at", ["ingest"], id="start_at-list"),
        pytest.param("stop_after", "done", id="stop_after-unknown"),
        pytest.param("stop_after", 3, id="stop_after-number"),
        pytest.param("site", "", id="site-empty"),
        pytest.param("site", "North", id="site-capital"),
        pytest.param("site", "a,b", id="site-comma"),
        pytest.param("site", "-a", id="site-hyphen-first"),
        pytest.param("site", "a" * 41, id="site-too-long"),
        pytest.param("site", None, id="site-null"),
        pytest.param("taken_on", "2026-02-30", id="taken_on-no-such-day"),
        pytest.param("taken_on", "2026-W01-1", id="taken_on-week"),
        pytest.param("taken_on", "20260101", id="taken_on-compact"),
        pytest.param("taken_on", 20260101, id="taken_on-number"),
        pytest.param("force", 1, id="force-number"),
        pytest.param("force", "true", id="force-text"),
        pytest.param("force", None, id="force-null"),
        pytest.param("started_by", "a cat", id="started_by-unknown"),
        pytest.param("started_by", None, id="started_by-null"),
        pytest.param("reason", " ", id="reason-blank"),
        pytest.param("reason", "x" * 2001, id="reason-too-long"),
        pytest.param("reason", "a\0b", id="reason-nul"),
        pytest.param("event", 5, id="event-number"),
        pytest.param("data_kind", "fake", id="data_kind-unknown"),
        pytest.param("data_kind", None, id="data_kind-null"),
        pytest.param("diag_version", "icd11", id="diag_version-unknown"),
        pytest.param("diag_version", None, id="diag_version-null"),
        pytest.param("sources", "s3://a/b", id="unknown-field"),
        pytest.param("", 1, id="nameless-field"),
    ],
)
def test_an_invalid_field_is_named(name: str, value: Any) -> None:
    assert f"input field {name!r}" in _refused({name: value})


def test_a_delivery_names_its_site_the_day_on_which_it_was_taken_and_the_version_of_its_diagnoses() -> None:
    found = parse_request({"site": "st-mary_2", "taken_on": "2026-01-31", "diag_version": "icd10"})
    assert (found.site, found.taken_on, found.diag_version) == ("st-mary_2", date(2026, 1, 31), "icd10")
    assert parse_request({}).diag_version is None


@pytest.mark.parametrize(
    "field",
    [{"site": "north"}, {"taken_on": "2026-01-31"}, {"data_kind": "synthetic"}, {"diag_version": "icd10"}],
    ids=["site", "taken_on", "data_kind", "diag_version"],
)
@pytest.mark.parametrize("start_at", ["clean", "train", "promote"])
def test_a_run_that_brings_no_delivery_cannot_describe_one(field: dict[str, str], start_at: str) -> None:
    said = _refused({"start_at": start_at, **field})
    assert f"input field {next(iter(field))!r}" in said and f"starts at {start_at!r} brings none" in said


@pytest.mark.parametrize("document", [[], ["source"], "source", 5, None, True], ids=repr)
def test_an_input_that_is_not_an_object_is_rejected(document: Any) -> None:
    assert "must be a JSON object" in _refused(document)


@pytest.mark.parametrize("size", [1, MAX_BATCH_SIZE])
def test_both_ends_of_the_batch_size_are_accepted(size: int) -> None:
    assert parse_request({"batch_size": size}).batch_size == size


def test_a_null_source_is_the_default_source() -> None:
    assert parse_request({"source": None}).source is None


def test_models_are_deduplicated_and_sorted() -> None:
    models = ["random_forest", "logistic_regression", "random_forest"]
    assert parse_request({"models": models}).models == ("logistic_regression", "random_forest")


@pytest.mark.parametrize("start_at", STAGES)
@pytest.mark.parametrize("stop_after", STAGES)
def test_a_run_cannot_stop_before_it_starts(start_at: Any, stop_after: Any) -> None:
    request = {"start_at": start_at, "stop_after": stop_after}
    if STAGES.index(stop_after) >= STAGES.index(start_at):
        assert parse_request(request).stop_after == stop_after
    else:
        assert f"input field 'stop_after': {stop_after!r} comes before 'start_at' {start_at!r}" in _refused(request)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ("ValueOutOfRange", "ValueOutOfRange"),
        ("Runtime.ExitError", "Runtime.ExitError"),
        ("States.Timeout", "StepTimedOut"),
        ("Sandbox.Timedout", "StepTimedOut"),
        ("States.DataLimitExceeded", "StepFailed"),
    ],
)
def test_a_caught_error_has_the_name_that_an_execution_would_fail_with(error: str, name: str) -> None:
    assert error_name({"Error": error, "Cause": ""}) == name


@pytest.mark.parametrize(
    ("document", "actor"),
    [
        ({}, None),
        ({"by": "Ada"}, "Ada"),
        ({"started_by": "schedule"}, "schedule"),
        ({"started_by": "schedule", "by": "Ada"}, "Ada"),
    ],
)
def test_a_run_is_answered_for_by_a_person_or_by_what_started_it(document: Any, actor: str | None) -> None:
    assert parse_request(document).actor == actor
