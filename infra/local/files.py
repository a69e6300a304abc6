"""Small files of the platform, which no crash and no full disk leaves half-written."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replaces the file's content at once. Only the owner can read the file. Raises OSError; then nothing changed."""
    write_chunks(path, [text.encode()], path.parent)


def write_chunks(path: Path, chunks: Iterable[bytes], folder: Path) -> None:
    """As `write`. `folder`, on the same file system, holds the file while it is incomplete."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
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
