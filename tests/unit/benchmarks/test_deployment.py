"""What the benchmarks give the functions that they run without a stack."""

from pathlib import Path
from typing import Any

import pytest
from readmission import settings

from tests.benchmarks import deployment
from tests.platforms import Platform


@pytest.mark.parametrize(
    "function",
    [
        settings.PlanSettings,
        settings.IngestSettings,
        settings.CleanSettings,
        settings.CheckSettings,
        settings.TrainSettings,
        settings.ReportSettings,
        settings.PromoteSettings,
    ],
)
def test_the_environment_has_what_each_function_of_the_pipeline_needs(tmp_path: Path, function: Any) -> None:
    platform = Platform({"LOCAL_DIR": str(tmp_path)})
    assert function.from_environment(deployment.environment(platform, "readmission"))
