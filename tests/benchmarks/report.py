"""The figures as a Markdown table and as JSON, and two runs beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of ours and of the peer, and how many times the peer's is ours, side by side."""

    ours: float
    peer: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured, and what must hold: ours at most `limit`, the ratio at least `ratio`."""

    name: str
    what: str
    unit: str
    limit: float | None = None
    ratio: float | None = None

    def must_hold(self) -> str:
        parts = [f"≤ {self.limit:g} {self.unit}"] if self.limit is not None else []
        parts += [f"{self.ratio:g} times less"] if self.ratio is not None else []
        return ", ".join(parts)

    def holds(self, figure: Figure) -> bool | None:
        """None where nothing must hold."""
        if self.limit is None and self.ratio is None:
            return None
        return (self.limit is None or figure.ours <= self.limit) and (self.ratio is None or figure.ratio >= self.ratio)


ROWS = (
    Row("row_14", "handler, one row of the 14 fields, p50", "ms", 1.5, 5),
    Row("row_14_p95", "handler, one row of the 14 fields, p95", "ms"),
    Row("row_all", "handler, one row of all fields, p50", "ms", 1.5, 5),
    Row("row_all_p95", "handler, one row of all fields, p95", "ms"),
    Row("scorer", "the scorer in it, p50", "ms", 0.1),
    Row("batch_json_14", "handler, 1,000 rows of the 14 fields, JSON", "ms", 150),
    Row("batch_json_all", "handler, 1,000 rows of all fields, JSON", "ms", 150),
    Row("batch_csv_all", "handler, 1,000 rows of all fields, CSV", "ms", 150),
    Row("cold", "cold start, process start to first answer", "s", 0.8, 4),
    Row("rss", "memory of the warm process", "MB", 120),
    Row("uss", "of it shared with no other process", "MB"),
)


def table(figures: Mapping[str, Figure], about: Mapping[str, str]) -> str:
    """A line for each of `ROWS` that was measured, below what it was measured on."""
    cells: list[Sequence[str]] = [("what", "ours", "peer", "ratio", "must hold", "holds")]
    for row in ROWS:
        if row.name in figures:
            figure = figures[row.name]
            holds = {True: "yes", False: "NO", None: ""}[row.holds(figure)]
            ours, peer = (f"{_digits(value)} {row.unit}" for value in (figure.ours, figure.peer))
            cells.append((row.what, ours, peer, f"{figure.ratio:.1f}", row.must_hold(), holds))
    return "\n".join([*(f"- {name}: {value}" for name, value in about.items()), "", *markdown(cells)])


def document(figures: Mapping[str, Figure], about: Mapping[str, str]) -> dict[str, Any]:
    """What `--json` writes."""
    return {"about": dict(about), "figures": {name: asdict(figure) for name, figure in figures.items()}}


def comparison(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Two documents beside each other.

    The machine may have been busier in one of the runs; the change of the ratio does not depend on that.
    """
    cells: list[Sequence[str]] = [("what", "before", "after", "change", "ratio before", "ratio after")]
    for row in ROWS:
        if row.name in before["figures"] and row.name in after["figures"]:
            old, new = (Figure(**one["figures"][row.name]) for one in (before, after))
            times = (f"{_digits(one.ours)} {row.unit}" for one in (old, new))
            change = f"{new.ours / old.ours - 1:+.0%}"
            cells.append((row.what, *times, change, f"{old.ratio:.1f}", f"{new.ratio:.1f}"))
    return "\n".join(markdown(cells))


def _digits(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def markdown(cells: list[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
