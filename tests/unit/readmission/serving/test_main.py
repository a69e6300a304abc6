"""The API without Lambda, and its contract as a file."""

import asyncio
from functools import partial
from pathlib import Path

import httpx
import pytest
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


def test_the_contract_in_the_repository_is_what_the_application_says() -> None:
    assert CONTRACT.read_text(encoding="utf-8") == serving.openapi(), "run make openapi"


def test_the_contract_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    serving.main(["--openapi", str(tmp_path / "openapi.json")])
    assert (tmp_path / "openapi.json").read_text(encoding="utf-8") == serving.openapi()


def test_the_application_is_that_of_the_environment(environment: pytest.MonkeyPatch, wire: Wire) -> None:
    environment.setenv("CORS_ALLOW_ORIGINS", "https://ward.example")
    wire.answer = http(404)
    transport = httpx.ASGITransport(serving.application())

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.get("/health", headers={"Origin": "https://ward.example"})

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "no version of the model 'readmission' is in Production yet",
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ward.example"


def test_without_its_settings_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI"):
        serving.main([])


def test_it_listens_to_this_machine_alone_unless_it_is_told_otherwise() -> None:
    listens = partial(ServerSettings.from_environment, default_port=serving.PORT)
    assert listens({}) == ServerSettings("127.0.0.1", 8000)
    assert listens({"HOST": "0.0.0.0", "PORT": "80"}) == ServerSettings("0.0.0.0", 80)


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "80.0"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="PORT"):
        ServerSettings.from_environment({"PORT": port}, default_port=serving.PORT)
