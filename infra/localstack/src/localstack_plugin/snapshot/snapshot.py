"""A folder with what a deployment made.

A snapshot has a key, which its owner chooses: it says what was deployed. A folder either has a whole snapshot or none.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

from localstack.services.cloudformation.models import cloudformation_stores

from localstack_plugin.snapshot import contents, objects, revival

_PLUGIN: Final = Path(__file__).parents[1]
_MANIFEST: Final = "manifest.json"
_STATE: Final = "state"
_OBJECTS: Final = "objects"
_SERVICES: Final = {
    "AWS::ApiGateway": "apigateway",
    "AWS::CloudWatch": "cloudwatch",
    "AWS::Events": "events",
    "AWS::IAM": "iam",
    "AWS::KMS": "kms",
    "AWS::Lambda": "lambda",
    "AWS::Logs": "logs",
    "AWS::S3": "s3",
    "AWS::SecretsManager": "secretsmanager",
    "AWS::SQS": "sqs",
    "AWS::StepFunctions": "stepfunctions",
}
"""The services whose state is kept, by the types of resources that are in them."""
_FINISHED: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


class CannotSave(Exception):
    """A snapshot would not be of all that was deployed."""


class NoSnapshot(Exception):
    """There is none with this key, or files of it are missing."""


def save(folder: Path, key: str) -> None:
    """Replaces the snapshot in `folder`. Raises CannotSave or OSError; then there is none."""
    shutil.rmtree(folder, ignore_errors=True)
    if reason := _unsaved():
        raise CannotSave(reason)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    try:
        (partial / _STATE).write_bytes(_steady_state())
        objects.save(partial / _OBJECTS)
        manifest = {"key": key, "emulator": emulator(), "sizes": _sizes(partial)}
        (partial / _MANIFEST).write_text(json.dumps(manifest))
        _flush(partial)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial)
        raise


def restore(folder: Path, key: str) -> None:
    """Fills a new LocalStack.

    Raises NoSnapshot before anything has changed. After any other error, LocalStack is neither empty nor complete.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
    except FileNotFoundError:
        raise NoSnapshot(f"{folder} has no snapshot") from None
    if (manifest["key"], manifest["emulator"]) != (key, emulator()):
        raise NoSnapshot(f"The snapshot in {folder} is of another deployment")
    if manifest["sizes"] != _sizes(folder):
        raise NoSnapshot(f"The snapshot in {folder} is incomplete")
    contents.load((folder / _STATE).read_bytes())
    objects.restore(folder / _OBJECTS)
    revival.revive()


@cache
def emulator() -> str:
    """Tells this LocalStack from one with another plug-in, whose snapshots may not fit. Must first run at the start."""
    digest = sha256(sys.version.encode())
    for package in ("localstack-core", "moto-ext", "dill"):
        digest.update(f"{package} {version(package)}\0".encode())
    for path in sorted(_PLUGIN.rglob("*.py")):
        digest.update(str(path.relative_to(_PLUGIN)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def has_stacks() -> bool:
    return any(store.stacks_v2 for _, _, store in list(cloudformation_stores.iter_stores()))


def _unsaved() -> str | None:
    """Why a snapshot would be incomplete."""
    for _, _, store in list(cloudformation_stores.iter_stores()):
        for stack in list(store.stacks_v2.values()):
            if stack.status == "DELETE_COMPLETE":
                continue
            if stack.status not in _FINISHED:
                return f"the stack {stack.stack_name} is in state {stack.status}"
            for resource in stack.resolved_resources.values():
                if resource["Type"].rpartition("::")[0] not in _SERVICES:
                    return f"the stack {stack.stack_name} has a resource of type {resource['Type']}"
    return None


def _steady_state() -> bytes:
    """Once more if a service was changing its state meanwhile."""
    try:
        return contents.dump()
    except RuntimeError:  # a dictionary changed its size
        return contents.dump()


def _sizes(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_size for file in _files(folder) if file.name != _MANIFEST}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _flush(folder: Path) -> None:
    """To the disk, so that no crash of the machine leaves a whole folder with empty files."""
    for path in _files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
