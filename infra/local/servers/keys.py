"""Where an object of S3 lies in the mirror: any key becomes a path inside the bucket's folder."""

import hashlib
from pathlib import PurePosixPath
from urllib.parse import quote

SAFE = " !#$&'()+,;=@[]{}^`~"
LONGEST_NAME = 200
"""Bytes. A file name may have 255, a key 1024, and a byte of a key may take three here."""
LONGEST_PATH = 2000
"""Bytes. A whole path may have 4096, with the folder before it."""


def path_of(key: str) -> PurePosixPath:
    """`raw/2024/a.csv` lies at `raw%/2024%/a.csv`.

    Folders end in a `%`, so that the keys `raw` and `raw/2024` can both exist. Never absolute, never outside
    of the folder, and no two keys share a path.
    """
    *folders, name = key.split("/")
    path = PurePosixPath(*(f"{_encoded(folder)}%" for folder in folders), _encoded(name))
    return path if len(str(path)) <= LONGEST_PATH else PurePosixPath(f"%~{_digest(key)}")


def _encoded(part: str) -> str:
    """A name for a part of a key. A lone `%` never comes out of quote(), so it can mark what is special."""
    if part in ("", ".", ".."):
        return f"%{part}%"
    encoded = quote(part, safe=SAFE)
    if len(encoded) <= LONGEST_NAME:
        return encoded
    digest = _digest(part)
    return f"{encoded[: LONGEST_NAME - len(digest)]}%~{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
