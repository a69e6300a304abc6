"""Puts a store of our own in place of the database of LocalStack's CloudWatch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from localstack import config
from localstack.aws.api.cloudwatch import InvalidParameterValueException
from localstack.services.cloudwatch import cloudwatch_database_helper

from process_executor.metric_store import InvalidMetric, MetricStore

SETTING = "CLOUDWATCH_DATABASE"
_OWN_FOLDER = Path(config.dirs.data) / "cloudwatch"


class Store(MetricStore):
    """A store whose errors are CloudWatch's."""

    def add_metric_data(self, *arguments: Any, **named: Any) -> None:
        with _errors_of_cloudwatch():
            super().add_metric_data(*arguments, **named)

    def get_metric_data_stat(self, *arguments: Any, **named: Any) -> dict[str, list[Any]]:
        with _errors_of_cloudwatch():
            return super().get_metric_data_stat(*arguments, **named)


class _Database:
    """The class that LocalStack makes its database of, at the start and after a reset: always the one store."""

    CLOUDWATCH_DATA_ROOT = str(_OWN_FOLDER)

    def __new__(cls) -> Store:  # type: ignore[misc]
        return store()


@cache
def store() -> Store:
    """The one store of this LocalStack, in the file that CLOUDWATCH_DATABASE names."""
    return Store(Path(os.environ.get(SETTING) or _OWN_FOLDER / "metrics.db"))


def replace() -> None:
    """Puts it in place; to be called before CloudWatch is first used."""
    cloudwatch_database_helper.CloudwatchDatabase = _Database


@contextmanager
def _errors_of_cloudwatch() -> Iterator[None]:
    try:
        yield
    except InvalidMetric as error:
        raise InvalidParameterValueException(str(error)) from error
