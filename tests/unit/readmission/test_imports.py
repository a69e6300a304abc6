"""Which packages a module imports: every import costs cold-start time, and layers lack some packages."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

TRAINING = ("numpy", "sklearn", "pandas", "mlflow")
HEAVY = ("boto3", "pg8000", *TRAINING)
ROOT = Path(__file__).parents[3]
PATHS = (ROOT / "functions" / "predict", ROOT / "layers" / "readmission" / "src")
ENVIRONMENT = {
    "MLFLOW_TRACKING_URI": "http://mlflow.example",
    "MODEL_NAME": "readmission",
    "PYTHONPATH": os.pathsep.join(map(str, PATHS)),
}
# The module polls the registry, finds no network, and continues without a model.
PROGRAM = """
import json, socket, sys

def refuse(*_, **__):
    raise ConnectionRefusedError

socket.create_connection = refuse
import {module}
json.dump(sorted(sys.modules), sys.stderr)
"""


def _imported_by(module: str, among: Sequence[str], before: str = "") -> list[str]:
    program = before + PROGRAM.format(module=module)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | ENVIRONMENT
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return [name for name in json.loads(done.stderr) if name in among]


@pytest.mark.parametrize("module", ["readmission.serving.api", "app"], ids=["serving.api", "functions/predict"])
def test_serving_imports_no_package_of_training_or_of_the_pipeline(module: str) -> None:
    assert _imported_by(module, HEAVY) == []


def test_serving_does_without_the_old_pydantic_that_its_layer_and_its_image_leave_out() -> None:
    # With None, Python refuses the import.
    without = "import sys; sys.modules['pydantic.v1'] = None"
    assert _imported_by("app", ("fastapi", "pydantic.v1.main"), without) == ["fastapi"]


@pytest.mark.parametrize(
    "module",
    [
        "pipeline.plan",
        "pipeline.check",
        "serving.history",
        "pipeline.ingest",
        "pipeline.clean",
        "storage.migrations",
        "promotion.ledger",
        "promotion.limit",
    ],
)
def test_what_runs_on_the_pipelines_layer_imports_no_package_of_training(module: str) -> None:
    assert _imported_by(f"readmission.{module}", TRAINING) == []


@pytest.mark.parametrize("module", ["pipeline.plan", "pipeline.tables", "pipeline.mapping_file"])
def test_planning_imports_pyarrow_for_a_delivery_in_parquet_alone(module: str) -> None:
    assert _imported_by(f"readmission.{module}", ("pyarrow",)) == []


def test_parquet_is_read_without_numpy_and_pandas_which_the_layer_lacks() -> None:
    without = "import sys; sys.modules['numpy'] = sys.modules['pandas'] = None"
    assert _imported_by("readmission.pipeline.parquet_file", ("pyarrow",), without) == ["pyarrow"]


@pytest.mark.parametrize(
    "module", ["telemetry.exporter.collector", "serving.metrics", "telemetry.exporter.auth", "http.proxy"]
)
def test_the_exporter_imports_no_package_that_its_layer_lacks(module: str) -> None:
    lacking = ("pg8000", "fastapi", "pydantic", *TRAINING)
    assert _imported_by(f"readmission.{module}", lacking) == []


def test_cleaning_imports_neither_pandas_nor_numpy() -> None:
    assert _imported_by("readmission.pipeline.clean", ("pandas", "numpy", "sklearn", "mlflow")) == []


def test_the_client_needs_nothing_but_python() -> None:
    assert _imported_by("readmission.client", ("pydantic", "fastapi", "starlette", "readmission.errors", *HEAVY)) == []
