"""Earlier stays that a request does not tell, from a real server: the same that a model learned from."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest
from pg8000.native import Connection
from readmission.domain.contract import COLUMNS, ENDS_OF_CARE, NAMES
from readmission.domain.features import INPUTS, NUMBERS, PATIENT_HISTORY, inputs_of
from readmission.domain.splits import split_of
from readmission.errors import DatabaseUnavailable
from readmission.pipeline import sources, synthetic
from readmission.serving import earlier_stays as module
from readmission.serving.earlier_stays import EarlierStaysInPostgres, earlier_stays, open_histories
from readmission.serving.encounters import Asked, Patient, encounter_of
from readmission.serving.patient_history import PatientHistories
from readmission.serving.schemas import EXAMPLE
from readmission.settings import DatabaseSettings, PatientHistorySettings
from readmission.storage import database

from infra.local.servers import postgres
from tests.benchmarks import server
from tests.integration.readmission.conftest import CachedCredentials, Stores, changed
from tests.integration.readmission.storage.servers import superuser
from tests.platforms import Platform

LOGGER = logging.getLogger("serving")
BATCH = 1000
ENDED = {str(code) for codes in ENDS_OF_CARE.values() for code in codes}
FIRST = {name: 0 if name.startswith("prior_") else None for name in PATIENT_HISTORY}


@pytest.fixture
def reader(stores: Stores, system: Platform) -> DatabaseSettings:
    """The login of the function *predict*."""
    # Other tests drop the schemas, and with them the privileges that `make up` has granted.
    postgres.create_databases(system.settings)
    return replace(DatabaseSettings.from_environment(), secret="readmission/database/reader")


type Opened = Callable[[DatabaseSettings, float], EarlierStaysInPostgres]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Makes sources whose connections are closed after the test."""
    made: list[EarlierStaysInPostgres] = []

    def make(login: DatabaseSettings, seconds: float = 5) -> EarlierStaysInPostgres:
        made.append(EarlierStaysInPostgres(login, seconds))
        return made[-1]

    yield make
    for source in made:
        source.close()


@pytest.fixture
def stays(rows: list[list[str]]) -> list[list[str]]:
    """Three stays of patient 7, numbered 101 to 103, the second followed by a readmission within 30 days."""
    outcomes = ("NO", "<30", ">30")
    return [
        changed(row, encounter_id=str(number), patient_nbr="7", readmitted=outcome, diag_1="250.83")
        for number, (row, outcome) in enumerate(zip(rows, outcomes, strict=False), start=101)
    ]


def found(clean: Connection, *patients: Patient, kind: str = "real") -> list[int]:
    """The number of earlier stays of each patient."""
    return [one.count for one in earlier_stays(clean, kind, patients)]


def many(archive: Path | None) -> list[list[str]]:
    """All rows of the archive, or synthetic ones, whose patients have up to ten stays."""
    if archive is None:
        drawn = synthetic.rows(3000, seed=5)
        return [changed(row, patient_nbr=str(1 + int(row[NAMES.index("patient_nbr")]) % 600)) for row in drawn]
    with (
        server.serve({"/archive.zip": archive.read_bytes()}) as address,
        sources.open_rows(f"{address}/archive.zip", cast(Any, None), server.SETTINGS) as rows,
    ):
        return list(rows)


def by_hand(rows: Sequence[Sequence[str]]) -> dict[int, dict[str, Any]]:
    """The history of every stay, computed from the rows of the file."""
    known: dict[str, list[dict[str, str]]] = {}
    histories = {}
    for row in sorted((dict(zip(NAMES, one, strict=True)) for one in rows), key=lambda row: int(row["encounter_id"])):
        earlier = known.setdefault(row["patient_nbr"], [])
        history: dict[str, Any] = {
            "prior_encounters": len(earlier),
            "prior_early_readmissions": sum(stay["readmitted"] == "<30" for stay in earlier),
            "prior_days_in_hospital": sum(int(stay["time_in_hospital"]) for stay in earlier),
        }
        if earlier:
            last = earlier[-1]
            names = [name for name in PATIENT_HISTORY if name.removeprefix("last_") in COLUMNS]
            history |= {name: int(last[name.removeprefix("last_")]) for name in names if name != "last_diag_1"}
            history |= {"last_early_readmission": int(last["readmitted"] == "<30"), "last_diag_1": last["diag_1"]}
        earlier.append(row)
        histories[int(row["encounter_id"])] = history
    return histories


def seen_in_training(clean: Connection) -> dict[int, dict[str, Any]]:
    """The inputs of every stay, as the view gives them to training."""
    rows = clean.run(f"SELECT encounter_id, {', '.join(INPUTS)} FROM encounters WHERE data_kind = 'real'")
    return {
        row[0]: {name: value if name in NUMBERS else str(value) for name, value in zip(INPUTS, row[1:], strict=True)}
        for row in rows
    }


