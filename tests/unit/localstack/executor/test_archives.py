"""Archives are unzipped as Lambda does."""

import os
import stat

import pytest
from localstack_plugin.executor.archives import UnsafeArchive, unzip

from tests.unit.localstack.executor.archive_files import entry, zipped


def test_files_keep_their_time_and_permissions_and_are_readable(tmp_path):
    unzip(zipped((entry("folder/tool", 0o100700), "x"), (entry("plain", 0o100200), "y")), tmp_path)

    tool = (tmp_path / "folder/tool").stat()
    assert tool.st_mtime == 1715941230  # the archive's date read as UTC
    assert stat.S_IMODE(tool.st_mode) == 0o744
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o644


def test_an_extended_timestamp_takes_precedence_over_the_date(tmp_path):
    extra = b"\x01\x00\x02\x00xx" + b"UT\x05\x00\x01" + (1715941231).to_bytes(4, "little")

    unzip(zipped((entry("file", extra=extra), "")), tmp_path)

    assert (tmp_path / "file").stat().st_mtime == 1715941231


def test_symbolic_links_stay_links(tmp_path):
    unzip(zipped((entry("lib.so.1"), "x"), (entry("lib.so", stat.S_IFLNK | 0o777), "lib.so.1")), tmp_path)

    assert os.readlink(tmp_path / "lib.so") == "lib.so.1"


def test_entries_replace_files_links_and_folders(tmp_path):
    unzip(zipped(("a", "old"), ("b/c", "old"), (entry("l", stat.S_IFLNK | 0o777), "a")), tmp_path)

    unzip(zipped(("a", "new"), ("b", "new"), ("l", "new")), tmp_path)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a": "new",
        "b": "new",
        "l": "new",
    }
    assert not (tmp_path / "l").is_symlink()


@pytest.mark.parametrize(
    "entries",
    [
        [("../out", "x")],
        [("a/../../out", "x")],
        [(entry("link", stat.S_IFLNK | 0o777), ".."), ("link/out", "x")],
    ],
)
def test_an_archive_cannot_write_outside_its_folder(tmp_path, entries):
    target = tmp_path / "target"
    target.mkdir()

    with pytest.raises(UnsafeArchive):
        unzip(zipped(*entries), target)

    assert [path.name for path in tmp_path.iterdir()] == ["target"]
