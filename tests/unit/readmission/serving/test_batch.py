"""Many encounters in one request."""

import csv
import io
import json
from typing import Any

import httpx
import pytest
from readmission.domain.features import FEATURES
from readmission.http.bodies import MAX_BATCH_BYTES
from readmission.serving.api import MAX_BODY_BYTES
from readmission.serving.schemas import COMPLETE_EXAMPLE, EXAMPLE, IGNORED, RAW_EXAMPLE

from tests.unit.readmission.builders import archive
from tests.unit.readmission.documents import document, numbers, stump
from tests.unit.readmission.serving.fakes import Api, serving, with_quantiles

SECRET = "87654321"  # a value that no answer may hold


@pytest.fixture
def api() -> Api:
    """Its model answers <30 from the 40th lab test on, and NO below."""
    api = Api()
    tree = stump(list(FEATURES).index("num_lab_procedures"), 39.5, [0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    api.registry.promote("1", document({"type": "forest", "trees": [tree]}, features=FEATURES))
    return with_quantiles(api, *(n / 100 for n in range(101)))


def _post(api: Api, *encounters: Any, **headers: str) -> httpx.Response:
    return api.post("/predict/batch", json.dumps({"encounters": encounters}), **headers)


def _post_csv(api: Api, text: str | bytes, **headers: str) -> httpx.Response:
    return api.post("/predict/batch", text, "text/csv", **headers)


def _csv(*rows: dict[str, Any], **dialect: Any) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


def _errors(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


def test_each_encounter_is_answered_in_order_as_if_it_were_alone(api: Api) -> None:
    encounters = [EXAMPLE, {**EXAMPLE, "num_lab_procedures": 1}, COMPLETE_EXAMPLE, RAW_EXAMPLE]
    answer = _post(api, *encounters).json()
    assert [row["index"] for row in answer["predictions"]] == [0, 1, 2, 3]
    assert [row["prediction"]["readmitted"] for row in answer["predictions"]] == ["<30", "NO", "<30", "<30"]
    for encounter, row in zip(encounters, answer["predictions"], strict=True):
        assert row["prediction"].items() <= api.predict(encounter).json().items()


def test_a_batch_has_the_model_and_the_counts_once(api: Api) -> None:
    answer = _post(api, EXAMPLE, {})
    assert {name: value for name, value in answer.json().items() if name != "predictions"} == {
        "model_name": "readmission",
        "model_version": "1",
        "data_kind": "synthetic",
        "request_id": answer.headers["x-request-id"],
        "answered": 1,
        "refused": 1,
    }


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({**EXAMPLE, "age_numeric": SECRET}, "age_numeric"),
        ({**EXAMPLE, "prior_encounters": 0, "prior_early_readmissions": 1}, "prior_early_readmissions"),
        ({**RAW_EXAMPLE, "age": SECRET}, "age"),
        ({**RAW_EXAMPLE, "ward": SECRET}, "ward"),
        ({**EXAMPLE, "age": SECRET}, "age"),
        (SECRET, "encounter"),
        ([SECRET], "encounter"),
        (None, "encounter"),
    ],
)
def test_an_invalid_row_does_not_affect_the_others(api: Api, wrong: Any, field: str) -> None:
    answer = _post(api, EXAMPLE, wrong, EXAMPLE)
    first, second, third = answer.json()["predictions"]
    assert "prediction" in first and "prediction" in third
    assert second.keys() == {"index", "problem"}
    assert field in [error["field"] for error in second["problem"]["errors"]]
    assert SECRET not in answer.text


@pytest.mark.parametrize("number", ["NaN", "1e400", "9" * 10_000])
def test_a_number_that_is_not_finite_does_not_affect_other_rows(api: Api, number: str) -> None:
    body = json.dumps({"encounters": [EXAMPLE, EXAMPLE]}).replace(": 55", f": {number}", 1)
    first, second = api.post("/predict/batch", body).json()["predictions"]
    assert first["problem"]["errors"][0]["field"] == "age_numeric" and "prediction" in second


def test_a_row_that_the_model_cannot_score_does_not_affect_other_rows() -> None:
    api = Api()
    line = {"mean": [0], "scale": [1], "coefficients": [[0]] * 3, "intercepts": [0] * 3}
    api.registry.promote("1", document({"type": "linear", **line}, inputs=numbers("prior_encounters")))
    answer = _post(api, EXAMPLE, COMPLETE_EXAMPLE).json()["predictions"]
    assert "no value for a missing number" in answer[0]["problem"]["detail"] and "prediction" in answer[1]
    assert api.predict(EXAMPLE).status_code == 503


def test_a_thousand_encounters_are_accepted_and_more_refused(api: Api) -> None:
    assert _post(api, *[COMPLETE_EXAMPLE] * 1000).json()["answered"] == 1000
    assert "1000" in _errors(_post(api, *[EXAMPLE] * 1001))["encounters"]
    assert len(_rows(_post_csv(api, _csv(*[EXAMPLE] * 1000)))) == 1000
    assert "1000" in _errors(_post_csv(api, _csv(*[EXAMPLE] * 1001)))["encounters"]


@pytest.mark.parametrize("character", ["x", '"', "\\", "\x01", "é", "\N{GRINNING FACE}"])
def test_the_answer_to_a_thousand_invalid_rows_fits_lambdas_limit(api: Api, character: str) -> None:
    wrong = {f"{n:02}{character * 62}": 1 for n in range(40)}
    for encounter in (wrong, dict.fromkeys(RAW_EXAMPLE, "")):
        row = json.dumps(encounter, ensure_ascii=False).encode()
        rows = [row] * min(1000, MAX_BATCH_BYTES // (len(row) + 1) - 1)
        answer = api.post("/predict/batch", b'{"encounters": [' + b",".join(rows) + b"]}")
        assert answer.json()["refused"] == len(rows)
        # Lambda takes the body as text in JSON.
        assert len(json.dumps({"body": answer.text})) < 5_000_000


def test_an_empty_batch_has_an_empty_answer(api: Api) -> None:
    assert _post(api).json()["predictions"] == []
    assert _rows(_post_csv(api, ",".join(EXAMPLE))) == []


def test_a_batch_has_a_larger_limit_than_a_single_encounter(api: Api) -> None:
    body = json.dumps({"encounters": [EXAMPLE]})
    assert MAX_BATCH_BYTES > MAX_BODY_BYTES
    assert api.post("/predict/batch", body.ljust(MAX_BATCH_BYTES)).status_code == 200
    answer = api.post("/predict/batch", body.ljust(MAX_BATCH_BYTES + 1))
    assert answer.status_code == 413 and str(MAX_BATCH_BYTES) in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", ["[]", "null", "{}", '{"encounters": {}}', '{"encounters": null}', json.dumps(EXAMPLE)]
)
def test_a_batch_without_a_list_of_encounters_is_refused(api: Api, body: str) -> None:
    assert list(_errors(api.post("/predict/batch", body))) == ["encounters"]


def test_an_unknown_field_of_a_batch_is_named(api: Api) -> None:
    assert list(_errors(api.post("/predict/batch", '{"encounters": [], "threshold": 1}'))) == ["threshold"]


def test_without_a_model_a_batch_is_503_with_the_reason() -> None:
    answer = _post(Api(), EXAMPLE)
    assert (answer.status_code, answer.json()["detail"]) == (503, "No version is in Production yet")


@pytest.mark.parametrize("example", [EXAMPLE, COMPLETE_EXAMPLE, RAW_EXAMPLE], ids=["14", "whole", "raw"])
def test_csv_gets_the_same_forecasts_as_json(api: Api, example: dict[str, Any]) -> None:
    (row,) = _rows(_post_csv(api, _csv(example)))
    alone = api.predict(example).json()
    assert row == {
        "row": "1",
        "readmitted": alone["readmitted"],
        "probability_NO": str(alone["probabilities"]["NO"]),
        "probability_>30": str(alone["probabilities"][">30"]),
        "probability_<30": str(alone["probabilities"]["<30"]),
        "early_risk": str(alone["early_risk"]["probability"]),
        "band": alone["early_risk"]["band"],
        "percentile": str(alone["early_risk"]["percentile"]),
        "error": "",
    }


def test_a_row_of_the_uci_file_is_accepted_unchanged(api: Api) -> None:
    row = {**dict.fromkeys(IGNORED, "1"), **RAW_EXAMPLE, "medical_specialty": "?", "weight": "?"}
    assert _rows(_post_csv(api, _csv(row)))[0]["readmitted"] == "<30"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeff" + _csv(EXAMPLE), id="byte-order-mark"),
        pytest.param(_csv(EXAMPLE, quoting=csv.QUOTE_ALL), id="quoted"),
        pytest.param(_csv(EXAMPLE, lineterminator="\n").rstrip(), id="no-end-of-line"),
        pytest.param(_csv(EXAMPLE) + "\r\n\r\n", id="empty-lines"),
        pytest.param(_csv({**COMPLETE_EXAMPLE, "medical_specialty": 'Surgery, "general"\n'}), id="comma-and-line-end"),
        pytest.param(_csv(dict(reversed(EXAMPLE.items()))), id="another-order"),
        pytest.param(_csv({**EXAMPLE, "prior_encounters": "", "diag_1": ""}), id="empty-cells"),
    ],
)
def test_csv_variants_of_spreadsheets_are_accepted(api: Api, text: str) -> None:
    assert [row["error"] for row in _rows(_post_csv(api, text))] == [""]


