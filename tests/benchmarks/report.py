"""The figures as a Markdown table and as JSON, and a comparison of two runs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from readmission.domain.payloads import FAMILIES

CLIENTS = (1, 2, 4, 8)
TIMES = (1, 3, 10)
# Outside of `make bench` without ONLY: they take long, and the rows of `scale` need tens of gigabytes.
ON_REQUEST = ("scale", "score")
# In the order in which the benchmark visits them, by the names of their modules in `ui/views`.
PAGES = ("patients", "worklist", "model", "over_time", "pipeline", "monitoring", "patient")
SCALE_STEPS = ("plan", "ingest", "clean", "check", "export")
STEPS = ("plan", "ingest", "clean", "check", *(f"train {family}" for family in FAMILIES), "report", "promote")


def _flat(step: str) -> float | None:
    """A limit for the steps that hold one batch at a time: their memory must not grow with the rows."""
    return 1.25 if step in ("plan", "ingest", "clean") else None


@dataclass(frozen=True, slots=True)
class Figure:
    """Our figure and, where there is a peer, its figure and how many times better ours is.

    `of` holds the values that a derived figure was calculated from.
    """

    ours: float
    peer: float | None = None
    ratio: float | None = None
    of: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A measured quantity with its thresholds: at most `limit`, at least `least`, at least `ratio` times better.

    Less is better unless `more` is set. `peer` names what ours is compared with, or what the values in `of` belong to.
    """

    name: str
    what: str
    unit: str
    limit: float | None = None
    ratio: float | None = None
    least: float | None = None
    peer: str = ""
    more: bool = False
    of_unit: str = ""

    def threshold(self) -> str:
        parts = [f"≤ {self.limit:g} {self.unit}".strip()] if self.limit is not None else []
        parts += [f"≥ {self.least:g} {self.unit}".strip()] if self.least is not None else []
        parts += [f"{self.ratio:g} times {'as much' if self.more else 'less'}"] if self.ratio is not None else []
        return ", ".join(parts)

    def holds(self, figure: Figure) -> bool | None:
        """None where there is no threshold."""
        wanted = [
            self.limit is None or figure.ours <= self.limit,
            self.least is None or figure.ours >= self.least,
            self.ratio is None or (figure.ratio is not None and figure.ratio >= self.ratio),
        ]
        return all(wanted) if self.threshold() else None


_PYFUNC = "mlflow.pyfunc"
_SKLEARN = "the scikit-learn pipeline, with building the one-row table"
_ONNX = "onnxruntime, boosting only"
_SCRIPT = "a plain script"
_SIZES = f"rows x {', '.join(map(str, TIMES))}"

_PAGES = ", ".join(PAGES)

