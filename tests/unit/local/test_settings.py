import json
from pathlib import Path

import pytest

from infra.local import settings
from infra.local.errors import LocalError


def load(directory: Path, **environment: str) -> settings.Settings:
    return settings.load({"LOCAL_DIR": str(directory), **environment})


def test_unset_variables_have_defaults(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert (loaded.postgres_port, loaded.mlflow_port, loaded.localstack_port) == (55432, 5000, 4566)
    assert loaded.programs == ("postgres", "localstack", "s3-mirror", "mlflow", "prometheus")


def test_a_relative_folder_is_inside_the_repository() -> None:
    assert settings.load({"LOCAL_DIR": "elsewhere"}).directory == settings.ROOT / "elsewhere"
    assert settings.load({}).directory == settings.ROOT / ".local"


@pytest.mark.parametrize("value", ["0", "65536", "http", "-1", "5000.0", "\u0665"])
@pytest.mark.parametrize("name", settings.PORTS)
def test_an_invalid_port_is_refused_with_its_variable(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(LocalError, match=name):
        load(tmp_path, **{name: value})


def test_two_servers_on_one_port_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="MLFLOW_PORT"):
        load(tmp_path, MLFLOW_PORT="4566")


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert load(tmp_path, MLFLOW_PORT="").mlflow_port == 5000


def test_prometheus_can_be_left_out(tmp_path: Path) -> None:
    assert "prometheus" not in load(tmp_path, PROMETHEUS="off").programs


@pytest.mark.parametrize("value", ["0", "15s", "1.5"])
def test_an_invalid_interval_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(LocalError, match="PROMETHEUS_INTERVAL"):
        load(tmp_path, PROMETHEUS_INTERVAL=value)


def test_a_database_host_replaces_the_platforms_postgres(tmp_path: Path) -> None:
    loaded = load(tmp_path, DATABASE_HOST="db", DATABASE_USER="me", DATABASE_PASSWORD="secret")
    assert loaded.external_database == settings.ExternalDatabase("db", 5432, "me", "secret")
    assert "postgres" not in loaded.programs


def test_a_database_host_without_a_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="DATABASE_USER"):
        load(tmp_path, DATABASE_HOST="db", DATABASE_PASSWORD="secret")


def test_the_settings_of_the_running_platform_are_the_defaults(tmp_path: Path) -> None:
    running = load(tmp_path, MLFLOW_PORT="5001", DATABASE_HOST="db", DATABASE_USER="me", DATABASE_PASSWORD="x")
    running.create_directories()
    settings.record(running)
    assert load(tmp_path) == running
    settings.forget(running)
    assert load(tmp_path).mlflow_port == 5000


def test_settings_that_differ_from_the_running_ones_are_refused(tmp_path: Path) -> None:
    running = load(tmp_path)
    running.create_directories()
    settings.record(running)
    settings.refuse_other_settings(load(tmp_path))
    with pytest.raises(LocalError, match="MLFLOW_PORT"):
        settings.refuse_other_settings(load(tmp_path, MLFLOW_PORT="5001"))


def test_only_the_owner_can_read_the_record_which_may_contain_a_password(tmp_path: Path) -> None:
    running = load(tmp_path, DATABASE_HOST="db", DATABASE_USER="me", DATABASE_PASSWORD="secret")
    running.create_directories()
    settings.record(running)
    file = tmp_path / "run" / "settings.json"
    assert json.loads(file.read_text())["DATABASE_PASSWORD"] == "secret"
    assert file.stat().st_mode & 0o777 == 0o600


def test_with_external_servers_the_platform_runs_only_the_mirror(tmp_path: Path) -> None:
    database = {"DATABASE_HOST": "127.0.0.1", "DATABASE_USER": "readmission", "DATABASE_PASSWORD": "secret"}
    loaded = load(tmp_path, SERVERS="external", **database)
    assert loaded.programs == ("s3-mirror",)
    assert settings.load({"LOCAL_DIR": str(tmp_path), **settings.as_environment(loaded)}) == loaded


@pytest.mark.parametrize(("value", "named"), [("external", "DATABASE_HOST"), ("docker", "SERVERS")])
def test_external_servers_need_a_database(tmp_path: Path, value: str, named: str) -> None:
    with pytest.raises(LocalError, match=named):
        load(tmp_path, SERVERS=value)


def test_a_platform_of_the_release_before_has_servers_of_its_own(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert "SERVERS" not in settings.as_environment(loaded)
    assert not loaded.external_servers
