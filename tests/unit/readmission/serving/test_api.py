"""The API as its clients see it."""

import json
from typing import Any

import pytest
from readmission.domain.features import FEATURES
from readmission.serving.api import MAX_BODY_BYTES
from readmission.serving.schemas import EXAMPLE, RAW_EXAMPLE

from tests.unit.readmission.documents import CONTEXT, constant, document, stump
from tests.unit.readmission.serving.fakes import REFRESH_SECONDS, Api, serving, with_quantiles

# The body of the original project's curl command, letter for letter.
ORIGINAL = """{
  "age_numeric": 55, "time_in_hospital": 3, "num_lab_procedures": 45, "num_procedures": 1,
  "num_medications": 15, "number_outpatient": 0, "number_emergency": 0, "number_inpatient": 0,
  "number_diagnoses": 9, "max_glu_serum_encoded": 0, "a1cresult_encoded": 0,
  "change_encoded": 1, "diabetesmed_encoded": 1, "num_diabetes_meds": 2 }"""
SECRET = 87654321  # a value that no answer may contain


@pytest.fixture
def api() -> Api:
    return serving(0.1, 0.2, 0.7)


@pytest.fixture
def empty() -> Api:
    """An API that has never seen a model."""
    return Api()


def test_the_original_projects_request_is_answered(api: Api) -> None:
    answer = api.post("/predict", ORIGINAL)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "readmitted": "NO",
            "probabilities": {"<30": 0.1, ">30": 0.2, "NO": 0.7},
            "early_risk": {"probability": 0.1, "band": None, "percentile": None},
            "model_name": "readmission",
            "model_version": "1",
            "data_kind": "synthetic",
            "request_id": answer.headers["x-request-id"],
        },
    )


@pytest.mark.parametrize(
    ("shares", "name"), [((0.5, 0.3, 0.2), "<30"), ((0.3, 0.5, 0.2), ">30"), ((0.2, 0.3, 0.5), "NO")]
)
def test_the_most_probable_class_is_the_forecast(shares: tuple[float, ...], name: str) -> None:
    assert serving(*shares).predict(EXAMPLE).json()["readmitted"] == name


@pytest.mark.parametrize(
    ("share", "percentile", "band"),
    [
        (0.1, 10.0, "low"),
        (0.6, 60.0, "moderate"),
        (0.85, 85.0, "high"),
        (0.9, 90.0, "very high"),
        (1.0, 100.0, "very high"),
    ],
)
def test_the_early_risk_has_its_percentile_among_the_training_patients(
    share: float, percentile: float, band: str
) -> None:
    api = with_quantiles(serving(share, 0.0, 1 - share), *(n / 100 for n in range(101)))
    risk = api.predict(EXAMPLE).json()["early_risk"]
    assert risk == {"probability": pytest.approx(share), "percentile": percentile, "band": band}


def test_a_raw_encounter_gets_the_same_forecast_as_its_features(api: Api) -> None:
    raw, encoded = api.predict(RAW_EXAMPLE).json(), api.predict(EXAMPLE).json()
    assert raw | {"request_id": ""} == encoded | {"request_id": ""}


@pytest.mark.parametrize("name", FEATURES)
def test_each_field_reaches_the_model_as_the_feature_of_its_name(name: str) -> None:
    api = Api()
    features = list(reversed(FEATURES))
    tree = stump(features.index(name), FEATURES[name].high - 0.5, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    api.registry.promote("1", document({"type": "forest", "trees": [tree]}, features=features))
    low = {other: rule.low for other, rule in FEATURES.items()}
    assert api.predict(low).json()["readmitted"] == "<30"
    assert api.predict({**low, name: FEATURES[name].high}).json()["readmitted"] == ">30"


@pytest.mark.parametrize("end", ["low", "high"])
def test_both_ends_of_every_range_are_accepted(api: Api, end: str) -> None:
    assert api.predict({name: getattr(rule, end) for name, rule in FEATURES.items()}).status_code == 200


def _fields(answer: Any) -> list[str]:
    assert answer.status_code == 422
    return [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("name", FEATURES)
def test_a_missing_field_is_named(api: Api, name: str) -> None:
    assert _fields(api.predict({key: value for key, value in EXAMPLE.items() if key != name})) == [name]


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(-1, id="below"),
        pytest.param(SECRET, id="above"),
        pytest.param(0.5, id="fraction"),
        pytest.param(f"x{SECRET}", id="text"),
        pytest.param("", id="empty-text"),
        pytest.param(None, id="null"),
        pytest.param([SECRET], id="list"),
        pytest.param({"x": SECRET}, id="object"),
        pytest.param(10**400, id="endless"),
    ],
)
def test_an_invalid_field_is_named_and_its_value_is_not_repeated(api: Api, name: str, value: Any) -> None:
    answer = api.predict({**EXAMPLE, name: value})
    assert _fields(answer) == [name]
    assert str(SECRET) not in answer.text
    assert answer.json()["errors"][0].keys() == {"field", "message", "code", "params"}