PARTS: Mapping[str, Sequence[Row]] = {
    "prediction": (
        Row("row_14", "handler, one row of the 14 fields, p50", "ms", 1.5, 5, peer=_PYFUNC),
        Row("row_14_p95", "handler, one row of the 14 fields, p95", "ms", peer=_PYFUNC),
        Row("metering", "overhead of writing its metrics, p50", "ms", 0.2),
        Row("row_all", "handler, one row of all fields, p50", "ms", 1.5, 5, peer=_PYFUNC),
        Row("row_all_p95", "handler, one row of all fields, p95", "ms", peer=_PYFUNC),
        Row("per_core", "handler, predictions per second and core", "/s", ratio=10, peer=_PYFUNC, more=True),
        Row("per_core_sklearn", "handler, predictions per second and core", "/s", peer=_SKLEARN, more=True),
        Row("per_core_onnx", "handler, predictions per second and core", "/s", peer=_ONNX, more=True),
        Row("http_per_core", "over HTTP, predictions per second and core", "/s", peer="mlflow models serve", more=True),
        Row("scorer", "scorer only, p50", "ms", 0.1, peer=_PYFUNC),
        Row("scorer_sklearn", "scorer only, p50", "ms", peer=_SKLEARN),
        Row("scorer_onnx", "scorer only, p50", "ms", peer=_ONNX),
        Row("http", "one row over HTTP, `make serve`, p50", "ms", peer="mlflow models serve"),
        Row("http_cold", "over HTTP, process start to first answer", "s", peer="mlflow models serve"),
        Row("http_rss", "over HTTP, memory of all processes", "MB", peer="mlflow models serve"),
        Row("shadow", "a challenger that shadows, added to a forecast's p50", "ms", 0.15),
        Row("vectorised", "the vectorised reader, 20,000 rows at once", "rows/s", ratio=10, peer=_PYFUNC, more=True),
        Row(
            "vectorised_rows",
            "the vectorised reader, 20,000 rows at once",
            "rows/s",
            peer=f"{_PYFUNC}, row by row",
            more=True,
        ),
        Row("batch_json_14", "handler, 1,000 rows of the 14 fields, JSON", "ms", 150, peer=_PYFUNC),
        Row("batch_json_all", "handler, 1,000 rows of all fields, JSON", "ms", 150, peer=_PYFUNC),
        Row("batch_csv_all", "handler, 1,000 rows of all fields, CSV", "ms", 150, peer=_PYFUNC),
        Row("cold", "cold start, process start to first answer", "s", 0.8, 4, peer=_PYFUNC),
        Row("cold_sklearn", "cold start, process start to first answer", "s", peer=_SKLEARN),
        Row("cold_onnx", "cold start, process start to first answer", "s", peer=_ONNX),
        Row("rss", "memory of a warm process", "MB", 120, peer=_PYFUNC),
        Row("rss_sklearn", "memory of a warm process", "MB", peer=_SKLEARN),
        Row("rss_onnx", "memory of a warm process", "MB", peer=_ONNX),
        Row("uss", "private memory of a warm process", "MB", peer=_PYFUNC),
    ),
    "history": (
        Row("history", "look-up of a patient's history, added to the handler's p50", "ms", 5),
        Row("history_batch", "look-up of 1,000 patients' histories, added to the handler's p50", "ms"),
        Row("history_cold", "cold start where histories are looked up, process start to first answer", "s"),
    ),
    "ingest": (
        Row("ingest_psql", "ingest, warm", "rows/s", ratio=0.5, peer=r"psql \copy, one file", more=True),
        Row("ingest_psql_batches", "ingest, warm", "rows/s", peer=r"psql \copy, each batch", more=True),
        Row(
            "ingest_cold",
            "ingest, cold start included",
            "rows/s",
            peer=r"psql \copy, one file",
            more=True,
        ),
        Row("ingest_sql", "ingest, warm", "rows/s", ratio=20, peer="pandas to_sql by pg8000", more=True),
        Row("ingest_sql_multi", "ingest, warm", "rows/s", peer='pandas to_sql, method="multi"', more=True),
        Row("ingest_rss", "memory: ours with 60,000 rows, to_sql with 3,000", "MB", peer="pandas to_sql by pg8000"),
    ),
    "pipeline": (
        Row("pipeline_first", "an execution, cold functions", "s", peer=_SCRIPT),
        Row("pipeline", "an execution, warm functions", "s", peer=_SCRIPT),
        Row("pipeline_first_share", "share of the cold execution in which no function runs", "%", 15),
        Row("pipeline_share", "share of the warm execution in which no function runs", "%", 15),
        Row("pipeline_cold", "share of cold starts in the cold execution's function time", "%"),
    ),
    "growth": tuple(
        row
        for step in STEPS
        for row in (
            Row(f"growth_{step}", f"{step}: exponent of time over rows", "", 1.05, peer=_SIZES, of_unit="s"),
            Row(f"growth_{step}_rss", f"{step}: growth of memory", "times", _flat(step), peer=_SIZES, of_unit="MB"),
        )
    ),
    "scale": (
        *(
            row
            for step in SCALE_STEPS
            for row in (
                Row(f"scale_{step}", f"{step}: rows a second", "rows/s", peer=_SIZES, more=True, of_unit="s"),
                Row(f"scale_{step}_exponent", f"{step}: exponent of time over rows", "", peer=_SIZES, of_unit="s"),
                Row(f"scale_{step}_rss", f"{step}: growth of its memory", "times", 1.25, peer=_SIZES, of_unit="MB"),
            )
        ),
        Row(
            "scale_distributed", "training by two workers: rows a second", "rows/s", peer=_SIZES, more=True, of_unit="s"
        ),
        Row("scale_distributed_exponent", "training: exponent of time over rows", "", peer=_SIZES, of_unit="s"),
        Row("scale_distributed_lead", "training: growth of the scheduler's memory", "times", peer=_SIZES, of_unit="MB"),
        Row("scale_distributed_worker", "training: growth of a worker's memory", "times", peer=_SIZES, of_unit="MB"),
        Row("scale_plan_lambda", "plan: time with the 0.29 processors of 512 MB", "s", 900, peer=_SIZES, of_unit="s"),
        Row("scale_check_lambda", "check: time", "s", 900, peer=_SIZES, of_unit="s"),
        Row("scale_postgres", "the largest private memory of a process of Postgres", "MB", peer=_SIZES, of_unit="MB"),
        Row("scale_localstack", "memory of LocalStack, which holds S3", "MB", peer=_SIZES, of_unit="MB"),
        Row("scale_disk", "disk of Postgres with its logs, a row", "bytes", peer=_SIZES, of_unit="bytes"),
        Row("scale_parquet", "Parquet, a row", "bytes", peer=_SIZES, of_unit="bytes"),
    ),
    "score": (
        Row("score_night_cold", "`make score` of 5,000 stays with look-ups, cold functions", "s", 30),
        Row("score_night", "`make score` of 5,000 stays with look-ups, warm functions", "s", 30),
        Row(
            "score_rows",
            "a job's steps, per second of one core",
            "rows/s",
            ratio=10,
            peer=f"{_PYFUNC}, row by row",
            more=True,
        ),
        Row("score_seconds", "a job's steps one after the other", "s", peer="rows x 1, 10", of_unit="s"),
        Row("score_rss", "growth of a job's memory", "times", 1.25, peer="rows x 1, 10", of_unit="MB"),
    ),
    "pages": (
        Row("pages_first", "the first page of a new server, until its heading", "s", 1),
        Row("pages_again", "the same page of a warm server, for a new browser", "s"),
        Row("pages_change", "the slowest page, from the click to its heading", "ms", 300, peer=_PAGES, of_unit="ms"),
        Row("pages_whole", "the slowest page, from the click until it is whole", "ms", peer=_PAGES, of_unit="ms"),
    ),
    "concurrency": (
        *(Row(f"clients_{count}", f"the gateway, {count} clients", "requests/s") for count in CLIENTS),
        *(Row(f"clients_{count}_p95", f"the gateway, {count} clients, p95", "ms") for count in CLIENTS),
        Row("share_total", "one request through the gateway, p50", "ms"),
        Row("share_scorer", "of which the scorer", "ms"),
        Row("share_fastapi", "of which FastAPI and parsing the body", "ms"),
        Row("share_mangum", "of which Mangum and the logger", "ms"),
        Row("share_executor", "of which the executor and the runtime client", "ms"),
        Row("share_localstack", "of which LocalStack's gateway and Lambda, TLS and the client", "ms"),
    ),
}
ROWS = tuple(row for rows in PARTS.values() for row in rows)


