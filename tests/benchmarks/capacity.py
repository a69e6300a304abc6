"""`make capacity JSON=file`: what a result of `make bench` means on AWS.

A model, not a measurement: it takes what was measured here, the memory sizes of template.yaml and the concurrency of
the state machine, and adds what `ASSUMPTIONS` names.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks import report

_ROOT = Path(__file__).parents[2]

# AWS's list prices of us-east-1 in US dollars, x86_64, without the free tier, as public pages tell them; noted in
# November 2026, check before use.
GB_SECOND = 0.0000166667
LAMBDA_REQUEST = 0.20 / 1e6
API_REQUEST = 3.50 / 1e6  # REST API, the first 333 million a month
STATE_TRANSITION = 25.0 / 1e6
LOG_GB = 0.50
METRIC_MONTH = 0.30

# AWS's default quotas of an account and region.
CONCURRENCY = 1000
INSTANCE_RATE = 10  # requests a second for each of a concurrency, however short they are
NEW_INSTANCES = 1000  # of one function, in 10 seconds
API_RATE = 10_000  # requests a second

WHOLE_CPU_MB = 1769
RUNTIME_MS = 1.0
LOG_BYTES = 1500
METRICS = 60
_RUN = ("pipeline_invocations", "pipeline_transitions")
_THROTTLES = ("ThrottleRate", "ThrottleBurst", "DailyQuota")

ASSUMPTIONS = (
    "a processor of AWS is as fast as one of the machine that was measured",
    f"a function has memory / {WHOLE_CPU_MB} MB of a processor, and all of its time is the processor's (waiting for "
    "Postgres or MLflow would not take longer with a smaller share); what it has beyond one does not make it faster",
    f"Lambda's runtime adds {RUNTIME_MS:g} ms to the handler, with a whole processor",
    "a cold start has a whole processor, whatever the memory, and is billed",
    "a run's functions were measured beside each other: on fewer processors than they are, that is an upper bound",
    "one request an instance at a time, and requests come evenly: leave room for bursts",
    f"a request logs {LOG_BYTES} bytes, its metrics included; {METRICS} custom metrics",
    "Postgres, MLflow, data transfer, S3 and Secrets Manager are not in the costs",
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of the inference API: time of a request in ms, requests a second, dollars.

    For 100 requests a second, `busy_for_100` instances work at once, and `reserve_for_100` have to be reserved.
    """

    duration_ms: float
    rate: float
    limited_by: str
    busy_for_100: float
    reserve_for_100: int
    seconds_to_full: float
    cold_seconds: float
    fits: bool
    dollars_a_million: float


@dataclass(frozen=True, slots=True)
class Template:
    """What the deployed application is made with: MB by function, how many of a step run beside each other, and what a
    key may ask: requests a second, at once, and a day."""

    memory: Mapping[str, int]
    beside: Mapping[str, int]
    throttles: Mapping[str, int]

    def share(self, function: str) -> float:
        """Of a processor, at most one."""
        return min(1.0, self.memory[function] / WHOLE_CPU_MB)


def template() -> Template:
    document = yaml.load((_ROOT / "template.yaml").read_text(), _Loader)
    resources, parameters = document["Resources"], document["Parameters"]
    memory = {
        name.removesuffix("Function").lower(): one["Properties"]["MemorySize"]
        for name, one in resources.items()
        if one["Type"] == "AWS::Serverless::Function" and "MemorySize" in one["Properties"]
    }
    states = json.loads((_ROOT / "statemachines/pipeline.asl.json").read_text())["States"]
    names = {"ingest": "Ingest batches", "clean": "Clean batches", "train": "Train models"}
    beside = {step: states[name]["MaxConcurrency"] for step, name in names.items()}
    return Template(memory, beside, {name: int(parameters[name]["Default"]) for name in _THROTTLES})


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation, whose tags do not matter here."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def prediction(handler_ms: float, cold_seconds: float, memory_mb: float, known: Template) -> Prediction:
    """Of one prediction, by what `make bench` measured of the handler."""
    duration = (handler_ms + RUNTIME_MS) / known.share("predict")
    limits = {
        "Lambda's concurrency": CONCURRENCY * 1000 / duration,
        f"Lambda's {INSTANCE_RATE} requests a second and instance": CONCURRENCY * INSTANCE_RATE,
        "API Gateway's quota": API_RATE,
    }
    rate, busy = min(limits.values()), 100 * duration / 1000
    gigabytes = known.memory["predict"] / 1024
    a_request = math.ceil(duration) / 1000 * gigabytes * GB_SECOND + LAMBDA_REQUEST + API_REQUEST
    return Prediction(
        duration_ms=duration,
        rate=rate,
        limited_by=" and ".join(name for name, limit in limits.items() if limit == rate),
        busy_for_100=busy,
        reserve_for_100=math.ceil(max(busy, 100 / INSTANCE_RATE)),
        seconds_to_full=10 * CONCURRENCY / NEW_INSTANCES,
        cold_seconds=cold_seconds,
        fits=memory_mb <= known.memory["predict"],
        dollars_a_million=1e6 * (a_request + LOG_BYTES / 1e9 * LOG_GB),
    )