def test_an_unknown_field_is_named_and_its_value_is_not_repeated(api: Api) -> None:
    answer = api.predict({**EXAMPLE, "social_security_number": SECRET})
    assert _fields(answer) == ["social_security_number"]
    assert str(SECRET) not in answer.text


@pytest.mark.parametrize(
    ("wrong", "code", "params"),
    [
        ({"time_in_hospital": 400}, "integer_range", {"low": 0, "high": 365}),
        ({"insulin": "Sometimes"}, "one_of", {"values": ["Down", "No", "Steady", "Up"]}),
        ({"medical_specialty": ""}, "text_length", {"longest": 80}),
        ({"diag_1": "abc"}, "diagnosis_code", None),
        ({"ward": 3}, "unknown_field", None),
        ({"discharge_disposition_id": 11}, "patient_died", None),
        ({"discharge_disposition_id": 13}, "patient_in_hospice", None),
    ],
)
def test_a_message_can_be_translated_by_its_code_and_parameters(
    api: Api, wrong: dict[str, Any], code: str, params: dict[str, Any] | None
) -> None:
    (error,) = api.predict({**EXAMPLE, **wrong}).json()["errors"]
    assert (error["code"], error.get("params")) == (code, params)


def test_all_errors_of_a_request_are_listed(api: Api) -> None:
    wrong = {**EXAMPLE, "age_numeric": -1, "time_in_hospital": "x", "ward": 3}
    del wrong["num_procedures"]
    assert sorted(_fields(api.predict(wrong))) == [
        "age_numeric",
        "num_procedures",
        "time_in_hospital",
        "ward",
    ]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_a_number_that_is_not_finite_is_refused_by_field(api: Api, number: str) -> None:
    answer = api.post("/predict", ORIGINAL.replace('"age_numeric": 55', f'"age_numeric": {number}'))
    assert _fields(answer) == ["age_numeric"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut-off"),
        pytest.param(b"age_numeric=55", id="form"),
        pytest.param(b"{'age_numeric': 55}", id="single-quotes"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"[" + ORIGINAL.encode() + b"]", id="array-of-one"),
        pytest.param(b"null", id="null"),
        pytest.param(b"55", id="number"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b'{"age_numeric": "\xff\xfe"}', id="not-utf-8"),
        pytest.param(b"\x00\x01\x02", id="binary"),
        pytest.param(b"\xff\xfe{", id="half-utf-16"),
        pytest.param(b"[" * 60_000, id="deep-nesting"),
        pytest.param(b'{"age_numeric": ' + b"9" * 10_000 + b"}", id="endless-number"),
        pytest.param(b'{"age_numeric": "\\ud800"}', id="lone-surrogate"),
        pytest.param(b'{"\\ud800": 1}', id="lone-surrogate-as-name"),
    ],
)
def test_an_invalid_body_is_a_client_error(api: Api, content: bytes) -> None:
    answer = api.post("/predict", content)
    assert 400 <= answer.status_code < 500
    assert "detail" in answer.json()


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", ""])
def test_a_body_of_another_content_type_is_a_client_error(api: Api, content_type: str) -> None:
    assert api.post("/predict", ORIGINAL, content_type).status_code == 415


def test_a_content_type_with_a_charset_is_accepted(api: Api) -> None:
    assert api.post("/predict", ORIGINAL, "application/json; charset=utf-8").status_code == 200


def test_a_body_of_the_maximum_size_is_accepted(api: Api) -> None:
    assert api.post("/predict", ORIGINAL.ljust(MAX_BODY_BYTES)).status_code == 200


