from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pg8000.native import Connection
from readmission import settings
from readmission.domain.contract import NAMES
from readmission.domain.features import FEATURES, features_of, fields_of
from readmission.domain.splits import split_of
from readmission.errors import CleanRowInvalid
from readmission.pipeline import clean, data_report
from readmission.storage.database import connect

from tests.integration.readmission.conftest import Stores, changed, manifest_of

EVERYTHING = "SELECT row_to_json(c)::jsonb - 'cleaned_at' FROM diabetes_clean c ORDER BY encounter_id"


def _content(connection: Connection) -> list[Any]:
    """Everything that *clean* writes, except times."""
    return [
        connection.run(EVERYTHING),
        connection.run("SELECT row_hash, batch_id, reason FROM quarantine ORDER BY row_hash"),
        connection.run("SELECT batch_id, report FROM batch_report ORDER BY batch_id"),
    ]


def _corrected(row: list[str]) -> list[str]:
    return changed(row, readmitted="<30" if row[-1] != "<30" else "NO")


def test_a_row_becomes_its_features_and_target(stores: Stores, rows: list[list[str]]) -> None:
    stores.load(rows[:1])
    ((found,),) = stores.clean.run(EVERYTHING)
    row = dict(zip(NAMES, rows[0], strict=True))
    expected = features_of(row) | {
        "data_kind": "real",
        "encounter_id": int(row["encounter_id"]),
        "patient_nbr": int(row["patient_nbr"]),
        "split": split_of(row["patient_nbr"]),
        "readmitted": row["readmitted"],
    }
    assert {name: found[name] for name in expected} == expected
    assert set(FEATURES) <= set(found)


def test_cleaning_again_changes_nothing(stores: Stores, rows: list[list[str]]) -> None:
    rows[3] = changed(rows[3], age="[200-210)")
    planned = stores.deliver(rows, batch_size=15)
    stores.ingest(planned)
    first = stores.tidy(planned)
    before = _content(stores.clean)
    assert stores.tidy(planned) == first
    assert _content(stores.clean) == before


def test_concurrent_cleaning_gives_the_same_data(stores: Stores, rows: list[list[str]]) -> None:
    rows[3] = changed(rows[3], age="[200-210)")
    planned = stores.deliver([*rows, _corrected(rows[0])], batch_size=15)
    stores.ingest(planned)
    stores.tidy(planned)
    once = _content(stores.clean)
    stores.clean.run("TRUNCATE diabetes_clean, quarantine, batch_report")
    database = settings.DatabaseSettings.from_environment()

    def again(_: int) -> None:
        with connect("raw", database) as raw, connect("clean", database) as target:
            replace(stores, raw=raw, clean=target).tidy(planned)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(again, range(4)))
    assert _content(stores.clean) == once


def test_a_readable_but_invalid_row_goes_to_quarantine_with_every_reason(stores: Stores, rows: list[list[str]]) -> None:
    rows[3] = changed(rows[3], age="[200-210)", readmitted="MAYBE")
    _, ((result),) = stores.load(rows)
    assert (result["rows"], result["cleaned"], result["quarantined"]) == (40, 39, 1)
    ((encounter, row_number, reason),) = stores.clean.run("SELECT encounter_id, row_number, reason FROM quarantine")
    assert (str(encounter), row_number) == (rows[3][0], 4)
    assert "age: '[200-210)'" in reason and "readmitted: 'MAYBE'" in reason


def test_an_empty_test_result_means_not_measured(stores: Stores, rows: list[list[str]]) -> None:
    _, (result,) = stores.load([changed(row, A1Cresult="", max_glu_serum="") for row in rows])
    assert (result["cleaned"], result["quarantined"]) == (40, 0)
    found = stores.clean.run("SELECT DISTINCT a1cresult_encoded, max_glu_serum_encoded FROM diabetes_clean")
    assert found == [[0, 0]]


def test_no_row_is_lost_between_raw_clean_and_quarantine(stores: Stores, rows: list[list[str]]) -> None:
    for index in (3, 9, 27):
        rows[index] = changed(rows[index], insulin="Perhaps")
    stores.load(rows, batch_size=11)
    ((raw,),) = stores.raw.run("SELECT count(*) FROM diabetes_raw")
    ((kept,),) = stores.clean.run("SELECT count(*) FROM diabetes_clean")
    ((held,),) = stores.clean.run("SELECT count(*) FROM quarantine")
    assert (raw, kept, held) == (40, 37, 3)


