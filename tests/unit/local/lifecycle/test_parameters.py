"""Which parameters a deployment gets, and how long they are kept."""

from pathlib import Path

import pytest

from infra.local import settings
from infra.local.errors import LocalError
from infra.local.lifecycle import parameters


@pytest.fixture
def loaded(tmp_path: Path) -> settings.Settings:
    loaded = settings.load({"LOCAL_DIR": str(tmp_path)})
    loaded.create_directories()
    return loaded


def test_parameters_are_read_with_their_values() -> None:
    found = parameters.read("PredictionLog=on  PatientHistory=on CorsAllowOrigins=https://ward.example?a=b")
    assert found == {
        "PredictionLog": "on",
        "PatientHistory": "on",
        "CorsAllowOrigins": "https://ward.example?a=b",
    }
    assert parameters.read("") == {}
    assert parameters.read('PipelineSchedule="rate(7 days)"') == {"PipelineSchedule": "rate(7 days)"}


def test_the_defaults_are_texts_as_the_template_writes_them() -> None:
    found = parameters.defaults()
    assert found["PredictionLog"] == "off" and found["CanaryShare"] == "0.1" and found["PipelineSchedule"] == ""
    assert "MlflowTrackingUri" not in found


@pytest.mark.parametrize("text", ["PredictionsLog=on", "PredictionLog", "=on"])
def test_what_is_no_parameter_with_a_value_is_refused_by_name(text: str) -> None:
    with pytest.raises(LocalError, match=text):
        parameters.read(f"PatientHistory=on {text}")


def test_a_quote_that_is_not_closed_is_refused() -> None:
    with pytest.raises(LocalError, match="PARAMETERS cannot be read"):
        parameters.read('PipelineSchedule="rate(7 days)')


def test_the_platforms_own_parameters_are_refused() -> None:
    with pytest.raises(LocalError, match="platform itself sets the parameter MlflowTrackingUri"):
        parameters.read("MlflowTrackingUri=http://127.0.0.1:1")


def test_parameters_are_kept_for_their_owner_until_others_or_none_are_given(loaded: settings.Settings) -> None:
    assert parameters.kept(loaded) == {}
    parameters.keep(loaded, {"PredictionLog": "on"})
    assert parameters.kept(loaded) == {"PredictionLog": "on"}
    (file,) = loaded.secrets.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    parameters.keep(loaded, {"PatientHistory": "on"})
    assert parameters.kept(loaded) == {"PatientHistory": "on"}
    parameters.keep(loaded, {})
    assert parameters.kept(loaded) == {}


def test_the_digest_tells_values_apart_and_not_their_order() -> None:
    values = {"PredictionLog": "on", "PatientHistory": "off"}
    assert parameters.digest(values) == parameters.digest(dict(reversed(values.items())))
    assert parameters.digest(values) != parameters.digest(values | {"PatientHistory": "on"})
    assert parameters.digest({}) == ""
