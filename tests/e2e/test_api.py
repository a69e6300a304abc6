import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from readmission.client import ApiProblem, Client
from readmission.domain.features import CATEGORIES, NUMBERS, inputs_of
from readmission.serving.earlier_stays import EarlierStaysInPostgres
from readmission.serving.encounters import Patient, fields_of_encounter
from readmission.serving.schemas import COMPLETE_EXAMPLE, RAW_EXAMPLE
from readmission.settings import DatabaseSettings

from infra.local.commands.predict import SAMPLE
from infra.local.servers import supervision
from tests.e2e.conftest import Application, Trained

REFRESH_SECONDS = 10


def test_before_any_model_is_promoted_the_api_says_so(trained: Trained) -> None:
    assert trained.before.status == 503
    assert "in Production yet" in trained.before.json["detail"]


def test_the_request_of_the_original_project_is_answered(application: Application, trained: Trained) -> None:
    response = application.predict()
    answer = response.json
    assert response.status == 200
    assert answer["readmitted"] in ("NO", ">30", "<30")
    assert set(answer["probabilities"]) == {"NO", ">30", "<30"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["model_version"] == trained.output["promotion"]["production_version"]
    assert answer["data_kind"] == trained.output["data_kind"]


def test_the_answer_is_what_the_logged_model_says(application: Application, trained: Trained) -> None:
    model: Any = mlflow.sklearn.load_model("models:/readmission@Production")
    for patient in (SAMPLE, COMPLETE_EXAMPLE):
        row = pd.DataFrame([inputs_of(patient)])
        row = row.astype(dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(CATEGORIES, "str"))
        expected = dict(zip(model.classes_, model.predict_proba(row)[0], strict=True))
        answer = application.call("/predict", patient)
        assert (answer.status, answer.json["probabilities"]) == (200, pytest.approx(expected, abs=1e-9))


def test_an_optional_field_moves_the_forecast(application: Application, trained: Trained) -> None:
    known = application.call("/predict", SAMPLE | {"prior_encounters": 5, "prior_early_readmissions": 4})
    assert known.status == 200 and known.json["probabilities"] != application.predict().json["probabilities"]


def test_the_number_alone_gives_the_forecast_of_the_patient_s_history(
    application: Application, trained: Trained
) -> None:
    ((patient, newest),) = application.platform.query(
        "clean", "SELECT patient_nbr, max(encounter_id) FROM diabetes_clean GROUP BY 1 HAVING count(*) = 2 LIMIT 1"
    )
    whose = {"patient_nbr": int(patient), "encounter_id": int(newest) + 1}
    login = replace(DatabaseSettings.from_environment(), secret="readmission/database/reader")
    with closing(EarlierStaysInPostgres(login, 30)) as source:
        (stays,) = source.read(trained.output["data_kind"], [Patient("default", *whose.values())])
    answer = application.call("/predict", SAMPLE | whose).json
    assert answer["history"] == {"status": "found", "earlier_stays": 2, "stays": "before the encounter"}
    assert stays.fields["prior_encounters"] == 2
    assert answer["probabilities"] == application.call("/predict", SAMPLE | stays.fields).json["probabilities"]
    assert answer["probabilities"] != application.predict().json["probabilities"]
    unknown = application.call("/predict", SAMPLE | whose | {"patient_nbr": 1}).json
    assert unknown["history"]["status"] == "not found"


def test_a_raw_encounter_has_the_forecast_of_its_fields(application: Application, trained: Trained) -> None:
    raw = application.call("/predict", RAW_EXAMPLE)
    fields = application.call("/predict", fields_of_encounter(RAW_EXAMPLE))
    assert (raw.status, raw.json["probabilities"]) == (200, fields.json["probabilities"])


def test_a_batch_is_answered_row_by_row(application: Application, trained: Trained) -> None:
    with application.client as client:
        answer = client.predict_batch([SAMPLE, {}, RAW_EXAMPLE] * 300)
        assert (answer["answered"], answer["refused"]) == (600, 300)
        assert answer["predictions"][0]["prediction"]["probabilities"] == client.predict(SAMPLE)["probabilities"]
        assert "problem" in answer["predictions"][1]


def test_a_csv_is_answered_by_a_csv(application: Application, trained: Trained) -> None:
    text = ",".join(SAMPLE) + "\n" + ",".join(map(str, SAMPLE.values())) + "\n"
    with application.client as client:
        head, row = client.predict_csv(text).splitlines()
        assert (
            dict(zip(head.split(","), row.split(","), strict=True))["readmitted"]
            == client.predict(SAMPLE)["readmitted"]
        )


def test_the_client_tells_what_the_gateway_and_the_api_refuse(application: Application, trained: Trained) -> None:
    with application.client as client, pytest.raises(ApiProblem, match="time_in_hospital") as raised:
        client.predict(SAMPLE | {"time_in_hospital": "long"})
    assert raised.value.status == 422 and raised.value.request_id
    stranger = Client(application.stack.api_url, "wrong", ca_file=application.settings.certificate)
    with stranger, pytest.raises(ApiProblem) as refused:
        stranger.health()
    assert refused.value.status == 403


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/health", "/reload-model"])
def test_without_a_key_the_gateway_refuses(application: Application, path: str) -> None:
    method = "GET" if path == "/health" else "POST"
    assert application.call(path, method=method, key=None).status == 403
    assert application.call(path, method=method, key="a-wrong-key-of-some-length").status == 403


def test_a_preflight_needs_no_key_and_no_origin_may_ask_by_default(application: Application) -> None:
    answer = application.call(
        "/predict",
        method="OPTIONS",
        key=None,
        **{"Origin": "https://ward.example", "Access-Control-Request-Method": "POST"},
    )
    assert (answer.status, answer.json["instance"]) == (405, "/predict")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_malformed_request_names_the_field(application: Application, trained: Trained) -> None:
    response = application.call("/predict", SAMPLE | {"time_in_hospital": "long"})
    assert response.status == 422
    assert [error["field"] for error in response.json["errors"]] == ["time_in_hospital"]
    assert response.json["status"] == 422 and response.json["request_id"]


def test_a_body_that_is_too_large_is_refused(application: Application, trained: Trained) -> None:
    assert application.call("/predict", b"[" + b"1," * 100_000 + b"1]").status == 413


BODIES = {
    "nothing": b"",
    "no JSON": b"{age",
    "a list": b"[]",
    "not UTF-8": b"\xff\xfe\xfd",
    "NaN": json.dumps(SAMPLE | {"num_procedures": float("nan")}).encode(),
    "infinite": json.dumps(SAMPLE | {"num_procedures": float("inf")}).encode(),
    "huge": json.dumps(SAMPLE).replace("45", "1e400").encode(),
    "deep": b"[" * 20_000 + b"]" * 20_000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_nonsense_is_the_client_s_error(application: Application, trained: Trained, body: bytes) -> None:
    response = application.call("/predict", body, method="POST")
    assert 400 <= response.status < 500, response.text


def test_the_documentation_is_right_behind_the_stage_and_needs_no_key(application: Application) -> None:
    page = application.call("/docs", key=None)
    assert page.status == 200 and "url: 'openapi.json'" in page.text
    document = application.call("/openapi.json", key=None)
    assert document.status == 200 and "/predict" in document.json["paths"]


@pytest.mark.parametrize(("name", "length"), [("swagger-ui-bundle.js", 1_000_000), ("swagger-ui.css", 100_000)])
def test_the_documentation_loads_its_files_from_the_api(application: Application, name: str, length: int) -> None:
    file = application.call(f"/docs/{name}", key=None)
    assert file.status == 200 and len(file.text) > length


@pytest.mark.parametrize(
    "path", ["/health", "/model", "/model/history", "/docs", "/openapi.json", "/docs/swagger-ui.css"]
)
def test_head_is_answered_as_get_without_the_body(application: Application, trained: Trained, path: str) -> None:
    head, get = application.call(path, method="HEAD"), application.call(path)
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_what_moved_a_risk_sums_to_the_score(application: Application, trained: Trained) -> None:
    with application.client as client:
        answer = client.predict(COMPLETE_EXAMPLE, explain=True)
    told = answer["explanation"]
    risk = answer["early_risk"]["probability"]
    assert told["score"] == pytest.approx(math.log(risk / (1 - risk)))
    added = sum(one["contribution"] for one in told["contributions"])
    assert added == pytest.approx(told["score"] - told["base_score"], abs=1e-9)
    assert {one["field"] for one in told["contributions"]} <= set(COMPLETE_EXAMPLE)
    assert answer["early_risk"]["percentile"] is not None


def test_the_model_tells_what_serves_since_when_why_and_how_good_it_is(
    application: Application, trained: Trained
) -> None:
    promotion = trained.output["promotion"]
    told = application.call("/model").json
    assert (told["version"], told["reason"]) == (promotion["version"], promotion["reason"])
    assert told["serves_since"].startswith("20")
    metrics = MlflowClient().get_run(told["mlflow_run_id"]).data.metrics
    assert told["test_metrics"]["auc_early"]["value"] == pytest.approx(metrics["test_auc_early"])
    card = application.call("/model?card=markdown")
    assert card.status == 200 and card.text.startswith(f"# Model card: readmission, version {told['version']}")


def test_the_history_of_the_model_is_told_newest_first(application: Application, trained: Trained) -> None:
    told = application.call("/model/history?limit=5")
    decisions = told.json["decisions"]
    assert told.status == 200 and 1 <= len(decisions) <= 5
    assert trained.output["promotion"]["reason"] in {decision["reason"] for decision in decisions}
    times = [decision["decided_at"] for decision in decisions]
    assert times == sorted(times, reverse=True)
    refused = application.call("/model/history?limit=many")
    assert (refused.status, refused.headers["Content-Type"]) == (422, "application/problem+json")
    assert application.call("/model/history", key=None).status == 403


def test_health_names_the_version(application: Application, trained: Trained) -> None:
    with application.client as client:
        version = client.predict(SAMPLE)["model_version"]
        assert client.health() == {"status": "ok", "model_version": version}


@pytest.fixture
def second_version(application: Application, trained: Trained) -> Iterator[tuple[MlflowClient, str, str]]:
    """Another family's run as a version of its own, not in Production; afterwards Production is as it was."""
    client = MlflowClient()
    current = client.get_model_version_by_alias("readmission", "Production")
    other = next(one for one in trained.output["candidates"] if one["model"] != current.tags["family"])
    run = client.get_run(other["mlflow_run_id"])
    assert run.outputs is not None
    model_id = run.outputs.model_outputs[0].model_id
    version = client.create_model_version(
        "readmission",
        source=f"models:/{model_id}",
        run_id=run.info.run_id,
        model_id=model_id,
        tags={name: run.data.tags[name] for name in ("family", "data_kind", "scorer_sha256")},
    )
    yield client, str(current.version), str(version.version)
    client.set_registered_model_alias("readmission", "Production", current.version)
    _wait_for_version(application, str(current.version), 30)
    client.delete_model_version("readmission", version.version)


def test_a_promotion_is_followed_within_30_seconds_without_a_deploy(
    application: Application, second_version: tuple[MlflowClient, str, str]
) -> None:
    client, current, other = second_version
    assert application.predict().json["model_version"] == current
    client.set_registered_model_alias("readmission", "Production", other)
    _wait_for_version(application, other, 30)


def test_reload_follows_a_promotion_at_once(
    application: Application, second_version: tuple[MlflowClient, str, str]
) -> None:
    client, current, other = second_version
    application.predict()
    client.set_registered_model_alias("readmission", "Production", other)
    assert application.call("/reload-model", method="POST").json == {
        "model_version": other,
        "previous_version": current,
    }


def test_a_version_with_a_broken_scorer_never_replaces_the_working_one(
    application: Application, second_version: tuple[MlflowClient, str, str]
) -> None:
    client, current, other = second_version
    client.set_model_version_tag("readmission", other, "scorer_sha256", "0" * 64)
    client.set_registered_model_alias("readmission", "Production", other)
    response = application.call("/reload-model", method="POST")
    assert response.status == 503 and "SHA-256" in response.json["detail"]
    assert application.predict().json["model_version"] == current


def test_the_last_good_model_is_served_while_mlflow_is_away(application: Application, trained: Trained) -> None:
    version = application.predict().json["model_version"]
    supervision.stop_program(application.settings, "mlflow")
    try:
        time.sleep(REFRESH_SECONDS + 1)
        response = application.predict()
        assert (response.status, response.json["model_version"]) == (200, version)
        assert application.call("/reload-model", method="POST").status == 503
    finally:
        application.platform.run("up")


def _wait_for_version(application: Application, version: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (answered := application.predict().json["model_version"]) != version:
        assert time.monotonic() < deadline, f"after {seconds} s it still is version {answered}, not {version}"
        time.sleep(1)