def test_a_later_delivery_of_an_encounter_replaces_the_earlier_one(stores: Stores, rows: list[list[str]]) -> None:
    corrected = changed(rows[0], readmitted="<30" if rows[0][-1] != "<30" else "NO")
    stores.load([rows[0]])
    stores.load([corrected])
    assert stores.clean.run("SELECT readmitted FROM diabetes_clean") == [[corrected[-1]]]


def test_the_later_delivery_stays_whichever_is_cleaned_last(stores: Stores, rows: list[list[str]]) -> None:
    corrected = changed(rows[0], readmitted="<30" if rows[0][-1] != "<30" else "NO")
    earlier, later = stores.deliver([rows[0]]), stores.deliver([corrected])
    for planned in (earlier, later):
        stores.ingest(planned)
    stores.tidy(later)
    stores.tidy(earlier)
    assert stores.clean.run("SELECT readmitted FROM diabetes_clean") == [[corrected[-1]]]


def test_the_last_of_two_versions_in_a_file_is_kept(stores: Stores, rows: list[list[str]]) -> None:
    corrected = changed(rows[0], readmitted="<30" if rows[0][-1] != "<30" else "NO")
    stores.load([rows[0], corrected], batch_size=1)
    assert stores.clean.run("SELECT readmitted FROM diabetes_clean") == [[corrected[-1]]]


def test_a_row_that_was_cleaned_by_another_rule_is_in_one_table_only(stores: Stores, rows: list[list[str]]) -> None:
    stores.load(rows[:1])
    ((row_hash,),) = stores.clean.run("SELECT row_hash FROM diabetes_clean")
    stores.clean.run(
        "INSERT INTO quarantine (row_hash, batch_id, data_kind, encounter_id, row_number, reason)"
        " SELECT :row_hash, batch_id, 'real', 1, 1, 'a rule of yesterday' FROM diabetes_clean",
        row_hash=row_hash,
    )
    stores.load(rows[:1])
    assert stores.clean.run("SELECT count(*) FROM quarantine") == [[0]]


def test_a_row_that_today_s_rules_reject_leaves_the_clean_table(stores: Stores, rows: list[list[str]]) -> None:
    stores.load(rows)
    stores.raw.run("UPDATE diabetes_raw SET age = '?' WHERE row_number = 4")
    stores.tidy(stores.plan(start_at="clean"))
    assert stores.clean.run("SELECT count(*) FROM diabetes_clean") == [[39]]
    assert stores.clean.run("SELECT row_number FROM quarantine") == [[4]]


def test_a_run_that_starts_at_clean_cleans_all_raw_rows(stores: Stores, rows: list[list[str]]) -> None:
    stores.ingest(stores.deliver(rows, batch_size=15))
    planned = stores.plan(start_at="clean")
    assert (planned["rows"], planned["data_kind"]) == (40, "real")
    assert sum(result["cleaned"] for result in stores.tidy(planned)) == 40


def test_real_and_synthetic_encounters_of_the_same_number_do_not_mix(stores: Stores, rows: list[list[str]]) -> None:
    stores.load(rows)
    planned = stores.plan(source="synthetic:rows=40,seed=9")
    stores.ingest(planned)
    stores.tidy(planned)
    found = stores.clean.run("SELECT data_kind, count(*) FROM diabetes_clean GROUP BY 1 ORDER BY 1")
    assert found == [["real", 40], ["synthetic", 40]]


def test_the_earlier_of_two_versions_in_a_batch_goes_to_quarantine(stores: Stores, rows: list[list[str]]) -> None:
    corrected = [_corrected(row) for row in rows]
    _, (result,) = stores.load([*rows, *corrected])
    assert (result["cleaned"], result["quarantined"]) == (40, 40)
    found = stores.clean.run("SELECT encounter_id, readmitted FROM diabetes_clean ORDER BY row_number")
    assert found == [[int(row[0]), row[-1]] for row in corrected]
    assert stores.clean.run("SELECT row_number, reason FROM quarantine ORDER BY row_number") == [
        [
            number,
            f"encounter_id: {row[0]} occurs again in row {number + 40} of the same batch, which is the one that counts",
        ]
        for number, row in enumerate(rows, start=1)
    ]


