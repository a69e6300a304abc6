"""Histories that a request does not give: looked up, or answered without."""

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from readmission.domain.features import PATIENT_HISTORY
from readmission.errors import ConfigurationError, DatabaseUnavailable
from readmission.serving.batch import COLUMNS
from readmission.serving.encounters import Patient
from readmission.serving.limited import PAUSE_SECONDS
from readmission.serving.patient_history import EarlierStays, PatientHistories
from readmission.serving.schemas import COMPLETE_EXAMPLE, EXAMPLE, RAW_EXAMPLE
from readmission.telemetry.metrics import HISTORY_LOOKUPS, NullMeter

from tests.unit.readmission.documents import CONTEXT, document, stump
from tests.unit.readmission.serving.fakes import LOGGER, Api, Clock

NUMBER = 87654321  # of a patient; no answer and no log may contain it
STAYS = EarlierStays(2, {name: COMPLETE_EXAMPLE[name] for name in PATIENT_HISTORY})
NONE = EarlierStays(
    0, dict.fromkeys(PATIENT_HISTORY) | {name: 0 for name in PATIENT_HISTORY if name.startswith("prior_")}
)
FOUND = {"status": "found", "earlier_stays": 2, "stays": "all known"}
UNAVAILABLE = {"status": "unavailable", "earlier_stays": None, "stays": "all known"}
# Early readmission is likely if there was one before, certain if nothing is known of earlier stays.
BY_HISTORY = document(
    {"type": "forest", "trees": [stump(0, 0.5, [0.2, 0.3, 0.5], [0.6, 0.3, 0.1], missing="r")]},
    features=["prior_early_readmissions"],
)


