import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import settings
from tests.chaos import small_disk
from tests.chaos.small_disk import SmallDisk


@pytest.fixture(autouse=True)
def mounts() -> None:
    """CI must be able to mount."""
    if reason := small_disk.obstacle():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "a" / "data", tmp_path / "b" / "data"]
    for folder in made:
        folder.mkdir(parents=True)
        (folder / "old").write_text(str(folder))
    return made


@pytest.fixture
def disk(tmp_path: Path, folders: list[Path]) -> Iterator[SmallDisk]:
    made = SmallDisk(settings.load({"LOCAL_DIR": str(tmp_path)}), folders)
    made.attach()
    yield made
    if made.is_attached:
        made.detach()


def test_a_full_disk_takes_nothing_until_there_is_space(disk: SmallDisk, folders: list[Path]) -> None:
    disk.fill()
    for folder in folders:
        with pytest.raises(OSError) as refused:
            (folder / "new").write_bytes(bytes(100_000))
        assert refused.value.errno == errno.ENOSPC
    disk.free()
    (folders[0] / "new").write_bytes(bytes(100_000))


def test_the_folders_keep_what_was_written_and_nothing_else_stays(
    disk: SmallDisk, folders: list[Path], tmp_path: Path
) -> None:
    (folders[0] / "new").write_text("new")
    (folders[1] / "old").unlink()
    disk.detach()
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [["new", "old"], []]
    assert (folders[0] / "old").read_text() == str(folders[0])
    assert not any(path.is_mount() for path in (tmp_path, *folders))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
