"""S3's objects in the working folder of this LocalStack, not in one folder for all of them.

LocalStack 2026.3.0 keeps large objects in one folder of the machine, whoever runs it: a second LocalStack of another
user cannot write there, and one that stops removes what another still serves.
"""

from collections.abc import Callable

from localstack.services.s3.storage.ephemeral import EphemeralS3ObjectStore
from localstack.utils.patch import patch

from process_executor.host import host


def initialise(
    original: Callable[[EphemeralS3ObjectStore, str], None],
    self: EphemeralS3ObjectStore,
    root_directory: str | None = None,
) -> None:
    """As the original, but with a folder of its own."""
    original(self, str(host().folder.path / "s3"))


def separate() -> None:
    """Puts it in place; to be called before S3 is first used."""
    patch(EphemeralS3ObjectStore.__init__)(initialise)
