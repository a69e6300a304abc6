"""Building, deploying and restoring, with a `sam` and a LocalStack that only record how they were called."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from infra.local import settings, stack
from infra.local.errors import LocalError
from infra.local.lifecycle import application, parameters


class Sam:
    """Takes the place of `subprocess.run`."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.variables: dict[str, str] = {}
        self.mode = 0
        self.parameters: dict[str, Any] = {}

    def __call__(self, command: list[Any], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        self.command, self.variables = list(map(str, command)), env
        file = Path(self.command[self.command.index("--config-file") + 1])
        self.mode = file.stat().st_mode & 0o777
        self.parameters = yaml.safe_load(file.read_text())["default"]["deploy"]["parameters"]
        return subprocess.CompletedProcess(command, 0)


class LocalStack:
    """Takes the place of boto3's client of S3, and of the snapshots."""

    def __init__(self) -> None:
        self.buckets: list[str] = []
        self.key: str | None = None
        """Of the snapshot that there is."""
        self.refuses_to_save: str | None = None

    def create_bucket(self, Bucket: str) -> None:
        self.buckets.append(Bucket)

    def save(self, _: settings.Settings, key: str) -> str | None:
        self.key = None if self.refuses_to_save else key
        return self.refuses_to_save

    def restore(self, _: settings.Settings, key: str) -> bool:
        return key == self.key


@pytest.fixture
def localstack(monkeypatch: pytest.MonkeyPatch) -> LocalStack:
    localstack = LocalStack()
    monkeypatch.setattr(application.aws, "client", lambda settings, service: localstack)
    monkeypatch.setattr(application.snapshot, "save", localstack.save)
    monkeypatch.setattr(application.snapshot, "restore", localstack.restore)
    return localstack


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, localstack: LocalStack) -> settings.Settings:
    loaded = settings.load({"LOCAL_DIR": str(tmp_path)})
    loaded.create_directories()
    monkeypatch.setattr(stack, "find", lambda settings: None)
    monkeypatch.setattr(application, "repair", lambda settings: [])
    return loaded


@pytest.fixture
def sam(monkeypatch: pytest.MonkeyPatch) -> Sam:
    sam = Sam()
    monkeypatch.setattr(application.subprocess, "run", sam)
    return sam


def test_the_secrets_reach_sam_in_a_file_of_their_owner_and_not_as_arguments(
    loaded: settings.Settings, sam: Sam
) -> None:
    application._deploy(loaded, "0" * 64)
    names = ("api-key", "metrics-token", "patient-key")
    key, token, patient_key = ((loaded.secrets / name).read_text() for name in names)
    assert len(key) == len(token) == len(patient_key) == 40
    overrides = sam.parameters["parameter_overrides"]
    assert f"ApiKeyValue={key}" in overrides and f"MetricsTokenValue={token}" in overrides
    assert f"PatientKeyValue={patient_key}" in overrides
    assert sam.mode == 0o600
    shown = " ".join((*sam.command, *sam.variables.values()))
    assert key not in shown and token not in shown and patient_key not in shown
    assert sorted(file.name for file in loaded.secrets.iterdir()) == list(names)


def test_the_parameters_that_are_kept_reach_sam_and_a_deployment_with_others_is_another_one(
    loaded: settings.Settings, sam: Sam
) -> None:
    application._deploy(loaded, "0" * 64)
    tag = sam.command[-1]
    parameters.keep(loaded, {"PredictionLog": "on", "AllowHttpSources": "off"})
    application._deploy(loaded, "0" * 64)
    overrides = sam.parameters["parameter_overrides"]
    assert "PredictionLog=on" in overrides and "AllowHttpSources=off" in overrides
    assert "AllowHttpSources=on" not in overrides
    assert sam.command[-1] != tag


def test_a_parameter_that_is_not_kept_gets_its_default_and_not_the_value_before(
    loaded: settings.Settings, sam: Sam
) -> None:
    parameters.keep(loaded, {"ShadowRequests": "120", "PipelineSchedule": "rate(7 days)"})
    application._deploy(loaded, "0" * 64)
    parameters.keep(loaded, {})
    application._deploy(loaded, "0" * 64)
    overrides = sam.parameters["parameter_overrides"]
    assert {"ShadowRequests=0", 'PipelineSchedule=""', "DatabaseTls=disable"} <= set(overrides)
    assert len(overrides) == len({override.partition("=")[0] for override in overrides})


def test_sam_gets_the_other_parameters_of_samconfig_too(loaded: settings.Settings, sam: Sam) -> None:
    application._deploy(loaded, "0" * 64)
    assert sam.parameters["capabilities"] == "CAPABILITY_IAM"


def test_sam_uploads_to_a_bucket_that_is_there_instead_of_making_one(
    loaded: settings.Settings, sam: Sam, localstack: LocalStack
) -> None:
    application._deploy(loaded, "0" * 64)
    assert localstack.buckets == [sam.parameters["s3_bucket"]]
    assert "resolve_s3" not in sam.parameters  # sam refuses both together


