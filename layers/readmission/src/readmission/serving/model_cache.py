"""The served model: polls the registry in the background and keeps the last valid model if a poll fails.

A request starts a poll, which runs on a thread of its own. There is no permanent polling thread, because Lambda freezes
threads between requests: the first request after a freeze would be answered with an outdated model.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Final, Protocol

from readmission.domain.contract import CLASSES
from readmission.domain.features import INPUTS
from readmission.errors import ModelUnavailable, ScorerInvalid
from readmission.registry.production import Version
from readmission.scoring.scorer import Scorer, load
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import (
    CHALLENGERS_STOPPED,
    MODEL_PROMOTED_TIMESTAMP,
    MODEL_RELOADS,
    Meter,
    NullMeter,
)

_RETRY_SECONDS: Final = 1.0  # the polling interval while there is no model, or none known since a restore
_MAX_WAIT_SECONDS: Final = 1.0
_LOST_AFTER_SECONDS: Final = 10.0  # longer than MLflow's timeouts: the poll was frozen, and its result is outdated

POLLING_THREAD: Final = "poll the model registry"


class Registry(Protocol):
    """The source of versions. Every method raises `ModelUnavailable`."""

    def production(self) -> Version: ...

    def challenger(self) -> Version | None: ...

    def scorer_document(self, version: Version) -> bytes: ...

    def metrics(self, version: Version) -> dict[str, float]: ...

    def model_card(self, version: Version, path: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """A version and its scorer."""

    version: Version
    scorer: Scorer


@dataclass(slots=True)
class Challenger:
    """A version that is tried on live requests beside the served one.

    This process asks it no more once `stopped` names an error. Without a scorer, it could not even be loaded.
    """

    version: Version
    scorer: Scorer | None
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class _Poll:
    """A poll of the registry that has started; `done` is set when it ends, whether it succeeded or not."""

    started_at: float
    done: threading.Event = field(default_factory=threading.Event)


def in_background(poll: Callable[[], None]) -> None:
    """Run a poll on a thread that does not keep the process alive."""
    threading.Thread(target=poll, name=POLLING_THREAD, daemon=True).start()


class ModelCache:
    """Holds the served model of one process; safe to use from several threads.

    A poll is due `refresh_seconds` after the last one started. A request waits for a poll, for at most a second, only
    if there is no model yet or the last result is at least twice that old. With the default of 10 seconds, an answer
    never relies on a result of more than 30 seconds ago, wherever the instance was frozen, as long as MLflow answers
    within that second.

    With `challenger_seconds`, each poll asks for the challenger too, which may take so long for an encounter.
    """

    def __init__(
        self,
        registry: Registry,
        refresh_seconds: float,
        logger: Logger,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] = in_background,
        meter: Meter | None = None,
        *,
        challenger_seconds: float | None = None,
    ) -> None:
        self.registry = registry
        self.served: Served | None = None
        self.challenger: Challenger | None = None
        self.challenger_seconds = challenger_seconds
        self._refresh_seconds = refresh_seconds
        self._logger = logger
        self._meter = meter or NullMeter()
        self._clock = clock
        self._start = start
        self._polling = threading.Lock()  # held during a poll
        self._starting = threading.Lock()  # held briefly, so that only one of several requests starts a poll
        self._poll: _Poll | None = None
        self._problem = "the model registry has not been polled yet"
        self._next_poll_at = self._known_at = clock()

    @property
    def due(self) -> bool:
        """Whether to call `follow` before the next answer."""
        return self._clock() >= self._next_poll_at

    def current(self) -> Served:
        """The model to answer with. Raises `ModelUnavailable`, with the reason, while there is none."""
        if self.served is None:
            raise ModelUnavailable(self._problem)
        return self.served

    def begin(self) -> None:
        """Start the first poll in the background, so that a server can start while MLflow is slow or away."""
        with self._starting:
            self._start_if_due()

    def follow(self) -> None:
        """Start a poll in the background if one is due, and wait for it if the last result is too old.

        A request does not wait for a poll that has been running for more than a second: MLflow is probably down.
        """
        with self._starting:
            poll = self._running() or self._start_if_due()
            now = self._clock()
        if poll and (self.served is None or now - self._known_at >= 2 * self._refresh_seconds):
            poll.done.wait(max(0.0, poll.started_at + _MAX_WAIT_SECONDS - now))

    def refresh(self) -> str | None:
        """Poll the registry now. Returns the problem, or None; a problem never drops a valid model."""
        with self._polling:
            return self._refresh(self._clock())

    def restored(self) -> None:
        """Poll the registry because the process was restored from a snapshot, which may be weeks old.

        The clock may have stood still since. If this poll fails, requests wait for the next ones.
        """
        self._poll = None
        self._known_at = -inf
        self.refresh()

    def _refresh(self, started_at: float) -> str | None:
        problem: str | None = None
        try:
            self._take(self.registry.production())
            self._known_at = started_at
            if self.challenger_seconds:
                self._follow_challenger()
        except (ModelUnavailable, ScorerInvalid) as error:
            if isinstance(error, ScorerInvalid):
                self._known_at = started_at  # the version in production is known, even though it cannot be served
            problem = self._problem = str(error)
            serving = self.served.version.number if self.served else "none"
            self._meter.count(MODEL_RELOADS, outcome="failed")
            self._logger.warning("cannot load the model in production: %s; still serving version: %s", error, serving)
        finally:
            is_known = self.served and self._known_at > -inf
            wait = self._refresh_seconds if is_known else min(_RETRY_SECONDS, self._refresh_seconds)
            # Counted from the start of the poll: if it was frozen halfway, its result is as old as its start.
            self._next_poll_at = started_at + wait
        return problem

    def _running(self) -> _Poll | None:
        poll = self._poll
        if poll is None or poll.done.is_set() or self._clock() - poll.started_at >= _LOST_AFTER_SECONDS:
            return None
        return poll

    def _start_if_due(self) -> _Poll | None:
        if not self.due:
            return None
        poll = self._poll = _Poll(self._clock())

        def run() -> None:
            try:
                with self._polling:
                    if self._poll is poll:  # otherwise another poll replaced it while it waited for the lock
                        self._refresh(poll.started_at)
            except Exception:
                self._logger.exception("polling the model registry failed")
            finally:
                poll.done.set()

        self._start(run)
        return poll

    def _take(self, version: Version) -> None:
        if self.served and self.served.version == version:
            return
        self.served = Served(version, self._scorer_of(version))
        self._logger.info("serving version %s of %s", version.number, version.name)
        self._meter.count(MODEL_RELOADS, outcome="loaded")
        if version.promoted_at:
            self._meter.set(MODEL_PROMOTED_TIMESTAMP, datetime.fromisoformat(version.promoted_at).timestamp())

    def _scorer_of(self, version: Version) -> Scorer:
        """The version's scorer, from memory if it is there: a challenger's, once it is promoted."""
        for known in (self.served, self.challenger):
            if known and known.scorer and known.version.scorer_sha256 == version.scorer_sha256:
                return known.scorer
        scorer = load(self.registry.scorer_document(version), version.scorer_sha256)
        if unknown := [name for name in scorer.features if name not in INPUTS]:
            raise ScorerInvalid(f"version {version.number} needs unknown features: {', '.join(unknown)}")
        return scorer

    def _follow_challenger(self) -> None:
        """A challenger that cannot be asked for stays what it was; the answers do not depend on it."""
        try:
            version = self.registry.challenger()
            if version is None or (self.served and version.number == self.served.version.number):
                self.challenger = None
            elif self.challenger and self.challenger.version.number == version.number:
                self.challenger.version = version  # its share may have changed; if it was stopped, it stays so
            else:
                self.challenger = self._challenger_of(version)
        except ModelUnavailable as error:
            self._logger.warning("cannot load the challenger: %s", error)

    def _challenger_of(self, version: Version) -> Challenger:
        try:
            scorer = self._scorer_of(version)
            if set(scorer.classes) != set(CLASSES):
                raise ScorerInvalid(f"its classes are {', '.join(scorer.classes)}")
        except ScorerInvalid as error:
            self._logger.warning("the challenger, version %s, cannot be used: %s", version.number, error)
            self._meter.count(CHALLENGERS_STOPPED, reason="ScorerInvalid")
            return Challenger(version, None, stopped="ScorerInvalid")
        self._logger.info("version %s of %s is the challenger", version.number, version.name)
        return Challenger(version, scorer)