def test_a_stay_in_icd_10_is_compared_with_one_in_icd_9(stores: Stores, stays: list[list[str]]) -> None:
    stores.load([changed(stays[0], diag_1="428.0")])
    stores.load([changed(stays[1], diag_1="I50.9", diag_2="I10", diag_3="?")])
    asked = encounter_of({**EXAMPLE, "patient_nbr": 7, "encounter_id": 103, "diag_1": "I11.0"})
    (known,) = earlier_stays(stores.clean, "real", [Patient("default", 7, 103)])
    assert (known.count, known.fields["last_diag_1"]) == (2, "428")
    assert inputs_of(asked.fields | known.fields)["same_diag_1_category"] == 0
    assert [seen_in_training(stores.clean)[number]["same_diag_1_category"] for number in (101, 102)] == [None, 1]


def test_with_their_numbers_alone_all_test_patients_have_the_inputs_of_training_and_of_a_history_by_hand(
    stores: Stores, diabetes_data: Path | None
) -> None:
    rows = many(diabetes_data)
    stores.load(rows)
    told, training = by_hand(rows), seen_in_training(stores.clean)
    asked: list[tuple[dict[str, str], Asked]] = []
    for row in (dict(zip(NAMES, one, strict=True)) for one in rows):
        ends = row["discharge_disposition_id"] in ENDED
        if int(row["encounter_id"]) in training and not ends and split_of(row["patient_nbr"]) == "test":
            asked.append((row, encounter_of(row)))
    known = iter(asked)
    while batch := list(islice(known, BATCH)):
        patients = [one.patient for _, one in batch]
        assert all(patients)
        for (row, encounter), stays in zip(
            batch, earlier_stays(stores.clean, "real", cast(Any, patients)), strict=True
        ):
            number = int(row["encounter_id"])
            hand_made = encounter_of({**row, **told[number]})
            assert hand_made.patient is None
            inputs = inputs_of(encounter.fields | stays.fields)
            assert inputs == inputs_of(hand_made.fields) == training[number], f"encounter {number}"
    assert len(asked) > (14_000 if diabetes_data else 200)
    assert any(history["prior_encounters"] > 2 for history in told.values())


def test_only_earlier_stays_of_the_same_site_patient_and_kind_of_data_count(
    stores: Stores, stays: list[list[str]]
) -> None:
    stores.load(stays)
    stores.load([changed(stays[0], encounter_id="90"), changed(stays[1], encounter_id="104")], site="north")
    stores.load([changed(stays[0], encounter_id="99", patient_nbr="8")])
    stores.load([changed(stays[0], encounter_id="98")], site="null")
    clean = stores.clean
    assert found(clean, *(Patient("default", 7, number) for number in (100, 101, 102, 103, 104))) == [0, 0, 1, 2, 3]
    assert found(clean, Patient("default", 7), Patient("north", 7), Patient("south", 7)) == [3, 2, 0]
    assert found(clean, Patient("null", 7), Patient("default", 7, 102)) == [1, 1]
    assert found(clean, Patient("default", 8), Patient("default", 9), Patient("default", 2**63 - 1)) == [1, 0, 0]
    assert found(clean, Patient("default", 7), kind="synthetic") == [0]


def test_a_patient_without_earlier_stays_has_the_fields_of_a_first_stay(stores: Stores, stays: list[list[str]]) -> None:
    stores.load(stays)
    (first,) = earlier_stays(stores.clean, "real", [Patient("default", 7, 101)])
    (unknown,) = earlier_stays(stores.clean, "real", [Patient("default", 9)])
    assert first.fields == unknown.fields == FIRST


def test_the_last_of_all_known_stays_is_the_newest(stores: Stores, stays: list[list[str]]) -> None:
    stores.load([changed(stays[1], encounter_id="110", time_in_hospital="9"), *stays])
    (known,) = earlier_stays(stores.clean, "real", [Patient("default", 7)])
    assert (known.count, known.fields["last_time_in_hospital"], known.fields["last_diag_1"]) == (4, 9, "250")


def test_each_patient_is_found_by_the_index_however_large_the_table(stores: Stores) -> None:
    """Also by a plan that was made before the table had statistics."""
    stores.load(list(synthetic.rows(3000, seed=5)))
    stores.clean.run(
        "INSERT INTO diabetes_clean SELECT (jsonb_populate_record(one, jsonb_build_object("
        "'encounter_id', 1000000 + number, 'patient_nbr', 1000000 + number / 2))).*"
        " FROM generate_series(1, 60000) AS number, diabetes_clean AS one"
        " WHERE one.encounter_id = (SELECT min(encounter_id) FROM diabetes_clean)"
    )
    asking = [Patient("default", 1_000_000 + number) for number in range(BATCH)]
    for prepare in ("SELECT 1", "ANALYZE diabetes_clean"):
        stores.clean.run(prepare)
        ((plan,),) = stores.clean.run(
            f"EXPLAIN (ANALYZE, FORMAT json) {module.QUERY}",
            data_kind="real",
            sites=",".join(one.site for one in asking),
            patients=[one.patient_nbr for one in asking],
            encounters=[None for _ in asking],
        )
        nodes = list(_nodes(plan if isinstance(plan, list) else json.loads(plan)))
        indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
        assert indexes == {"diabetes_clean_patient"}
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, dict):
        if "Node Type" in plan:
            yield plan
        plan = list(plan.values())
    if isinstance(plan, list):
        for part in plan:
            yield from _nodes(part)


