"""The model that is served: follows `Production` by itself, and keeps the last good one whatever happens."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger
from typing import Final, Protocol

from readmission.errors import ModelUnavailable, ScorerInvalid
from readmission.features import INPUTS
from readmission.scorer import Scorer, load
from readmission.serving.registry import Version

_RETRY_SECONDS: Final = 1.0  # while there is no model at all, look again this soon


class Registry(Protocol):
    """Where versions come from; both raise `ModelUnavailable`."""

    def production(self) -> Version: ...

    def scorer_document(self, version: Version) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Served:
    """A version with its scorer."""

    version: Version
    scorer: Scorer


class Production:
    """Holds the served model of one process; safe to use from several threads."""

    def __init__(
        self,
        registry: Registry,
        refresh_seconds: float,
        logger: Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._refresh_seconds = refresh_seconds
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self.served: Served | None = None
        self._problem = "no model has been looked for yet"
        self._look_again_at = clock()

    @property
    def due(self) -> bool:
        """Whether `refresh` should be called before the next answer."""
        return self._clock() >= self._look_again_at

    def current(self) -> Served:
        """The model to answer with. Raises `ModelUnavailable` with the reason while there is none."""
        if self.served is None:
            raise ModelUnavailable(self._problem)
        return self.served

    def refresh(self) -> str | None:
        """Look at the registry and follow it; answers what is wrong, or None. Never drops a working model."""
        with self._lock:
            try:
                self._follow(self._registry.production())
                problem = None
            except (ModelUnavailable, ScorerInvalid) as error:
                problem = self._problem = str(error)
                serving = self.served.version.number if self.served else "none"
                self._logger.warning(
                    "the Production model cannot be loaded: %s; still serving version: %s", error, serving
                )
            wait = self._refresh_seconds if self.served else min(_RETRY_SECONDS, self._refresh_seconds)
            self._look_again_at = self._clock() + wait
            return problem

    def _follow(self, version: Version) -> None:
        if self.served is None or self.served.version != version:
            scorer = load(self._registry.scorer_document(version), version.scorer_sha256)
            if unknown := [name for name in scorer.features if name not in INPUTS]:
                raise ScorerInvalid(f"version {version.number} needs features unknown here: {', '.join(unknown)}")
            self.served = Served(version, scorer)
            self._logger.info("serving version %s of %s", version.number, version.name)
