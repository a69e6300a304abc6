"""The promotion ledger against a real Postgres."""

import pytest
from pg8000.exceptions import DatabaseError
from readmission.promotion import ledger
from readmission.settings import ChallengeSettings
from readmission.storage.migrations import migrate

from tests.integration.readmission.models import MLFLOW_WARNINGS, Models

pytestmark = MLFLOW_WARNINGS


def test_every_decision_is_in_the_ledger_with_the_hashes_of_data_and_code(models: Models) -> None:
    models.load()
    trained = models.train("logistic_regression")
    models.promote(trained, execution="execution-1")
    (line,) = models.ledger
    tags = models.client.get_run(trained["mlflow_run_id"]).data.tags
    assert (line["decision"], line["version"], line["previous_version"]) == ("promoted", "1", None)
    assert (line["execution"], line["data_kind"]) == ("execution-1", "synthetic")
    assert line["data_hash"] == tags["data_hash"] and len(line["data_hash"]) == 64
    assert line["code_version"] == tags["code_version"] and len(line["code_version"]) == 16
    assert (line["family"], line["mlflow_run_id"]) == ("logistic_regression", trained["mlflow_run_id"])
    assert 0 < line["metrics"]["challenger"]["auc_early"] < 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE promotion_ledger SET reason = ''", "DELETE FROM promotion_ledger", "TRUNCATE promotion_ledger"],
)
def test_the_ledger_is_append_only(models: Models, statement: str) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    with pytest.raises(DatabaseError, match="append-only"):
        models.stores.clean.run(statement)


def test_the_ledger_can_be_read_before_the_pipeline_creates_its_table(models: Models) -> None:
    models.load()
    models.promote(models.candidate("logistic_regression"))
    clean = models.stores.clean
    assert ledger.read(clean, models.settings.name, 20) == models.ledger != []
    clean.run("BEGIN")
    clean.run("DROP TABLE promotion_ledger")
    assert ledger.read(clean, models.settings.name, 20) == []
    clean.run("ROLLBACK")


def test_the_ledger_is_empty_before_anything_was_migrated(models: Models) -> None:
    models.stores.clean.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert ledger.read(models.stores.clean, models.settings.name, 20) == []


def test_the_ledger_of_the_release_before_takes_the_decisions_on_challengers_and_stays_append_only(
    models: Models,
) -> None:
    models.load()
    for run in ("one", "two"):
        models.promote(models.candidate("logistic_regression", run=run))
    clean, before = models.stores.clean, models.ledger
    clean.run(
        "ALTER TABLE promotion_ledger DROP CONSTRAINT promotion_ledger_decision_check, ADD CHECK"
        " (decision IN ('promoted', 'refused', 'rolled back'))"
    )
    clean.run("DELETE FROM schema_migrations WHERE name = '0010_challengers.sql'")
    assert migrate(clean, "clean") == ["0010_challengers.sql"]
    assert models.ledger == before
    models.promote(models.candidate("logistic_regression", run="three"), challenges=ChallengeSettings(100, 0.1, 30))
    assert [line["decision"] for line in models.ledger] == ["shadowed", "promoted", "promoted"]
    assert models.rollback()["version"] == "1"
    with pytest.raises(DatabaseError, match="append-only"):
        clean.run("DELETE FROM promotion_ledger")
    with pytest.raises(DatabaseError, match="promotion_ledger_decision_check"):
        clean.run(
            "INSERT INTO promotion_ledger (model_name, version, decision, reason, metrics, data_kind, data_hash,"
            " code_version) VALUES ('m', '1', 'other', '', '{}', 'real', '', '')"
        )


def test_what_served_at_a_time_is_the_newest_move_before_it(models: Models) -> None:
    insert = """
        INSERT INTO promotion_ledger (decided_at, model_name, version, decision, reason, metrics, data_kind, data_hash,
            code_version, mlflow_run_id)
        VALUES (CAST(:at AS timestamptz), :model, :version, :decision, 'a test', '{}', 'real', '', '', :version || 'r')
    """
    for at, version, decision in (
        ("2026-01-01T00:00:00Z", "1", "promoted"),
        ("2026-02-01T00:00:00Z", "2", "promoted"),
        ("2026-02-02T00:00:00Z", "3", "refused"),
        ("2026-03-01T00:00:00Z", "1", "rolled back"),
    ):
        models.stores.clean.run(insert, at=at, model=models.settings.name, version=version, decision=decision)

    def served(when: str) -> tuple[str, str] | None:
        return ledger.serving_at(models.stores.clean, models.settings.name, when)

    assert served("2025-12-31T00:00:00Z") is None
    assert served("2026-01-01T00:00:00Z") == ("1", "1r")
    assert served("2026-02-15T00:00:00Z") == ("2", "2r")
    assert served("2026-03-02T00:00:00Z") == ("1", "1r")