@pytest.mark.parametrize("example", [EXAMPLE, RAW_EXAMPLE], ids=["prepared", "raw"])
def test_each_row_of_a_csv_can_state_the_version_of_its_diagnoses(api: Api, example: dict[str, Any]) -> None:
    codes = {**dict.fromkeys(("diag_2", "diag_3"), ""), "diag_1": "I50.9"}
    rows = [{**example, **codes, "diag_version": version} for version in ("icd10", "", "icd9", "ICD-10")]
    errors = [row["error"] for row in _rows(_post_csv(api, _csv(*rows)))]
    assert errors == [
        "",
        "",
        "diag_1: is not an ICD-9-CM code, although diag_version is icd9",
        "diag_version: must be one of icd10, icd9, as text",
    ]


def test_an_invalid_row_of_a_csv_has_its_error_and_does_not_affect_the_others(api: Api) -> None:
    text = _csv(EXAMPLE, {**EXAMPLE, "age_numeric": SECRET}, EXAMPLE | {"num_procedures": ""}) + "1,2\n" + "3," * 13
    rows = _rows(_post_csv(api, text))
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["error"].partition(":")[0] for row in rows[:4]] == ["", "age_numeric", "num_procedures", "encounter"]
    assert rows[1]["readmitted"] == "" and SECRET not in str(rows)


