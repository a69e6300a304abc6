import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.lifecycle import application
from infra.local.settings import ROOT
from tests.platforms import Platform


def build(architecture: str, folder: Path) -> None:
    binaries = Path(sys.executable).parent
    subprocess.run(
        [binaries / "sam", "build", "--build-dir", folder],
        cwd=ROOT,
        env=os.environ | {"ARCHITECTURE": architecture, "PATH": f"{binaries}:{os.environ['PATH']}"},
        capture_output=True,
        check=True,
    )


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_the_built_functions_and_layers_stay_below_their_size_limits(
    architecture: str, another: Platform, tmp_path: Path
) -> None:
    if architecture == application.architecture():
        another.settings.create_directories()
        application.build(another.settings)
        folder = application.BUILD
    else:
        folder = tmp_path / "build"
        build(architecture, folder)

    def size(*parts: str) -> int:
        return sum(file.stat().st_size for part in parts for file in (folder / part).rglob("*") if file.is_file())

    assert not (folder / "ServingLayer" / "python" / "pydantic" / "v1").exists()
    mib = 1 << 20
    assert 10 * mib < size("PredictFunction", "ReadmissionLayer", "ServingLayer") < 30 * mib
    assert 100 * mib < size("ReportFunction", "ReadmissionLayer", "ReportingLayer") < 250 * mib
    assert 5 * mib < size("CleanFunction", "ReadmissionLayer", "PipelineLayer") < 20 * mib
    assert 200 * mib < size("TrainFunction", "ReadmissionLayer", "TrainingLayer") < 250 * mib
