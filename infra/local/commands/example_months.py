"""`make example-months`: six months of a hospital on the running platform, from the first model to its successor.

Each delivery comes as a hospital would send it: first the stays, whose labels are not due yet, and later the same stays
with what became of them. Everything happens as in operation: files in S3, executions of the state machine, the monitor,
the API. An example that was interrupted goes on where it was: what has been delivered is not delivered again.
"""

import csv
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from readmission.client import ApiProblem, ApiUnreachable, Client, Decision
from readmission.domain.contract import check_rows
from readmission.domain.payloads import DataKind
from readmission.errors import ReadmissionError
from readmission.pipeline import sources, tables
from readmission.settings import SourceSettings

from infra.local import aws
from infra.local.commands import dataset, deliveries, history, months, pipeline, predict
from infra.local.commands.functions import invoke
from infra.local.commands.months import MONTHS, SCHEDULE, SHIFTED, Delivery, Order, Row
from infra.local.errors import LocalError
from infra.local.lifecycle import parameters, up
from infra.local.settings import Settings
from infra.local.stack import NAME, Stack
from infra.local.terminal import step, table

SITE: Final = "example-months"
BY: Final = "make example-months"
FEWEST_ROWS: Final = 3000
MONITOR: Final = f"{NAME}-monitor"
GUARD: Final = f"{NAME}-guard"
TRIED_ON: Final = 300
"""Logged forecasts on which the new model is tried before it serves."""
PARAMETERS: Final = {"PredictionLog": "on", "ShadowRequests": str(TRIED_ON), "CanaryShare": "0"}
_ASKED: Final = 500  # at a time: some stays end in death or a hospice, for which there is no forecast
_TRIES: Final = 60
_PAUSE_SECONDS: Final = 2.0
_ENDS: Final = ("promoted", "withdrawn")
_METRIC: Final = "auc_early"
_INPUTS_SHOWN: Final = 4
_BY_TIME: Final = """\
The months follow the numbers of the encounters, so they differ as the hospitals did over the years. In UCI's data,
payer_code is missing in the whole first sixth of the stays, but in one of ten in the last. Alerts about such inputs, in
any month, are right: the model learned from the first month only."""
_ENDING: Final = """
Where to look:
  make ui            the page Over time: quality, drift, groups, alerts and decisions
  make history       who decided which version answers, and why
  make deliveries    what was delivered, and how it differs from what came before
  make pipeline START_AT=train    train again, on all months"""


def example(settings: Settings, name: str | None, seed: int, order: Order) -> None:
    """Plays the six months and prints what happens. Raises LocalError as soon as a step fails.

    The data set `name` is by default the UCI archive; `seed` draws the patients of each month, or `order` is by time.
    """
    began = time.monotonic()
    name = name or dataset.default()
    dataset.check(name)
    rows, kind = read(settings, name)
    split = months.split(rows, seed, order)
    _choose_parameters(settings)
    stack = up.deploy(settings)
    hospital = Hospital(settings, stack, split, kind)
    hospital.send_files()
    hospital.check_platform()
    _introduce(split, kind, order)
    for month, labelled in SCHEDULE:
        hospital.deliver(month, labelled=labelled)
        if month == 1:
            hospital.begin()
        elif not labelled:
            hospital.watch(month)
    hospital.watch(SHIFTED)
    hospital.try_out(hospital.train("the model that has learned from all months"))
    print(f"\n{hospital.summary()}\n\nThe example took {time.monotonic() - began:.0f} s.\n{_ENDING}")


def read(settings: Settings, name: str) -> tuple[list[Row], DataKind]:
    """The rows of a data set, and what they are. Raises LocalError for one that cannot be used."""
    with step("data", f"reading {name}") as outcome:
        try:
            kind = sources.data_kind(name)
            rows = [[sys.intern(value) for value in row] for row in _rows(settings, name)]
            check_rows(rows, 1, name)
        except ReadmissionError as error:
            raise LocalError(f"DATASET: {error}") from error
        if len(rows) < FEWEST_ROWS:
            raise LocalError(f"DATASET: {name} has {len(rows):,} rows; the example needs {FEWEST_ROWS:,} or more.")
        outcome.text = f"{len(rows):,} stays"
    return rows, kind


def _choose_parameters(settings: Settings) -> None:
    """Switches on what a trial on live requests needs, for this and later deployments."""
    settings.create_directories()
    kept = parameters.kept(settings)
    if PARAMETERS.items() <= kept.items():
        return
    parameters.keep(settings, kept | PARAMETERS)
    before = " ".join(f'{name}="{value}"' if " " in value else f"{name}={value}" for name, value in kept.items())
    said = " ".join(f"{name}={value}" for name, value in PARAMETERS.items())
    print(f"parameters  {said}; afterwards, to deploy as before: make deploy PARAMETERS='{before}'", flush=True)


