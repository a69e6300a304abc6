"""Reads a mapping from its file, in YAML.

Every text is taken as it is written: `No` is a value of the contract, not false.
"""

import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Never

import yaml
from botocore.exceptions import ClientError

from readmission.domain.contract import COLUMNS, DISCHARGE_DATE, OPTIONAL_COLUMNS
from readmission.domain.payloads import PipelineRequest
from readmission.domain.triggers import INCOMING
from readmission.errors import InvalidRequest, MappingInvalid, SourceLimitExceeded
from readmission.pipeline import sources
from readmission.pipeline.mapped_fields import ISO, UNKNOWN, Always, Born, Copied, Day, Days, Field, Years
from readmission.pipeline.mapping import DELIMITERS, FIELDS, SourceMapping
from readmission.settings import SourceSettings
from readmission.storage.s3 import reachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAPPINGS: Final = "mappings/"
"""The prefix, in the data bucket, of the mappings of what arrives below `incoming/`."""
ENCODINGS: Final = ("utf-8", "cp1252", "iso-8859-1", "iso-8859-15", "cp850")
_MAX_BYTES: Final = 1 << 16
_SHOWN: Final = 40  # characters of a name in an error
# The fields that can be made of other things than a column and its values.
_AGE: Final = "age"
_STAY: Final = "time_in_hospital"


def of_incoming(request: PipelineRequest, bucket: str, s3: "S3Client") -> str | None:
    """The address of the mapping by which an object below `incoming/` is read: `mappings/<site>.yaml`, if it exists.

    None for other sources, whose mapping is named by who asks. Raises `StorageUnavailable`, and what S3 raises if it
    does not say whether there is one.
    """
    if not (request.source or "").startswith(f"s3://{bucket}/{INCOMING}"):
        return None
    key = f"{MAPPINGS}{request.site}.yaml"
    try:
        with reachable(bucket):
            s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return None
        raise
    return f"s3://{bucket}/{key}"


def read(address: str | None, source: str, s3: "S3Client") -> SourceMapping | None:
    """The mapping at the S3 address, if there is one; `source` is what it is for.

    Raises `InvalidRequest`, `MappingInvalid`, `SourceNotFound` and `SourceUnavailable`.
    """
    if address is None:
        return None
    if sources.parse_synthetic(source):
        raise InvalidRequest(f"input field 'mapping' has no effect: the source {source!r} has the contract's columns")
    content = io.BytesIO()
    try:
        sources.fetch_object(address, s3, content, SourceSettings(max_bytes=_MAX_BYTES))
    except SourceLimitExceeded:
        raise MappingInvalid(_too_long(address)) from None
    return parse(content.getvalue(), address)


def _too_long(where: str) -> str:
    return f"{where} has more than {_MAX_BYTES} bytes"


