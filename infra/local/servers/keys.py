"""Maps the key of an S3 object to a path inside the bucket's folder in the mirror."""

import hashlib
from pathlib import PurePosixPath
from urllib.parse import quote

SAFE = " !#$&'()+,;=@[]{}^`~"
LONGEST_NAME = 200
"""In bytes. A file name has at most 255, a key 1024, and encoding can triple a byte of the key."""
LONGEST_PATH = 2000
"""In bytes. A whole path has at most 4096, including the mirror's folder."""


def path_of(key: str) -> PurePosixPath:
    """`raw/2024/a.csv` becomes `raw%/2024%/a.csv`.

    Folders end in `%`, so that the keys `raw` and `raw/2024` can coexist. The path is relative, stays inside the
    folder, and is unique to the key.
    """
    *folders, name = key.split("/")
    path = PurePosixPath(*(f"{_encoded(folder)}%" for folder in folders), _encoded(name))
    return path if len(str(path)) <= LONGEST_PATH else PurePosixPath(f"%~{_digest(key)}")


def _encoded(part: str) -> str:
    """A file name for a part of a key. quote() never emits a lone `%`, so it can mark special names."""
    if part in ("", ".", ".."):
        return f"%{part}%"
    encoded = quote(part, safe=SAFE)
    if len(encoded) <= LONGEST_NAME:
        return encoded
    digest = _digest(part)
    return f"{encoded[: LONGEST_NAME - len(digest)]}%~{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
