import json
import subprocess
import sys


def test_reporting_imports_nothing_that_its_layer_lacks() -> None:
    program = "import json, sys, readmission.reporting.report; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"boto3", "fastapi", "mlflow", "pandas", "pg8000", "scipy", "sklearn", "matplotlib.pyplot"}
    assert heavy.isdisjoint(json.loads(done.stdout))