class FakeSource:
    """Knows the stays of one patient. Raises `problem` while it is set, and waits while `hangs` is."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked: list[tuple[str, list[Patient]]] = []
        self.opened = 0

    def open(self) -> None:
        self.opened += 1
        if self.problem:
            raise self.problem

    def read(self, data_kind: str, patients: Sequence[Patient]) -> list[EarlierStays]:
        self.asked.append((data_kind, list(patients)))
        assert self.answers.wait(60)
        if self.problem:
            raise self.problem
        return [STAYS if one.patient_nbr == NUMBER else NONE for one in patients]


class Counts(NullMeter):
    """The look-ups by outcome."""

    def __init__(self) -> None:
        self.lookups: dict[str, float] = {}

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        if name == HISTORY_LOOKUPS:
            outcome = dimensions["outcome"]
            self.lookups[outcome] = self.lookups.get(outcome, 0) + value


@pytest.fixture
def source() -> Iterator[FakeSource]:
    source = FakeSource()
    yield source
    source.answers.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def histories(source: FakeSource, clock: Clock, counts: Counts) -> PatientHistories:
    return PatientHistories(source, 30, LOGGER, counts, clock)


@pytest.fixture
def api(histories: PatientHistories) -> Api:
    return _api(histories)


def _api(histories: PatientHistories | None) -> Api:
    api = Api(histories=histories)
    api.registry.promote("1", BY_HISTORY)
    return api


def _early(answer: dict[str, Any]) -> float:
    early: float = answer["probabilities"]["<30"]
    return early


@pytest.mark.parametrize("example", [EXAMPLE, RAW_EXAMPLE], ids=["14", "raw"])
def test_the_history_of_a_patient_is_looked_up_and_used(api: Api, source: FakeSource, example: dict[str, Any]) -> None:
    answer = api.predict({**example, "patient_nbr": NUMBER}).json()
    given = _api(None).predict({**example, **STAYS.fields}).json()
    assert (answer["history"], answer["probabilities"]) == (FOUND, given["probabilities"])
    assert source.asked == [("synthetic", [Patient("default", NUMBER)])]


def test_only_stays_of_the_site_before_the_encounter_are_asked_for(api: Api, source: FakeSource) -> None:
    answer = api.predict({**EXAMPLE, "patient_nbr": NUMBER, "encounter_id": 55, "site": "north"}).json()
    assert answer["history"] == FOUND | {"stays": "before the encounter"}
    assert source.asked == [("synthetic", [Patient("north", NUMBER, 55)])]


def test_a_patient_without_earlier_stays_is_forecast_as_at_a_first_stay(api: Api) -> None:
    answer = api.predict({**EXAMPLE, "patient_nbr": 5}).json()
    assert answer["history"] == {"status": "not found", "earlier_stays": 0, "stays": "all known"}
    assert _early(answer) == _early(_api(None).predict({**EXAMPLE, **NONE.fields}).json()) == 0.2


@pytest.mark.parametrize(
    "request_fields",
    [{}, {"encounter_id": 55, "site": "north"}, {"patient_nbr": NUMBER, "prior_encounters": 1}],
    ids=["nobody", "no-number", "given"],
)
def test_nothing_is_looked_up_without_a_number_or_with_a_history(
    api: Api, source: FakeSource, request_fields: dict[str, Any]
) -> None:
    answer = api.predict({**EXAMPLE, **request_fields}).json()
    assert "history" not in answer and source.asked == []


def test_without_look_ups_a_number_changes_nothing() -> None:
    api = _api(None)
    named, unnamed = api.predict({**EXAMPLE, "patient_nbr": NUMBER}).json(), api.predict(EXAMPLE).json()
    assert named | {"request_id": ""} == unnamed | {"request_id": ""}


def test_an_explanation_says_what_the_history_adds(histories: PatientHistories) -> None:
    api = Api(histories=histories)
    rarely_if_unknown = stump(0, 0.5, [0.2, 0.3, 0.5], [0.6, 0.3, 0.1], missing="l")
    model = {"type": "forest", "trees": [rarely_if_unknown]}
    api.registry.promote("1", document(model, features=["prior_early_readmissions"], context=CONTEXT))
    body = json.dumps({**EXAMPLE, "patient_nbr": NUMBER})
    first = api.post("/predict?explain=true", body).json()["explanation"]["contributions"][0]
    assert (first["field"], first["direction"]) == ("prior_early_readmissions", "raises")


@pytest.mark.parametrize(
    "problem", [DatabaseUnavailable("database 'clean': refused"), ConfigurationError("the secret does not exist")]
)
def test_without_the_database_the_forecast_is_made_without_the_history(
    api: Api, source: FakeSource, problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    source.problem = problem
    answer = api.predict({**EXAMPLE, "patient_nbr": NUMBER})
    unnamed = _api(None).predict(EXAMPLE).json()
    assert answer.status_code == 200 and answer.json()["history"] == UNAVAILABLE
    assert answer.json()["probabilities"] == unnamed["probabilities"]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"cannot look up patients' earlier stays: {problem}"
    ]


def test_a_request_waits_for_a_database_that_hangs_no_longer_than_the_limit(
    source: FakeSource, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source.answers.clear()
    answer = _api(PatientHistories(source, 0.01, LOGGER, clock=clock)).predict({**EXAMPLE, "patient_nbr": NUMBER})
    assert answer.json()["history"] == UNAVAILABLE
    assert "cannot look up patients' earlier stays: no answer within 0.01 s" in caplog.messages


def test_an_error_of_our_own_is_not_taken_for_a_database_that_is_away(api: Api, source: FakeSource) -> None:
    source.problem = TypeError("a bug")
    assert api.predict({**EXAMPLE, "patient_nbr": NUMBER}).status_code == 500


def test_after_a_failure_one_request_at_a_time_tries_again(api: Api, source: FakeSource, clock: Clock) -> None:
    def ask() -> str:
        status: str = api.predict({**EXAMPLE, "patient_nbr": NUMBER}).json()["history"]["status"]
        return status

    source.problem = DatabaseUnavailable("away")
    assert [ask() for _ in range(3)] == ["unavailable"] * 3 and len(source.asked) == 1
    clock.now += PAUSE_SECONDS
    assert [ask() for _ in range(3)] == ["unavailable"] * 3 and len(source.asked) == 2
    source.problem = None
    clock.now += PAUSE_SECONDS - 0.1
    assert ask() == "unavailable" and len(source.asked) == 2
    clock.now += 0.1
    assert [ask() for _ in range(3)] == ["found"] * 3 and len(source.asked) == 5


def test_a_connection_is_opened_before_the_first_request_and_anew_after_a_restore(
    histories: PatientHistories, source: FakeSource
) -> None:
    histories.open()
    histories.open()
    assert source.opened == 2 and source.asked == []


def test_without_the_database_the_application_starts_and_looks_up_later(
    api: Api, histories: PatientHistories, source: FakeSource, clock: Clock
) -> None:
    source.problem = DatabaseUnavailable("away")
    histories.open()
    source.problem = None
    request = {**EXAMPLE, "patient_nbr": NUMBER}
    assert api.predict(request).json()["history"] == UNAVAILABLE
    clock.now += PAUSE_SECONDS
    assert api.predict(request).json()["history"] == FOUND


def test_look_ups_are_counted_by_outcome(api: Api, source: FakeSource, counts: Counts) -> None:
    rows = [{**EXAMPLE, "patient_nbr": number} for number in (NUMBER, 5, 6)]
    api.post("/predict/batch", json.dumps({"encounters": [*rows, EXAMPLE]}))
    source.problem = DatabaseUnavailable("away")
    api.predict(rows[0])
    assert counts.lookups == {"found": 1, "not_found": 2, "unavailable": 1}


ROWS = [
    {**EXAMPLE, "patient_nbr": NUMBER},
    {**EXAMPLE, "time_in_hospital": 400, "patient_nbr": 6},
    EXAMPLE,
    {**RAW_EXAMPLE, "patient_nbr": "5", "encounter_id": "9", "site": "north"},
    {**EXAMPLE, "patient_nbr": 7, "prior_encounters": 1},
]


def test_a_batch_asks_once_for_all_its_patients(api: Api, source: FakeSource) -> None:
    answer = api.post("/predict/batch", json.dumps({"encounters": ROWS})).json()
    assert source.asked == [("synthetic", [Patient("default", NUMBER), Patient("north", 5, 9)])]
    assert [one.get("prediction", {}).get("history") for one in answer["predictions"]] == [
        FOUND,
        None,
        None,
        {"status": "not found", "earlier_stays": 0, "stays": "before the encounter"},
        None,
    ]
    assert [_early(one["prediction"]) for one in answer["predictions"] if "prediction" in one] == [0.6, 0.6, 0.2, 0.6]


def test_a_batch_is_answered_without_the_database(api: Api, source: FakeSource) -> None:
    source.problem = DatabaseUnavailable("away")
    answer = api.post("/predict/batch", json.dumps({"encounters": ROWS[:1]})).json()
    assert answer["answered"] == 1 and answer["predictions"][0]["prediction"]["history"] == UNAVAILABLE


def test_a_csv_says_what_was_found_in_two_columns_at_its_end(api: Api) -> None:
    names = [*EXAMPLE, "patient_nbr"]
    values = ",".join(map(str, EXAMPLE.values()))
    text = "\n".join([",".join(names), *(f"{values},{number}" for number in (NUMBER, 5, "", "x"))])
    lines = api.post("/predict/batch", text, "text/csv").text.splitlines()
    assert lines[0] == ",".join([*COLUMNS, "history", "earlier_stays"])
    assert [line.rsplit(",", 2)[1:] for line in lines[1:]] == [["found", "2"], ["not found", "0"], ["", ""], ["", ""]]


def test_without_look_ups_a_csv_has_its_columns_of_before() -> None:
    text = ",".join([*EXAMPLE, "patient_nbr"]) + "\n" + ",".join(map(str, [*EXAMPLE.values(), NUMBER]))
    answer = _api(None).post("/predict/batch", text, "text/csv")
    assert answer.text.splitlines()[0] == ",".join(COLUMNS)


@pytest.mark.parametrize("problem", [None, DatabaseUnavailable("away"), TypeError("a bug")])
def test_the_number_is_in_no_answer_and_no_log(
    api: Api, source: FakeSource, problem: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source.problem = problem
    request = {**EXAMPLE, "patient_nbr": NUMBER}
    invalid = {**request, "encounter_id": f"x{NUMBER}"}
    answers = [
        api.predict(request),
        api.predict(invalid),
        api.post("/predict/batch", json.dumps({"encounters": [request, invalid]})),
    ]
    assert all(str(NUMBER) not in text for text in [caplog.text, *(answer.text for answer in answers)])