@pytest.fixture
def deployed(loaded: settings.Settings, sam: Sam, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    """A platform whose stack has been deployed from sources with the digest "a"."""
    monkeypatch.setattr(application, "_fingerprint", lambda: "a")
    application._deploy(loaded, "a")
    (loaded.directory / "deployed").touch()
    return loaded


def test_what_was_deployed_is_restored_without_deploying(deployed: settings.Settings) -> None:
    assert application.restore(deployed) == "restored"


@pytest.mark.parametrize("changed", ["sources", "parameters", "api-key", "patient-key", "port", "mlflow"])
def test_after_a_change_it_is_not_restored_but_deployed(
    deployed: settings.Settings, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = deployed
    match changed:
        case "sources":
            monkeypatch.setattr(application, "_fingerprint", lambda: "b")
        case "parameters":
            parameters.keep(deployed, {"PredictionLog": "on"})
        case "port":
            now = replace(deployed, localstack_port=deployed.localstack_port + 1)
        case "mlflow":
            now = replace(deployed, mlflow_port=deployed.mlflow_port + 1)
        case secret:
            (deployed.secrets / secret).write_text("another one" * 4)
    assert application.restore(now) == "no snapshot of these sources and parameters"


def test_what_has_been_restored_is_not_deployed(
    deployed: settings.Settings, sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = sam.command[-1].removeprefix("build=")
    monkeypatch.setattr(stack, "find", lambda settings: SimpleNamespace(tags={"build": tag}))
    monkeypatch.setattr(application, "build", lambda *_: pytest.fail("builds"))
    sam.command = []
    assert application.redeploy(deployed) == "already deployed"
    assert not sam.command


def test_what_was_not_deployed_is_neither_restored_nor_deployed(loaded: settings.Settings, sam: Sam) -> None:
    assert application.restore(loaded) == application.redeploy(loaded) == "nothing was deployed"
    assert not sam.command


def test_a_deployment_of_which_there_is_no_snapshot_says_so(
    loaded: settings.Settings, sam: Sam, localstack: LocalStack
) -> None:
    localstack.refuses_to_save = "the stack has a topic"
    done = "deployed, but the next LocalStack must be deployed to again: the stack has a topic"
    assert application._deploy(loaded, "a") == done


def test_sam_reaches_the_local_platform_whatever_the_callers_environment(
    loaded: settings.Settings, sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    application._deploy(loaded, "0" * 64)
    assert {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3"} & set(sam.variables) == set()
    assert sam.variables["AWS_ENDPOINT_URL"] == loaded.localstack_url
    assert "127.0.0.1" in sam.variables["NO_PROXY"].split(",")
    assert sam.variables["HTTP_PROXY"] == os.environ["HTTP_PROXY"]


def test_after_a_deployment_that_broke_off_everything_is_uploaded_again(
    loaded: settings.Settings, sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(application, "_sam", killed)
        with pytest.raises(KeyboardInterrupt):
            application._deploy(loaded, "0" * 64)
    application._deploy(loaded, "0" * 64)
    assert "--force-upload" in sam.command
    application._deploy(loaded, "0" * 64)
    assert "--force-upload" not in sam.command


def test_an_empty_secret_that_a_full_disk_left_behind_is_made_again(loaded: settings.Settings) -> None:
    (loaded.secrets / "api-key").touch()
    made = application._kept(loaded, "api-key")
    assert len(made) == 40 and application._kept(loaded, "api-key") == made


def test_little_space_is_named_when_sam_fails(loaded: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(loaded.directory)
    monkeypatch.setattr(application.shutil, "disk_usage", lambda folder: usage._replace(free=3 << 20))
    monkeypatch.setattr(application.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    with pytest.raises(LocalError, match=r"has only 3 MB left\. Make space"):
        application._sam(loaded, "build")


def test_a_localstack_that_stopped_meanwhile_is_named_when_sam_fails(
    loaded: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    with pytest.raises(
        LocalError, match=r"LocalStack has stopped\. Start it, then run the same command again: make up"
    ):
        application._sam(loaded, "deploy")


def test_a_build_is_packed_and_kept_until_a_source_changes(
    loaded: settings.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = tmp_path / ".aws-sam" / "build"
    commands: list[str] = []

    def sam(_: settings.Settings, command: str) -> None:
        commands.append(command)
        shutil.rmtree(build, ignore_errors=True)
        (build / "One").mkdir(parents=True)
        (build / "One" / "app.py").write_text("def handler(): ...")
        (build / "template.yaml").write_text("Resources: {One: {Properties: {CodeUri: One}}}")

    monkeypatch.setattr(application, "BUILD", build)
    monkeypatch.setattr(application, "BUILT", build.with_name("built-from"))
    monkeypatch.setattr(application, "_sam", sam)
    said = [application.build(loaded, sources) for sources in ("a", "a", "b")]
    assert (said, commands) == (["built", "already built", "built"], ["build", "build"])
    template = yaml.safe_load((build / "template.yaml").read_text())
    assert template["Resources"]["One"]["Properties"]["CodeUri"] == "One.zip" and (build / "One.zip").exists()


def test_a_build_that_failed_is_made_again(
    loaded: settings.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: settings.Settings, command: str) -> None:
        raise LocalError(f"`sam {command}` failed")

    built = tmp_path / ".aws-sam" / "built-from"
    monkeypatch.setattr(application, "BUILD", built.with_name("build"))
    monkeypatch.setattr(application, "BUILT", built)
    monkeypatch.setattr(application, "_sam", fail)
    built.with_name("build").mkdir(parents=True)
    built.write_text("a")
    with pytest.raises(LocalError, match="sam build"):
        application.build(loaded, "b")
    with pytest.raises(LocalError, match="sam build"):
        application.build(loaded, "a")
