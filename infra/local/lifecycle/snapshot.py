"""Has LocalStack keep on disk what was deployed to it, and fill a new LocalStack with that.

Restoring takes seconds, and deploying again many times as long. A snapshot has the key of its deployment, so that it
is restored only where a deployment would make the same.
"""

import http.client
import json
import shutil
import urllib.error
import urllib.request

from infra.local.errors import LocalError
from infra.local.settings import Settings

PATIENCE_SECONDS = 300
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotRestored(LocalError):
    """LocalStack may have a part of what was deployed. Only a new LocalStack helps."""


def save(settings: Settings, key: str) -> str | None:
    """Replaces the snapshot. Returns why there is none now; None if there is one."""
    if settings.external_servers:
        return None  # nothing restarts them
    try:
        status, text = _post(settings, "save", key)
    except (OSError, http.client.HTTPException) as error:
        return str(error)  # what is deployed works, and a snapshot without this key is not used
    return None if status == http.client.OK else text


def restore(settings: Settings, key: str) -> bool:
    """Fills LocalStack. False without a snapshot of this key, and LocalStack is as before. Raises NotRestored."""
    if settings.external_servers:
        return False
    try:
        status, text = _post(settings, "restore", key)
    except (OSError, http.client.HTTPException) as error:
        raise NotRestored(f"The deployed application could not be restored: {error}") from error
    if status not in (http.client.OK, http.client.NOT_FOUND):
        raise NotRestored(f"The deployed application could not be restored: {text}")
    return status == http.client.OK


def forget(settings: Settings) -> None:
    shutil.rmtree(settings.snapshot, ignore_errors=True)


def _post(settings: Settings, what: str, key: str) -> tuple[int, str]:
    """Status and text of LocalStack's answer. Raises OSError or HTTPException without one."""
    request = urllib.request.Request(
        f"{settings.localstack_url}/_localstack/snapshot/{what}",
        data=json.dumps({"key": key}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with _direct.open(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
