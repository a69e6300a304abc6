"""The version of this package: a digest of its source, equal wherever it is installed."""

from functools import cache
from hashlib import sha256
from pathlib import Path


@cache
def code_version() -> str:
    """The first 16 hexadecimal digits of the SHA-256 of all source files, ordered by path."""
    root = Path(__file__).parents[1]
    digest = sha256()
    for file in sorted((*root.rglob("*.py"), *root.rglob("*.sql"))):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
