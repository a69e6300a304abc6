"""The metric store of this LocalStack, and the publisher that writes to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from localstack import config
from localstack.aws.api.cloudwatch import InvalidParameterValueException

from localstack_plugin.cloudwatch.errors import InvalidMetric
from localstack_plugin.cloudwatch.metric_store import MetricStore
from localstack_plugin.cloudwatch.publisher import MetricsPublisher

SETTING = "CLOUDWATCH_DATABASE"
LOCALSTACK_FOLDER = Path(config.dirs.data) / "cloudwatch"


class Store(MetricStore):
    """A store that raises CloudWatch's errors."""

    def add_metric_data(self, *arguments: Any, **named: Any) -> None:
        with _cloudwatch_errors():
            super().add_metric_data(*arguments, **named)

    def get_metric_data_stat(self, *arguments: Any, **named: Any) -> dict[str, list[Any]]:
        with _cloudwatch_errors():
            return super().get_metric_data_stat(*arguments, **named)


@cache
def store() -> Store:
    """In the file that CLOUDWATCH_DATABASE names, else in LocalStack's own folder."""
    return Store(Path(os.environ.get(SETTING) or LOCALSTACK_FOLDER / "metrics.db"))


@cache
def publisher() -> MetricsPublisher:
    """Writes to the store directly: a call of CloudWatch's API takes a hundred times as long, and fails while services
    stop."""
    return MetricsPublisher(store().add_metric_data)


@contextmanager
def _cloudwatch_errors() -> Iterator[None]:
    try:
        yield
    except InvalidMetric as error:
        raise InvalidParameterValueException(str(error)) from error
