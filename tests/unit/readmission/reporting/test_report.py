"""Reporting against a server that implements the part of MLflow's REST API that it uses."""

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from readmission.domain.payloads import CardEvent, PlotsEvent, PromoteResult, ReportResult
from readmission.errors import ConfigurationError, EvaluationMissing, TrackingUnavailable
from readmission.reporting import written_card
from readmission.reporting.facts import Decision
from readmission.reporting.report import write_card, write_plots
from readmission.settings import ModelSettings

from tests.unit.readmission.reporting.documents import document

PLOTS = PlotsEvent(task="plots", model="random_forest", mlflow_run_id="r1")
CARD = CardEvent(
    task="card",
    data_kind="synthetic",
    promotion=PromoteResult(
        decision="promoted", reason="the first", model="random_forest", version="3", production_version="3"
    ),
)


class Mlflow:
    """One run and one version of it."""

    def __init__(self) -> None:
        self.artifacts: dict[str, bytes] = {"1/r1/artifacts/evaluation.json": json.dumps(document()).encode()}
        self.artifact_uri = "mlflow-artifacts:/1/r1/artifacts"
        self.description = ""
        self.status = 200
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        match method, path.removeprefix("/api/2.0/"):
            case "GET", "mlflow/runs/get":
                tags = [{"key": "data_kind", "value": "synthetic"}, {"key": "pipeline_run", "value": "run-1"}]
                tags.append({"key": "family", "value": "random_forest"})
                info = {"artifact_uri": self.artifact_uri, "start_time": 1}
                return {"run": {"info": info, "data": {"tags": tags, "params": [{"key": "depth", "value": "3"}]}}}
            case "GET", "mlflow/model-versions/get":
                assert query == {"name": "readmission", "version": "3"}
                entry = {"name": "readmission", "version": "3", "run_id": "r1", "creation_timestamp": 1764000000000}
                return {"model_version": entry}
            case "GET", "mlflow/artifacts/list":
                return {"files": [{"path": name.removeprefix("1/r1/artifacts/")} for name in self.artifacts]}
            case "GET", "/get-artifact":
                return json.loads(self.artifacts[f"1/{query['run_uuid']}/artifacts/{query['path']}"])
            case "PUT", target:
                self.artifacts[target.removeprefix("mlflow-artifacts/artifacts/")] = body
                return {}
            case "PATCH", "mlflow/model-versions/update":
                sent = json.loads(body)
                assert (sent["name"], sent["version"]) == ("readmission", "3")
                self.description = sent["description"]
                return {}
        raise AssertionError((method, path))


@pytest.fixture
def mlflow() -> Iterator[Mlflow]:
    server = Mlflow()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            query = dict(urllib.parse.parse_qsl(address.query))
            said = server.answer(self.command, address.path, query, body) if server.status == 200 else {}
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        do_GET = do_PUT = do_PATCH = _answer

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield server
        http.shutdown()
        thread.join()


def _settings(mlflow: Mlflow) -> ModelSettings:
    return ModelSettings(mlflow.url, "readmission")


def test_the_plots_become_artifacts_of_the_run(mlflow: Mlflow) -> None:
    result = write_plots(PLOTS, _settings(mlflow))
    assert result["mlflow_run_id"] == "r1" and len(result["artifacts"]) == 5
    for path in result["artifacts"]:
        assert mlflow.artifacts[f"1/r1/artifacts/{path}"].startswith(b"\x89PNG")


def test_the_card_becomes_two_artifacts_and_the_versions_description(mlflow: Mlflow) -> None:
    assert write_card(CARD, _settings(mlflow)) == ReportResult(
        mlflow_run_id="r1", artifacts=["model_card.md", "model_card.html"]
    )
    text = mlflow.artifacts["1/r1/artifacts/model_card.md"].decode()
    assert "version 3" in text and "Decision: promoted. the first." in text and "SYNTHETIC DATA" in text
    assert mlflow.artifacts["1/r1/artifacts/model_card.html"].startswith(b"<!doctype html>")
    assert "Model card: readmission, version 3" in mlflow.description and len(mlflow.description) <= 5000


def test_the_card_and_the_description_quote_the_newest_decision(mlflow: Mlflow) -> None:
    shadowed = PromoteResult(**{**CARD["promotion"], "decision": "shadowed", "production_version": "2"})
    write_card(CardEvent(**{**CARD, "promotion": shadowed}), _settings(mlflow))
    written_card.write("3", Decision("promoted", "150 forecasts", "3"), _settings(mlflow))
    texts = [mlflow.artifacts[f"1/r1/artifacts/model_card.{form}"].decode() for form in ("md", "html")]
    for text in (*texts, mlflow.description):
        assert "promoted. 150 forecasts." in text and "shadowed" not in text
        assert "In production after this decision: version 3" in text


def test_the_card_quotes_the_runs_data_report(mlflow: Mlflow) -> None:
    total = {"rows": 1_234, "quarantined": 0, "quarantined_share": 0.0, "rules": {}}
    mlflow.artifacts["1/r1/artifacts/data_report.json"] = json.dumps({"total": total, "batches": {}}).encode()
    write_card(CARD, _settings(mlflow))
    assert "1,234 rows in 0 batches" in mlflow.artifacts["1/r1/artifacts/model_card.md"].decode()


def test_reporting_again_changes_nothing(mlflow: Mlflow) -> None:
    write_plots(PLOTS, _settings(mlflow))
    write_card(CARD, _settings(mlflow))
    before = dict(mlflow.artifacts)
    write_plots(PLOTS, _settings(mlflow))
    write_card(CARD, _settings(mlflow))
    assert mlflow.artifacts == before


def test_a_run_without_an_evaluation_document_is_named(mlflow: Mlflow) -> None:
    mlflow.artifacts.clear()
    for report, event in ((write_plots, PLOTS), (write_card, CARD)):
        with pytest.raises(EvaluationMissing, match=r"run r1 has no evaluation\.json"):
            report(event, _settings(mlflow))  # type: ignore[operator]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_failing_server_is_a_transient_error(mlflow: Mlflow, status: int) -> None:
    mlflow.status = status
    with pytest.raises(TrackingUnavailable, match=f"answered {status}"):
        write_plots(PLOTS, _settings(mlflow))


def test_an_unreachable_server_is_a_transient_error() -> None:
    with pytest.raises(TrackingUnavailable, match="cannot be reached"):
        write_card(CARD, ModelSettings("http://127.0.0.1:1", "readmission"))


def test_a_server_that_does_not_proxy_its_artifacts_is_named(mlflow: Mlflow) -> None:
    mlflow.artifact_uri = "s3://bucket/1/r1/artifacts"
    with pytest.raises(ConfigurationError, match="does not proxy"):
        write_plots(PLOTS, _settings(mlflow))
