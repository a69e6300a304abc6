"""Rollbacks against real servers."""

from collections.abc import Callable
from typing import Any

import pytest
from readmission.errors import InvalidRequest
from readmission.promotion.rollback import rollback

from tests.integration.readmission.models import MLFLOW_WARNINGS, Models

pytestmark = MLFLOW_WARNINGS


def test_a_rollback_that_failed_is_completed_by_the_next_step(
    models: Models, failing_after_the_ledger: Callable[[Callable[[], Any]], None]
) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run), execution=run)
    failing_after_the_ledger(lambda: models.rollback("1"))
    with pytest.raises(InvalidRequest, match="in Production already"):
        models.rollback("1")
    assert models.registry.production().number == "1"
    assert [line["decision"] for line in models.ledger] == ["rolled back", "promoted", "promoted"]


def test_a_rollback_returns_to_the_version_before_and_is_written_to_the_ledger(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    result = models.rollback(reason="a complaint")
    assert (result["version"], result["previous_version"]) == ("1", "2")
    assert models.registry.production().number == "1"
    line = models.ledger[0]
    assert (line["decision"], line["version"], line["reason"]) == ("rolled back", "1", "a complaint")


def test_a_rollback_can_name_its_version(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.candidate("logistic_regression", run=run))
    assert models.rollback("1")["previous_version"] == "3"
    assert models.registry.production().number == "1"


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("1", "in Production already"),
        ("7", "there is no version 7"),
        ("x", "must be a version number"),
        ("", "must be a version number"),
        (None, "has no version before 1"),
    ],
)
def test_an_impossible_rollback_is_refused_with_the_reason(models: Models, version: str | None, says: str) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    with pytest.raises(InvalidRequest, match=says):
        models.rollback(version)
    assert len(models.ledger) == 1


def test_without_a_version_in_production_there_is_nothing_to_roll_back(models: Models) -> None:
    with pytest.raises(InvalidRequest, match="nothing to roll back"):
        models.rollback()


@pytest.mark.parametrize("request_", ["2", None, {"versions": "2"}, {"version": 2}, {"reason": 5}], ids=repr)
def test_an_invalid_rollback_request_is_refused(models: Models, request_: Any) -> None:
    with pytest.raises(InvalidRequest):
        rollback(request_, models.stores.clean, models.settings)


def test_a_rollback_to_a_version_with_a_changed_scorer_is_refused(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    models.client.set_model_version_tag(models.settings.name, "1", "scorer_sha256", "0" * 64)
    with pytest.raises(InvalidRequest, match=r"version 1 .* cannot be served: .*SHA-256"):
        models.rollback()
    assert models.registry.production().number == "2"
    assert len(models.ledger) == 2


def test_two_rollbacks_in_a_row_go_two_versions_back(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.candidate("logistic_regression", run=run))
    assert [models.rollback()["version"], models.rollback()["version"]] == ["2", "1"]
    with pytest.raises(InvalidRequest, match="has no version before 1"):
        models.rollback()


def test_a_version_taken_out_by_a_rollback_returns_only_by_a_rollback(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"), execution="one")
    second = models.candidate("logistic_regression", run="two")
    models.promote(second, execution="two")
    models.rollback(reason="a complaint")
    result = models.promote(second, execution="three")
    assert (result["decision"], result["production_version"]) == ("refused", "1")
    assert "rollback to version 1 (a complaint)" in result["reason"]
    assert models.rollback("2")["version"] == "2"
    assert "in Production already" in models.promote(second, execution="four")["reason"]