def test_a_larger_body_is_refused_with_the_limit(api: Api) -> None:
    answer = api.post("/predict", ORIGINAL.ljust(MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["detail"]) == (413, f"The body is larger than {MAX_BODY_BYTES} bytes")


def test_a_larger_body_is_refused_whatever_its_content_length(api: Api) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": "10"}
    answer = api.request("POST", "/predict", content=ORIGINAL.ljust(10 * MAX_BODY_BYTES), headers=headers)
    assert answer.status_code == 413


def test_a_chunked_body_is_accepted(api: Api) -> None:
    async def pieces() -> Any:
        for start in range(0, len(ORIGINAL), 50):
            yield ORIGINAL[start : start + 50].encode()

    answer = api.request("POST", "/predict", content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


def test_an_endless_chunked_body_is_refused_before_its_end(api: Api) -> None:
    sent = 0

    async def pieces() -> Any:
        nonlocal sent
        for _ in range(1_000):
            sent += 1024
            yield b" " * 1024

    answer = api.request("POST", "/predict", content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert sent <= MAX_BODY_BYTES + 1024


@pytest.mark.parametrize(("method", "path"), [("GET", "/health"), ("POST", "/reload-model")])
def test_without_a_model_the_answer_is_503_with_the_reason(empty: Api, method: str, path: str) -> None:
    answer = empty.request(method, path)
    assert (answer.status_code, answer.json()["detail"]) == (503, "No version is in Production yet")


def test_without_a_model_a_prediction_is_503_with_the_reason(empty: Api) -> None:
    answer = empty.predict(EXAMPLE)
    assert (answer.status_code, answer.json()["detail"]) == (503, "No version is in Production yet")


def test_without_a_model_an_invalid_request_is_still_a_client_error(empty: Api) -> None:
    assert empty.predict({}).status_code == 422


def test_health_has_the_version(api: Api) -> None:
    answer = api.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "model_version": "1"})


def test_the_first_model_is_served_as_soon_as_there_is_one(empty: Api) -> None:
    assert empty.get("/health").status_code == 503
    empty.registry.promote("1", constant(0.1, 0.2, 0.7))
    empty.clock.now += 1
    assert empty.predict(EXAMPLE).json()["model_version"] == "1"


def test_a_promotion_is_picked_up_after_the_refresh_interval(api: Api) -> None:
    assert api.predict(EXAMPLE).json()["model_version"] == "1"
    api.registry.promote("2", constant(0.7, 0.2, 0.1))
    api.clock.now += REFRESH_SECONDS - 0.1
    assert api.predict(EXAMPLE).json()["model_version"] == "1"
    api.clock.now += 0.1
    answer = api.predict(EXAMPLE).json()
    assert (answer["model_version"], answer["readmitted"]) == ("2", "<30")


def test_the_registry_is_not_polled_for_every_prediction(api: Api) -> None:
    for _ in range(5):
        api.predict(EXAMPLE)
    assert api.registry.polls == 1


def test_predictions_continue_while_the_registry_is_down(api: Api) -> None:
    api.predict(EXAMPLE)
    api.registry.problem = "MLflow cannot be reached"
    api.clock.now += REFRESH_SECONDS
    assert api.predict(EXAMPLE).json()["model_version"] == "1"


def test_a_reload_picks_up_a_promotion_and_answers_both_versions(api: Api) -> None:
    api.get("/health")
    api.registry.promote("2", constant(0.7, 0.2, 0.1))
    answer = api.post("/reload-model")
    assert (answer.status_code, answer.json()) == (200, {"model_version": "2", "previous_version": "1"})
    assert api.predict(EXAMPLE).json()["model_version"] == "2"


def test_the_first_reload_has_no_previous_version(api: Api) -> None:
    assert api.post("/reload-model").json() == {"model_version": "1", "previous_version": None}


def test_a_failed_reload_is_503_with_the_reason_and_predictions_continue(api: Api) -> None:
    api.get("/health")
    api.registry.promote("2", b"<html>")
    answer = api.post("/reload-model")
    assert answer.status_code == 503
    assert "not valid JSON" in answer.json()["detail"]
    assert api.predict(EXAMPLE).json()["model_version"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("POST", "/predict/", 404),
        ("GET", "/predict", 405),
        ("GET", "/reload-model", 405),
    ],
)
def test_an_unknown_path_or_method_is_a_client_error(api: Api, method: str, path: str, status: int) -> None:
    answer = api.request(method, path)
    assert answer.status_code == status
    assert "detail" in answer.json()


def test_an_answer_is_json_of_finite_numbers(api: Api) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(api.predict(EXAMPLE).content, parse_constant=refuse)


def _explained(api: Api, asked: str) -> Any:
    return api.post(f"/predict?explain={asked}", ORIGINAL)


def test_a_prediction_is_explained_on_request() -> None:
    api = Api()
    age = stump(0, 50, [0.2, 0.2, 0.6], [0.5, 0.2, 0.3])
    reference = {**CONTEXT, "reference": {**CONTEXT["reference"], "age_numeric": 40}}
    api.registry.promote("1", document({"type": "forest", "trees": [age]}, features=FEATURES, context=reference))
    answer = _explained(api, "true").json()
    assert (answer["readmitted"], answer["explanation"]["score"]) == ("<30", 0)
    assert answer["explanation"]["base_score"] == pytest.approx(-1.386294, abs=1e-6)
    contributions = answer["explanation"]["contributions"]
    assert contributions[0] == {
        "field": "age_numeric",
        "contribution": pytest.approx(1.386294, abs=1e-6),
        "direction": "raises",
    }
    assert [one["field"] for one in contributions[1:]] == list(FEATURES)[1:]


def test_by_default_a_prediction_is_not_explained(api: Api) -> None:
    assert "explanation" not in _explained(api, "false").json()


@pytest.mark.parametrize("body", [ORIGINAL, "{}", "[]", "not JSON", ORIGINAL.replace("55", "-1")])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_request_without_a_query_is_answered_as_one_with_a_query_that_changes_nothing(path: str, body: str) -> None:
    """The first does not go through FastAPI's routing, the second does."""
    for api in (serving(0.1, 0.2, 0.7), Api()):
        answers = [api.post(f"{path}{query}", body, **{"x-request-id": "one"}) for query in ("", "?explain=false")]
        direct, routed = ((one.status_code, one.headers, one.content) for one in answers)
        assert direct == routed


def test_a_model_without_a_reference_cannot_explain_and_answers_409(api: Api) -> None:
    answer = _explained(api, "true")
    assert answer.status_code == 409
    assert "run the pipeline from 'train'" in answer.json()["detail"]
