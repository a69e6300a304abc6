"""Recognizes files that are not the expected CSV, so that errors can say what a file is and what to do about it.

Deliveries to the pipeline, batches of the API and files on the page are checked by the same rules.
"""

import io
import zipfile
from collections.abc import Collection
from typing import Final

# Names of formats by how their files begin. They are the same in every language.
_BEGINNINGS: Final = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),  # .xls, of Excel 97 to 2003
    (b"PAR1", "Parquet"),
    (b"%PDF-", "PDF"),
    (b"\x1f\x8b", "gzip"),
    (b"{\\rtf", "RTF"),
    (b"<?xml", "XML"),
    (b"<!doctype html", "HTML"),
    (b"<html", "HTML"),
    (b'{"', "JSON"),
    (b"[{", "JSON"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_ZIP: Final = b"PK\x03\x04"
_SEPARATORS: Final = (";", "\t", "|")

SAVE_AS_CSV: Final = "save it as CSV UTF-8 (comma delimited)"


def format_of(content: bytes) -> str | None:
    """The name of the format of a file; None for what may be a CSV. The first 200 bytes are enough, but for a zip."""
    start = content[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, name in _BEGINNINGS:
        if content.startswith(beginning) or start.startswith(beginning.lower()):
            return name
    if content.startswith(_ZIP):
        try:
            return office_format(zipfile.ZipFile(io.BytesIO(content)).NameToInfo) or "ZIP"
        # `zipfile` raises NotImplementedError for a zip of a kind that it does not know.
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            return "ZIP"
    return None


def office_format(members: Collection[str]) -> str | None:
    """The format of an office document, given the names of the files in the zip that it is."""
    if "[Content_Types].xml" in members and any(name.startswith("xl/") for name in members):
        return "Excel"
    return "OpenDocument" if "content.xml" in members and "mimetype" in members else None


def separator_of(header: Collection[str], known: Collection[str]) -> str | None:
    """The character that separates the `known` names in a header that was split at commas, if another one does."""
    line = ",".join(header)
    for separator in _SEPARATORS:
        names = {name.strip(' "') for name in line.split(separator)}
        if len(names.intersection(known)) > 1:
            return separator
    return None


def not_csv(name: str) -> str:
    """What to say of a file in the format called `name`, without a subject."""
    if name == "UTF-16":
        return f"is in UTF-16, not UTF-8; {SAVE_AS_CSV}"
    return f"looks like {name}, not CSV; {SAVE_AS_CSV}"


def wrong_separator(separator: str) -> str:
    """What to say of a CSV whose columns are separated by `separator`, without a subject."""
    names = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
    return f"has columns separated by {names[separator]}, not commas; {SAVE_AS_CSV}"


NOT_UTF8: Final = f"is not UTF-8 but another encoding, probably Windows-1252; {SAVE_AS_CSV}"
