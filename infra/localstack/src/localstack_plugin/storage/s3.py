"""Keeps S3 objects in this LocalStack's working folder, and tells EventBridge their keys as AWS does.

LocalStack 2026.3.0 keeps large objects in one folder that all LocalStacks of the machine share: one that another user
starts cannot write to it, and one that stops deletes objects that others still serve.

It encodes the keys in events for EventBridge as those in other notifications, which AWS does not.

An object that the local platform restores is not new, so it causes no event.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from localstack.aws.api import RequestContext
from localstack.services.s3.notifications import EventBridgeNotifier
from localstack.services.s3.provider import S3Provider
from localstack.services.s3.storage.ephemeral import EphemeralS3ObjectStore
from localstack.utils.patch import patch

from localstack_plugin.storage.working_folder import working_folder

MIRROR = "x-readmission-mirror"
"""The header of the requests of infra/local/servers/mirror.py."""


def initialise(
    original: Callable[[EphemeralS3ObjectStore, str], None],
    self: EphemeralS3ObjectStore,
    root_directory: str | None = None,
) -> None:
    """Calls the original with a folder of our own."""
    original(self, str(working_folder().path / "s3"))


_encoded_payload = EventBridgeNotifier._get_event_payload


def event_payload(*arguments: Any, **named: Any) -> dict[str, Any]:
    """The original's event, with the object's key as it is in the bucket."""
    entry = _encoded_payload(*arguments, **named)
    detail = json.loads(entry["Detail"])
    detail["object"]["key"] = unquote(detail["object"]["key"])
    return {**entry, "Detail": json.dumps(detail)}


def notify(original: Callable[..., None], self: S3Provider, context: RequestContext, *what: Any, **named: Any) -> None:
    """Calls the original unless the mirror of the local platform restores the object."""
    if MIRROR not in context.request.headers:
        original(self, context, *what, **named)


def install() -> None:
    """Must run before S3 is first used."""
    patch(S3Provider._notify)(notify)
    patch(EphemeralS3ObjectStore.__init__)(initialise)
    EventBridgeNotifier._get_event_payload = staticmethod(event_payload)
