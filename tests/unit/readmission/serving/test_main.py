"""The API without Lambda, and its contract as a file."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from readmission.errors import ConfigurationError
from readmission.serving import __main__ as serving
from readmission.serving.model_cache import POLLING_THREAD
from readmission.settings import ApiProcessSettings, ApiServerSettings, ServerSettings
from readmission.telemetry.metrics import NullMeter

from tests.unit.readmission.wire import Wire, http

CONTRACT = Path(__file__).parents[4] / "functions" / "predict" / "openapi.json"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    monkeypatch.setenv("MODEL_NAME", "readmission")
    yield monkeypatch
    for thread in threading.enumerate():
        if thread.name == POLLING_THREAD:  # it would go on without the test's wire
            thread.join()


def test_the_contract_in_the_repository_is_up_to_date() -> None:
    assert CONTRACT.read_text(encoding="utf-8") == serving.openapi(), "run make openapi"


def test_the_contract_is_written_to_the_given_file(tmp_path: Path) -> None:
    serving.main(["--openapi", str(tmp_path / "openapi.json")])
    assert (tmp_path / "openapi.json").read_text(encoding="utf-8") == serving.openapi()


def test_the_application_is_configured_by_the_environment(environment: pytest.MonkeyPatch, wire: Wire) -> None:
    environment.setenv("CORS_ALLOW_ORIGINS", "https://ward.example")
    wire.answer = http(404)
    transport = httpx.ASGITransport(serving.application())

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.get("/health", headers={"Origin": "https://ward.example"})

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "No version of the model 'readmission' is in Production yet",
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ward.example"


def ask(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


def test_with_keys_it_answers_those_who_have_one(environment: pytest.MonkeyPatch, wire: Wire, tmp_path: Path) -> None:
    wire.answer = http(404)
    keys = tmp_path / "keys"
    keys.write_text("0123456789-0123456789")
    environment.setenv("API_KEYS_FILE", str(keys))
    app = serving.application()
    assert ask(app, "/model").status_code == 403
    assert ask(app, "/model", **{"x-api-key": "0123456789-0123456789"}).status_code == 503  # there is no model
    assert ask(app, "/health").status_code == 503
    assert ask(app, "/live").status_code == 200


def test_without_a_port_for_metrics_none_are_kept(environment: pytest.MonkeyPatch, wire: Wire) -> None:
    wire.answer = http(404)
    assert isinstance(serving.application().state.meter, NullMeter)


def test_with_a_port_for_metrics_requests_are_counted_and_probes_are_not(
    environment: pytest.MonkeyPatch, wire: Wire
) -> None:
    wire.answer = http(404)
    environment.setenv("METRICS_PORT", "9106")
    app = serving.application()
    for path in ("/model", "/model", "/live", "/metrics"):
        ask(app, path)
    counted = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in app.state.meter.registry.collect()
        for sample in family.samples
        if sample.name == "readmission_requests_total" and sample.value
    }
    assert counted == {("/model", "503"): 2, ("other", "404"): 1}


def test_while_it_drains_it_is_not_ready(environment: pytest.MonkeyPatch, wire: Wire) -> None:
    wire.answer = http(404)
    app = serving.application()
    app.state.draining = True
    answer = ask(app, "/health")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "shutting down" in answer.json()["detail"]
    assert ask(app, "/live").status_code == 200


@pytest.fixture
def configured(environment: pytest.MonkeyPatch, wire: Wire) -> list[uvicorn.Config]:
    """What uvicorn would run."""
    wire.answer = http(404)
    found: list[uvicorn.Config] = []
    environment.setattr(uvicorn, "run", lambda app, **options: found.append(uvicorn.Config(app, **options)))
    return found


def test_several_workers_make_the_application_each_for_itself(
    environment: pytest.MonkeyPatch, configured: list[uvicorn.Config]
) -> None:
    environment.setenv("WEB_CONCURRENCY", "3")
    serving.main([])
    (configuration,) = configured
    assert (configuration.workers, configuration.app) == (3, "readmission.serving.process:application")
    assert configuration.factory and configuration.lifespan == "on"


def test_a_wrong_setting_ends_the_server_before_its_workers_start(
    environment: pytest.MonkeyPatch, configured: list[uvicorn.Config]
) -> None:
    environment.setenv("WEB_CONCURRENCY", "3")
    environment.setenv("DRAIN_SECONDS", "soon")
    with pytest.raises(ConfigurationError, match="DRAIN_SECONDS"):
        serving.main([])
    assert configured == []


def test_uvicorn_does_not_log_requests_which_the_application_logs(configured: list[uvicorn.Config]) -> None:
    serving.main([])
    (configuration,) = configured
    assert not configuration.access_log
    assert "AccessLog" in {middleware.cls.__name__ for middleware in configuration.app.user_middleware}


def test_without_its_settings_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI"):
        serving.main([])


def test_by_default_it_listens_on_loopback_only() -> None:
    listens = partial(ServerSettings.from_environment, default_port=serving.PORT)
    assert listens({}) == ServerSettings("127.0.0.1", 8000)
    assert listens({"HOST": "0.0.0.0", "PORT": "80"}) == ServerSettings("0.0.0.0", 80)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "api.example"])
def test_strangers_are_refused_where_other_machines_reach_the_api(host: str) -> None:
    read = partial(ApiServerSettings.from_environment, default_port=serving.PORT)
    with pytest.raises(ConfigurationError, match=r"HOST.*API_KEYS_FILE.*ALLOW_ANONYMOUS=1"):
        read({"HOST": host})
    for known in (
        {"API_KEYS_FILE": "/keys"},
        {"API_KEYS_SECRET": "keys"},
        {"OIDC_ISSUER": "https://login.example"},
        {"EHR_ISSUERS": "https://ehr.example=https://ehr.example/jwks.json"},
    ):
        assert read({"HOST": host, **known}).server.host == host
    assert read({"HOST": host, "ALLOW_ANONYMOUS": "1"}).server.host == host


def test_on_loopback_nobody_is_asked() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert ApiServerSettings.from_environment({"HOST": host}, default_port=serving.PORT).server.host == host


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ALLOW_ANONYMOUS": "on"}, "ALLOW_ANONYMOUS must be 1"),
        ({"METRICS_PORT": "8000"}, "METRICS_PORT must be another port"),
        ({"METRICS_PORT": "metrics"}, "METRICS_PORT must be a port"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY must be a positive integer"),
        ({"API_KEYS_FILE": "/keys", "API_KEYS_SECRET": "keys"}, "only one of"),
    ],
)
def test_an_invalid_setting_of_the_server_is_named(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ApiServerSettings.from_environment(variables, default_port=serving.PORT)


@pytest.mark.parametrize("seconds", ["", "-1", "3601", "nan", "soon"])
def test_an_invalid_time_to_drain_is_named(seconds: str) -> None:
    with pytest.raises(ConfigurationError, match="DRAIN_SECONDS"):
        ApiProcessSettings.from_environment({"DRAIN_SECONDS": seconds})


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "80.0"])
def test_an_invalid_port_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="PORT"):
        ServerSettings.from_environment({"PORT": port}, default_port=serving.PORT)
