import pytest

from ui.services import configuration
from ui.services.configuration import NotConfigured


def test_settings_come_from_the_environment() -> None:
    found = configuration.load({"API_URL": "https://api", "API_KEY": "", "PROMETHEUS_URL": "http://p:9090/"})
    assert found.mlflow_url is None
    assert (found.api_key, found.stack_name, found.prometheus_url) == (None, "readmission", "http://p:9090")


def test_a_missing_url_is_reported_by_its_variable() -> None:
    with pytest.raises(NotConfigured) as raised:
        configuration.load({})
    assert raised.value.name == "API_URL"
