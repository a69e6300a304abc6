"""Recalibration for a site: the training step makes the run, and the promotion judges it."""

import json

import pytest
from readmission.domain.payloads import PromoteEvent, PromoteResult, RecalibrationResult
from readmission.errors import InvalidRequest, NoTrainingData
from readmission.pipeline import synthetic
from readmission.promotion.guard import guard
from readmission.promotion.promote import promote
from readmission.promotion.trial import LARGEST_SHIFT
from readmission.registry import names
from readmission.settings import ChallengeSettings
from readmission.training.rebuild import rebuild
from readmission.training.recalibrate import recalibrate

from tests.integration.readmission.conftest import Stores, changed
from tests.integration.readmission.models import MLFLOW_WARNINGS, Models

pytestmark = MLFLOW_WARNINGS

CHALLENGES = ChallengeSettings(shadow_requests=120, canary_share=0.2, label_due_days=30)


def two_sites(stores: Stores) -> None:
    """The site `main` has half of the patients, of whom more than half are readmitted early."""
    stores.load(list(synthetic.rows(1500, seed=1)))
    rows = list(synthetic.rows(1500, seed=2))
    early = [changed(row, readmitted="<30") if number % 2 else row for number, row in enumerate(rows)]
    stores.load(early, site="main")


@pytest.fixture
def serving(models: Models) -> Models:
    """A model of both sites is in Production."""
    models.stores.load_once("two sites of different base rates", lambda: two_sites(models.stores))
    assert models.promote(models.train("logistic_regression", kind="real"), kind="real")["decision"] == "promoted"
    return models


def recalibrated(models: Models, **request: str) -> RecalibrationResult:
    return recalibrate({"site": "main", **request}, models.stores.clean, models.settings)


def put_forward(
    models: Models,
    made: RecalibrationResult,
    *,
    other_sites: bool = False,
    challenges: ChallengeSettings | None = None,
) -> PromoteResult:
    event = PromoteEvent(
        data_kind=made["data_kind"],
        models=[made["model"]],
        candidates=[{"model": made["model"], "mlflow_run_id": made["mlflow_run_id"]}],
        by="Ada",
        reason="more of our patients come back",
        other_sites=other_sites,
    )
    return promote(event, models.stores.clean, models.settings, challenges)


def test_a_better_recalibration_serves_other_sites_only_if_asked_to(serving: Models) -> None:
    made = recalibrated(serving)
    assert recalibrated(serving) == made and made["recalibrated_from"] == "1"
    refused = put_forward(serving, made)
    assert (refused["decision"], refused["production_version"]) == ("refused", "1")
    assert "It would also answer for default, with the base rates of main" in refused["reason"]
    assert serving.ledger[0]["reason_code"] == "other_sites" and serving.ledger[0]["decided_by"] == "Ada"

    promoted = put_forward(serving, made, other_sites=True)
    assert (promoted["decision"], promoted["version"]) == ("promoted", refused["version"])
    entry = serving.ledger[0]
    assert entry["reason_code"] == "better" and entry["metrics"]["site"] == "main"
    assert entry["metrics"]["difference"]["log_loss"]["high"] < 0
    assert "judged on the test rows of the site main alone" in entry["reason"]
    assert "recalibrated because: more of our patients come back" in entry["reason"]
    assert serving.registry.production().recalibrated_for == "main"

    # What is to replace it is judged on the rows of its site, and no later run puts a recalibration forward.
    returning = promote(
        {"data_kind": "real", "models": ["logistic_regression"], "candidates": []},
        serving.stores.clean,
        serving.settings,
    )
    assert (returning["decision"], returning["version"]) == ("refused", "1")
    assert "judged on the test rows of the site main alone" in returning["reason"]
    assert f"version {promoted['version']} (logistic_regression, recalibrated for the site main)" in returning["reason"]


def test_a_recalibrated_version_says_what_it_is_and_can_be_rebuilt(serving: Models) -> None:
    made = recalibrated(serving, version="1")
    version = put_forward(serving, made)["version"]
    tags = serving.client.get_model_version(serving.settings.name, version).tags
    expected = {names.RECALIBRATED_FROM: "1", names.RECALIBRATED_FOR: "main", names.FAMILY: "logistic_regression"}
    assert expected.items() <= tags.items() and tags[names.DATA_KIND] == "real"
    with open(serving.client.download_artifacts(made["mlflow_run_id"], names.RECALIBRATION)) as file:
        document = json.load(file)
    assert document["weights"]["<30"] > 1.2 and document["observed"]["<30"] > document["predicted"]["<30"]
    serving.stores.load(list(synthetic.rows(100, seed=3)), site="main")
    assert rebuild(version, serving.stores.clean, serving.stores.raw, serving.settings).is_exact


