"""The model that is served: follows `Production` by itself, and keeps the last good one whatever happens.

A look at the registry is begun by a request and made behind its back, on a thread of its own. There is no thread that
runs all the time: Lambda freezes them between requests, and the first request after that is the one that has to know.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from logging import Logger
from typing import Final, Protocol

from readmission.domain.features import INPUTS
from readmission.errors import ModelUnavailable, ScorerInvalid
from readmission.registry.production import Version
from readmission.scoring.scorer import Scorer, load
from readmission.telemetry.metrics import MODEL_PROMOTED_TIMESTAMP, MODEL_RELOADS, Meter, NullMeter

_RETRY_SECONDS: Final = 1.0  # while there is no model at all, look again this soon
_LONGEST_WAIT_SECONDS: Final = 1.0
_LOST_AFTER_SECONDS: Final = 10.0  # longer than MLflow's time limits: the look was frozen, what it knows is of then


class Registry(Protocol):
    """Where versions come from; every method raises `ModelUnavailable`."""

    def production(self) -> Version: ...

    def scorer_document(self, version: Version) -> bytes: ...

    def metrics(self, version: Version) -> dict[str, float]: ...

    def model_card(self, version: Version, path: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """A version with its scorer."""

    version: Version
    scorer: Scorer


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at the registry that has been begun; `done` is set at its end, whatever came of it."""

    begun: float
    done: threading.Event = field(default_factory=threading.Event)


def in_background(look: Callable[[], None]) -> None:
    """Run it on a thread that keeps nobody waiting, the end of the process included."""
    threading.Thread(target=look, name="look at the registry", daemon=True).start()


class ModelCache:
    """Holds the served model of one process; safe to use from several threads.

    A look is due `refresh_seconds` after the last one began. An answer waits for it, a second at most, only while there
    is no model, or when what is known is twice as old. So with the default of 10 no answer rests on what MLflow said
    more than 30 s ago, be the instance frozen where it may, as far as MLflow answers within that second.
    """

    def __init__(
        self,
        registry: Registry,
        refresh_seconds: float,
        logger: Logger,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] = in_background,
        meter: Meter | None = None,
    ) -> None:
        self.registry = registry
        self.served: Served | None = None
        self._refresh_seconds = refresh_seconds
        self._logger = logger
        self._meter = meter or NullMeter()
        self._clock = clock
        self._start = start
        self._lock = threading.Lock()  # of a look, from its beginning to its end
        self._beginning = threading.Lock()  # held for a moment, so that of several requests one begins a look
        self._look: _Look | None = None
        self._problem = "no model has been looked for yet"
        self._look_again_at = self._known_at = clock()

    @property
    def due(self) -> bool:
        """Whether `follow` should be called before the next answer."""
        return self._clock() >= self._look_again_at

    def current(self) -> Served:
        """The model to answer with. Raises `ModelUnavailable` with the reason while there is none."""
        if self.served is None:
            raise ModelUnavailable(self._problem)
        return self.served

    def follow(self) -> None:
        """Begin a look in the background when one is due; wait for it where what is known is too old to answer by.

        Who comes later than a second into a look that does not end waits no more: MLflow is away.
        """
        with self._beginning:
            look = self._running() or self._begin()
            now = self._clock()
        if look and (self.served is None or now - self._known_at >= 2 * self._refresh_seconds):
            look.done.wait(max(0.0, look.begun + _LONGEST_WAIT_SECONDS - now))

    def refresh(self) -> str | None:
        """Look at the registry and follow it; answers what is wrong, or None. Never drops a working model."""
        with self._lock:
            return self._refresh(self._clock())

    def _refresh(self, begun: float) -> str | None:
        problem: str | None = None
        try:
            self._take(self.registry.production())
            self._known_at = begun
        except (ModelUnavailable, ScorerInvalid) as error:
            if isinstance(error, ScorerInvalid):
                self._known_at = begun  # what is in Production is known, and that it cannot be served
            problem = self._problem = str(error)
            serving = self.served.version.number if self.served else "none"
            self._meter.count(MODEL_RELOADS, outcome="failed")
            self._logger.warning("the Production model cannot be loaded: %s; still serving version: %s", error, serving)
        finally:
            wait = self._refresh_seconds if self.served else min(_RETRY_SECONDS, self._refresh_seconds)
            # From its beginning: what a look tells that was frozen halfway is as old as the freeze is long.
            self._look_again_at = begun + wait
        return problem

    def _running(self) -> _Look | None:
        look = self._look
        if look is None or look.done.is_set() or self._clock() - look.begun >= _LOST_AFTER_SECONDS:
            return None
        return look

    def _begin(self) -> _Look | None:
        if not self.due:
            return None
        look = self._look = _Look(self._clock())

        def run() -> None:
            try:
                with self._lock:
                    if self._look is look:  # else another has taken its place while it waited
                        self._refresh(look.begun)
            except Exception:
                self._logger.exception("a look at the registry failed")
            finally:
                look.done.set()

        self._start(run)
        return look

    def _take(self, version: Version) -> None:
        if self.served and self.served.version == version:
            return
        if self.served and self.served.version.scorer_sha256 == version.scorer_sha256:
            scorer = self.served.scorer
        else:
            scorer = load(self.registry.scorer_document(version), version.scorer_sha256)
        if unknown := [name for name in scorer.features if name not in INPUTS]:
            raise ScorerInvalid(f"version {version.number} needs features unknown here: {', '.join(unknown)}")
        self.served = Served(version, scorer)
        self._logger.info("serving version %s of %s", version.number, version.name)
        self._meter.count(MODEL_RELOADS, outcome="loaded")
        if version.promoted_at:
            self._meter.set(MODEL_PROMOTED_TIMESTAMP, datetime.fromisoformat(version.promoted_at).timestamp())
