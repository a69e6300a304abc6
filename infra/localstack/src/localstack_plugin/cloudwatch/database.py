"""Replaces the database of LocalStack's CloudWatch with our own store."""

from localstack.services.cloudwatch import cloudwatch_database_helper

from localstack_plugin.cloudwatch.shared import LOCALSTACK_FOLDER, Store, store


class _Database:
    """LocalStack creates an instance at its start and after a reset; it gets the same store each time."""

    CLOUDWATCH_DATA_ROOT = str(LOCALSTACK_FOLDER)

    def __new__(cls) -> Store:  # type: ignore[misc]
        return store()


def install() -> None:
    """Must run before CloudWatch is first used."""
    cloudwatch_database_helper.CloudwatchDatabase = _Database
