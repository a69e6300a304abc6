"""The API without Lambda, and its contract as a file."""

import asyncio
from functools import partial
from pathlib import Path

import httpx
import pytest
import uvicorn
from readmission.errors import ConfigurationError
from readmission.serving import __main__ as serving
from readmission.settings import ServerSettings

from tests.unit.readmission.wire import Wire, http

CONTRACT = Path(__file__).parents[4] / "functions" / "predict" / "openapi.json"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    monkeypatch.setenv("MODEL_NAME", "readmission")
    return monkeypatch


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


def test_uvicorn_does_not_log_requests_which_the_application_logs(environment: pytest.MonkeyPatch, wire: Wire) -> None:
    wire.answer = http(404)
    configured: list[uvicorn.Config] = []
    environment.setattr(uvicorn, "run", lambda app, **options: configured.append(uvicorn.Config(app, **options)))
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


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "80.0"])
def test_an_invalid_port_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="PORT"):
        ServerSettings.from_environment({"PORT": port}, default_port=serving.PORT)
