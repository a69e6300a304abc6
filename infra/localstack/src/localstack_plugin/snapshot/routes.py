"""`POST /_localstack/snapshot/save` and `…/restore`, each with `{"key": …}`; SNAPSHOT_FOLDER names the folder."""

import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Final

from localstack.http import Request, Response, route
from localstack.services.internal import get_internal_apis

from localstack_plugin.snapshot import snapshot

LOG = logging.getLogger(__name__)

SETTING: Final = "SNAPSHOT_FOLDER"


class Routes:
    """Each answers 200 with nothing, or says in one line why not.

    404: there is no such snapshot, or LocalStack has stacks already; it is as before. 409: an earlier restoration
    broke off. 422: what is deployed cannot be saved. 500: it failed. After 409, and 500 to a restoration, LocalStack
    has to be replaced.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._restored: str | None = None
        """The key of what this LocalStack was filled with."""
        self._is_spoilt = False

    @route("/_localstack/snapshot/save", methods=["POST"])
    def save(self, request: Request) -> Response:
        with self._lock:
            return _answer(snapshot.save, self._folder, request.json["key"])

    @route("/_localstack/snapshot/restore", methods=["POST"])
    def restore(self, request: Request) -> Response:
        """Repeated, because the caller was interrupted, it waits for the first restoration and has its outcome."""
        key = request.json["key"]
        with self._lock:
            if self._is_spoilt:
                return Response("an earlier restoration broke off", status=409)
            if key == self._restored:
                return Response(status=200)
            if snapshot.has_stacks():
                return Response("LocalStack has stacks already", status=404)
            answer = _answer(snapshot.restore, self._folder, key)
            self._restored = key if answer.status_code == 200 else None
            self._is_spoilt = answer.status_code == 500
            return answer


def _answer(function: Callable[[Path, str], None], folder: Path, key: str) -> Response:
    try:
        function(folder, key)
    except snapshot.NoSnapshot as error:
        return Response(str(error), status=404)
    except snapshot.CannotSave as error:
        return Response(str(error), status=422)
    except Exception as error:
        LOG.exception("The snapshot in %s failed", folder)
        return Response(f"{type(error).__name__}: {error}", status=500)
    return Response(status=200)


@cache
def install() -> None:
    """Further calls do nothing; neither does the first one without SNAPSHOT_FOLDER."""
    if folder := os.environ.get(SETTING):
        snapshot.emulator()
        get_internal_apis().add(Routes(Path(folder)))
