"""What a snapshot leaves out: what the application has done since its deployment, and what only a process can have.

The local platform restores what has to outlive LocalStack in other ways: S3's objects from its mirror, executions and
metrics from files. Messages, logs and objects may also be of patients.
"""

from collections.abc import Callable, Mapping
from copyreg import __newobj__  # type: ignore[attr-defined]
from datetime import UTC, datetime
from threading import Lock, RLock
from typing import Any, Final

from localstack import config
from localstack.services.s3.models import S3Bucket
from localstack.services.sqs.models import FifoQueue, SqsQueue, StandardQueue
from moto.logs.models import LogGroup

ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "stepfunctions": ("attr_executions",),
    "cloudwatch": ("attr_histories",),
    "sqs": ("attr_move_tasks", "attr_deleted"),
}
"""Of stores, by service."""


def keeps_objects(bucket: S3Bucket) -> bool:
    """Only the code of functions and layers, which is in a bucket of LocalStack itself."""
    return bool(bucket.bucket_account_id == config.INTERNAL_RESOURCE_ACCOUNT)


def _save_bucket(pickler: Any, bucket: S3Bucket) -> None:
    kept = vars(bucket) | {"multiparts": {}}
    if not keeps_objects(bucket):
        kept["objects"] = type(bucket.objects)()
    pickler.save_reduce(_bucket, (type(bucket), kept), obj=bucket)


def _bucket(kind: type[S3Bucket], kept: dict[str, Any]) -> S3Bucket:
    """Created now: by that the mirror knows that it has to fill the bucket."""
    bucket: S3Bucket = object.__new__(kind)
    vars(bucket).update(kept, creation_date=datetime.now(UTC))
    return bucket


def _save_queue(pickler: Any, queue: SqsQueue) -> None:
    place = (queue.name, queue.region, queue.account_id)
    kept = {name: getattr(queue, name) for name in ("attributes", "tags", "permissions")}
    pickler.save_reduce(_queue, (type(queue), place, kept), obj=queue)


def _queue(kind: type[SqsQueue], place: tuple[str, str, str], kept: dict[str, Any]) -> SqsQueue:
    """Without messages."""
    queue = kind(*place)
    vars(queue).update(kept)
    return queue


def _save_log_group(pickler: Any, group: LogGroup) -> None:
    pickler.save_reduce(__newobj__, (type(group),), vars(group) | {"streams": {}}, obj=group)


def _save_lock(pickler: Any, lock: object) -> None:
    """As one that nobody holds. dill's own are held by nobody, and can never be acquired."""
    pickler.save_reduce(_reentrant_lock if isinstance(lock, type(RLock())) else _lock, (), obj=lock)


def _lock() -> object:
    return Lock()


def _reentrant_lock() -> object:
    return RLock()


REDUCERS: Final[Mapping[type, Callable[[Any, Any], None]]] = {
    S3Bucket: _save_bucket,
    StandardQueue: _save_queue,
    FifoQueue: _save_queue,
    LogGroup: _save_log_group,
    type(Lock()): _save_lock,
    type(RLock()): _save_lock,
}
"""How the pickler writes objects of these classes."""
