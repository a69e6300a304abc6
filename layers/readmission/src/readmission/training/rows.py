"""The rows of the Parquet export as the workers of a distributed training read them, each its share."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from readmission.domain.features import CATEGORIES, INPUTS, NUMBERS
from readmission.evaluation.dataset import TARGET
from readmission.storage import s3

FOLD: Final = "fold"
# The export numbers the patients of all sites. In a table as `dataset.read` returns it, they have this number.
_PATIENT: Final = "patient"
_TEXTS: Final = ("split", "race", "gender", *CATEGORIES, TARGET)
COLUMNS: Final = ("split", FOLD, _PATIENT, "race", "gender", *INPUTS, TARGET)
_TYPES: Final = {
    **dict.fromkeys(_TEXTS, "str"),
    **dict.fromkeys(NUMBERS, "float64"),
    **dict.fromkeys((_PATIENT, FOLD), "int64"),
}
# The rows are ordered by site and patient. LightGBM's workers need rows alike, so each gets strips from everywhere.
_STRIP_ROWS: Final = 25_000
_FEWEST_STRIPS: Final = 8


@dataclass(frozen=True, slots=True)
class File:
    """A part of the export: its key in the bucket, and how many rows it has."""

    key: str
    rows: int


@dataclass(frozen=True, slots=True)
class Strips:
    """Some rows of a file: from the first to the second number, exclusive, of each range."""

    bucket: str
    key: str
    ranges: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        return sum(end - start for start, end in self.ranges)

    def read(self, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
        """The rows with these columns, in the names and types of `dataset.read`. Raises `StorageUnavailable`."""
        with s3.reachable(self.bucket):
            content = s3.s3_client().get_object(Bucket=self.bucket, Key=self.key)["Body"].read()
        table = pyarrow.parquet.read_table(io.BytesIO(content), columns=list(columns))
        parts = [table.slice(start, end - start) for start, end in self.ranges]
        rows: pd.DataFrame = pa.concat_tables(parts).to_pandas()
        return rows.astype({name: _TYPES[name] for name in columns}).rename(columns={_PATIENT: "patient_nbr"})


def shares(bucket: str, files: Sequence[File], workers: int, limit: int | None = None) -> list[list[Strips]]:
    """The rows of each worker: as many for each, from everywhere in the files, and the same at each call.

    With `limit`, only the first so many rows.
    """
    ends = list(accumulate((file.rows for file in files), initial=0))
    total = min(ends[-1], limit) if limit is not None else ends[-1]
    strips = workers * max(_FEWEST_STRIPS, ceil(total / (workers * _STRIP_ROWS)))
    ranges = list(pairwise(np.linspace(0, total, strips + 1).round().astype(int).tolist()))
    found: list[list[Strips]] = []
    for rank in range(workers):
        own = [
            Strips(bucket, file.key, within)
            for file, (begin, end) in zip(files, pairwise(ends), strict=True)
            if (within := _within(ranges[rank::workers], begin, end))
        ]
        found.append(own)
    return found


def _within(ranges: Sequence[tuple[int, int]], begin: int, end: int) -> tuple[tuple[int, int], ...]:
    """The parts of the ranges that are between `begin` and `end`, counted from `begin`."""
    cut = [(max(start, begin) - begin, min(stop, end) - begin) for start, stop in ranges]
    return tuple((start, stop) for start, stop in cut if start < stop)