def log(models: Models, count: int, weights: dict[str, float], first: int) -> None:
    """Log requests of which the challenger said what Production did, with these weights of the classes."""
    tried = models.ledger[0]
    for index in range(first, first + count):
        early = 0.05 + (index % 97) / 700
        production = {"<30": early, ">30": 0.35, "NO": 0.65 - early}
        weighted = {name: share * weights[name] for name, share in production.items()}
        models.stores.clean.run(
            "INSERT INTO prediction (log_id, request_id, position, answered_at, route, model_name, model_version,"
            " data_kind, site, patient_key, inputs, p_early, p_late, p_none, other_version, other_p_early,"
            " other_p_late, other_p_none, other_seconds) VALUES (:id, :id, 0, now(), '/predict', :name, :version,"
            " 'real', 'main', :id, '{}', :a, :b, :c, :other, :d, :e, :f, 0.0001)",
            id=f"{models.settings.name}-{index}",
            name=models.settings.name,
            version=tried["previous_version"],
            other=tried["version"],
            **dict(zip("abc", production.values(), strict=True)),
            **dict(zip("def", (one / sum(weighted.values()) for one in weighted.values()), strict=True)),
        )


@pytest.fixture
def shadowing(serving: Models) -> tuple[Models, dict[str, float]]:
    """A recalibrated version that shadows the one it was made of, and its weights."""
    made = recalibrated(serving)
    tried = put_forward(serving, made, other_sites=True, challenges=CHALLENGES)
    assert (tried["decision"], tried["production_version"]) == ("shadowed", "1")
    with open(serving.client.download_artifacts(made["mlflow_run_id"], names.RECALIBRATION)) as file:
        return serving, json.load(file)["weights"]


def judged(models: Models) -> str | None:
    decided = guard(models.stores.clean, models.settings, CHALLENGES)
    return decided["decision"] if decided else None


def test_a_recalibration_is_tried_on_live_requests_and_may_shift_the_forecasts_as_it_is_to(
    shadowing: tuple[Models, dict[str, float]],
) -> None:
    models, weights = shadowing
    assert put_forward(models, recalibrated(models), other_sites=True, challenges=CHALLENGES)["decision"] == "shadowed"
    log(models, 120, weights, first=0)
    assert judged(models) == "canaried"
    live = models.ledger[0]["metrics"]["live"]
    assert live["shifts"]["<30"]["low"] > LARGEST_SHIFT
    assert live["unintended"]["<30"]["value"] == pytest.approx(0, abs=1e-9)
    log(models, 120, weights, first=120)
    assert judged(models) == "promoted"
    assert models.registry.production().recalibrated_for == "main"


def test_a_recalibration_that_shifts_the_forecasts_otherwise_is_withdrawn(
    shadowing: tuple[Models, dict[str, float]],
) -> None:
    models, weights = shadowing
    log(models, 120, weights | {"<30": 3 * weights["<30"]}, first=0)
    assert judged(models) == "withdrawn"
    assert models.ledger[0]["reason_code"] == "shifted"
    assert "beyond what its recalibration is to do" in models.ledger[0]["reason"]


def test_what_cannot_be_recalibrated_is_refused_by_name(models: Models) -> None:
    models.stores.load_once("two sites of different base rates", lambda: two_sites(models.stores))
    with pytest.raises(InvalidRequest, match="no version is in Production"):
        recalibrated(models)
    models.promote(models.candidate("logistic_regression", kind="real"), kind="real")
    with pytest.raises(InvalidRequest, match="no site 'elsewhere'; sites with due labels: default, main"):
        recalibrated(models, site="elsewhere")
    with pytest.raises(InvalidRequest, match="there is no version 99"):
        recalibrated(models, version="99")
    models.stores.load(list(synthetic.rows(200, seed=4)), site="small")
    with pytest.raises(NoTrainingData, match="the site 'small'"):
        recalibrated(models, site="small")
