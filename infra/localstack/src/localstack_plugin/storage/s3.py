"""Keeps S3 objects in this LocalStack's working folder.

LocalStack 2026.3.0 keeps large objects in one folder that all LocalStacks of the machine share: one that another user
starts cannot write to it, and one that stops deletes objects that others still serve.
"""

from collections.abc import Callable

from localstack.services.s3.storage.ephemeral import EphemeralS3ObjectStore
from localstack.utils.patch import patch

from localstack_plugin.storage.working_folder import working_folder


def initialise(
    original: Callable[[EphemeralS3ObjectStore, str], None],
    self: EphemeralS3ObjectStore,
    root_directory: str | None = None,
) -> None:
    """Calls the original with a folder of our own."""
    original(self, str(working_folder().path / "s3"))


def install() -> None:
    """Must run before S3 is first used."""
    patch(EphemeralS3ObjectStore.__init__)(initialise)
