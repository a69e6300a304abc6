import errno
import os
from pathlib import Path
from typing import Any

import pytest

from infra.local import files


def test_a_file_is_replaced_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "old")
    files.write(path, "new")
    assert (files.kept(path), path.stat().st_mode & 0o777) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write(path, "old")

    def full(descriptor: int) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, "new")
    assert files.kept(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert files.kept(tmp_path / "none") == ""
