"""Rollbacks against real servers."""

from collections.abc import Callable
from typing import Any

import pytest
from readmission.errors import (
    AlreadyInProduction,
    NothingToRollBack,
    RollbackNeedsForce,
    VersionNotFound,
    VersionUnusable,
)
from readmission.promotion import verdict, versions
from readmission.storage.migrations import migrate

from tests.integration.readmission.models import MLFLOW_WARNINGS, Models

pytestmark = MLFLOW_WARNINGS


def test_a_rollback_that_failed_is_completed_by_the_next_step(
    models: Models, failing_after_the_ledger: Callable[[Callable[[], Any]], None]
) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run), execution=run)
    failing_after_the_ledger(lambda: models.rollback("1"))
    with pytest.raises(AlreadyInProduction, match="in Production already"):
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
    assert (line["decided_by"], line["forced"], line["reason_code"]) == ("an operator", False, "by_hand")


def test_a_rollback_can_name_its_version(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.candidate("logistic_regression", run=run))
    assert models.rollback("1")["previous_version"] == "3"
    assert models.registry.production().number == "1"


@pytest.mark.parametrize(
    ("version", "error", "says"),
    [
        ("1", AlreadyInProduction, "in Production already"),
        ("7", VersionNotFound, "there is no version 7 of .*; no other version has served"),
        (None, NothingToRollBack, "has no version before 1"),
    ],
)
def test_an_impossible_rollback_is_refused_with_the_reason_even_if_forced(
    models: Models, version: str | None, error: type[Exception], says: str
) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    with pytest.raises(error, match=says):
        models.rollback(version, force=True)
    assert len(models.ledger) == 1


def test_without_a_version_in_production_there_is_nothing_to_roll_back(models: Models) -> None:
    with pytest.raises(NothingToRollBack, match="nothing to roll back"):
        models.rollback()


def test_a_rollback_to_a_version_with_a_changed_scorer_is_refused(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    models.client.set_model_version_tag(models.settings.name, "1", "scorer_sha256", "0" * 64)
    with pytest.raises(VersionUnusable, match=r"version 1 .* cannot be served: .*SHA-256"):
        models.rollback()
    assert models.registry.production().number == "2"
    assert len(models.ledger) == 2


def test_two_rollbacks_in_a_row_go_two_versions_back(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.candidate("logistic_regression", run=run))
    assert [models.rollback()["version"], models.rollback()["version"]] == ["2", "1"]
    with pytest.raises(NothingToRollBack, match="has no version before 1"):
        models.rollback()


def test_a_version_that_has_never_served_needs_force(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    with monkeypatch.context() as patch:
        patch.setattr(verdict, "MARGIN", -1.0)
        assert models.promote(models.candidate("logistic_regression", run="two"))["decision"] == "refused"
    with pytest.raises(RollbackNeedsForce, match=r"version 2 has never been in Production.*FORCE=1"):
        models.rollback("2")
    assert models.registry.production().number == "1" and len(models.ledger) == 2
    result = models.rollback("2", force=True)
    assert (result["version"], result["forced"], models.ledger[0]["forced"]) == ("2", True, True)
    assert models.registry.production().number == "2"


def test_a_version_that_nobody_decided_on_needs_force_and_is_refused_by_the_way(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    run = models.client.get_run(models.candidate("logistic_regression", run="three")["mlflow_run_id"])
    versions.register(models.client, run, models.settings)
    with pytest.raises(RollbackNeedsForce, match="version 3 has never been in Production"):
        models.rollback("3")
    assert (models.ledger[0]["version"], models.ledger[0]["reason_code"]) == ("3", "broke_off")


def test_force_is_recorded_only_where_it_was_needed(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    assert models.rollback("1", force=True)["forced"] is models.ledger[0]["forced"] is False


def test_a_version_of_the_same_number_in_an_emptied_registry_has_not_served(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    models.client.delete_registered_model(models.settings.name)
    run = models.client.get_run(models.candidate("logistic_regression", run="two")["mlflow_run_id"])
    assert versions.register(models.client, run, models.settings).version == "1"
    models.promote(models.candidate("logistic_regression", run="three"))
    assert [(line["version"], line["decision"]) for line in models.ledger] == [
        ("2", "promoted"),
        ("1", "refused"),
        ("1", "promoted"),
    ]
    with pytest.raises(RollbackNeedsForce, match="version 1 has never been in Production"):
        models.rollback("1")


def test_a_synthetic_version_replaces_a_real_one_only_by_force(models: Models) -> None:
    models.load(kind="real")
    models.load(seed=2)
    models.promote(models.candidate("logistic_regression", run="synthetic"))
    models.promote(models.candidate("logistic_regression", run="real", kind="real"), kind="real")
    with pytest.raises(RollbackNeedsForce, match="version 1 was trained on synthetic data and would replace real data"):
        models.rollback("1")
    assert models.registry.production().number == "2"
    assert models.rollback("1", force=True)["forced"]
    # Asked for by name, synthetic data is what serves now, and other synthetic models may follow.
    assert models.promote(models.candidate("logistic_regression", run="more"))["decision"] == "promoted"


def test_after_the_version_in_production_was_deleted_the_one_before_can_return(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.candidate("logistic_regression", run=run))
    models.client.delete_model_version(models.settings.name, "3")
    result = models.rollback()
    assert (result["version"], result["previous_version"]) == ("2", "3")
    assert models.registry.production().number == "2"


def test_a_rollback_skips_versions_that_were_deleted(models: Models) -> None:
    models.load()
    for run in ("one", "two", "three"):
        models.promote(models.candidate("logistic_regression", run=run))
    models.client.delete_model_version(models.settings.name, "2")
    with pytest.raises(VersionNotFound, match=r"there is no version 2 of .*; versions that have served: 1$"):
        models.rollback("2")
    assert models.rollback()["version"] == "1"


def test_a_version_whose_alias_was_removed_can_be_rolled_back_to(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression", run="one"))
    models.client.delete_registered_model_alias(models.settings.name, "Production")
    assert models.rollback("1")["version"] == "1"
    assert models.registry.production().number == "1"


def test_the_ledger_of_the_release_before_is_migrated_and_says_what_served(models: Models) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    clean = models.stores.clean
    clean.run("ALTER TABLE promotion_ledger DROP decided_by, DROP forced, DROP reason_code")
    clean.run("DELETE FROM schema_migrations WHERE name = '0006_promotion_ledger.sql'")
    assert [(line["decided_by"], line["forced"], line["reason_code"]) for line in models.ledger] == [
        (None, False, "")
    ] * 2
    # As the function does before each rollback.
    migrate(clean, "clean")
    assert models.rollback("1")["previous_version"] == "2"
    assert [(line["decided_by"], line["reason_code"]) for line in models.ledger] == [
        ("an operator", "by_hand"),
        (None, ""),
        (None, ""),
    ]


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
