"""Each image runs against the platform, as compose.yaml starts it."""

import io
import json
import subprocess
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import mlflow
import pytest
from playwright.sync_api import Browser, expect
from readmission.client import Client
from readmission.domain.payloads import TrainResult
from readmission.telemetry.metrics import NAMESPACE

from infra.containers.images import environment
from infra.local.commands.predict import SAMPLE
from tests.integration.containers import containers
from tests.integration.containers.containers import created, running
from tests.integration.readmission.conftest import Stores
from tests.integration.readmission.models import Models
from tests.platforms import Platform, free_ports

pytestmark = [
    # MLflow raises these itself, when it logs a model and when it changes a stage.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MOST_MEGABYTES = {"api": 200, "exporter": 200, "ui": 475}
"""On the disk. A registry keeps them compressed, in less than half of it."""

type Image = Callable[[str], str]


@pytest.fixture
def port() -> int:
    (found,) = free_ports(1)
    return found


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        content: bytes = response.read()
    return content


@pytest.mark.parametrize("target", MOST_MEGABYTES)
def test_an_image_that_serves_people_is_small(image: Image, target: str) -> None:
    size = json.loads(containers.buildah("images", "--json", image(target)))[0]["size"]
    number, unit = size.split()
    assert unit == "MB" and float(number) < MOST_MEGABYTES[target], size


def test_the_trainer_trains_and_the_api_answers_with_its_model(
    image: Image, stores: Stores, system: Platform, port: int, tmp_path: Path
) -> None:
    image("trainer")
    image("api")
    models = Models(stores, "readmission-in-containers")
    models.load(seed=3)
    trained = [train(system, models, "--model", "logistic_regression", "--execution", "by-hand") for _ in range(2)]
    assert [process.returncode for process in trained] == [0, 0], trained
    first, second = (reported(process.stdout, "trained") for process in trained)
    assert first["correlation_id"] == "by-hand"
    # The same execution has trained this family already.
    assert first["mlflow_run_id"] == second["mlflow_run_id"]
    promoted = models.promote(TrainResult(model="logistic_regression", mlflow_run_id=first["mlflow_run_id"]))
    (metrics_port,) = free_ports(1)
    given = {"MODEL_NAME": models.settings.name, "METRICS_PORT": str(metrics_port)}
    with running("api", system.settings, port, tmp_path, **given) as api:
        print(f"\nthe API answered {api.seconds:.2f} s after its start")
        prediction = Client(api.url, None, timeout=30).predict(SAMPLE)
        assert prediction["model_version"] == promoted["version"]
        metrics = read(f"http://127.0.0.1:{metrics_port}/metrics").decode().splitlines()
        (counted,) = [line for line in metrics if 'route="/predict",' in line and 'status="200"' in line]
        assert counted.startswith("readmission_requests_total{") and counted.endswith(" 1.0")
        assert api.is_healthy()
        assert api.written() == []
    assert "Traceback" not in api.output()


def test_the_trainer_says_why_it_could_not_train(image: Image, stores: Stores, system: Platform) -> None:
    image("trainer")
    models = Models(stores, "readmission-in-containers")
    failed = train(system, models, "--model", "random_forest", "--execution", "without-rows")
    assert failed.returncode == 1
    assert reported(failed.stdout, "failed")["error"] == "NoTrainingData"


def train(system: Platform, models: Models, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = containers.variables("trainer", system.settings, {}) | {"MODEL_NAME": models.settings.name}
    with created("trainer") as container:
        command = containers.command("trainer", container, own, *arguments, "--data-kind", "synthetic")
        return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def reported(output: str, message: str) -> dict[str, Any]:
    """The only line of the log with that message."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    (found,) = [line for line in lines if line.get("message") == message]
    return found


def test_the_exporter_is_scraped(image: Image, system: Platform, port: int, tmp_path: Path) -> None:
    image("exporter")
    version = uuid4().hex  # tests share the platform and its CloudWatch
    dimensions = {"service": "predict", "model_version": version, "readmitted": "NO"}
    forecasts = {
        "MetricName": "Predictions",
        "Value": 17.0,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }
    boto3.client("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=[forecasts])
    with running("exporter", system.settings, port, tmp_path) as exporter:
        lines = read(f"{exporter.url}/metrics").decode().splitlines()
        (line,) = [line for line in lines if version in line and 'readmitted="NO"' in line and "_total{" in line]
        assert line.endswith(" 17.0")
        assert exporter.is_healthy()
        assert exporter.written() == []


def test_mlflow_serves_with_postgres_and_s3(
    image: Image, stores: Stores, system: Platform, port: int, tmp_path: Path
) -> None:
    image("mlflow")
    with running("mlflow", system.settings, port, tmp_path) as server:
        client = mlflow.MlflowClient(server.url)
        experiment = client.create_experiment(f"container-{port}")
        run = client.create_run(experiment)
        client.log_text(run.info.run_id, "kept", "note.txt")
        client.set_terminated(run.info.run_id)
        bucket = containers.COMPOSE["services"]["mlflow"]["environment"]["MLFLOW_ARTIFACTS_DESTINATION"].split("/")[2]
        kept = [
            item["Key"] for item in stores.s3.list_objects_v2(Bucket=bucket, Prefix="artifacts").get("Contents", [])
        ]
        assert any(key.endswith(f"{run.info.run_id}/artifacts/note.txt") for key in kept)
        assert server.is_healthy()
        assert server.written() == []
    assert system.query("mlflow", f"SELECT count(*) FROM experiments WHERE name = 'container-{port}'") == [[1]]


def test_the_pages_open_in_a_browser(
    image: Image, system: Platform, port: int, tmp_path: Path, browser: Browser
) -> None:
    image("ui")
    with running("ui", system.settings, port, tmp_path, API_URL="http://127.0.0.1:9") as ui:
        page = browser.new_page()
        page.goto(ui.url)
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=60_000)
        page.close()
        assert ui.is_healthy()
        assert ui.written() == []
    assert "Traceback" not in ui.output()


def test_localstack_runs_functions_as_processes(image: Image, system: Platform, port: int, tmp_path: Path) -> None:
    image("localstack")
    with running("localstack", system.settings, port, tmp_path) as localstack:
        functions = boto3.client("lambda", endpoint_url=localstack.url)
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", "import os\ndef handler(event, context):\n    return os.getuid()\n")
        functions.create_function(
            FunctionName="who",
            Runtime="python3.13",
            Handler="app.handler",
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": code.getvalue()},
        )
        functions.get_waiter("function_active_v2").wait(FunctionName="who")
        answer = functions.invoke(FunctionName="who")
        assert json.load(answer["Payload"]) == containers.USER
        assert localstack.is_healthy()
        assert localstack.written() == []
