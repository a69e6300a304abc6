"""Reads the fields of persons' requests for a decision.

Every function raises `InvalidRequest`, which names the field.
"""

from collections.abc import Sequence
from typing import Any, Final

from readmission.domain.payloads import LONGEST_NAME
from readmission.errors import InvalidRequest

_LONGEST: Final = {"reason": 1000, "by": LONGEST_NAME}  # characters


def object_of(request: Any, name: str, fields: Sequence[str]) -> dict[str, Any]:
    """The request called `name`, which has none but these fields."""
    if not isinstance(request, dict):
        raise InvalidRequest(f"'{name}' must be an object with {', '.join(map(repr, fields))}")
    if unknown := set(request) - set(fields):
        raise InvalidRequest(f"'{name}' has unknown fields: {', '.join(sorted(map(str, unknown)))}")
    return request


def text_of(request: dict[str, Any], name: str, what: str) -> str:
    """The text in that field; `what` says what to put there."""
    value = request.get(name)
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= _LONGEST[name] or "\0" in text:
        raise InvalidRequest(f"'{name}' must be a text of 1 to {_LONGEST[name]} characters: {what}")
    return text


def version_of(request: dict[str, Any]) -> str | None:
    """The number in `version`, or None."""
    version = request.get("version")
    if version is not None and not (isinstance(version, str) and version.isdecimal() and version.isascii()):
        raise InvalidRequest(f"'version' must be a version number as a string, not {version!r}")
    return str(int(version)) if version else None


def force_of(request: dict[str, Any]) -> bool:
    """Whether `force` is set."""
    force = request.get("force")
    if force is not None and not isinstance(force, bool):
        raise InvalidRequest(f"'force' must be true or false, not {force!r}")
    return bool(force)
