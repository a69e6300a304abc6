"""Reads a table in Parquet, a thousand rows at a time. Only this module of the pipeline needs pyarrow."""

from collections.abc import Callable, Iterator, Sequence
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from readmission.errors import SourceLimitExceeded, SourceMalformed

_ROWS: Final = 1_000
_BUFFER: Final = 1 << 20  # pages are read in pieces instead of whole columns of a row group
_MAX_NAMES: Final = 1 << 20  # entries and bytes of what the file's footer may have
# pandas writes the labels of its rows to columns of such names.
_INDEX: Final = "__index_level_"


class ParquetFile:
    """A Parquet file, its columns, and its rows. Raises `SourceMalformed` and `SourceLimitExceeded`.

    `most` is the largest number of bytes of all columns together, uncompressed.
    """

    def __init__(self, file: IO[bytes], where: str, most: int) -> None:
        self._where = where
        try:
            self._file = pq.ParquetFile(
                file,
                buffer_size=_BUFFER,
                pre_buffer=False,
                thrift_string_size_limit=64 * _MAX_NAMES,
                thrift_container_size_limit=_MAX_NAMES,
            )
            self._schema = self._file.schema_arrow
        except (pa.ArrowException, OSError):
            # Their texts may repeat a value.
            raise self._corrupt() from None
        metadata = self._file.metadata
        size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
        if size > most:
            raise SourceLimitExceeded(f"{where} holds {size / 1e6:g} MB, more than ten times MaxSourceMegabytes")
        self.columns = [name for name in self._schema.names if not name.startswith(_INDEX)]

    def rows(self, needed: Sequence[str]) -> Iterator[list[object]]:
        """The values of the needed columns, row by row."""
        for name in needed:
            self._check(name, self._schema.field(name).type)
        try:
            for batch in self._file.iter_batches(_ROWS, columns=list(needed), use_threads=False):
                # By name: the order of the file's columns is kept otherwise.
                columns = [_plain(batch.column(batch.schema.get_field_index(name))).to_pylist() for name in needed]
                yield from map(list, zip(*columns, strict=True))
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise self._corrupt() from None

    def others(self, kinds: "Sequence[Kind]") -> list[str]:
        """The columns of other types than these."""
        return [name for name in self.columns if not _is_one(self._schema.field(name).type, kinds)]

    def _check(self, name: str, kind: pa.DataType) -> None:
        kind = _of_values(kind)
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            raise SourceMalformed(
                f"{self._where}: the column {name!r} has times of the time zone {kind.tz[:40]!r}, so their days are not"
                " clear; write local times without a time zone"
            )
        if not _is_one(kind, _READ):
            raise SourceMalformed(
                f"{self._where}: the column {name!r} is of the type {str(kind)[:60]}; texts, numbers, true and false,"
                " dates and times are read"
            )

    def _corrupt(self) -> SourceMalformed:
        return SourceMalformed(f"{self._where} is a corrupt or encrypted Parquet file")


type Kind = Callable[[pa.DataType], bool]
NUMBERS_AND_TEXTS: Final[tuple[Kind, ...]] = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_null,
)
"""What JSON has: also true, false and null."""
_READ: Final = (*NUMBERS_AND_TEXTS, pa.types.is_decimal, pa.types.is_date, pa.types.is_timestamp)


def _is_one(kind: pa.DataType, kinds: Sequence[Kind]) -> bool:
    return any(is_one(_of_values(kind)) for is_one in kinds)


def _of_values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain(column: pa.Array) -> pa.Array:
    """Times in microseconds, as Python has them: for nanoseconds pyarrow would import pandas."""
    return column.cast(pa.timestamp("us"), safe=False) if pa.types.is_timestamp(column.type) else column
