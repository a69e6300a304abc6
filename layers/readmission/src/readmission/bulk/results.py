"""The results of a chunk as CSV and Parquet, and its refused rows as CSV. The same rows are the same bytes."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from readmission.domain import spreadsheet
from readmission.domain.contract import CLASSES
from readmission.serving.encounters import Asked
from readmission.serving.explanation import Explanation

COLUMNS: Final = (
    "row",
    "site",
    "encounter_id",
    "readmitted",
    *(f"probability_{name}" for name in CLASSES),
    "early_risk",
    "band",
    "percentile",
    "history",
    "earlier_stays",
)
EXPLANATION: Final = ("base_score", "score", "contributions")
"""Columns that follow if rows are explained."""
REFUSED: Final = ("row", "field", "message")

_TYPES: Final = {
    "row": pa.int64(),
    "encounter_id": pa.int64(),
    "earlier_stays": pa.int32(),
    **dict.fromkeys(("site", "readmitted", "band", "history"), pa.string()),
}
_CONTRIBUTIONS: Final = pa.list_(pa.struct([("field", pa.string()), ("contribution", pa.float64())]))


@dataclass(slots=True)
class Scored:
    """A row with its `schemas.Forecast`, and its explanation if it has one."""

    row: int
    asked: Asked
    forecast: dict[str, Any]
    explanation: Explanation | None = None


def csv_of(rows: Iterable[Scored], *, explained: bool) -> bytes:
    """A CSV with a line of `COLUMNS` for each row, and of `EXPLANATION` if some rows may be explained.

    A contribution is written as the field and what it adds to the log-odds, the largest first.
    """
    return _csv(columns(explained=explained), ([*_cells(one), *_explained(one, explained)] for one in rows))


def refused_csv_of(problems: Iterable[tuple[int, dict[str, Any]]]) -> bytes:
    """A CSV with a line of `REFUSED` for each error of a row. An error of the row itself has no field."""
    return _csv(REFUSED, (line for row, problem in problems for line in _reasons(row, problem)))


def parquet_of(rows: Sequence[Scored], *, explained: bool) -> bytes:
    """The same rows as a Parquet file, with the contributions as a list."""
    cells = [[*_values(one), *_structured(one, explained)] for one in rows]
    names = columns(explained=explained)
    kinds = [
        pa.field(name, _CONTRIBUTIONS if name == "contributions" else _TYPES.get(name, pa.float64())) for name in names
    ]
    arrays = [pa.array([one[place] for one in cells], field.type) for place, field in enumerate(kinds)]
    out = io.BytesIO()
    pq.write_table(pa.table(arrays, schema=pa.schema(kinds)), out, compression="zstd")
    return out.getvalue()


def columns(*, explained: bool) -> tuple[str, ...]:
    """The columns of the results."""
    return (*COLUMNS, *EXPLANATION) if explained else COLUMNS


def _values(one: Scored) -> list[Any]:
    probabilities, risk = one.forecast["probabilities"], one.forecast["early_risk"]
    history = one.asked.history or {}
    return [
        one.row,
        one.asked.site,
        one.asked.encounter_id,
        one.forecast["readmitted"],
        *(probabilities[name] for name in CLASSES),
        risk["probability"],
        risk["band"],
        risk["percentile"],
        history.get("status"),
        history.get("earlier_stays"),
    ]


def _cells(one: Scored) -> list[Any]:
    return ["" if value is None else value for value in _values(one)]


def _explained(one: Scored, explained: bool) -> list[Any]:
    if one.explanation is None:
        return [""] * len(EXPLANATION) * explained
    parts = (f"{each.field} {each.contribution:+.4f}" for each in one.explanation.contributions if each.contribution)
    return [one.explanation.base_score, one.explanation.score, spreadsheet.cell("; ".join(parts))]


def _structured(one: Scored, explained: bool) -> list[Any]:
    if one.explanation is None:
        return [None] * len(EXPLANATION) * explained
    contributions = [{"field": each.field, "contribution": each.contribution} for each in one.explanation.contributions]
    return [one.explanation.base_score, one.explanation.score, contributions]


def _reasons(row: int, problem: dict[str, Any]) -> list[list[Any]]:
    # Names of fields are the client's, and may start a formula.
    found = [[row, spreadsheet.cell(one["field"]), spreadsheet.cell(one["message"])] for one in problem["errors"]]
    return found or [[row, "", spreadsheet.cell(problem["detail"])]]


def _csv(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue().encode()
