"""The commands that build the images, and what the Containerfile, compose.yaml and the local platform agree on."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import mlflow_server
from infra.containers import __main__ as program
from infra.containers import images
from infra.local import settings
from infra.local.errors import LocalError
from infra.local.servers.programs import PROGRAMS

CONTAINERS = images.ROOT / "infra" / "containers"
CONTAINERFILE = images.CONTAINERFILE.read_text()
SERVICES: dict[str, Any] = yaml.safe_load((CONTAINERS / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def stage(target: str) -> str:
    found = re.search(rf"^FROM \S+ AS {target}\n(.*?)(?=^FROM |\Z)", CONTAINERFILE, re.MULTILINE | re.DOTALL)
    assert found is not None, target
    return found[1]


def test_docker_needs_no_option_that_it_does_not_know() -> None:
    command = images.build_command("api", "docker", {})
    assert command[:2] == ["docker", "build"]
    assert not {"--ignorefile", "--format", "--layers"} & set(command)


@pytest.mark.parametrize("builder", ["podman", "buildah"])
def test_the_others_keep_health_checks_and_leave_out_what_docker_leaves_out(builder: str) -> None:
    command = images.build_command("api", builder, {})
    assert command[command.index("--format") + 1] == "docker"
    assert Path(command[command.index("--ignorefile") + 1]).is_file()


@pytest.mark.parametrize("changed", [*images.INSTALLED, "infra/localstack/uv.lock", "infra/localstack/src/a.py"])
def test_an_image_is_built_again_after_a_change_of_its_packages(tmp_path: Path, changed: str) -> None:
    for name in (*images.INSTALLED, "infra/localstack/pyproject.toml", "infra/localstack/uv.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    before = {target: images.packages(target, tmp_path) for target in images.TARGETS}
    (tmp_path / changed).parent.mkdir(exist_ok=True)
    (tmp_path / changed).write_text("after")
    others = {target for target in images.TARGETS if images.packages(target, tmp_path) != before[target]}
    assert others == ({"localstack"} if changed.startswith("infra/localstack") else set(images.TARGETS))


@pytest.mark.parametrize("target", images.TARGETS)
def test_the_layer_of_packages_depends_on_them(target: str) -> None:
    assert f"PACKAGES={images.packages(target)}" in images.build_command(target, "buildah", {})
    # buildah does not see that a mounted file has changed.
    assert "ARG PACKAGES\nRUN --mount=type=bind,from=build" in stage(target)


def test_the_password_of_an_index_is_no_argument(tmp_path: Path) -> None:
    authorities = tmp_path / "authorities.pem"
    authorities.touch()
    given = {"UV_DEFAULT_INDEX": "https://user:secret@index.example/simple", "SSL_CERT_FILE": str(authorities)}
    command = images.build_command("api", "docker", given)
    assert "UV_DEFAULT_INDEX" in command
    assert f"id=authorities,src={authorities}" in command
    assert not any("secret@" in word for word in command)


def test_a_tool_whose_daemon_does_not_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, code in (("docker", 1), ("podman", 0)):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\nexit {code}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert images.tool() == "podman"
    with pytest.raises(LocalError, match=r"docker does not work .* apt-get install"):
        images.tool("docker")


def test_an_image_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["build", "--only", "api,backend"])
    assert "there is no image backend; the images are api, exporter" in capsys.readouterr().err


@pytest.mark.parametrize("target", images.TARGETS)
def test_every_image_runs_as_an_ordinary_user(target: str) -> None:
    assert re.findall(r"^USER (.*)$", stage(target), re.MULTILINE) == ["10001"]


@pytest.mark.parametrize("target", sorted(set(images.TARGETS) - {"trainer"}))
def test_every_server_has_a_health_check_and_its_port(target: str) -> None:
    assert "HEALTHCHECK" in stage(target)
    (port,) = re.findall(r"^EXPOSE (.*)$", stage(target), re.MULTILINE)
    assert f"127.0.0.1:{port}:{port}" in SERVICES["network"]["ports"]


@pytest.mark.parametrize("name", sorted(set(OURS) - {"network"}))
def test_every_service_of_ours_is_built_here_and_hardened(name: str) -> None:
    service = OURS[name]
    assert service["image"] == images.name(name)
    assert service["build"]["target"] == name
    assert (CONTAINERS / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == images.CONTAINERFILE
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["network_mode"] == "service:network"


def test_no_port_is_open_to_other_machines() -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["network"]["ports"])
    assert not any("ports" in service for name, service in SERVICES.items() if name != "network")


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_every_image_of_others_is_pinned_by_its_digest(name: str) -> None:
    assert re.fullmatch(r"docker\.io/[a-z/]+:[v\d.]+@sha256:[0-9a-f]{64}", SERVICES[name]["image"])


def test_files_that_compose_mounts_exist() -> None:
    mounted = [volume for service in SERVICES.values() for volume in service.get("volumes", ()) if volume[0] == "."]
    assert mounted
    for volume in mounted:
        assert (CONTAINERS / volume.split(":")[0]).resolve().exists(), volume


def test_localstack_has_the_settings_of_the_local_platform(tmp_path: Path) -> None:
    _, wanted = PROGRAMS["localstack"](settings.load({"LOCAL_DIR": str(tmp_path)}))
    image = dict(re.findall(r"(?:^ENV |^    )(\w+)=(\S+)", stage("localstack"), re.MULTILINE))
    # The image has no trainer, and its LocalStack keeps no snapshot.
    del wanted["TRAINING_JOB_COMMAND"], wanted["SNAPSHOT_FOLDER"]
    assert wanted.keys() <= image.keys()
    same = {name for name in wanted if image[name] == wanted[name]}
    # Addresses and folders differ.
    assert wanted.keys() - same == {
        "GATEWAY_LISTEN",
        "FILESYSTEM_ROOT",
        "LAMBDA_PROCESS_RUNTIMES",
        "CLOUDWATCH_DATABASE",
        "STEPFUNCTIONS_DATABASE",
    }


def test_mlflow_does_not_start_without_its_settings() -> None:
    with pytest.raises(SystemExit, match="DATABASE_PASSWORD, MLFLOW_ARTIFACTS_DESTINATION must be set"):
        mlflow_server.main({"DATABASE_HOST": "db.example", "DATABASE_USER": "mlflow"})


def test_the_password_of_mlflows_database_is_in_one_variable_and_no_argument() -> None:
    variables = mlflow_server.environment("db.example", 5432, "ml:flow", "a/b@c")
    assert [name for name, value in variables.items() if "a/b@c" in value] == ["DATABASE_PASSWORD"]
    assert "--backend-store-uri" not in mlflow_server.command("127.0.0.1", 5000, "s3://bucket/artifacts")


COMPLETE = {name: "given" for name in mlflow_server.REQUIRED}


def test_mlflow_that_asks_for_a_login_does_not_start_without_its_users() -> None:
    with pytest.raises(SystemExit, match=r"MLFLOW_AUTH_ADMIN_PASSWORD, MLFLOW_PIPELINE_USERNAME, .* must be set"):
        mlflow_server.main({**COMPLETE, "MLFLOW_AUTH_ADMIN_USERNAME": "admin"})


def test_mlflow_takes_no_protection_of_its_database_that_it_does_not_know() -> None:
    with pytest.raises(SystemExit, match="DATABASE_TLS is 'verify', but must be disable, prefer, require, verify-full"):
        mlflow_server.main({**COMPLETE, "DATABASE_TLS": "verify"})


def test_the_image_of_mlflow_has_what_its_login_and_its_database_need() -> None:
    """Its group of the lock file alone: the environment of the tests has much more."""
    packages = {one["name"]: one for one in tomllib.loads((images.ROOT / "uv.lock").read_text())["package"]}
    group = packages["readmission-platform"]["dev-dependencies"]["image-mlflow"]
    names = {one["name"] for one in group}
    extras = {extra for one in group if one["name"] == "mlflow" for extra in one.get("extra", ())}
    assert "pg8000" in names and extras == {"auth"}
    for path in ("infra/mlflow_auth.ini", "layers/readmission/src/readmission/storage/rds-global-bundle.pem"):
        assert path in stage("mlflow")


def test_the_build_gets_no_file_but_those_that_it_needs() -> None:
    listed = Path(f"{images.CONTAINERFILE}.dockerignore").read_text().splitlines()
    assert "*" in listed
    for line in listed:
        if line.startswith("!"):
            assert (images.ROOT / line[1:]).exists(), line
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE, re.MULTILINE)
    allowed = [line[1:] for line in listed if line.startswith("!")]
    for path in " ".join(copied).split():
        assert any(path == one or path.startswith(f"{one}/") for one in allowed), path


def test_the_install_script_is_valid_shell() -> None:
    subprocess.run(["sh", "-n", str(CONTAINERS / "install")], check=True)


@pytest.mark.parametrize(("refused", "storage"), [("overlay", "vfs"), ("nothing", None)])
def test_where_the_kernel_refuses_overlays_buildah_copies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: str, storage: str | None
) -> None:
    program = tmp_path / "buildah"
    program.write_text(f'#!/bin/sh\n[ "${{STORAGE_DRIVER:-overlay}}" != {refused} ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("STORAGE_DRIVER", raising=False)
    images._storage.cache_clear()
    try:
        assert images.environment().get("STORAGE_DRIVER") == storage
    finally:
        images._storage.cache_clear()
