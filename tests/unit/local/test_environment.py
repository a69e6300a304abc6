"""The caller's environment cannot send local clients elsewhere."""

import urllib.request

import boto3
import pytest

from infra.local import aws, environment, settings

CALLER = {
    "PATH": "/bin",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://proxy.example:3128",
    "no_proxy": "intranet.example, 10.0.0.1",
    "AWS_PROFILE": "nope",
    "AWS_ENDPOINT_URL_S3": "https://s3.example",
    "AWS_REGION": "eu-west-1",
    "AWS_SESSION_TOKEN": "foreign",
    "MLFLOW_REGISTRY_URI": "https://registry.example",
}


def test_settings_of_aws_and_mlflow_clients_do_not_stay() -> None:
    found = environment.isolated(CALLER)
    assert {name: value for name, value in found.items() if name.startswith(("AWS_", "MLFLOW_"))} == {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    assert found["PATH"] == "/bin"


def test_the_platforms_own_settings_stay() -> None:
    own = dict.fromkeys(settings.DEFAULTS, "1")
    assert environment.isolated(own).items() >= own.items()
    assert environment.foreign(own) == []


def test_proxies_stay_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment.isolated(CALLER)
    assert (found["HTTP_PROXY"], found["https_proxy"]) == ("http://127.0.0.1:9", "http://proxy.example:3128")
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    hosts = ("127.0.0.1:4566", "localhost:4566", "intranet.example", "10.0.0.1", "archive.ics.uci.edu")
    # Returns 1 or True.
    assert [bool(urllib.request.proxy_bypass(host)) for host in hosts] == [True, True, True, True, False]  # type: ignore[attr-defined]


def test_no_proxy_for_any_host_stays_so() -> None:
    assert environment.direct({"NO_PROXY": "*"}) == {"NO_PROXY": "*", "no_proxy": "*"}


def test_programs_get_each_proxy_in_upper_and_lower_case() -> None:
    assert environment.proxies({"http_proxy": "http://a", "HTTPS_PROXY": "http://b", "ALL_PROXY": ""}) == {
        "HTTP_PROXY": "http://a",
        "http_proxy": "http://a",
        "HTTPS_PROXY": "http://b",
        "https_proxy": "http://b",
    }


def test_this_process_changes_its_own_environment() -> None:
    ours = dict(CALLER)
    environment.isolate(ours)
    assert ours == environment.isolated(CALLER)


def test_an_ordinary_boto3_client_with_the_exported_variables_reaches_localstack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in environment.foreign(CALLER):
        monkeypatch.delenv(name, raising=False)
    for name, value in aws.environment(settings.load({"LOCALSTACK_PORT": "4599"})).items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("s3")
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://127.0.0.1:4599", "us-east-1")
    client.close()
