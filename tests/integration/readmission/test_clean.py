from readmission.contract import NAMES
from readmission.features import FEATURES, features_of
from readmission.splits import split_of

from tests.integration.readmission.conftest import Stores, changed

EVERYTHING = "SELECT row_to_json(c)::jsonb - 'cleaned_at' FROM diabetes_clean c ORDER BY encounter_id"


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
    before = stores.clean.run(EVERYTHING), stores.clean.run("SELECT row_hash, reason FROM quarantine")
    assert stores.tidy(planned) == first
    assert (stores.clean.run(EVERYTHING), stores.clean.run("SELECT row_hash, reason FROM quarantine")) == before


def test_a_readable_but_invalid_row_goes_to_quarantine_with_every_reason(stores: Stores, rows: list[list[str]]) -> None:
    rows[3] = changed(rows[3], age="[200-210)", readmitted="MAYBE")
    _, ((result),) = stores.load(rows)
    assert (result["rows"], result["cleaned"], result["quarantined"]) == (40, 39, 1)
    ((encounter, row_number, reason),) = stores.clean.run("SELECT encounter_id, row_number, reason FROM quarantine")
    assert (str(encounter), row_number) == (rows[3][0], 4)
    assert "age: '[200-210)'" in reason and "readmitted: 'MAYBE'" in reason


def test_no_row_is_lost_between_raw_clean_and_quarantine(stores: Stores, rows: list[list[str]]) -> None:
    for place in (3, 9, 27):
        rows[place] = changed(rows[place], insulin="Perhaps")
    stores.load(rows, batch_size=11)
    ((raw,),) = stores.raw.run("SELECT count(*) FROM diabetes_raw")
    ((kept,),) = stores.clean.run("SELECT count(*) FROM diabetes_clean")
    ((held,),) = stores.clean.run("SELECT count(*) FROM quarantine")
    assert (raw, kept, held) == (40, 37, 3)


def test_a_later_delivery_of_an_encounter_replaces_the_earlier(stores: Stores, rows: list[list[str]]) -> None:
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


def test_of_two_versions_in_one_file_the_last_stays(stores: Stores, rows: list[list[str]]) -> None:
    corrected = changed(rows[0], readmitted="<30" if rows[0][-1] != "<30" else "NO")
    stores.load([rows[0], corrected], batch_size=1)
    assert stores.clean.run("SELECT readmitted FROM diabetes_clean") == [[corrected[-1]]]


def test_a_row_that_was_cleaned_under_another_rule_stands_in_one_table_only(
    stores: Stores, rows: list[list[str]]
) -> None:
    stores.load(rows[:1])
    ((row_hash,),) = stores.clean.run("SELECT row_hash FROM diabetes_clean")
    stores.clean.run(
        "INSERT INTO quarantine (row_hash, batch_id, data_kind, encounter_id, row_number, reason)"
        " VALUES (:row_hash, 'earlier', 'real', 1, 1, 'a rule of yesterday')",
        row_hash=row_hash,
    )
    stores.load(rows[:1])
    assert stores.clean.run("SELECT count(*) FROM quarantine") == [[0]]


def test_a_run_that_starts_at_clean_cleans_what_raw_holds(stores: Stores, rows: list[list[str]]) -> None:
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
