"""Writes what functions log straight to its log stream.

LocalStack writes the lines of each invocation by a request to its own API. Even in memory, that takes more processor
time than the invocation itself.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

from localstack.aws.connect import connect_to
from localstack.services.lambda_.invocation import logs
from localstack.services.logs.models import get_moto_logs_backend
from localstack.utils.aws.arns import extract_account_id_from_arn


class Logs:
    """The client of the API for logs, except for events of a stream that exists.

    Also by the API are events that metric filters may count.
    """

    def __init__(self, client: Any, account: str, region: str) -> None:
        self._client = client
        self._account = account
        self._region = region

    def put_log_events(self, logGroupName: str, logStreamName: str, logEvents: Sequence[Mapping[str, Any]]) -> None:
        backend = get_moto_logs_backend(self._account, self._region)
        group = backend.groups.get(logGroupName)
        if group is None or logStreamName not in group.streams or backend.filters.metric_filters:
            self._client.put_log_events(logGroupName=logGroupName, logStreamName=logStreamName, logEvents=logEvents)
        else:
            backend.put_log_events(logGroupName, logStreamName, logEvents)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _Connect:
    """As much of `connect_to` as LocalStack's writer of logs uses."""

    @staticmethod
    def with_assumed_role(**options: Any) -> SimpleNamespace:
        client = connect_to.with_assumed_role(**options).logs
        account = extract_account_id_from_arn(options["role_arn"])
        return SimpleNamespace(logs=Logs(client, account, options["region_name"]))


@cache
def install() -> None:
    """Further calls do nothing."""
    logs.connect_to = _Connect