def parse(content: bytes, where: str) -> SourceMapping:
    """The mapping in a YAML file. Raises `MappingInvalid` with the line and the key; `where` names the file."""
    if len(content) > _MAX_BYTES:
        raise MappingInvalid(_too_long(where))
    try:
        text = content.decode("utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise MappingInvalid(f"{where} is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise MappingInvalid(f"{where}, line {line}: this is not YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise MappingInvalid(f"{where} is not YAML") from None
    return _Reader(where).mapping(node, text)


def _is_empty(node: yaml.Node) -> bool:
    """Whether it is a key without a value, as of a section whose lines are all comments."""
    return isinstance(node, yaml.ScalarNode) and not node.value and node.style is None


class _Reader:
    """Reads the nodes of a mapping, so that errors can name the line and the key."""

    def __init__(self, where: str) -> None:
        self._where = where

    def mapping(self, node: yaml.Node | None, text: str) -> SourceMapping:
        if node is None:
            raise MappingInvalid(f"{self._where} is empty")
        sections = self._keys(node, "the mapping", ("file", "columns", "ignore"))
        form = (
            self._keys(sections["file"], "'file'", ("delimiter", "encoding", "decimal")) if "file" in sections else {}
        )
        delimiter = self._choice(form.get("delimiter"), "delimiter", DELIMITERS, ",")
        decimal = self._choice(form.get("decimal"), "decimal", (".", ","), ".")
        fields = self._keys(sections["columns"], "'columns'", FIELDS) if "columns" in sections else {}
        return SourceMapping(
            delimiter,
            self._choice(form.get("encoding"), "encoding", ENCODINGS, "utf-8"),
            decimal,
            {name: self._field(name, one) for name, one in fields.items()},
            frozenset(self._names(sections["ignore"]) if "ignore" in sections else ()),
            text,
        )

    def _field(self, name: str, node: yaml.Node) -> Field:
        if isinstance(node, yaml.ScalarNode):
            column = self._text(node, name)
            if column != "unknown":
                return Copied(column)
            if name not in UNKNOWN:
                self._refuse(
                    node,
                    f"{name!r} cannot be unknown; only {', '.join(UNKNOWN)} can. To give all rows one value: "
                    f"{name}: {{always: …}}",
                )
            return Always(UNKNOWN[name])
        kinds = [("column", "values"), ("always",)]
        if name == _AGE:
            kinds += [("years",), ("born", "admitted", "format")]
        elif name == _STAY:
            kinds += [("admitted", "discharged", "format")]
        elif name == DISCHARGE_DATE:
            kinds += [("column", "format")]
        found = self._keys(node, f"{name!r}", tuple(dict.fromkeys(key for kind in kinds for key in kind)))
        return self._made(name, node, found)

    def _made(self, name: str, node: yaml.Node, found: Mapping[str, yaml.Node]) -> Field:
        def text(key: str) -> str:
            return self._text(found[key], key)

        form = self._format(found["format"]) if "format" in found else None
        made: Field | None = None
        match sorted(found.keys() - {"format"}):
            case ["column"]:
                made = Day(text("column"), form) if form else Copied(text("column"))
            case ["column", "values"] if form is None:
                made = Copied(text("column"), self._values(name, found["values"]))
            case ["always"] if form is None:
                made = Always(self._value(name, found["always"]))
            case ["years"] if form is None:
                made = Years(text("years"))
            case ["admitted", "born"]:
                made = Born(text("born"), text("admitted"), form or ISO)
            case ["admitted", "discharged"]:
                made = Days(text("admitted"), text("discharged"), form or ISO)
        return made or self._refuse(node, f"{name!r} cannot be made of {', '.join(sorted(found)) or 'nothing'}")

    def _values(self, name: str, node: yaml.Node) -> dict[str, str]:
        return {given: self._value(name, one) for given, one in self._keys(node, f"the values of {name!r}").items()}

    def _value(self, name: str, node: yaml.Node) -> str:
        """A value of the contract, or `unknown` where the field may be that."""
        text = self._text(node, name)
        if text == "unknown" and name in UNKNOWN:
            return UNKNOWN[name]
        rule = COLUMNS.get(name) or OPTIONAL_COLUMNS[name]
        if not rule.allows(text):
            self._refuse(node, f"{name}: {rule.violation(text)}")
        return text

    def _format(self, node: yaml.Node) -> str:
        form = self._text(node, "format")
        missing = [one for one in ("%Y", "%m", "%d") if one not in form]
        try:
            readable = datetime.strptime(datetime(2001, 2, 3).strftime(form), form).date().isoformat() == "2001-02-03"
        except (ValueError, re.error):
            readable = False
        if missing or not readable:
            self._refuse(
                node, f"'format': {form[:_SHOWN]!r} is not a format of a date; one has %Y, %m and %d, such as %d.%m.%Y"
            )
        return form

    def _choice(self, node: yaml.Node | None, name: str, allowed: Sequence[str], default: str) -> str:
        if node is None:
            return default
        text = node.value
        if text not in allowed:
            self._refuse(node, f"{name!r} must be one of {', '.join(map(repr, allowed))}")
        return str(text)

    def _names(self, node: yaml.Node) -> list[str]:
        if _is_empty(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self._refuse(node, "'ignore' must be a list of columns")
        return [self._text(one, "ignore") for one in node.value]

    def _keys(self, node: yaml.Node, what: str, known: Sequence[str] = ()) -> dict[str, yaml.Node]:
        if _is_empty(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, f"{what} must have keys with values")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if known and name not in known:
                shown = "the fields of the data contract" if known == FIELDS else ", ".join(known)
                self._refuse(key, f"the key {str(name)[:_SHOWN]!r} of {what} is unknown; known are {shown}")
            if name in found:
                self._refuse(key, f"the key {name[:_SHOWN]!r} of {what} occurs twice")
            found[name] = value
        return found

    def _text(self, node: yaml.Node, name: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            self._refuse(node, f"{name!r} must be a text")
        return str(node.value.strip())

    def _refuse(self, node: yaml.Node, problem: str) -> Never:
        raise MappingInvalid(f"{self._where}, line {node.start_mark.line + 1}: {problem}")
