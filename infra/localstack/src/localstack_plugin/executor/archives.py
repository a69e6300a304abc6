"""Unzips archives as Lambda does: over existing files, keeping permissions, symbolic links and times."""

import calendar
import os
import shutil
import stat
import struct
import zipfile
from pathlib import Path
from typing import IO

_UNIX_TIME_FIELD = 0x5455


class UnsafeArchive(Exception):
    """An entry of the archive would be written outside the target folder."""


def unzip(file: IO[bytes], target: Path) -> None:
    """Write the archive's entries below `target`, replacing existing files; raises UnsafeArchive.

    Times matter: Python ignores a .pyc file whose recorded source time differs from the source's.
    """
    root = os.path.realpath(target)
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            path = os.path.join(root, entry.filename)
            parent = os.path.realpath(path if entry.is_dir() else os.path.dirname(path))
            if os.path.commonpath([root, parent]) != root or ".." in Path(entry.filename).parts:
                raise UnsafeArchive(entry.filename)
            os.makedirs(parent, exist_ok=True)
            if not entry.is_dir():
                _write(archive, entry, path)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str) -> None:
    _remove(path)
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode):
        os.symlink(archive.read(entry), path.encode())
        return
    with archive.open(entry) as source, open(path, "wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    # As on AWS, everyone may read the code, whatever the archive says.
    os.chmod(path, stat.S_IMODE(mode) | 0o444)
    modified = modification_time(entry)
    os.utime(path, (modified, modified))


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def modification_time(entry: zipfile.ZipInfo) -> int:
    """Seconds since 1970: the entry's extended timestamp if it has one, else its date read as UTC."""
    extra = entry.extra
    while len(extra) >= 4:
        field, size = struct.unpack_from("<HH", extra)
        if field == _UNIX_TIME_FIELD and size >= 5 and extra[4] & 1:
            return int(struct.unpack_from("<i", extra, 5)[0])
        extra = extra[4 + size :]
    return calendar.timegm(entry.date_time)
