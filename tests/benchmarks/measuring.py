"""Rounds in which ours and the peer take turns, so that other load on the machine affects both alike."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal, Self

from tests.benchmarks.cold import DOMAIN, ROOT, start
from tests.benchmarks.report import Figure

type Kind = Literal["ours", "peer"]

KINDS: tuple[Kind, ...] = ("ours", "peer")
_SUBJECT = Path(__file__).with_name("subject.py")


class Subject:
    """A warm process to measure."""

    def __init__(self, kind: Kind, environment: Mapping[str, str], events: Path) -> None:
        # A file, because nothing reads its log during a measurement and a pipe would fill up.
        self._log = events.with_name(f"{kind}.log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", str(_SUBJECT), kind, str(events)],
                env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, DOMAIN)))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, what: str, events: str = "", times: int = 1) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"what": what, "events": events, "times": times}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a measured process has exited:\n{self._log.read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


# The measurements of a round: (figure, events, calls of ours, calls of the peer).
_ROUND = (
    ("row_14", "row_14", 200, 20),
    ("row_all", "row_all", 200, 20),
    ("scorer", "row_all", 200, 20),
    ("batch_json_14", "batch_json_14", 2, 2),
    ("batch_json_all", "batch_json_all", 2, 2),
    ("batch_csv_all", "batch_csv_all", 2, 2),
)


def measure(
    environment: Mapping[str, str], events: Path, first_event: dict[str, Any], rounds: int
) -> dict[str, Figure]:
    """All figures, keyed by the names in `report.ROWS`."""
    took: dict[str, dict[Kind, list[list[float]]]] = {name: {kind: [] for kind in KINDS} for name, *_ in _ROUND}
    cold: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    per_core: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    metering: list[float] = []
    with Subject("ours", environment, events) as ours, Subject("peer", environment, events) as peer:
        subjects: dict[Kind, Subject] = {"ours": ours, "peer": peer}
        _warm_up_and_compare(ours, peer)
        for number in range(rounds):
            print(f"bench       round {number + 1} of {rounds} ...", file=sys.stderr, flush=True)
            for kind in KINDS[:: 1 if number % 2 else -1]:
                for name, asked, *calls in _ROUND:
                    what = "scorer" if name == "scorer" else "answers"
                    answer = subjects[kind].ask(what, asked, calls[KINDS.index(kind)])
                    took[name][kind].append([nanoseconds / 1e6 for nanoseconds in answer["took"]])
                    if name == "row_14":
                        per_core[kind].append(1e9 * len(answer["took"]) / answer["worked"])
                cold[kind].append(start(kind, environment, first_event))
            without = ours.ask("unmetered", "row_14", 200)["took"]
            metering.append(median(took["row_14"]["ours"][-1]) - median(without) / 1e6)
        memory = {kind: subject.ask("memory") for kind, subject in subjects.items()}
    figures = {name: _figure(both, median) for name, both in took.items()}
    figures |= {f"{name}_p95": _figure(took[name], _p95) for name in ("row_14", "row_all")}
    mine, its = (median(per_core[kind]) for kind in KINDS)
    ratios = [one / other for one, other in zip(per_core["ours"], per_core["peer"], strict=True)]
    figures["metering"] = Figure(median(metering))
    figures["per_core"] = Figure(mine, its, median(ratios))
    figures["cold"] = _figure({kind: [[one] for one in cold[kind]] for kind in KINDS}, median)
    for name in ("rss", "uss"):
        mine, its = (memory[kind][name] / 1024 for kind in KINDS)
        figures[name] = Figure(mine, its, its / mine)
    return figures


def _warm_up_and_compare(ours: Subject, peer: Subject) -> None:
    """Times can be compared only if the answers agree."""
    for name, asked, *_ in _ROUND:
        if name == "scorer":
            continue
        mine, its = (subject.ask("answers", asked, 3)["body"] for subject in (ours, peer))
        if asked.startswith("row"):
            mine, its = (json.loads(body)["probabilities"] for body in (mine, its))
            if not all(abs(share - its[label]) <= 1e-9 for label, share in mine.items()):
                raise SystemExit(f"ours and the peer differ: {mine}, {its}")
        elif len(mine.split("early_risk")) != len(its.split("early_risk")):
            raise SystemExit("ours and the peer returned batches of different lengths")


def _figure(rounds: Mapping[Kind, list[list[float]]], of: Any) -> Figure:
    """The figure over all calls, with the median of the rounds' ratios."""
    mine, its = (of([one for part in rounds[kind] for one in part]) for kind in KINDS)
    ratios = [of(b) / of(a) for a, b in zip(rounds["ours"], rounds["peer"], strict=True)]
    return Figure(mine, its, median(ratios))


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]
