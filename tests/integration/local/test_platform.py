import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from infra.local import settings
from infra.local.servers import processes, ready, supervision
from infra.local.servers.processes import Process
from infra.local.servers.programs import ARTIFACTS
from tests.leash import die_with_parent

DATA = "readmission-data-000000000000"
MODELS = ARTIFACTS.split("/")[2]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true within 30 s"
        time.sleep(0.1)


def mlflow(platform: Any, path: str, body: bytes | dict[str, Any] | None = None, method: str = "POST") -> bytes:
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(f"{platform.settings.mlflow_url}/{path}", data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as response:
        content: bytes = response.read()
        return content


def create_buckets(platform: Any) -> None:
    with closing(platform.client("s3")) as s3:
        for bucket in (DATA, MODELS):
            s3.create_bucket(Bucket=bucket)


def test_up_makes_every_server_ready(platform: Any) -> None:
    said = platform.run("up")
    assert platform.settings.mlflow_url in said
    assert "up" in platform.run("status")
    assert [platform.query(name, "SELECT 1") for name in ("raw", "clean", "mlflow")] == [[[1]]] * 3
    assert mlflow(platform, "health", method="GET") == b"OK"


def test_a_second_up_changes_nothing(platform: Any) -> None:
    platform.run("up")
    before = platform.pids()
    platform.run("up")
    assert platform.pids() == before


def test_the_application_finds_its_database_in_the_secret(platform: Any) -> None:
    platform.run("up")
    with closing(platform.client("secretsmanager")) as client:
        secret = json.loads(client.get_secret_value(SecretId="readmission/database")["SecretString"])
    password = secret.pop("password")
    assert secret == {
        "engine": "postgres",
        "host": "127.0.0.1",
        "port": platform.settings.postgres_port,
        "username": "readmission",
    }
    assert platform.query("raw", "SELECT current_user, usesuper FROM pg_user WHERE usename = current_user") == [
        ["readmission", False]
    ]
    assert password not in platform.run("env") + platform.run("status")
    logs = "".join(log.read_text() for log in platform.settings.logs.iterdir())
    assert logs and password not in logs
    assert not any(password in process for process in platform.processes())


def test_every_socket_is_on_loopback_only(platform: Any) -> None:
    platform.run("up")
    pids = [process.split()[0] for process in platform.processes()]
    links = [link for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {os.readlink(link) for link in links if link.is_symlink()}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [row.split() for row in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    listening = {tuple(row[1].split(":")) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}
    assert {host for host, _ in listening} == {"0100007F"}
    numbers = {int(port, 16) for _, port in listening}
    wanted = platform.settings
    assert numbers >= {wanted.postgres_port, wanted.mlflow_port, wanted.localstack_port}


def test_up_starts_prometheus_if_it_is_installed(platform: Any, prometheus_program: str) -> None:
    assert platform.settings.prometheus_url in platform.run("up")
    with urllib.request.urlopen(f"{platform.settings.prometheus_url}/api/v1/rules", timeout=10) as answer:
        groups = json.load(answer)["data"]["groups"]
    assert {group["name"] for group in groups} >= {"readmission-recorded-traffic", "readmission-pipeline"}


def test_prometheus_scrapes_nothing_before_a_deployment(platform: Any, prometheus_program: str) -> None:
    platform.run("up")
    with urllib.request.urlopen(f"{platform.settings.prometheus_url}/api/v1/targets", timeout=10) as answer:
        assert json.load(answer)["data"]["activeTargets"] == []


def test_all_data_survives_down_and_two_simultaneous_ups(platform: Any) -> None:
    platform.run("up")
    create_buckets(platform)
    platform.query("raw", "CREATE TABLE IF NOT EXISTS kept (word text)")
    platform.query("raw", "INSERT INTO kept VALUES ('row')")
    run = json.loads(mlflow(platform, "api/2.0/mlflow/runs/create", {"experiment_id": "0"}))["run"]["info"]
    artifact = f"api/2.0/mlflow-artifacts/artifacts/0/{run['run_id']}/artifacts/model.txt"
    mlflow(platform, artifact, b"a model", method="PUT")
    with closing(platform.client("s3")) as s3:
        metadata = {"ContentType": "text/csv", "Metadata": {"source": "test"}}
        s3.put_object(Bucket=DATA, Key="raw/../a batch.csv", Body=b"1,2", **metadata)

    platform.run("down")  # immediately: the latest writes survive, too
    assert platform.processes() == []
    platform.run("status", exit_code=1)

    both = [platform.start("up"), platform.start("up")]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out + err

    assert platform.query("raw", "SELECT word FROM kept") == [["row"]]
    found = json.loads(mlflow(platform, f"api/2.0/mlflow/runs/get?run_id={run['run_id']}", method="GET"))
    assert found["run"]["info"]["run_id"] == run["run_id"]
    assert mlflow(platform, artifact, method="GET") == b"a model"
    with closing(platform.client("s3")) as s3:
        answer = s3.get_object(Bucket=DATA, Key="raw/../a batch.csv")
        with answer["Body"] as body:
            assert (body.read(), answer["ContentType"], answer["Metadata"]) == (
                b"1,2",
                "text/csv",
                {"source": "test"},
            )


def test_up_restores_s3_after_localstack_was_killed(platform: Any) -> None:
    platform.run("up")
    create_buckets(platform)
    with closing(platform.client("s3")) as s3:
        s3.put_object(Bucket=DATA, Key="before-the-kill", Body=b"kept")
    copy = platform.settings.mirror / DATA / "before-the-kill"
    eventually(copy.exists)
    before = platform.pids()

    os.kill(int(before["localstack"]), signal.SIGKILL)
    eventually(lambda: "localstack  down" in platform.run("status", exit_code=1))
    platform.run("up")

    with closing(platform.client("s3")) as s3:
        with s3.get_object(Bucket=DATA, Key="before-the-kill")["Body"] as body:
            assert body.read() == b"kept"
        s3.delete_object(Bucket=DATA, Key="before-the-kill")
    eventually(lambda: not copy.exists())
    assert platform.pids()["postgres"] == before["postgres"]


def test_what_a_killed_server_left_behind_is_replaced_without_up(platform: Any) -> None:
    platform.run("up")
    # One process: a second one would import MLflow again.
    (server,) = _processes(platform, "mlflow")
    own = {"TMPDIR": str(platform.settings.temporary / "mlflow" / "of-a-child")}
    with subprocess.Popen(["sleep", "600"], env=os.environ | own, preexec_fn=die_with_parent()) as left:
        before = _processes(platform, "mlflow")
        assert {process.pid for process in before} == {server.pid, left.pid}
        os.kill(int(platform.pids()["mlflow"]), signal.SIGKILL)
        eventually(lambda: not processes.still_alive(before))
    ready.wait(platform.settings, "mlflow")
    supervised = supervision.states(platform.settings)["mlflow"].pid
    assert [process.pid for process in _processes(platform, "mlflow")] == [supervised]


def _processes(platform: Any, program: str) -> list[Process]:
    return [process for process in processes.ours(platform.settings) if process.program == program]


def test_up_replaces_servers_whose_supervisor_was_killed(platform: Any) -> None:
    platform.run("up")
    before = platform.pids()
    os.kill(int((platform.settings.run / "supervisord.pid").read_text()), signal.SIGKILL)
    eventually(lambda: "supervisord is gone" in platform.run("status", exit_code=1))
    platform.run("up")
    after = platform.pids()
    assert not set(before.values()) & set(after.values())


def test_commands_reach_the_platform_whatever_the_callers_environment(platform: Any) -> None:
    platform.run("up")
    nowhere = "http://127.0.0.1:9"
    caller = {
        "AWS_PROFILE": "nope",
        "AWS_ENDPOINT_URL_S3": nowhere,
        "AWS_REGION": "eu-west-1",
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), nowhere),
    }
    elsewhere = type(platform)(platform.variables | caller)
    elsewhere.run("down")
    elsewhere.run("up")  # starts the servers from there, too
    elsewhere.run("status")
    assert {"unset", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"} <= set(elsewhere.run("env").splitlines()[0].split())
    create_buckets(platform)
    run = json.loads(mlflow(platform, "api/2.0/mlflow/runs/create", {"experiment_id": "0"}))["run"]["info"]
    artifact = f"api/2.0/mlflow-artifacts/artifacts/0/{run['run_id']}/artifacts/model.txt"
    mlflow(platform, artifact, b"a model", method="PUT")  # MLflow writes it to S3
    assert mlflow(platform, artifact, method="GET") == b"a model"


def test_a_setting_that_differs_from_the_running_platforms_is_refused(platform: Any) -> None:
    platform.run("up")
    changed = type(platform)(platform.variables | {"MLFLOW_PORT": "5999"})
    assert "MLFLOW_PORT" in changed.run("up", exit_code=1)


def test_a_taken_port_is_reported_with_its_holder_and_nothing_is_started(another: Any) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", another.settings.localstack_port))
        holder.listen()
        said = another.run("up", exit_code=1)
    assert "LOCALSTACK_PORT" in said
    assert f"(pid {os.getpid()})" in said
    assert another.processes() == []


def test_a_server_that_does_not_start_is_reported_with_the_end_of_its_log(another: Any) -> None:
    another.settings.create_directories()
    another.settings.postgres_data.mkdir(mode=0o700)
    said = another.run("up", exit_code=1)
    assert "postgres stopped while starting" in said
    assert "make logs NAME=postgres" in said
    assert "Traceback" not in said


def test_an_external_database_that_does_not_answer_is_reported(another: Any) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = str(nobody.getsockname()[1])
        elsewhere = {"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": port}
        login = {"DATABASE_USER": "me", "DATABASE_PASSWORD": "hidden"}
        said = type(another)(another.variables | elsewhere | login).run("up", exit_code=1)
    assert f"127.0.0.1:{port} (DATABASE_HOST)" in said
    assert "hidden" not in said and "Traceback" not in said


def test_clean_refuses_a_folder_that_is_not_a_platform(tmp_path: Path, another: Any) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    assert "LOCAL_DIR" in type(another)({"LOCAL_DIR": str(precious)}).run("clean", exit_code=1)
    assert precious.exists()


def test_an_invalid_setting_gives_a_readable_error(tmp_path: Path, another: Any) -> None:
    said = type(another)(another.variables | {"MLFLOW_PORT": "high"}).run("status", exit_code=1)
    assert said.strip() == "MLFLOW_PORT must be a port from 1 to 65535, not 'high'."
    assert settings.load(another.variables).directory == tmp_path / ".local"
