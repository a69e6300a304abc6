"""Each image runs against the platform, as compose.yaml starts it."""

import io
import json
import os
import shutil
import subprocess
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import mlflow
import pytest
from playwright.sync_api import expect, sync_playwright
from readmission.client import Client
from readmission.pipeline import synthetic
from readmission.promotion.promote import promote
from readmission.settings import ModelSettings

from infra.local.commands.predict import SAMPLE
from tests.e2e.test_ui import BROWSER, FLAGS
from tests.integration.containers import containers
from tests.integration.containers.containers import ENVIRONMENT, created, running
from tests.integration.readmission.conftest import Stores
from tests.platforms import Platform, free_ports

pytestmark = [
    # MLflow raises these itself, when it logs a model and when it changes a stage.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MOST_MEGABYTES = 300
SMALL = ("api", "exporter", "ui")

type Image = Callable[[str], str]


@pytest.fixture
def port() -> int:
    (found,) = free_ports(1)
    return found


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        content: bytes = response.read()
    return content


@pytest.mark.parametrize("target", SMALL)
def test_an_image_that_serves_people_is_small(image: Image, target: str) -> None:
    size = json.loads(containers.buildah("images", "--json", image(target)))[0]["size"]
    number, unit = size.split()
    assert unit == "MB" and float(number) < MOST_MEGABYTES, size


def test_the_trainer_trains_and_the_api_answers_with_its_model(
    image: Image, stores: Stores, system: Platform, port: int, tmp_path: Path
) -> None:
    image("trainer"), image("api")
    stores.plan(source="synthetic:rows=1500")
    stores.load(list(synthetic.rows(1500, 3)))
    arguments = ["--model", "logistic_regression", "--execution", "container-1", "--data-kind", "real"]
    environment = containers.variables("trainer", system.settings, {})
    for _ in range(2):  # the second returns the run of the first
        with created("trainer") as container:
            trained = subprocess.run(
                containers.command("trainer", container, environment, *arguments),
                env=ENVIRONMENT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert trained.returncode == 0, trained.stdout + trained.stderr
    (said,) = [line for line in map(json.loads, trained.stdout.splitlines()) if line.get("message") == "trained"]
    assert said["correlation_id"] == "container-1"
    settings = ModelSettings(system.settings.mlflow_url, environment["MODEL_NAME"])
    runs = mlflow.MlflowClient(settings.tracking_uri).search_runs(
        [mlflow.MlflowClient(settings.tracking_uri).get_experiment_by_name(settings.name).experiment_id],
        "tags.pipeline_run = 'container-1'",
    )
    assert [run.info.run_id for run in runs] == [said["mlflow_run_id"]]
    candidates: Any = [{"model": "logistic_regression", "mlflow_run_id": said["mlflow_run_id"]}]
    promoted = promote(
        {"data_kind": "real", "models": ["logistic_regression"], "candidates": candidates}, stores.clean, settings
    )
    with running("api", system.settings, port, tmp_path) as api:
        print(f"the API answered {api.seconds:.2f} s after its start")
        prediction = Client(api.url, None, timeout=30).predict(SAMPLE)
        assert prediction.model_version == promoted["version"]
        assert api.is_healthy()
        assert api.written() == []
    assert "Traceback" not in api.output()


def test_the_trainer_names_what_is_missing(image: Image, system: Platform) -> None:
    image("trainer")
    environment = containers.variables("trainer", system.settings, {}) | {"DATABASE_SECRET": "no/such/secret"}
    with created("trainer") as container:
        arguments = ["--model", "random_forest", "--execution", "container-2"]
        failed = subprocess.run(
            containers.command("trainer", container, environment, *arguments),
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert failed.returncode == 1
    assert "no/such/secret" in failed.stdout


def test_the_exporter_is_scraped(image: Image, system: Platform, port: int, tmp_path: Path) -> None:
    image("exporter")
    cloudwatch = boto3.client("cloudwatch")
    cloudwatch.put_metric_data(
        Namespace="Readmission",
        MetricData=[{"MetricName": "RowsPlanned", "Value": 7, "Dimensions": [{"Name": "service", "Value": "plan"}]}],
    )
    with running("exporter", system.settings, port, tmp_path) as exporter:
        text = read(f"{exporter.url}/metrics").decode()
        assert "readmission_rows_planned_total" in text
        assert exporter.is_healthy()
        assert exporter.written() == []


def test_mlflow_serves_with_postgres_and_s3(image: Image, system: Platform, port: int, tmp_path: Path) -> None:
    image("mlflow")
    s3 = boto3.client("s3")
    with running("mlflow", system.settings, port, tmp_path) as server:
        client = mlflow.MlflowClient(server.url)
        experiment = client.create_experiment("from-a-container")
        run = client.create_run(experiment)
        client.log_text(run.info.run_id, "kept", "note.txt")
        client.set_terminated(run.info.run_id)
        bucket = containers.COMPOSE["services"]["mlflow"]["environment"]["MLFLOW_ARTIFACTS_DESTINATION"].split("/")[2]
        kept = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix="artifacts").get("Contents", [])]
        assert any(key.endswith(f"{run.info.run_id}/artifacts/note.txt") for key in kept)
        assert server.is_healthy()
        assert server.written() == []
    assert system.query("mlflow", "SELECT count(*) FROM experiments WHERE name = 'from-a-container'") == [[1]]


def test_the_pages_open_in_a_browser(image: Image, system: Platform, port: int, tmp_path: Path) -> None:
    program = next(filter(None, map(shutil.which, BROWSER)), None)
    if program is None:
        reason = "there is no chromium: apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    image("ui")
    with (
        running("ui", system.settings, port, tmp_path, API_URL="http://127.0.0.1:9") as ui,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        page = browser.new_page()
        page.goto(ui.url)
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=60_000)
        browser.close()
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