def test_the_reader_finds_the_stays_and_its_connection_can_only_read(
    stores: Stores, stays: list[list[str]], reader: DatabaseSettings, opened: Opened
) -> None:
    stores.load(stays)
    for login in (reader, DatabaseSettings.from_environment()):  # the owner, where there is no reader's secret
        source = opened(login, 5)
        assert [one.count for one in source.read("real", [Patient("default", 7, 103)])] == [2]
        with pytest.raises(module.DatabaseError, match="25006"):
            source._connection().read(lambda clean: clean.run("DELETE FROM diabetes_clean"))
    assert stores.clean.run("SELECT count(*) FROM diabetes_clean") == [[3]]


def test_threads_that_ask_at_once_have_a_connection_each(
    stores: Stores, stays: list[list[str]], reader: DatabaseSettings, opened: Opened
) -> None:
    stores.load(stays)
    source = opened(reader, 5)

    def ask(number: int) -> int:
        return source.read("real", [Patient("default", 7, number)])[0].count

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, [101, 102, 103, 104] * 25)) == [0, 1, 2, 3] * 25


def test_a_statement_ends_at_the_limit_on_the_server_too(
    stores: Stores, reader: DatabaseSettings, opened: Opened
) -> None:
    source = opened(reader, 1)
    source.open()
    with pytest.raises(DatabaseUnavailable):
        source._connection().read(lambda clean: clean.run("SELECT pg_sleep(60)"))
    for _ in range(200):
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'"
        if stores.clean.run(running) == [[0]]:
            return
        time.sleep(0.05)
    raise AssertionError("the server still works on a statement that nobody waits for")


def test_a_connection_that_the_server_closed_is_opened_again(
    stores: Stores, system: Platform, stays: list[list[str]], reader: DatabaseSettings, opened: Opened
) -> None:
    stores.load(stays)
    source = opened(reader, 5)
    source.open()
    ((pid,),) = source._connection().read(lambda clean: clean.run("SELECT pg_backend_pid()"))
    with closing(superuser(system.settings)) as administrator:
        administrator.run("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
    assert [one.count for one in source.read("real", [Patient("default", 7)])] == [3]


def test_before_the_first_run_and_on_the_schema_of_an_earlier_release_histories_are_unavailable(
    stores: Stores, reader: DatabaseSettings, opened: Opened
) -> None:
    source = opened(reader, 5)
    stores.clean.run("ALTER TABLE diabetes_clean RENAME TO not_yet")
    try:
        with pytest.raises(DatabaseUnavailable, match="SQLSTATE 42P01"):
            source.read("real", [Patient("default", 7)])
    finally:
        stores.clean.run("ALTER TABLE not_yet RENAME TO diabetes_clean")


@pytest.fixture
def settings_of_request(reader: DatabaseSettings) -> PatientHistorySettings:
    return PatientHistorySettings(reader, 5)


@pytest.fixture
def histories_of(
    monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> Callable[[PatientHistorySettings], PatientHistories]:
    """`open_histories`, with connections that are closed after the test."""
    monkeypatch.setattr(module, "EarlierStaysInPostgres", opened)
    return partial(open_histories, logger=LOGGER)


def fill_in(histories: PatientHistories, **whose: Any) -> Any:
    asked = Asked({}, Patient("default", 7, **whose))
    asyncio.run(histories.fill_in([asked], "real"))
    return asked.history


def test_histories_are_found_unavailable_and_found_again_as_the_server_goes_and_comes(
    stores: Stores,
    stays: list[list[str]],
    settings_of_request: PatientHistorySettings,
    histories_of: Callable[[PatientHistorySettings], PatientHistories],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("readmission.serving.limited.PAUSE_SECONDS", 0.0)
    stores.load(stays)
    secret = settings_of_request.database.secret
    credentials = dict(database._credentials(secret))
    monkeypatch.setattr(database, "_credentials", CachedCredentials(credentials | {"port": 1}))
    histories = histories_of(settings_of_request)
    assert fill_in(histories)["status"] == "unavailable"
    monkeypatch.setattr(database, "_credentials", CachedCredentials(credentials))
    assert fill_in(histories, encounter_id=102) == {
        "status": "found",
        "earlier_stays": 1,
        "stays": "before the encounter",
    }
    assert credentials["password"] not in caplog.text


def test_a_secret_that_does_not_exist_makes_histories_unavailable_and_is_named_in_the_log(
    settings_of_request: PatientHistorySettings,
    histories_of: Callable[[PatientHistorySettings], PatientHistories],
    caplog: pytest.LogCaptureFixture,
) -> None:
    missing = replace(settings_of_request.database, secret="readmission/nobody")
    histories = histories_of(replace(settings_of_request, database=missing))
    assert fill_in(histories)["status"] == "unavailable"
    assert "the secret 'readmission/nobody'" in caplog.text
