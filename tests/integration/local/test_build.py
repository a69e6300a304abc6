import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.settings import ROOT


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_the_built_functions_and_layers_stay_below_their_size_limits(architecture: str, tmp_path: Path) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("sam"), "build", "--build-dir", tmp_path / "build"],
        cwd=ROOT,
        env=os.environ | {"ARCHITECTURE": architecture, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        check=True,
    )

    def size(*parts: str) -> int:
        return sum(
            file.stat().st_size for part in parts for file in (tmp_path / "build" / part).rglob("*") if file.is_file()
        )

    mib = 1 << 20
    assert 10 * mib < size("PredictFunction", "ReadmissionLayer", "ServingLayer") < 30 * mib
    assert 100 * mib < size("ReportFunction", "ReadmissionLayer", "ReportingLayer") < 250 * mib
    assert 5 * mib < size("CleanFunction", "ReadmissionLayer", "PipelineLayer") < 20 * mib
    assert 200 * mib < size("TrainFunction", "ReadmissionLayer", "TrainingLayer") < 250 * mib
