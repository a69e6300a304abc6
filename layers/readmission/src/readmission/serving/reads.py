"""Tells the audit log which patients' forecasts an answer holds, before the answer is sent."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from readmission.http.asgi import REQUEST_ID
from readmission.http.authentication import ACTOR
from readmission.serving.model_cache import Served

if TYPE_CHECKING:
    from readmission.identity.audit import Action, AuditLog

_PATIENT: Final = "patient_nbr"


class Reads:
    """Records reads in `audit`; nothing without one."""

    def __init__(self, audit: "AuditLog | None") -> None:
        self._audit = audit

    async def record(
        self, request: Request, model: Served, encounters: Sequence[Mapping[str, Any]], action: "Action"
    ) -> None:
        """Record that the one who asks reads the forecasts of these encounters.

        Raises `AuditUnavailable`: what cannot be recorded is not answered.
        """
        if self._audit is None or not encounters:
            return
        given = [one[_PATIENT] for one in encounters if one.get(_PATIENT) not in (None, "", "?")]
        await run_in_threadpool(
            self._audit.record,
            request.scope[ACTOR],
            action,
            given,
            rows=len(encounters),
            request_id=request.scope[REQUEST_ID],
            version=model.version.number,
        )
