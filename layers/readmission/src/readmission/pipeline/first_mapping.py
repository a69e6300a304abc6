"""Writes a first mapping for a file: what its names leave no doubt about, and the choices for everything else."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final

from readmission.domain.contract import COLUMNS
from readmission.domain.file_formats import format_of, not_csv
from readmission.errors import SourceMalformed
from readmission.pipeline.mapped_fields import UNKNOWN
from readmission.pipeline.mapping import DELIMITERS, FIELDS

HEAD: Final = 1 << 20
"""How many bytes of a file are enough."""
_SURE: Final = 0.9
_LIKELY: Final = 0.6
_CHOICES: Final = 3


def first_mapping(head: bytes, where: str, columns: Sequence[str] | None = None) -> str:
    """A mapping, as YAML, for the file that begins with `head`. Only names are compared, so values are left to people.

    `columns` are those of a file of JSON lines or Parquet, which has no delimiter. Raises `SourceMalformed` for what is
    not text with columns.
    """
    if columns is not None:
        return "\n".join([*_columns([name.strip() for name in columns]), ""])
    if found := format_of(head):
        raise SourceMalformed(f"{where} {not_csv(found)}")
    encoding = _encoding(head)
    line = head.decode(encoding, errors="replace").removeprefix("\ufeff").partition("\n")[0].rstrip("\r")
    delimiter = max(DELIMITERS, key=line.count)
    header = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    names = [name for name in header if name]
    if len(names) < 2:
        raise SourceMalformed(f"{where} has no columns in its first line")
    return "\n".join([*_form(delimiter, encoding), *_columns(names), ""])


def _encoding(head: bytes) -> str:
    try:
        # The last line may be cut within a character.
        head[: head.rfind(b"\n") + 1 or None].decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _form(delimiter: str, encoding: str) -> Iterator[str]:
    yield "file:"
    yield f"  delimiter: {json.dumps(delimiter)}"
    yield f"  encoding: {encoding}" + ("  # a guess: the file is not UTF-8" if encoding == "cp1252" else "")
    yield f"  decimal: {json.dumps(',' if delimiter == ';' else '.')}  # a guess by the delimiter"


def _columns(names: Sequence[str]) -> Iterator[str]:
    sure, likely = _matches([name for name in names if name not in FIELDS])
    yield "columns:"
    for field in FIELDS:
        if field in names:
            continue
        if field in sure:
            yield f"  {field}: {_quoted(sure[field])}"
        elif field in COLUMNS or likely.get(field):
            yield f"  # {field}: {_choice(field, likely.get(field, []))}"
    used = {*sure.values(), *FIELDS}
    left = [name for name in names if name not in used]
    if left:
        yield "# Of the columns below, take the mark away from those that are not needed."
        yield "ignore:"
        yield from (f"  # - {_quoted(name)}" for name in left)


def _matches(names: Sequence[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The column of each field whose name leaves no doubt, and the most similar columns of the others, best first."""
    sure: dict[str, str] = {}
    likely: dict[str, list[str]] = {}
    for field in FIELDS:
        scores = sorted(((_similarity(field, name), name) for name in names), reverse=True)
        close = [name for score, name in scores if score >= _LIKELY][:_CHOICES]
        if close and scores[0][0] >= _SURE and [score >= _SURE for score, _ in scores].count(True) == 1:
            sure[field] = scores[0][1]
        elif close:
            likely[field] = close
    taken = list(sure.values())
    doubtful = {field: name for field, name in sure.items() if taken.count(name) > 1}
    return (
        {field: name for field, name in sure.items() if field not in doubtful},
        likely | {field: [name] for field, name in doubtful.items()},
    )


def _similarity(field: str, name: str) -> float:
    one, other = (re.sub(r"[\W_]+", "", text).lower() for text in (field, name))
    return SequenceMatcher(None, one, other).ratio()


def _choice(field: str, columns: Sequence[str]) -> str:
    """What a person can choose from for a field."""
    choices = [_quoted(name) for name in columns] or ["a column"]
    if field in UNKNOWN:
        choices.append("unknown")
    return " or ".join(choices) + _EXAMPLES.get(field, "")


_EXAMPLES: Final[Mapping[str, str]] = {
    "age": ", {years: a column} or {born: a column, admitted: a column, format: '%d.%m.%Y'}",
    "time_in_hospital": ", or {admitted: a column, discharged: a column, format: '%d.%m.%Y %H:%M'}",
}


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
