"""The variables that the template gives a function are those that its settings read, with values that they accept."""

import re
from collections.abc import Iterator, Mapping

import pytest
from readmission import settings

from tests.transformed import IDENTITY, ROOT, deployed

RESOURCES = deployed(PatientHistory="on", PredictionLog="on", ShadowRequests="100", **IDENTITY)
FUNCTIONS = [name for name, one in RESOURCES.items() if one["Type"] == "AWS::Lambda::Function"]
# Read by libraries, not by the settings.
OF_LIBRARIES = {
    "HOME",
    "JOBLIB_MULTIPROCESSING",
    "MALLOC_ARENA_MAX",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
}


class Watched(Mapping[str, str]):
    """Variables, and the names of those that were read."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = {name: str(value) for name, value in values.items()}
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def given(function: str) -> dict[str, object]:
    variables: dict[str, object] = RESOURCES[function]["Properties"]["Environment"]["Variables"]
    return variables


def read(function: str) -> set[str]:
    """What the settings that the function's entry file imports read of the template's variables."""
    source = (ROOT / "functions" / function.removesuffix("Function").lower() / "app.py").read_text()
    environment = Watched(given(function))
    identity = ["IdentitySettings"] if "OIDC_ISSUER" in given(function) else []
    audit = ["AuditSettings"] if "AUDIT_LOG_GROUP" in given(function) else []
    for name in {*re.findall(r"\b(\w+Settings)\.from_environment\(", source), *identity, *audit}:
        getattr(settings, name).from_environment(environment)
    return environment.read


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_defaults_of_the_template_are_settings_that_the_function_accepts(function: str) -> None:
    assert read(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_reads_each_variable_that_it_is_given(function: str) -> None:
    assert given(function).keys() - OF_LIBRARIES <= read(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_given_each_variable_that_it_reads_of_its_own(function: str) -> None:
    """Others of the shared settings have defaults and are not its business."""
    shared = {
        "AUDIT_KEY",
        "DATABASE_OWNER_SECRET",
        "MAX_TRAINING_ROWS",
        "OIDC_SCOPE_PREFIX",
        "PATIENT_KEY",
        "TRAINING_JOB_SECONDS",
    }
    assert read(function) - shared <= given(function).keys()
