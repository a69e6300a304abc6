"""Answers by the version in Production, and tries another one, the challenger, on the same encounter.

The challenger is asked in the same process, on the same inputs. While it shadows, it answers nobody. As a canary, it
answers a share of the patients. Whatever is wrong with it, the encounter is answered by Production.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import fsum
from time import perf_counter
from typing import Any, Final

from readmission.domain.features import inputs_of
from readmission.domain.predictions import AnsweredBy
from readmission.errors import ScorerInvalid
from readmission.serving.encounters import Asked
from readmission.serving.forecasts import forecast, forecast_of, forecasts, with_history
from readmission.serving.model_cache import Challenger, ModelCache, Served
from readmission.serving.prediction_log import Answered, Other
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import CHALLENGERS_STOPPED, Meter

NOT_PROBABILITIES: Final = "NotProbabilities"
SLOW: Final = "Slow"
STOPPED: Final = "Stopped"
"""The error of a forecast for which this process did not ask the challenger, because of an earlier one."""

_TOLERANCE: Final = 1e-6  # of a sum of probabilities


@dataclass(frozen=True, slots=True)
class Answer:
    """A `schemas.Forecast`, the version that made it, in how many seconds, and what another version said."""

    served: Served
    forecast: dict[str, Any]
    seconds: float
    answered_by: AnsweredBy = "production"
    other: Other | None = None

    def as_logged(self, position: int, asked: Asked) -> Answered:
        """The same for the prediction log; `position` is that of the encounter in the request."""
        return Answered(position, asked, self.served, self.forecast["probabilities"], self.answered_by, self.other)


class Trial:
    """Forecasts with the models of `model_cache`."""

    def __init__(
        self,
        model_cache: ModelCache,
        logger: Logger,
        meter: Meter,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._model_cache = model_cache
        self._logger = logger
        self._meter = meter
        self._clock = clock

    def answer(self, served: Served, asked: Asked) -> Answer:
        """Raises `ScorerInvalid` if the served model cannot score the encounter."""
        challenger = self._model_cache.challenger
        if challenger is None:
            start = self._clock()
            found = forecast(served, asked)
            return Answer(served, found, self._clock() - start)
        start = self._clock()
        inputs = inputs_of(asked.fields)
        own = forecast_of(served.scorer, inputs)
        seconds = self._clock() - start
        theirs, other = self._ask(challenger, inputs)
        version, scorer = challenger.version, challenger.scorer
        if theirs and scorer and version.canary_share and bucket(version.number, asked, inputs) < version.canary_share:
            production = Other(served.version.number, own["probabilities"], None, seconds)
            found = with_history(asked, theirs)
            return Answer(Served(version, scorer), found, other.seconds, "canary", production)
        return Answer(served, with_history(asked, own), seconds, "production", other)

    def answers(self, served: Served, encounters: Sequence[Asked]) -> list[Answer | ScorerInvalid]:
        """`answer` of each encounter of a request, or why there is none.

        Without a challenger, the served model forecasts for all of them together.
        """
        if self._model_cache.challenger is not None:
            return [self._answer_or_error(served, asked) for asked in encounters]
        start = self._clock()
        found = forecasts(served, encounters)
        seconds = (self._clock() - start) / max(len(found), 1)
        return [one if isinstance(one, ScorerInvalid) else Answer(served, one, seconds) for one in found]

    def _answer_or_error(self, served: Served, asked: Asked) -> Answer | ScorerInvalid:
        try:
            return self.answer(served, asked)
        except ScorerInvalid as error:
            return error

    def _ask(self, challenger: Challenger, inputs: Mapping[str, Any]) -> tuple[dict[str, Any] | None, Other]:
        """The challenger's forecast, or None if it must not answer by it, and what is logged of it."""
        number = challenger.version.number
        if challenger.stopped or challenger.scorer is None:
            return None, Other(number, None, _repeated(challenger.stopped), 0.0)
        start = self._clock()
        try:
            found = forecast_of(challenger.scorer, inputs)
            probable = _are_probabilities(found["probabilities"])
        except Exception as error:
            # Whatever is wrong with it must not cost the answer. Only its name, as its text may hold a value.
            return None, self._stopped(challenger, type(error).__name__, None, self._clock() - start)
        seconds = self._clock() - start
        if not probable:
            return None, self._stopped(challenger, NOT_PROBABILITIES, None, seconds)
        if seconds > (self._model_cache.challenger_seconds or 0):
            return None, self._stopped(challenger, SLOW, found["probabilities"], seconds)
        return found, Other(number, found["probabilities"], None, seconds)

    def _stopped(
        self, challenger: Challenger, error: str, probabilities: Mapping[str, float] | None, seconds: float
    ) -> Other:
        challenger.stopped = error
        self._meter.count(CHALLENGERS_STOPPED, reason=error if error in (NOT_PROBABILITIES, SLOW) else "Error")
        self._logger.error(
            "the challenger, version %s, is not asked any more in this process: %s", challenger.version.number, error
        )
        return Other(challenger.version.number, probabilities, error, seconds)


def _repeated(stopped: str | None) -> str:
    """The error of every encounter after the one that stopped the challenger."""
    return "ScorerInvalid" if stopped == "ScorerInvalid" else STOPPED


def _are_probabilities(found: Mapping[str, float]) -> bool:
    """NaN is not at least 0."""
    return all(0 <= share <= 1 for share in found.values()) and abs(fsum(found.values()) - 1) <= _TOLERANCE


def bucket(version: str, asked: Asked, inputs: Mapping[str, Any]) -> float:
    """Where in [0, 1) the patient is, else the encounter, else what is asked: the same each time for this version.

    Another version gets another order, so that it is not always the same patients who are answered by a canary.
    """
    if asked.patient_nbr is not None:
        whose = f"patient\0{asked.site}\0{asked.patient_nbr}"
    elif asked.encounter_id is not None:
        whose = f"encounter\0{asked.site}\0{asked.encounter_id}"
    else:
        whose = f"inputs\0{[*inputs.values()]!r}"
    digest = sha256(f"{version}\0{whose}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64