def test_fractions_in_a_csv_are_refused(api: Api) -> None:
    assert "age_numeric" in _rows(_post_csv(api, _csv({**EXAMPLE, "age_numeric": "55.0"})))[0]["error"]


def test_missing_unknown_and_repeated_columns_are_named_once(api: Api) -> None:
    header = [name for name in EXAMPLE if name != "age_numeric"] + ["ward", "num_procedures"]
    assert list(_errors(_post_csv(api, ",".join(header)))) == ["ward", "num_procedures", "age_numeric"]


def test_too_many_columns_are_refused(api: Api) -> None:
    assert "too many columns" in _errors(_post_csv(api, ",".join(EXAMPLE) + "," * 1_000_000))["body"]


def test_columns_of_both_formats_are_named(api: Api) -> None:
    assert set(_errors(_post_csv(api, "age,age_numeric"))) == {"age", "age_numeric"}


@pytest.mark.parametrize("text", ["", f"{SECRET},1,2", '"', f'"{SECRET}', 'age_numeric\n"x"y', "a\0b"])
def test_an_invalid_csv_is_refused_and_not_repeated(api: Api, text: str) -> None:
    answer = _post_csv(api, text)
    assert _errors(answer) and SECRET not in answer.text


def test_a_csv_that_is_not_utf_8_is_refused(api: Api) -> None:
    assert "UTF-8" in _errors(_post_csv(api, _csv(EXAMPLE).encode() + b"\xff"))["body"]


def test_an_error_cannot_be_a_spreadsheet_formula(api: Api) -> None:
    (row,) = _rows(_post(api, {**EXAMPLE, "=cmd()": 1}, Accept="text/csv"))
    assert row["error"].startswith("'=cmd()")


