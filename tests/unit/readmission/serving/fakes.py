"""A registry and a clock in memory, and a client of the API without a server."""

import asyncio
import json
import logging
from hashlib import sha256
from typing import Any

import httpx
from readmission.errors import ModelUnavailable
from readmission.registry.production import Version
from readmission.serving.api import create_app
from readmission.serving.model_cache import ModelCache

from tests.unit.readmission.documents import constant

LOGGER = logging.getLogger("serving")
REFRESH_SECONDS = 10.0


class FakeRegistry:
    """Holds the version in production and all documents. Raises `problem` while it is set."""

    def __init__(self) -> None:
        self.problem: str | None = "no version is in Production yet"
        self.polls = 0
        self.downloads = 0
        self.run_metrics: dict[str, float] = {}
        self.cards: dict[str, str] = {}
        self.asked_for_metrics = 0
        self._version: Version
        self._challenger: Version | None = None
        self.challenger_polls = 0
        self._documents: dict[str, bytes] = {}

    def promote(self, number: str, document: Any, registered_sha256: str | None = None, **tags: Any) -> Version:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._documents[number] = content
        hashed = registered_sha256 or sha256(content).hexdigest()
        self._version = Version("readmission", number, f"run-{number}", "random_forest", "synthetic", hashed, **tags)
        self.problem = None
        return self._version

    def challenge(self, number: str, document: Any, share: float = 0.0) -> Version:
        content = json.dumps(document).encode()
        self._documents[number] = content
        tags = {"challenged_at": "2026-01-02T12:00:00+00:00", "canary_share": share}
        hashed = sha256(content).hexdigest()
        self._challenger = Version("readmission", number, f"run-{number}", "forest", "synthetic", hashed, **tags)
        return self._challenger

    def end_challenge(self) -> None:
        self._challenger = None

    def challenger(self) -> Version | None:
        self.challenger_polls += 1
        return self._challenger

    def production(self) -> Version:
        self.polls += 1
        if self.problem:
            raise ModelUnavailable(self.problem)
        return self._version

    def scorer_document(self, version: Version) -> bytes:
        self.downloads += 1
        return self._documents[version.number]

    def metrics(self, version: Version) -> dict[str, float]:
        self.asked_for_metrics += 1
        if self.problem:
            raise ModelUnavailable(self.problem)
        return self.run_metrics

    def model_card(self, version: Version, path: str) -> str | None:
        return self.cards.get(path)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Api:
    """The API with a fake registry and clock. `ids` are the request ids that the logger receives."""

    def __init__(
        self,
        *cors_origins: str,
        identify: Any = None,
        audit: Any = None,
        histories: Any = None,
        prediction_log: Any = None,
        meter: Any = None,
        challenger_seconds: float | None = None,
    ) -> None:
        self.registry = FakeRegistry()
        self.clock = Clock()
        # A poll runs when a request starts it, not in the background.
        self.model_cache = ModelCache(
            self.registry,
            REFRESH_SECONDS,
            LOGGER,
            self.clock,
            start=lambda poll: poll(),
            meter=meter,
            challenger_seconds=challenger_seconds,
        )
        self.ids: list[str] = []
        self.app = create_app(
            self.model_cache,
            cors_origins=cors_origins,
            logger=LOGGER,
            correlate=self.ids.append,
            identify=identify,
            audit=audit,
            meter=meter,
        )
        self.app.state.histories = histories
        self.app.state.prediction_log = prediction_log

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(
        self, path: str, content: bytes | str = b"", content_type: str = "application/json", **headers: str
    ) -> httpx.Response:
        return self.request("POST", path, content=content, headers={"Content-Type": content_type, **headers})

    def predict(self, document: Any) -> httpx.Response:
        return self.post("/predict", json.dumps(document))


def with_quantiles(api: Api, *quantiles: float) -> Api:
    """The same API, whose model has a distribution of its patients' risks."""
    assert api.model_cache.refresh() is None and api.model_cache.served
    api.model_cache.served.scorer.risk_quantiles = quantiles
    return api


def serving(*shares: float) -> Api:
    """An API that serves version 1, which forecasts these probabilities for every encounter."""
    api = Api()
    api.registry.promote("1", constant(*shares))
    return api