def test_a_superseded_row_that_is_delivered_again_does_not_replace_the_newer_one(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.load([rows[0], _corrected(rows[0])])
    stores.load([rows[0]])
    assert stores.clean.run("SELECT readmitted FROM diabetes_clean") == [[_corrected(rows[0])[-1]]]
    # The batch that repeated the encounter did so, whatever came later.
    assert stores.clean.run("SELECT row_number FROM quarantine") == [[1]]


def test_an_invalid_later_version_does_not_replace_a_valid_one(stores: Stores, rows: list[list[str]]) -> None:
    stores.load([rows[0], changed(_corrected(rows[0]), gender="?")])
    assert stores.clean.run("SELECT readmitted FROM diabetes_clean") == [[rows[0][-1]]]
    assert stores.clean.run("SELECT row_number FROM quarantine") == [[2]]


def test_texts_with_commas_quotes_and_line_breaks_are_unchanged(stores: Stores, rows: list[list[str]]) -> None:
    races = ['a,"b"', "c\r\nd", "NaN", "NULL", " e ", "\\N", "é"]
    stores.load([changed(row, race=race) for row, race in zip(rows, races, strict=False)])
    found = stores.clean.run("SELECT race FROM diabetes_clean ORDER BY encounter_id")
    assert [race for (race,) in found] == races


def test_every_batch_has_a_report(stores: Stores, rows: list[list[str]]) -> None:
    rows[3] = changed(rows[3], age="?")
    planned = stores.deliver(rows, batch_size=15)
    stores.ingest(planned)
    stores.tidy(planned)
    ids = [batch["batch_ids"][0] for batch in manifest_of(stores, planned)["batches"]]
    reports = data_report.read(stores.clean, ids)
    assert [(reports[one]["rows"], reports[one]["quarantined"]) for one in ids] == [(15, 1), (15, 0), (10, 0)]
    assert [len(reports[one]["rules"]) for one in ids] == [1, 0, 0]
    assert [sum(reports[one]["splits"].values()) for one in ids] == [14, 15, 10]


def test_batches_that_are_cleaned_together_have_separate_reports(
    stores: Stores, rows: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.ingest(stores.deliver(rows, batch_size=15))
    monkeypatch.setattr("readmission.pipeline.plan.MAX_BATCHES", 1)
    planned = stores.plan(start_at="clean")
    assert [result["rows"] for result in stores.tidy(planned)] == [40]
    found = stores.clean.run("SELECT report FROM batch_report")
    assert sorted(report["rows"] for (report,) in found) == [10, 15, 15]


def test_the_report_on_a_batch_counts_rows_that_another_batch_brought_first(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.load(rows[:20])
    planned = stores.deliver(rows)
    stores.ingest(planned)
    stores.tidy(planned)
    (batch,) = manifest_of(stores, planned)["batches"]
    assert data_report.read(stores.clean, batch["batch_ids"])[batch["batch_ids"][0]]["rows"] == 40


def test_the_reports_of_a_data_kind_are_those_of_the_batches_of_its_clean_rows(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.load(rows[:10])
    stores.load([_corrected(row) for row in rows[:4]])
    stores.load(rows[10:12], batch_size=1)
    planned = stores.plan(source="synthetic:rows=40,seed=9")
    stores.ingest(planned)
    stores.tidy(planned)
    found = data_report.of_clean_rows(stores.clean, "real")
    assert sorted(report["rows"] for report in found.values()) == [1, 1, 4, 10]
    assert [report["rows"] for report in data_report.of_clean_rows(stores.clean, "synthetic").values()] == [40]


def test_an_invalid_clean_row_fails_the_batch_before_anything_is_written(
    stores: Stores, rows: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows[3] = changed(rows[3], age="?")
    planned = stores.deliver(rows)
    stores.ingest(planned)
    monkeypatch.setattr(clean, "fields_of", lambda row: fields_of(row) | {"age_numeric": 555})
    with pytest.raises(CleanRowInvalid, match="age_numeric: 555: not a whole number from 0 to 120"):
        stores.tidy(planned)
    assert _content(stores.clean) == [[], [], []]
