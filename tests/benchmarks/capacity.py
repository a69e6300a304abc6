"""`make capacity JSON=file`: a capacity and cost model of AWS, from a result of `make bench`.

A model, not a measurement: it combines the measured figures with the memory sizes in template.yaml, the concurrency of
the state machine and the listed `ASSUMPTIONS`.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks import log_lines, prices, report

_ROOT = Path(__file__).parents[2]

# AWS's default quotas of an account and region.
CONCURRENCY = 1000
INSTANCE_RATE = 10  # requests a second and instance, however short
NEW_INSTANCES = 1000  # of one function, in 10 seconds
API_RATE = 10_000  # requests a second

WHOLE_CPU_MB = 1769
RUNTIME_MS = 1.0
METRICS = 60
_RUN = ("pipeline_invocations", "pipeline_transitions")
_THROTTLES = ("ThrottleRate", "ThrottleBurst", "DailyQuota")

ASSUMPTIONS = (
    "an AWS processor is as fast as one of the measured machine",
    f"a function gets memory / {WHOLE_CPU_MB} MB of a processor and is limited by it (time spent waiting for "
    "Postgres or MLflow would not grow with a smaller share); more than one processor does not make it faster",
    f"Lambda's runtime adds {RUNTIME_MS:g} ms to the handler on a whole processor",
    "a cold start gets a whole processor, whatever the memory, and is billed",
    "a run's functions were measured while they shared two processors: their times are upper bounds",
    "an instance serves one request at a time, and requests arrive evenly: leave room for bursts",
    f"there are {METRICS} custom metrics",
    "costs exclude Postgres, MLflow, data transfer, S3 and Secrets Manager",
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Estimates for the inference API: request time in ms, requests a second, dollars.

    100 requests a second keep `busy_for_100` instances busy and need `reserve_for_100` reserved ones.
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
    """Settings of the deployed application: MB by function, concurrency by step, a key's limits (requests a second, in
    a burst, a day), and the log bytes of a prediction by who writes them."""

    memory: Mapping[str, int]
    concurrency: Mapping[str, int]
    throttles: Mapping[str, int]
    logged: Mapping[str, int]

    def share(self, function: str) -> float:
        """The function's share of a processor, at most one."""
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
    concurrency = {step: states[name]["MaxConcurrency"] for step, name in names.items()}
    throttles = {name: int(parameters[name]["Default"]) for name in _THROTTLES}
    return Template(memory, concurrency, throttles, log_lines.by_writer(document))


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation and ignores its tags."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def prediction(handler_ms: float, cold_seconds: float, memory_mb: float, known: Template) -> Prediction:
    """The estimates for one prediction, from the handler's measured time (ms), cold start (s) and memory (MB)."""
    duration = (handler_ms + RUNTIME_MS) / known.share("predict")
    limits = {
        "Lambda's concurrency": CONCURRENCY * 1000 / duration,
        f"Lambda's {INSTANCE_RATE} requests a second and instance": CONCURRENCY * INSTANCE_RATE,
        "API Gateway's quota": API_RATE,
    }
    rate, busy = min(limits.values()), 100 * duration / 1000
    gigabytes = known.memory["predict"] / 1024
    compute = math.ceil(duration) / 1000 * gigabytes * prices.GB_SECOND.dollars
    logs = sum(known.logged.values()) / 1e9 * prices.LOG_GB.dollars
    return Prediction(
        duration_ms=duration,
        rate=rate,
        limited_by=" and ".join(name for name, limit in limits.items() if limit == rate),
        busy_for_100=busy,
        reserve_for_100=math.ceil(max(busy, 100 / INSTANCE_RATE)),
        seconds_to_full=10 * CONCURRENCY / NEW_INSTANCES,
        cold_seconds=cold_seconds,
        fits=memory_mb <= known.memory["predict"],
        dollars_a_million=1e6 * (compute + prices.LAMBDA_REQUEST.dollars + prices.API_REQUEST.dollars + logs),
    )


def connections(known: Template) -> dict[str, int]:
    """The most connections to Postgres at once, by step, without MLflow's own. Predictions need none by default."""
    return {
        "plan": 2,
        "ingest": known.concurrency["ingest"],
        "clean": 2 * known.concurrency["clean"],
        "check": 1,
        "train": known.concurrency["train"],
        "promote": 1,
        "history, each request": 1,
    }


