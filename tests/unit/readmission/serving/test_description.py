import pytest

from tests.unit.readmission.documents import constant
from tests.unit.readmission.serving.fakes import REFRESH_SECONDS, Api

SECOND = constant(0.2, 0.2, 0.6)


@pytest.fixture
def api() -> Api:
    api = Api()
    api.registry.promote(
        "1",
        constant(0.1, 0.2, 0.7),
        promoted_at="2026-01-01T12:00:00+00:00",
        decision_reason="the first",
        sites=("default", "north"),
    )
    api.registry.run_metrics = {
        "test_auc_early": 0.67,
        "test_auc_early_low": 0.65,
        "test_auc_early_high": 0.69,
        "test_early_ece": 0.01,
        "validation_auc_any": 0.7,
        "test_accuracy": 0.6,
    }
    return api


def test_the_model_in_production_is_described(api: Api) -> None:
    answer = api.get("/model")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "name": "readmission",
            "version": "1",
            "family": "random_forest",
            "data_kind": "synthetic",
            "sites": ["default", "north"],
            "recalibrated_for": None,
            "serves_since": "2026-01-01T12:00:00+00:00",
            "reason": "the first",
            "mlflow_run_id": "run-1",
            "test_metrics": {
                "auc_early": {"value": 0.67, "low": 0.65, "high": 0.69},
                "early_ece": {"value": 0.01, "low": None, "high": None},
            },
            "model_card": {"markdown": "?card=markdown", "html": "?card=html"},
        },
    )


def test_a_version_that_an_earlier_release_promoted_has_no_date_and_no_reason(api: Api) -> None:
    api.registry.promote("1", constant(0.1, 0.2, 0.7))
    answer = api.get("/model").json()
    assert (answer["serves_since"], answer["reason"]) == (None, None)


def test_the_metrics_are_fetched_once_per_version(api: Api) -> None:
    api.get("/health")
    assert api.registry.asked_for_metrics == 0
    for _ in range(3):
        api.get("/model")
    assert api.registry.asked_for_metrics == 1
    api.registry.promote("2", SECOND)
    api.registry.run_metrics = {"test_auc_early": 0.7}
    api.clock.now += REFRESH_SECONDS
    answer = api.get("/model").json()
    assert (answer["version"], answer["test_metrics"]["auc_early"]["value"]) == ("2", 0.7)


def test_metrics_that_could_not_be_fetched_are_fetched_again(api: Api) -> None:
    api.get("/health")
    api.registry.problem = "MLflow cannot be reached"
    answer = api.get("/model")
    assert answer.status_code == 503 and "MLflow cannot be reached" in answer.json()["detail"]
    api.registry.problem = None
    assert api.get("/model").status_code == 200


def test_without_a_model_the_answer_is_503_with_the_reason() -> None:
    answer = Api().get("/model")
    assert answer.status_code == 503 and "No version is in Production yet" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("form", "path", "kind"), [("markdown", "model_card.md", "text/markdown"), ("html", "model_card.html", "text/html")]
)
def test_the_model_card_is_answered_in_the_requested_format(api: Api, form: str, path: str, kind: str) -> None:
    api.registry.cards = {path: "# Modèle"}
    answer = api.get(f"/model?card={form}")
    assert (answer.status_code, answer.text) == (200, "# Modèle")
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"


def test_a_missing_model_card_is_not_found(api: Api) -> None:
    answer = api.get("/model?card=html")
    assert answer.status_code == 404 and "Version 1 has no model_card.html" in answer.json()["detail"]


def test_an_unknown_format_of_the_model_card_is_a_client_error(api: Api) -> None:
    assert api.get("/model?card=pdf").status_code == 422
