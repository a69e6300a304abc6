"""One encounter, from its fields to the answer: what all routes that forecast one have in common."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request

from readmission.http.asgi import REQUEST_ID
from readmission.serving.challenger import Answer, Trial
from readmission.serving.encounters import Asked
from readmission.serving.explanation import explain as explained
from readmission.serving.forecasts import answered_by
from readmission.serving.model_cache import Served
from readmission.serving.patient_history import PatientHistories
from readmission.serving.prediction_log import PredictionLog
from readmission.serving.reads import Reads
from readmission.telemetry.metrics import PREDICTIONS, SCORER_DURATION, Meter

type ServedModel = Callable[[], Awaitable[Served]]
_EXPLAINED: Final = "explained forecast"


@dataclass(frozen=True, slots=True)
class Answering:
    """Forecasts one encounter at a time: looks up the history, counts, and records who read it and what was said."""

    app: FastAPI
    served: ServedModel
    trial: Trial
    reads: Reads

    async def answer(
        self,
        request: Request,
        encounter: Asked,
        document: Mapping[str, Any],
        *,
        explains: bool = False,
        log_id: str | None = None,
    ) -> dict[str, Any]:
        """A `schemas.Prediction` for the encounter, which was given as `document`.

        The prediction log knows it by `log_id`, without one by the request's id. Raises `ModelUnavailable`,
        `ScorerInvalid`, `ExplanationUnavailable` and `AuditUnavailable`.
        """
        model = await self.served()
        if known := self.histories:
            await known.fill_in([encounter], model.version.data_kind)
        found = self.trial.answer(model, encounter)
        self._count(found)
        answer = found.forecast | answered_by(found.served, request.scope[REQUEST_ID])
        if explains:
            answer["explanation"] = explained(found.served.scorer, encounter.fields)
        await self.reads.record(request, found.served, [document], _EXPLAINED if explains else "forecast")
        if self.log:
            name = log_id or request.scope[REQUEST_ID]
            await self.log.record(name, request.scope["path"], [found.as_logged(0, encounter)])
        return answer

    def _count(self, found: Answer) -> None:
        meter: Meter = self.app.state.meter
        meter.observe(SCORER_DURATION, found.seconds)
        meter.count(PREDICTIONS, model_version=found.served.version.number, readmitted=found.forecast["readmitted"])

    @property
    def histories(self) -> PatientHistories | None:
        found: PatientHistories | None = self.app.state.histories
        return found

    @property
    def log(self) -> PredictionLog | None:
        found: PredictionLog | None = self.app.state.prediction_log
        return found
