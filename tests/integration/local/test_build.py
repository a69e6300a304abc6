import os
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from infra.local.lifecycle import application
from infra.local.settings import ROOT
from tests.platforms import Platform
from tests.unit.templates import RESOURCES

LIMIT = 262_144_000
"""Bytes that AWS allows for a function and its layers, unpacked."""
LAYERS = {
    name: [layer["Ref"] for layer in one["Properties"].get("Layers", [])]
    for name, one in RESOURCES.items()
    if one["Type"] == "AWS::Serverless::Function"
}


def build(architecture: str, folder: Path) -> None:
    binaries = Path(sys.executable).parent
    subprocess.run(
        [binaries / "sam", "build", "--build-dir", folder],
        cwd=ROOT,
        env=os.environ | {"ARCHITECTURE": architecture, "PATH": f"{binaries}:{os.environ['PATH']}"},
        capture_output=True,
        check=True,
    )


@pytest.fixture(params=["x86_64", "arm64"])
def built(request: pytest.FixtureRequest, another: Platform, tmp_path: Path) -> Path:
    """The folder of a build for this machine, and of one for the other architecture."""
    if request.param == application.architecture():
        another.settings.create_directories()
        application.build(another.settings)
        return application.BUILD
    build(request.param, tmp_path / "build")
    return tmp_path / "build"


def test_the_built_functions_and_layers_stay_below_their_size_limits_and_training_ships_compiled_modules_only(
    built: Path,
) -> None:
    def size(*parts: str) -> int:
        return sum(file.stat().st_size for part in parts for file in (built / part).rglob("*") if file.is_file())

    assert not (built / "ServingLayer" / "python" / "pydantic" / "v1").exists()
    mib = 1 << 20
    assert 10 * mib < size("PredictFunction", "ReadmissionLayer", "ServingLayer") < 30 * mib
    assert 100 * mib < size("ReportFunction", "ReadmissionLayer", "ReportingLayer") < 250 * mib
    assert 5 * mib < size("CleanFunction", "ReadmissionLayer", "PipelineLayer") < 20 * mib
    assert 80 * mib < size("PlanFunction", "ReadmissionLayer", "PipelineLayer", "ParquetLayer") < 160 * mib
    assert size("TrainFunction", "ReadmissionLayer", "TrainingLayer") > 200 * mib
    for name, layers in LAYERS.items():
        assert size(name, *layers) <= LIMIT, name

    layer = built / "TrainingLayer" / "python"
    assert list(layer.rglob("*.py")) == list(layer.rglob("__pycache__")) == []
    modules = list(layer.rglob("*.pyc"))
    assert {"mlflow/__init__.pyc", "sklearn/__init__.pyc"} <= {str(one.relative_to(layer)) for one in modules}
    # Of another Python, or cut off, Lambda could not import them.
    assert {one.read_bytes()[:4] for one in modules} == {MAGIC_NUMBER}
