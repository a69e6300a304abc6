"""Commands of the platform against servers that others run, as compose.yaml does.

Here the others are the platform that earlier files have started and stopped. This file comes after them by its name, so
that they find no platform.
"""

from pathlib import Path
from typing import Any

from infra.local.servers import postgres
from tests.platforms import Platform, new_platform


def external(folder: Path, servers: Platform) -> Platform:
    settings = servers.settings
    database = postgres.database(settings)
    return new_platform(
        folder,
        SERVERS="external",
        LOCALSTACK_PORT=str(settings.localstack_port),
        MLFLOW_PORT=str(settings.mlflow_port),
        DATABASE_HOST=database.host,
        DATABASE_PORT=str(database.port),
        DATABASE_USER=database.user,
        DATABASE_PASSWORD=database.password,
    )


def test_the_commands_use_external_servers_and_leave_them_running(platform: Any, tmp_path: Path) -> None:
    platform.run("up")
    before = platform.pids()
    guest = external(tmp_path / ".local", platform)
    try:
        assert "not ours" in guest.run("up")
        assert list(guest.pids()) == ["s3-mirror"]
        certificate = guest.settings.certificate.read_text().split()
        assert certificate == platform.settings.certificate.read_text().split()[: len(certificate)]
        again = guest.run("up")
        assert "databases   checking ... complete" in again
        guest.run("down")
    finally:
        guest.run("clean")
    assert guest.processes() == []
    assert platform.pids() == before


def test_external_servers_that_do_not_answer_are_named_with_their_address(tmp_path: Path, another: Any) -> None:
    database = {"DATABASE_HOST": "127.0.0.1", "DATABASE_USER": "readmission", "DATABASE_PASSWORD": "secret"}
    alone = Platform({**another.variables, "SERVERS": "external", **database})
    said = alone.run("up", exit_code=1)
    assert "localstack did not answer within 30 s." in said
    assert f"SERVERS=external expects it at {alone.settings.localstack_url}" in said
