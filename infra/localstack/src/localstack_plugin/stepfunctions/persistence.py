"""Archives executions as they run, and puts the archived ones into a new LocalStack's Step Functions."""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

from localstack.services.stepfunctions.asl.component.state.state_execution.state_map.iteration.itemprocessor import (
    map_run_record,
)
from localstack.services.stepfunctions.asl.eval.callback.callback import CallbackPoolManager
from localstack.services.stepfunctions.asl.eval.environment import Environment
from localstack.services.stepfunctions.asl.eval.event.event_manager import EventManager
from localstack.services.stepfunctions.backend.execution import Execution
from localstack.services.stepfunctions.backend.execution_worker import ExecutionWorker
from localstack.services.stepfunctions.backend.models import sfn_stores
from localstack.services.stepfunctions.backend.state_machine import StateMachineInstance
from localstack.utils.patch import patch

from localstack_plugin.stepfunctions.archive import Archive, Document

LOG = logging.getLogger(__name__)

SETTING = "STEPFUNCTIONS_DATABASE"

_histories: WeakKeyDictionary[EventManager, str] = WeakKeyDictionary()
"""The ARN of the execution whose events a manager publishes."""


@cache
def archive() -> Archive | None:
    """In the file that STEPFUNCTIONS_DATABASE names; None without it."""
    path = os.environ.get(SETTING)
    return Archive(Path(path)) if path else None


class ArchivedWorker:
    """Takes the place of the worker of an execution that has ended before LocalStack started."""

    def __init__(self, arn: str) -> None:
        self.env = SimpleNamespace(
            event_manager=self,
            callback_pool_manager=CallbackPoolManager(activity_store={}),
            map_run_record_pool_manager=map_run_record.MapRunRecordPoolManager(),
        )
        self._arn = arn

    def get_event_history(self) -> list[Document]:
        kept = archive()
        return kept.events(self._arn) if kept else []

    def stop(self, **_: Any) -> None:
        """It has ended."""


@cache
def install() -> None:
    """Further calls do nothing; neither does the first one without an archive."""
    if not (kept := archive()):
        return
    kept.drop_expired(datetime.now(UTC))
    kept.abort_running()
    for document in kept.executions():
        _restore(document)
    patch(Execution.publish_execution_status_change_event)(_execution_changed)
    patch(ExecutionWorker._get_evaluation_environment)(_environment_of)
    patch(EventManager._publish_history_event)(_event_published)


def end() -> None:
    """What still runs is aborted: LocalStack is about to stop."""
    if kept := archive():
        kept.abort_running()
        kept.freeze()


def _execution_changed(original: Callable[..., None], self: Execution) -> None:
    if kept := archive():
        with _logged_errors():
            kept.put(self.exec_arn, self.exec_status, _document(self))
    original(self)


def _environment_of(original: Callable[..., Environment], self: ExecutionWorker) -> Environment:
    environment = original(self)
    _histories[environment.event_manager] = self._evaluation_details.execution_details.arn
    return environment


def _event_published(original: Callable[..., None], self: EventManager, *arguments: Any, **named: Any) -> None:
    original(self, *arguments, **named)
    if (kept := archive()) and (arn := _histories.get(self)):
        with _logged_errors():
            kept.add_event(arn, self._history_event_list[-1])


@contextmanager
def _logged_errors() -> Iterator[None]:
    """A full disk must not end an execution."""
    try:
        yield
    except sqlite3.Error as error:
        LOG.error("The archive of executions cannot be written: %s", error)


def _document(execution: Execution) -> Document:
    machine = execution.state_machine
    return {
        "account": execution.account_id,
        "region": execution.region_name,
        "name": execution.name,
        "arn": execution.exec_arn,
        "type": execution.sm_type,
        "role": execution.role_arn,
        "machine": {"name": machine.name, "arn": execution.state_machine_arn, "definition": machine.definition},
        "startDate": execution.start_date,
        "stopDate": execution.stop_date,
        "status": execution.exec_status,
        "input": execution.input_data,
        "output": execution.output,
        "error": execution.error,
        "cause": execution.cause,
    }


def _restore(document: Document) -> None:
    machine = StateMachineInstance(
        role_arn=document["role"], logging_config={}, sm_type=document["type"], **document["machine"]
    )
    execution = Execution(
        name=document["name"],
        sm_type=document["type"],
        role_arn=document["role"],
        exec_arn=document["arn"],
        account_id=document["account"],
        region_name=document["region"],
        state_machine=machine,
        start_date=document["startDate"],
        cloud_watch_logging_session=None,
        activity_store={},
        input_data=document["input"],
    )
    execution.exec_status = document["status"]
    execution.stop_date = document["stopDate"]
    execution.output, execution.error, execution.cause = (document[name] for name in ("output", "error", "cause"))
    execution.exec_worker = ArchivedWorker(document["arn"])
    sfn_stores[document["account"]][document["region"]].executions[document["arn"]] = execution
