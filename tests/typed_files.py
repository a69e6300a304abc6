"""Rows of the contract as a program would write them: JSON lines and Parquet."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from readmission.domain.contract import COLUMNS, NAMES, IntegerRange

NUMBERS = [name for name, rule in COLUMNS.items() if isinstance(rule, IntegerRange)]

type Values = dict[str, object]


def json_lines(rows: Sequence[Values]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet(rows: Sequence[Values], **options: Any) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), content, **options)
    return content.getvalue()


def typed(row: Sequence[str]) -> Values:
    """The row as a program would write it: numbers as such, and null for a test that was not made."""
    values: Values = dict(zip(NAMES, row, strict=True))
    for name in NUMBERS:
        values[name] = int(str(values[name]))
    return values | {name: None for name in ("A1Cresult", "max_glu_serum") if values[name] == "None"}
