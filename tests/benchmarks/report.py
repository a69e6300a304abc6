"""The figures as a Markdown table and as JSON, and two runs beside each other."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CLIENTS = (1, 2, 4, 8)
TIMES = (1, 3, 10)
FAMILIES = ("logistic_regression", "random_forest", "gradient_boosting")
STEPS = ("plan", "ingest", "clean", "check", *(f"train {family}" for family in FAMILIES), "report", "promote")


def _flat(step: str) -> float | None:
    """Steps that take batch after batch hold one at a time."""
    return 1.25 if step in ("plan", "ingest", "clean") else None


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of ours; where there is a peer, its figure, and how many times better ours is, side by side.

    `of` is what a figure was calculated from, where that tells more.
    """

    ours: float
    peer: float | None = None
    ratio: float | None = None
    of: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured, and what must hold: ours at most `limit`, at least `least`, `ratio` times better or more.

    Less is better, unless `more`; `peer` is who is measured beside it, or tells what a figure's `of` is of.
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

    def must_hold(self) -> str:
        parts = [f"≤ {self.limit:g} {self.unit}".strip()] if self.limit is not None else []
        parts += [f"≥ {self.least:g} {self.unit}".strip()] if self.least is not None else []
        parts += [f"{self.ratio:g} times {'as much' if self.more else 'less'}"] if self.ratio is not None else []
        return ", ".join(parts)

    def holds(self, figure: Figure) -> bool | None:
        """None where nothing must hold."""
        wanted = [
            self.limit is None or figure.ours <= self.limit,
            self.least is None or figure.ours >= self.least,
            self.ratio is None or (figure.ratio is not None and figure.ratio >= self.ratio),
        ]
        return all(wanted) if self.must_hold() else None


_PYFUNC = "mlflow.pyfunc"
_SKLEARN = "the scikit-learn pipeline, table of a row included"
_ONNX = "onnxruntime, the boosting alone"
_SCRIPT = "one plain script"
_SIZES = f"rows times {', '.join(map(str, TIMES))}"

PARTS: Mapping[str, Sequence[Row]] = {
    "prediction": (
        Row("row_14", "handler, one row of the 14 fields, p50", "ms", 1.5, 5, peer=_PYFUNC),
        Row("row_14_p95", "handler, one row of the 14 fields, p95", "ms", peer=_PYFUNC),
        Row("metering", "what writing its metrics adds to that, p50", "ms", 0.2),
        Row("row_all", "handler, one row of all fields, p50", "ms", 1.5, 5, peer=_PYFUNC),
        Row("row_all_p95", "handler, one row of all fields, p95", "ms", peer=_PYFUNC),
        Row("per_core", "handler, predictions a second and core", "/s", ratio=10, peer=_PYFUNC, more=True),
        Row("per_core_sklearn", "handler, predictions a second and core", "/s", peer=_SKLEARN, more=True),
        Row("per_core_onnx", "handler, predictions a second and core", "/s", peer=_ONNX, more=True),
        Row("http_per_core", "over HTTP, predictions a second and core", "/s", peer="mlflow models serve", more=True),
        Row("scorer", "the scorer in it, p50", "ms", 0.1, peer=_PYFUNC),
        Row("scorer_sklearn", "the scorer in it, p50", "ms", peer=_SKLEARN),
        Row("scorer_onnx", "the scorer in it, p50", "ms", peer=_ONNX),
        Row("http", "one row over HTTP, `make serve`, p50", "ms", peer="mlflow models serve"),
        Row("http_cold", "from the process's start to the first answer over HTTP", "s", peer="mlflow models serve"),
        Row("http_rss", "memory of all its processes", "MB", peer="mlflow models serve"),
        Row("batch_json_14", "handler, 1,000 rows of the 14 fields, JSON", "ms", 150, peer=_PYFUNC),
        Row("batch_json_all", "handler, 1,000 rows of all fields, JSON", "ms", 150, peer=_PYFUNC),
        Row("batch_csv_all", "handler, 1,000 rows of all fields, CSV", "ms", 150, peer=_PYFUNC),
        Row("cold", "cold start, process start to first answer", "s", 0.8, 4, peer=_PYFUNC),
        Row("cold_sklearn", "cold start, process start to first answer", "s", peer=_SKLEARN),
        Row("cold_onnx", "cold start, process start to first answer", "s", peer=_ONNX),
        Row("rss", "memory of the warm process", "MB", 120, peer=_PYFUNC),
        Row("rss_sklearn", "memory of the warm process", "MB", peer=_SKLEARN),
        Row("rss_onnx", "memory of the warm process", "MB", peer=_ONNX),
        Row("uss", "of it shared with no other process", "MB", peer=_PYFUNC),
    ),
    "ingest": (
        Row("ingest_psql", "ingest, warm", "rows/s", ratio=0.5, peer=r"psql \copy, one file", more=True),
        Row("ingest_psql_batches", "ingest, warm", "rows/s", peer=r"psql \copy, each batch", more=True),
        Row(
            "ingest_cold",
            "ingest, with the first batch of a process",
            "rows/s",
            peer=r"psql \copy, one file",
            more=True,
        ),
        Row("ingest_sql", "ingest, warm", "rows/s", ratio=20, peer="pandas to_sql by pg8000", more=True),
        Row("ingest_sql_multi", "ingest, warm", "rows/s", peer='the same, method="multi"', more=True),
        Row("ingest_rss", "memory of 60,000 rows in batches; of 3,000", "MB", peer="pandas to_sql by pg8000"),
    ),
    "pipeline": (
        Row("pipeline_first", "an execution whose functions start cold", "s", peer=_SCRIPT),
        Row("pipeline", "an execution whose functions are warm", "s", peer=_SCRIPT),
        Row("pipeline_first_share", "of the cold one, no function runs", "%", 15),
        Row("pipeline_share", "of the warm one, no function runs", "%", 15),
        Row("pipeline_cold", "of the cold one's function time, cold starts", "%"),
    ),
    "growth": tuple(
        row
        for step in STEPS
        for row in (
            Row(f"growth_{step}", f"{step}: time grows as the rows to the power", "", 1.05, peer=_SIZES, of_unit="s"),
            Row(f"growth_{step}_rss", f"{step}: memory grows", "times", _flat(step), peer=_SIZES, of_unit="MB"),
        )
    ),
    "concurrency": (
        *(Row(f"clients_{count}", f"the gateway, {count} clients", "requests/s") for count in CLIENTS),
        *(Row(f"clients_{count}_p95", f"the gateway, {count} clients, p95", "ms") for count in CLIENTS),
        Row("share_total", "one request through the gateway, p50", "ms"),
        Row("share_scorer", "of it the scorer", "ms"),
        Row("share_fastapi", "of it FastAPI and the reading of the body", "ms"),
        Row("share_mangum", "of it Mangum and the logger", "ms"),
        Row("share_executor", "of it the executor and the runtime's client", "ms"),
        Row("share_localstack", "of it LocalStack's gateway and Lambda, TLS, and the client", "ms"),
    ),
}
ROWS = tuple(row for rows in PARTS.values() for row in rows)


