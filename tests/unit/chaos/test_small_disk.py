import os
from pathlib import Path

import pytest

from tests.chaos import small_disk


@pytest.mark.parametrize(("answer", "possible"), [(None, False), (1, False), (0, True)], ids=["none", "asks", "works"])
def test_an_ordinary_user_needs_a_sudo_that_asks_for_no_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: int | None, possible: bool
) -> None:
    tools = {name: 0 for name in ("mkfs.ext4", "mount", "umount", "cp")} | ({} if answer is None else {"sudo": answer})
    for name, code in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    reason = small_disk.obstacle()
    assert (reason is None) is possible
    assert possible or "sudo does not work without a password" in (reason or "")
