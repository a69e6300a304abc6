from collections.abc import Iterator

import pytest
from readmission.client import ApiProblem, Client, RowProblem

from tests.unit.ui.fakes import Gateway, serving
from ui.services import scoring
from ui.services.uploads import Upload


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def url(gateway: Gateway) -> Iterator[str]:
    with serving(gateway.answer) as url:
        yield url


def explain(problem: RowProblem) -> list[str]:
    return [f"{error['field']}: {error['message']}" for error in problem["errors"]]


def upload(rows: int) -> Upload:
    return Upload(["risk", "note"], [[str(number / 10_000), "a, b"] for number in range(rows)])


def test_identifiers_are_kept_if_the_file_has_them() -> None:
    read = Upload(["patient_nbr", "risk"], [["7", "0.1"], []])
    assert scoring.identifiers(read) == {"patient_nbr": ["7", ""]}


def test_a_formula_in_an_identifier_becomes_text() -> None:
    read = Upload(["encounter_id", "risk"], [["=cmd|' /C calc'!A0", "0.1"], ["-7", "0.1"]])
    assert scoring.identifiers(read) == {"encounter_id": ["'=cmd|' /C calc'!A0", "-7"]}


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1]), (1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])])
def test_a_file_is_split_into_requests_with_a_header_each(rows: int, sizes: list[int]) -> None:
    pieces = list(scoring.pieces(upload(rows)))
    assert [piece.count("\n") - 1 for piece in pieces] == sizes
    assert all(piece.startswith("risk,note\n") for piece in pieces)
    assert "".join(piece.removeprefix("risk,note\n") for piece in pieces) == "".join(
        f'{number / 10_000},"a, b"\n' for number in range(rows)
    )


def test_a_request_stays_below_the_apis_size_limit() -> None:
    long = Upload(["risk", "note"], [["0.1", "x" * 10_000]] * 1000)
    pieces = list(scoring.pieces(long))
    assert len(pieces) > 3 and max(map(len, pieces)) < 3 * 1024 * 1024
    assert sum(piece.count("\n") - 1 for piece in pieces) == 1000


def test_results_are_in_the_files_order(gateway: Gateway, url: str) -> None:
    done: list[int] = []
    scores = scoring.score(upload(9500), lambda: Client(url), done.append, explain)
    assert scores.row == list(range(1, 9501))
    assert scores.risk == [number / 10_000 for number in range(9500)]
    assert (done[-1], sorted(gateway.batches)) == (9500, [500, *[1000] * 9])


def test_an_invalid_row_has_its_reason_and_does_not_affect_the_others(url: str) -> None:
    rows = [["0.2", "x"], ["", "x"], ["0.3", "x"]]
    scores = scoring.score(Upload(["risk", "a"], rows), lambda: Client(url), print, explain)
    assert scores.risk == [0.2, None, 0.3] and scores.error == ["", "risk: is required", ""]


def test_rows_are_counted_by_what_is_wrong_with_them(url: str) -> None:
    rows = [["0.2", "x"], ["", "x"], ["0.3", "x"], ["", "x"]]
    scores = scoring.score(Upload(["risk", "a"], rows), lambda: Client(url), print, explain)
    assert scores.faults == {"risk: is required": [2, 4]}


def test_a_failed_request_ends_the_scoring(gateway: Gateway, url: str) -> None:
    gateway.problem = (422, "the header cannot be used")
    with pytest.raises(ApiProblem, match="header"):
        scoring.score(upload(20_000), lambda: Client(url), print, explain)


def test_each_row_knows_the_request_that_it_was_sent_with(url: str) -> None:
    scores = scoring.score(upload(1500), lambda: Client(url), print, explain)
    assert (scores.index[0], scores.index[999], scores.index[1000]) == (0, 999, 0)
    assert all(scores.request) and len(scores.request) == 1500