def table(figures: Mapping[str, Figure], about: Mapping[str, str]) -> str:
    """A line for each of `ROWS` that was measured, below what it was measured on."""
    cells: list[Sequence[str]] = [("what", "ours", "peer", "its", "ratio", "must hold", "holds")]
    for row in ROWS:
        if row.name in figures:
            figure = figures[row.name]
            holds = {True: "yes", False: "NO", None: ""}[row.holds(figure)]
            ours, its = (_with_unit(value, row.unit) for value in (figure.ours, figure.peer))
            its = f"{', '.join(map(_digits, figure.of))} {row.of_unit}" if figure.of else its
            cells.append((row.what, ours, row.peer, its, _ratio(figure), row.must_hold(), holds))
    return "\n".join([*(f"- {name}: {value}" for name, value in about.items()), "", *markdown(cells)])


def broken(figures: Mapping[str, Figure], parts: Iterable[str]) -> list[str]:
    """What does not hold, of what must in these parts; what was not measured does not."""
    return [
        f"{row.what}{f', beside {row.peer}' if row.ratio is not None else ''}: {row.must_hold()}"
        for part in parts
        for row in PARTS[part]
        if row.must_hold() and not (row.name in figures and row.holds(figures[row.name]))
    ]


def document(figures: Mapping[str, Figure], about: Mapping[str, str]) -> dict[str, Any]:
    """What `--json` writes."""
    return {"about": dict(about), "figures": {name: asdict(figure) for name, figure in figures.items()}}


def read(path: Path) -> dict[str, Any]:
    """A document that `--json` has written. Raises SystemExit for anything else."""
    try:
        known: dict[str, Any] = json.loads(path.read_text())
        known["about"], known["figures"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path} is no result of make bench JSON=file: {error}") from error
    return known


def comparison(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Two documents beside each other, and what they were measured on where that differs.

    The machine may have been busier in one of the runs; the change of the ratio does not depend on that.
    """
    cells: list[Sequence[str]] = [("what", "peer", "before", "after", "change", "ratio before", "ratio after")]
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
    return [f"- {name}: {before.get(name, 'not told')} → {after.get(name, 'not told')}" for name in names]


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