def connections(known: Template) -> dict[str, int]:
    """To Postgres, at most at once, by step; MLflow's own are not among them, and predictions need none."""
    return {
        "plan": 2,
        "ingest": known.beside["ingest"],
        "clean": 2 * known.beside["clean"],
        "check": 1,
        "train": known.beside["train"],
        "promote": 1,
        "history, each at once": 1,
    }


def run_dollars(
    ran: Mapping[str, float], started: Mapping[str, float], invocations: float, transitions: float, known: Template
) -> float:
    """Of one run of the pipeline: seconds by function, of handlers and of cold starts, with a whole processor."""
    gb_seconds = sum(
        (seconds / known.share(function) + started[function]) * known.memory[function] / 1024
        for function, seconds in ran.items()
    )
    return gb_seconds * GB_SECOND + invocations * LAMBDA_REQUEST + transitions * STATE_TRANSITION


def text(document: Mapping[str, Any], known: Template) -> str:
    """All of it, as Markdown. Raises SystemExit for a document without the part `prediction`, or with half of one."""
    ours = {name: figure["ours"] for name, figure in document["figures"].items()}
    ran = [name.removeprefix("ran_") for name in ours if name.startswith("ran_")]
    of_a_run = {*_RUN, *(f"{kind}_{function}" for kind in ("ran", "init") for function in ran or ["plan"])}
    needed = {"row_14", "cold", "rss", *(of_a_run if any(name.startswith("pipeline") for name in ours) else ())}
    if missing := needed - ours.keys():
        raise SystemExit(
            f"it tells nothing of {', '.join(sorted(missing))}: make bench ONLY=prediction,pipeline JSON=file"
        )
    cells = [("what", "figure"), *_prediction_cells(ours, known), *_run_cells(ours, ran, known)]
    return "\n".join([*report.markdown(cells), "", "Assumed:", "", *(f"- {one}" for one in ASSUMPTIONS)])


def _prediction_cells(ours: Mapping[str, float], known: Template) -> list[Sequence[str]]:
    found, memory = prediction(ours["row_14"], ours["cold"], ours["rss"], known), known.memory["predict"]
    rate, burst, quota = (known.throttles[name] for name in _THROTTLES)
    deployed = f"{rate:,}, {burst:,} at once, {quota:,} a day ({', '.join(_THROTTLES)})"
    start = f"{found.seconds_to_full:.0f} s; each starts in {found.cold_seconds:.1f} s"
    million = f"${found.dollars_a_million:.2f}, ${1e6 * API_REQUEST:.2f} of it API Gateway's"
    return [
        ("a prediction in the function, warm", f"{found.duration_ms:.1f} ms with {memory} MB"),
        ("requests a second of a key, as deployed", deployed),
        ("requests a second at the account's limits", f"{found.rate:,.0f}, by {found.limited_by}"),
        ("for 100 requests a second", f"reserve {found.reserve_for_100}; {found.busy_for_100:.1f} work at once"),
        ("from none to the account's concurrency", start),
        ("memory", f"{ours['rss']:.0f} MB of {memory}: {'fits' if found.fits else 'DOES NOT FIT'}"),
        ("a million predictions", million),
        ("custom metrics", f"${METRICS * METRIC_MONTH:.0f} a month"),
    ]


def _run_cells(ours: Mapping[str, float], functions: Sequence[str], known: Template) -> list[Sequence[str]]:
    asking = f"{max(connections(known).values())} in a run, one for each who asks for the history; none to predict"
    cells: list[Sequence[str]] = [("connections to Postgres, at most", asking)]
    if functions:
        ran, started = ({one: ours[f"{kind}_{one}"] for one in functions} for kind in ("ran", "init"))
        invocations, transitions = (ours[name] for name in _RUN)
        dollars = run_dollars(ran, started, invocations, transitions, known)
        did = f"{invocations:.0f} invocations, {transitions:.0f} transitions"
        cells.append(("a run of the pipeline, starting cold", f"${dollars:.4f}: {did}"))
    return cells


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        raise SystemExit("make capacity JSON=file, as make bench JSON=file has written it")
    print(text(report.read(Path(sys.argv[1])), template()))


if __name__ == "__main__":
    main()