def _introduce(split: Sequence[Sequence[Row]], kind: DataKind, order: Order) -> None:
    if kind == "synthetic":
        print("\nThese are SYNTHETIC data: the figures say nothing about patients.")
    how = "drawn by chance, all stays of a patient in one month" if order == "patients" else "in the order of time"
    print(
        f"\nSix months of about {len(split[0]):,} stays, {how}. In month {SHIFTED}, medications count twice and every"
        f" patient has the same payer.\n{f'{_BY_TIME}{chr(10)}' if order == 'time' else ''}"
    )


def _rows(settings: Settings, name: str) -> list[Row]:
    limits = SourceSettings(allow_http=True, allow_private=True)
    if dataset.is_source(name):
        with sources.open_rows(name, aws.client(settings, "s3"), limits) as rows:
            return list(rows)
    with Path(name).expanduser().open("rb") as file:
        return list(tables.read(file, name, limits.max_bytes))


@dataclass
class Hospital:
    """A site whose deliveries come to the platform.

    `files` has the addresses of their files, by month and whether its labels are due, and `delivered` the ids of the
    deliveries that bring the stays of a month.
    """

    settings: Settings
    stack: Stack
    split: Sequence[Sequence[Row]]
    kind: DataKind
    files: dict[tuple[int, bool], str] = field(default_factory=dict)
    delivered: dict[int, str] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)

    def send_files(self) -> None:
        """Uploads the files of all deliveries. The same content gets the same address, by which it is known again."""
        with step("data", f"uploading {len(SCHEDULE)} files to S3"):
            for month, labelled in SCHEDULE:
                delivery = months.delivery(self.split, month, labelled=labelled)
                self.files[month, labelled] = self._upload(delivery)

    def check_platform(self) -> None:
        """Raises LocalError if the platform has data of which the example's models would learn, too."""
        lines = [line for line in self._lines() if line["status"] in ("accepted", "pending")]
        others = [line for line in lines if line["source"] not in self.files.values()]
        if others:
            raise LocalError(
                f"This platform already has {len(others)} other deliveries. The example's models would learn from them,"
                " too, and it would show nothing.\nRun it on a platform of its own: make down, then"
                " LOCAL_DIR=/tmp/example-months make example-months"
            )

    def deliver(self, month: int, *, labelled: bool) -> None:
        """Loads the month's file, unless that has been done."""
        source = self.files[month, labelled]
        what = f"{len(self.split[month - 1]):,} stays"
        if month > 1:
            what = f"what became of {what}" if labelled else f"{what}, labels not due yet"
        with step(f"month {month}", what) as outcome:
            if known := self._delivery_of(source):
                outcome.text = f"delivered before ({known})"
            else:
                taken_on = months.taken_on(month, labelled=labelled).isoformat()
                request = {"source": source, "site": SITE, "taken_on": taken_on, "by": BY}
                output = self._run({**request, "data_kind": self.kind, "stop_after": "clean"})
                outcome.text = f"accepted{_without_monitor(output)}"
                known = self._delivery_of(source)
        if month == 1 or not labelled:
            self.delivered[month] = known

    def _upload(self, delivery: Delivery) -> str:
        with TemporaryDirectory() as folder:
            file = Path(folder) / delivery.file_name
            with file.open("w", newline="") as text:
                csv.writer(text).writerows([months.HEADER, *delivery.rows])
            return dataset.upload(self.settings, self.stack, file)

    def _delivery_of(self, source: str) -> str:
        """The id of the accepted delivery of that file; empty if there is none."""
        found = (line for line in self._lines() if line["source"] == source and line["status"] == "accepted")
        return next((str(line["delivery_id"]) for line in found), "")

    def _lines(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = invoke(self.settings, deliveries.FUNCTION, {"deliveries": {}})
        return lines

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        return pipeline.run(self.settings, self.stack, request, silent=True)

    def begin(self) -> None:
        """Trains the first model, unless there is one: it must know nothing of the months that follow."""
        if invoke(self.settings, history.FUNCTION, {"history": {"limit": 1}}):
            print(f"{'train':<12}the first model ... trained before", flush=True)
        else:
            self.train("the first model")

    def train(self, what: str) -> dict[str, Any]:
        """Trains on all labels that are due, and says what was decided."""
        with step("train", what) as outcome:
            output = self._run({"start_at": "train", "by": BY, "reason": what})
            promotion: dict[str, Any] = output["promotion"]
            outcome.text = f"version {promotion['version']}: {promotion['decision']}"
        print(f"{'':<12}because {promotion['reason']}", flush=True)
        return promotion

    def watch(self, month: int) -> None:
        """Reads what the monitor said at the end of the last run, and prints what it says of the month."""
        with step("monitor", f"month {month}") as outcome:
            self.document = self._monitored()
            window = self.window(month)
            outcome.text = f"{_quality(window)}; {_alerts(window) or 'no alert'}"

    def _monitored(self) -> Mapping[str, Any]:
        invoke(self.settings, MONITOR, {"started_by": BY})
        try:
            with predict.client(self.settings, self.stack) as api:
                return api.monitor()
        except (ApiProblem, ApiUnreachable) as error:
            raise LocalError(f"GET /monitor: {error}") from error

    def try_out(self, promotion: Mapping[str, Any]) -> None:
        """Asks the API about patients of the last month until the trial of the new version ends, and says how."""
        version = str(promotion["version"])
        if promotion["decision"] != "shadowed":
            print(f"{'':<12}so there is nothing to try out", flush=True)
            return
        with step("shadow", f"version {version} is asked beside the one that answers") as outcome:
            try:
                with predict.client(self.settings, self.stack) as api:
                    decision = self._tried_out(api, version)
            except (ApiProblem, ApiUnreachable) as error:
                raise LocalError(f"The API, while version {version} was tried: {error}") from error
            outcome.text = f"{decision['decision']} by {decision.get('decided_by') or 'nobody who is known'}"
        print(f"{'':<12}because {decision['reason']}", flush=True)

    def _tried_out(self, api: Client, version: str) -> Decision:
        api.reload()
        last = months.delivery(self.split, MONTHS, labelled=False)
        asked = [*months.encounters(last, _ASKED)]
        answered = 0
        for _ in range(_TRIES):
            # The forecasts are logged some seconds after they were answered.
            if answered < TRIED_ON:
                answered += api.predict_batch(asked)["answered"]
            invoke(self.settings, GUARD, {})
            ended = [one for one in api.history(20) if one["version"] == version and one["decision"] in _ENDS]
            if ended:
                return ended[0]
            time.sleep(_PAUSE_SECONDS)
        raise LocalError(
            f"The trial of version {version} has not ended after {answered:,} forecasts. How it does: make challenger."
            " Whether they are logged: make logs FUNCTION=record ONCE=1"
        )

    def window(self, month: int) -> Mapping[str, Any]:
        """What the monitor says of the month's delivery. Raises LocalError if it says nothing."""
        for window in self.document.get("windows", []):
            if window["kind"] == "delivery" and window["name"] == self.delivered[month]:
                found: Mapping[str, Any] = window
                return found
        raise LocalError(
            f"The monitor says nothing of month {month}, delivery {self.delivered[month]}. Its log: make logs"
            " FUNCTION=monitor ONCE=1 SINCE=60"
        )

    def summary(self) -> str:
        """The months as a table."""
        head = ("MONTH", "STAYS", "ALERTS", "AUC, ESTIMATED", "AUC, REALISED", "REALISED WITHIN")
        return table([head, *(self._line(month) for month in range(2, MONTHS + 1))])

    def _line(self, month: int) -> tuple[str, ...]:
        window = self.window(month)
        realised, estimated = (_figure(window, name) for name in ("realised", "estimated"))
        within = "-"
        if realised and estimated:
            within = "yes" if estimated["low"] <= realised["value"] <= estimated["high"] else "no"
        shift = " (shifted)" if month == SHIFTED else ""
        return (
            f"{month}{shift}",
            f"{window['forecasts']:,}",
            _alerts(window) or "none",
            _written(estimated),
            _written(realised),
            within,
        )


def _without_monitor(output: Mapping[str, Any]) -> str:
    failure = output.get("monitor_failure")
    return f", but the monitor failed: {failure['Error']}" if failure else ""


def _quality(window: Mapping[str, Any]) -> str:
    realised = _figure(window, "realised")
    estimated = f"AUC estimated {_written(_figure(window, 'estimated'))}"
    return f"{estimated}, realised {_written(realised)}" if realised else estimated


def _figure(window: Mapping[str, Any], name: str) -> Mapping[str, float] | None:
    figures = window[name] or {}
    figure: Mapping[str, float] | None = figures.get(_METRIC)
    return figure


def _written(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "not known"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _alerts(window: Mapping[str, Any]) -> str:
    """The alerts in words, each kind once, with what they are about; empty if there are none."""
    by_code: dict[str, list[str]] = {}
    for alert in window["alerts"]:
        by_code.setdefault(alert["code"], []).append(str(alert["subject"]))
    return "; ".join(f"ALERT {code.replace('_', ' ')}: {_listed(subjects)}" for code, subjects in by_code.items())


def _listed(subjects: Sequence[str]) -> str:
    more = f" and {len(subjects) - _INPUTS_SHOWN} more" if len(subjects) > _INPUTS_SHOWN else ""
    return f"{', '.join(subjects[:_INPUTS_SHOWN])}{more}"