def table(figures: Mapping[str, Figure], about: Mapping[str, str]) -> str:
    """The facts about the run, then a table with a line for each measured row."""
    cells: list[Sequence[str]] = [("quantity", "ours", "peer", "peer's", "ratio", "threshold", "met")]
    for row in ROWS:
        if row.name in figures:
            figure = figures[row.name]
            holds = {True: "yes", False: "NO", None: ""}[row.holds(figure)]
            ours, its = (_with_unit(value, row.unit) for value in (figure.ours, figure.peer))
            its = f"{', '.join(map(_digits, figure.of))} {row.of_unit}" if figure.of else its
            cells.append((row.what, ours, row.peer, its, _ratio(figure), row.threshold(), holds))
    return "\n".join([*(f"- {name}: {value}" for name, value in about.items()), "", *markdown(cells)])


def broken(figures: Mapping[str, Figure], parts: Iterable[str]) -> list[str]:
    """The thresholds of these parts that were missed; an unmeasured figure misses its threshold."""
    return [
        f"{row.what}{f', against {row.peer}' if row.ratio is not None else ''}: {row.threshold()}"
        for part in parts
        for row in PARTS[part]
        if row.threshold() and not (row.name in figures and row.holds(figures[row.name]))
    ]


def document(figures: Mapping[str, Figure], about: Mapping[str, str]) -> dict[str, Any]:
    """What `--json` writes."""
    return {"about": dict(about), "figures": {name: asdict(figure) for name, figure in figures.items()}}


def read(path: Path) -> dict[str, Any]:
    """A document written by `--json`. Raises SystemExit for anything else."""
    try:
        known: dict[str, Any] = json.loads(path.read_text())
        known["about"], known["figures"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path} was not written by make bench JSON=file: {error}") from error
    return known


def comparison(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Two documents in one table, below the facts in which the runs differ.

    The machine may have been busier in one run; the ratios are independent of that.
    """
    cells: list[Sequence[str]] = [("quantity", "peer", "before", "after", "change", "ratio before", "ratio after")]
    for row in ROWS:
        old, new = (_figure(one, row) for one in (before, after))
        if old or new:
            values = (_with_unit(one and one.ours, row.unit) for one in (old, new))
            change = f"{new.ours / old.ours - 1:+.0%}" if old and new and old.ours else ""
            cells.append((row.what, row.peer, *values, change, *((one and _ratio(one)) or "" for one in (old, new))))
    return "\n".join([*_differences(before["about"], after["about"]), "", *markdown(cells)])


def _figure(document: Mapping[str, Any], row: Row) -> Figure | None:
    known = document["figures"].get(row.name)
    return Figure(**known) if known else None


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"- {name}: {before.get(name, 'unknown')} → {after.get(name, 'unknown')}" for name in names]


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{_digits(value)} {unit}".strip()


def _ratio(figure: Figure) -> str:
    return "" if figure.ratio is None else f"{figure.ratio:.2f}" if figure.ratio < 1 else f"{figure.ratio:.1f}"


def _digits(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def markdown(cells: list[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