@pytest.mark.parametrize(
    ("accept", "of_json", "of_csv"),
    [
        ("*/*", "application/json", "text/csv"),
        ("", "application/json", "text/csv"),
        ("text/csv", "text/csv", "text/csv"),
        ("application/json", "application/json", "application/json"),
        ("text/*, application/json;q=0.5", "text/csv", "text/csv"),
        ("text/csv;q=0.2, application/json;q=0.7", "application/json", "application/json"),
        ("text/csv;q=0, */*", "application/json", "application/json"),
        ("TEXT/CSV; charset=utf-8", "text/csv", "text/csv"),
        ("image/png", "application/json", "text/csv"),
        ("text/csv;q=x, */*;q=", "application/json", "text/csv"),
    ],
)
def test_the_answer_has_the_accepted_type_or_else_that_of_the_body(
    api: Api, accept: str, of_json: str, of_csv: str
) -> None:
    for answer, wanted in (
        (_post(api, EXAMPLE, Accept=accept), of_json),
        (_post_csv(api, _csv(EXAMPLE), Accept=accept), of_csv),
    ):
        assert answer.headers["Content-Type"].partition(";")[0] == wanted


def test_bands_and_percentiles_are_empty_if_the_model_lacks_them() -> None:
    (row,) = _rows(_post_csv(serving(0.1, 0.2, 0.7), _csv(EXAMPLE)))
    assert (row["early_risk"], row["band"], row["percentile"], row["error"]) == ("0.1", "", "", "")


@pytest.mark.parametrize("name", ["max_glu_serum", "A1Cresult"])
def test_an_empty_test_result_means_not_measured(api: Api, name: str) -> None:
    (expected, empty, missing) = _post(api, RAW_EXAMPLE, {**RAW_EXAMPLE, name: ""}, {**RAW_EXAMPLE, name: None}).json()[
        "predictions"
    ]
    assert expected["prediction"] == empty["prediction"] == missing["prediction"]
    (row,) = _rows(_post_csv(api, _csv({**RAW_EXAMPLE, name: ""})))
    assert (row["error"], float(row["early_risk"])) == ("", expected["prediction"]["early_risk"]["probability"])


def test_a_test_result_that_is_left_out_is_still_required(api: Api) -> None:
    (row,) = _post(api, {name: value for name, value in RAW_EXAMPLE.items() if name != "A1Cresult"}).json()[
        "predictions"
    ]
    assert [error["code"] for error in row["problem"]["errors"]] == ["required"]


def test_a_first_column_without_a_name_is_ignored(api: Api) -> None:
    plain = _rows(_post_csv(api, _csv(RAW_EXAMPLE, RAW_EXAMPLE)))
    assert _rows(_post_csv(api, _csv({"": 0, **RAW_EXAMPLE}, {"": 1, **RAW_EXAMPLE}))) == plain


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
            "looks like Excel, not CSV; save it as CSV UTF-8 (comma delimited)",
            "not_csv",
        ),
        (
            archive({"docProps/app.xml": b"", "[Content_Types].xml": b"", "xl/workbook.xml": b""}),
            "looks like Excel, not CSV; save it as CSV UTF-8 (comma delimited)",
            "not_csv",
        ),
        (archive({"data.csv": b"a,b"}), "looks like ZIP, not CSV; save it as CSV UTF-8 (comma delimited)", "not_csv"),
        (
            _csv(RAW_EXAMPLE).encode("utf-16"),
            "is in UTF-16, not UTF-8; save it as CSV UTF-8 (comma delimited)",
            "not_csv",
        ),
        (
            _csv({**RAW_EXAMPLE, "medical_specialty": "Zo\xeb"}).encode("cp1252"),
            "is not UTF-8 but another encoding, probably Windows-1252; save it as CSV UTF-8 (comma delimited)",
            "not_utf8",
        ),
        (
            _csv(RAW_EXAMPLE, delimiter=";").encode(),
            "has columns separated by semicolons, not commas; save it as CSV UTF-8 (comma delimited)",
            "wrong_separator",
        ),
        (
            _csv(EXAMPLE, delimiter="\t").encode(),
            "has columns separated by tabs, not commas; save it as CSV UTF-8 (comma delimited)",
            "wrong_separator",
        ),
    ],
    ids=["xls", "xlsx", "zip", "utf-16", "cp1252", "semicolons", "tabs"],
)
def test_a_file_of_another_format_is_named_with_what_to_do(api: Api, body: bytes, message: str, code: str) -> None:
    answer = _post_csv(api, body)
    assert _errors(answer) == {"body": message}
    assert [error["code"] for error in answer.json()["errors"]] == [code]
