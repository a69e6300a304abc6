"""Small files of the platform, which no crash and no full disk leaves half-written."""

import os
import tempfile
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replaces the file's content at once. Only the owner can read the file. Raises OSError; then nothing changed."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def kept(path: Path) -> str:
    """The file's content; empty if there is no such file."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
