"""`openapi-python-client` makes a client of the whole contract, and the client works."""

import asyncio
import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType
from readmission.serving.schemas import EXAMPLE, RAW_EXAMPLE

from tests.contracts import CONTRACT, contract
from tests.unit.readmission.serving.fakes import Api, serving

PACKAGE = "generated_readmission_client"
OPERATIONS = {operation["operationId"] for item in contract()["paths"].values() for operation in item.values()}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the generated package, which can be imported."""
    folder = tmp_path_factory.mktemp("client")
    config = Config.from_sources(
        ConfigFile(content_type_overrides={"text/csv": "application/octet-stream"}, post_hooks=[]),
        MetaType.NONE,
        document_source=CONTRACT,
        file_encoding="utf-8",
        overwrite=True,
        output_path=folder / PACKAGE,
    )
    assert generate(config=config) == []  # the parts of the contract that it had to leave out
    sys.path.insert(0, str(folder))
    yield folder / PACKAGE
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


def _call(api: Api, operation: str, **arguments: Any) -> Any:
    """The parsed answer to a call of the generated client."""
    client = _module("client").Client(base_url="http://api.example", headers={"Accept": "application/json"})
    client.set_async_httpx_client(
        httpx.AsyncClient(
            transport=httpx.ASGITransport(api.app), base_url="http://api.example", headers=client._headers
        )
    )
    return asyncio.run(_module(f"api.default.{operation}").asyncio(client=client, **arguments))


@pytest.fixture(scope="module")
def api() -> Api:
    return serving(0.1, 0.2, 0.7)


def test_there_is_a_function_for_every_operation(generated: Path) -> None:
    modules = {file.stem for file in (generated / "api" / "default").glob("*.py")} - {"__init__"}
    assert modules == OPERATIONS
    assert {
        "predict",
        "predict_batch",
        "get_model_history",
        "report_outcomes",
        "get_metrics",
        "get_health",
    } <= OPERATIONS


@pytest.mark.usefixtures("generated")
@pytest.mark.parametrize(("model", "example"), [("Encounter", EXAMPLE), ("RawEncounter", RAW_EXAMPLE)])
def test_an_encounter_is_forecast(api: Api, model: str, example: dict[str, Any]) -> None:
    body = getattr(_module("models"), model).from_dict(example)
    answer = _call(api, "predict", body=body, explain=False)
    assert (type(answer).__name__, answer.readmitted, answer.model_version) == ("Prediction", "NO", "1")


@pytest.mark.usefixtures("generated")
def test_a_batch_can_be_sent_as_csv(api: Api) -> None:
    text = f"{','.join(EXAMPLE)}\n{','.join(map(str, EXAMPLE.values()))}\n"
    answer = _call(api, "predict_batch", body=_module("types").File(payload=io.BytesIO(text.encode()).getvalue()))
    assert (type(answer).__name__, answer.answered, answer.refused) == ("BatchPrediction", 1, 0)


@pytest.mark.usefixtures("generated")
def test_a_batch_can_be_sent_as_json(api: Api) -> None:
    body = _module("models").Batch.from_dict({"encounters": [EXAMPLE, RAW_EXAMPLE]})
    assert _call(api, "predict_batch", body=body).answered == 2


@pytest.mark.usefixtures("generated")
def test_a_problem_is_parsed() -> None:
    answer = _call(Api(), "get_health")
    assert (type(answer).__name__, answer.status) == ("Problem", 503)


@pytest.mark.usefixtures("generated")
@pytest.mark.parametrize("operation", ["get_model", "get_health", "reload_model"])
def test_the_other_operations_are_answered(api: Api, operation: str) -> None:
    assert type(_call(api, operation)).__name__ in ("ModelDescription", "Health", "Reload")
