"""A delivery's mapping: how the columns of a hospital's own file become rows of the contract."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from readmission.domain.contract import MAX_COLUMNS, NAMES, OPTIONAL_COLUMNS
from readmission.errors import ColumnsMismatch
from readmission.pipeline.mapped_fields import UNKNOWN, Cells, Copied, Field, row_maker

FIELDS: Final = (*NAMES, *OPTIONAL_COLUMNS)
"""What a mapping can make."""
_SHOWN: Final = 40  # characters of a name in an error
_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
DELIMITERS: Final = tuple(_DELIMITERS)


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """How the file is written, what makes each field that is not in a column of its own name, and what is ignored."""

    delimiter: str
    encoding: str
    decimal: str
    fields: Mapping[str, Field]
    ignored: frozenset[str]
    text: str

    @property
    def digest(self) -> str:
        """Identifies the mapping by its text."""
        return sha256(self.text.encode()).hexdigest()[:16]

    def optional(self, header: Sequence[str]) -> list[str]:
        """The optional columns that rows of a file with this header have, in order."""
        names = {name.strip() for name in header}
        return [name for name in OPTIONAL_COLUMNS if name in self.fields or name in names]

    def made(self, header: Sequence[str]) -> dict[str, Field]:
        """What makes each field of the contract, and of the optional columns that a file with this header has."""
        return {name: self.fields.get(name) or Copied(name) for name in (*NAMES, *self.optional(header))}

    def bind(self, header: Sequence[str], where: str) -> Callable[[Cells], list[str]]:
        """What makes a row of the contract from a row of the file with this header.

        The fields of optional columns that the file or the mapping has follow those of the contract, in order.

        Raises `ColumnsMismatch` with every column that is missing, repeated or not named; `where` names the file.
        """
        names = [name.strip() for name in header]
        places = {name: place for place, name in reversed(list(enumerate(names)))}
        fields = self.made(header)
        if problems := "; ".join(self._problems(names, fields)):
            raise ColumnsMismatch(f"{where}: the columns do not fit the mapping: {problems}")
        return row_maker({name: one.maker(name, places, self.decimal) for name, one in fields.items()})

    def _problems(self, names: Sequence[str], fields: Mapping[str, Field]) -> Iterator[str]:
        if len(names) > MAX_COLUMNS:
            yield f"the first line has {len(names)} columns, more than the limit of {MAX_COLUMNS}"
            return
        if len(names) == 1:
            yield f"the first line has no {_DELIMITERS[self.delimiter]}, by which the mapping separates columns"
            return
        counts = Counter(names)
        used = {column for one in fields.values() for column in one.columns}
        for name, one in fields.items():
            for column in one.columns:
                if column not in counts:
                    yield _absent(name, column, mapped=name in self.fields)
        if repeated := sorted(name for name in used if counts[name] > 1):
            yield f"repeated: {_listed(repeated)}"
        # pandas writes row numbers into a first column without a name.
        extra = [name for name in counts if name not in used and name not in self.ignored and name != ""]
        if extra:
            yield f"neither used nor named under 'ignore': {_listed(extra)}"


def _absent(name: str, column: str, *, mapped: bool) -> str:
    if mapped:
        return f"{name!r} is made of {column[:_SHOWN]!r}, which the file does not have"
    remedy = f", or write '{name}: unknown' if it is" if name in UNKNOWN else ""
    return f"no column for {name!r}: name one under 'columns'{remedy}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:_SHOWN]) for name in names)
