"""What importing the serving side brings with it: cold starts pay for every package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("boto3", "numpy", "sklearn", "pandas", "mlflow", "pg8000")
PREDICT = Path(__file__).parents[3] / "functions" / "predict"
ENVIRONMENT = {
    "MLFLOW_TRACKING_URI": "http://mlflow.example",
    "MODEL_NAME": "readmission",
    "PYTHONPATH": str(PREDICT),
}
# The module looks for a model and finds no network, and goes on without one.
PROGRAM = """
import json, socket, sys

def refuse(*_, **__):
    raise ConnectionRefusedError

socket.create_connection = refuse
import {module}
json.dump(sorted(sys.modules), sys.stderr)
"""


@pytest.mark.parametrize("module", ["readmission.serving.api", "app"], ids=["serving.api", "functions/predict"])
def test_serving_imports_no_package_of_training_or_of_the_pipeline(module: str) -> None:
    program = PROGRAM.format(module=module)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | ENVIRONMENT
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert [name for name in json.loads(done.stderr) if name in HEAVY] == []