def run_dollars(
    ran: Mapping[str, float], started: Mapping[str, float], invocations: float, transitions: float, known: Template
) -> float:
    """The cost of one pipeline run. `ran` and `started` are the seconds of handlers and cold starts by function, on a
    whole processor."""
    gb_seconds = sum(
        (seconds / known.share(function) + started[function]) * known.memory[function] / 1024
        for function, seconds in ran.items()
    )
    return (
        gb_seconds * prices.GB_SECOND.dollars
        + invocations * prices.LAMBDA_REQUEST.dollars
        + transitions * prices.STATE_TRANSITION.dollars
    )


def text(document: Mapping[str, Any], known: Template) -> str:
    """The whole report as Markdown. Raises SystemExit when figures it needs are missing."""
    ours = {name: figure["ours"] for name, figure in document["figures"].items()}
    ran = [name.removeprefix("ran_") for name in ours if name.startswith("ran_")]
    of_a_run = {*_RUN, *(f"{kind}_{function}" for kind in ("ran", "init") for function in ran or ["plan"])}
    needed = {"row_14", "cold", "rss", *(of_a_run if any(name.startswith("pipeline") for name in ours) else ())}
    if missing := needed - ours.keys():
        raise SystemExit(
            f"the file lacks {', '.join(sorted(missing))}; make it with: make bench ONLY=prediction,pipeline JSON=file"
        )
    cells = [("quantity", "estimate"), *_prediction_cells(ours, known), *_run_cells(ours, ran, known)]
    priced = [("dollars", "for one", "source"), *((f"{one.dollars:.10f}".rstrip("0"), *one[1:]) for one in prices.ALL)]
    return "\n".join(
        [
            *report.markdown(cells),
            "",
            "Assumptions:",
            "",
            *(f"- {one}" for one in ASSUMPTIONS),
            "",
            f"AWS's list prices of us-east-1, read on {prices.READ_ON}:",
            "",
            *report.markdown(priced),
        ]
    )


def _prediction_cells(ours: Mapping[str, float], known: Template) -> list[Sequence[str]]:
    found, memory = prediction(ours["row_14"], ours["cold"], ours["rss"], known), known.memory["predict"]
    rate, burst, quota = (known.throttles[name] for name in _THROTTLES)
    deployed = f"{rate:,}, bursts of {burst:,}, {quota:,} a day ({', '.join(_THROTTLES)})"
    start = f"{found.seconds_to_full:.0f} s; each starts in {found.cold_seconds:.1f} s"
    logged = sum(known.logged.values())
    parts = {"API Gateway": prices.API_REQUEST.dollars, "logs": logged / 1e9 * prices.LOG_GB.dollars}
    million = f"${found.dollars_a_million:.2f}, of which " + " and ".join(
        f"{name} ${1e6 * dollars:.2f}" for name, dollars in parts.items()
    )
    return [
        ("one prediction, warm", f"{found.duration_ms:.1f} ms with {memory} MB"),
        ("requests a second per key, as deployed", deployed),
        ("requests a second at the account's limits", f"{found.rate:,.0f}, limited by {found.limited_by}"),
        ("for 100 requests a second", f"reserve {found.reserve_for_100} instances; {found.busy_for_100:.1f} are busy"),
        ("scaling from zero to the account's concurrency", start),
        ("memory", f"{ours['rss']:.0f} MB of {memory}: {'fits' if found.fits else 'DOES NOT FIT'}"),
        ("a million predictions", million),
        ("log bytes of a prediction", f"{logged:,}: " + ", ".join(f"{who} {of:,}" for who, of in known.logged.items())),
        ("custom metrics", f"${METRICS * prices.METRIC_MONTH.dollars:.0f} a month"),
    ]


def _run_cells(ours: Mapping[str, float], functions: Sequence[str], known: Template) -> list[Sequence[str]]:
    most = max(connections(known).values())
    asking = f"{most} during a run, one per history request, none to predict unless PatientHistory is on"
    cells: list[Sequence[str]] = [("most connections to Postgres", asking)]
    if functions:
        ran, started = ({one: ours[f"{kind}_{one}"] for one in functions} for kind in ("ran", "init"))
        invocations, transitions = (ours[name] for name in _RUN)
        dollars = run_dollars(ran, started, invocations, transitions, known)
        did = f"{invocations:.0f} invocations, {transitions:.0f} transitions"
        cells.append(("a cold pipeline run", f"${dollars:.4f}: {did}"))
    return cells


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        raise SystemExit("usage: make capacity JSON=file, a file that make bench JSON=file has written")
    print(text(report.read(Path(sys.argv[1])), template()))


if __name__ == "__main__":
    main()
