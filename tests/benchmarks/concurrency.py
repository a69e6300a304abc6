"""The emulator's gateway under several clients, and how the time of one request is divided.

What a part takes is the difference of two medians: of what holds it, and of what does not. All take turns.
"""

import base64
import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from infra.local import stack
from infra.local.commands import predict
from tests.benchmarks import deployment
from tests.benchmarks.measuring import Subject
from tests.benchmarks.report import CLIENTS, Figure
from tests.benchmarks.subject import event_of
from tests.platforms import Platform

_SECONDS = 5.0
_CALLS = 60
_DURATION = re.compile(r"\tDuration: ([\d.]+) ms")


def measure(platform: Platform, folder: Path, rounds: int) -> dict[str, Figure]:
    """Needs a gradient boosting model in Production; trains one if there is none."""
    deployment.serve_a_model(platform)
    figures: dict[str, Figure] = {}
    for count in CLIENTS:
        deployment.tell(f"gateway, {count} clients ...")
        took, seconds = _clients(platform, count)
        figures[f"clients_{count}"] = Figure(len(took) / seconds)
        figures[f"clients_{count}_p95"] = Figure(quantiles(took, n=20)[-1])
    return figures | _shares(platform, folder, rounds)


def _clients(platform: Platform, count: int) -> tuple[list[float], float]:
    """The time of each request (ms) with `count` clients that send without pause, and the total time (s).

    Their first ones do not count.
    """
    settings, deployed = platform.settings, stack.get(platform.settings)
    start = time.monotonic() + 3

    def ask(_: int) -> list[float]:
        took = []
        with predict.client(settings, deployed, retries=0) as api:
            while (began := time.monotonic()) < start + _SECONDS:
                api.predict(predict.SAMPLE)
                if began >= start:
                    took.append((time.monotonic() - began) * 1000)
        return took

    with ThreadPoolExecutor(count) as pool:
        took = [one for took in pool.map(ask, range(count)) for one in took]
    return took, time.monotonic() - start


def _shares(platform: Platform, folder: Path, rounds: int) -> dict[str, Figure]:
    body = json.dumps(predict.SAMPLE)
    events = folder / "one.json"
    events.write_text(json.dumps({"one": [("/predict", body, "application/json")]}))
    event = json.dumps(event_of("/predict", body, "application/json"))
    took: dict[str, list[float]] = {name: [] for name in ("scorer", "asgi", "handler", "report", "gateway")}
    lambda_, environment = platform.client("lambda"), deployment.environment(platform, stack.NAME)
    deployed = stack.get(platform.settings)
    with (
        Subject("ours", environment, events) as subject,
        predict.client(platform.settings, deployed, retries=0) as api,
    ):
        for number in range(rounds):
            deployment.tell(f"shares, round {number + 1} of {rounds} ...")
            for what in ("scorer", "asgi", "answers"):
                answer = subject.ask(what, "one", _CALLS)
                took["handler" if what == "answers" else what] += [one / 1e6 for one in answer["took"]]
            for _ in range(_CALLS):
                took["gateway"].append(_timed(lambda: api.predict(predict.SAMPLE)))
                took["report"].append(_invoke(lambda_, event))
    middle = {name: median(values) for name, values in took.items()}
    return {
        "share_total": Figure(middle["gateway"]),
        "share_scorer": Figure(middle["scorer"]),
        "share_fastapi": Figure(middle["asgi"] - middle["scorer"]),
        "share_mangum": Figure(middle["handler"] - middle["asgi"]),
        "share_executor": Figure(middle["report"] - middle["handler"]),
        "share_localstack": Figure(middle["gateway"] - middle["report"]),
    }


def _invoke(client: Any, event: str) -> float:
    """The duration in the emulator's REPORT line, in ms."""
    answer = client.invoke(FunctionName=f"{stack.NAME}-predict:live", Payload=event, LogType="Tail")
    answer["Payload"].read()
    duration = _DURATION.search(base64.b64decode(answer["LogResult"]).decode())
    assert duration
    return float(duration[1])


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000
