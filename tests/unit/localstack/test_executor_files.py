"""Code, layers, runtimes and variables of a function."""

import io
import os
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from process_executor.archives import UnsafeArchive, unzip
from process_executor.code import CodeStore
from process_executor.runtimes import CannotRun, Runtimes
from process_executor.variables import import_path, process_variables


def zipped(*entries: tuple[str | zipfile.ZipInfo, str]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    buffer.seek(0)
    return buffer


def entry(name: str, mode: int = stat.S_IFREG | 0o644, **attributes: object) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (2024, 5, 17, 10, 20, 30))
    info.external_attr = mode << 16
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


@dataclass
class Archive:
    """Stands for LocalStack's code object."""

    id: str
    files: dict[str, str]
    downloads: list[str] = field(default_factory=list)

    def _download_archive_to_file(self, target_file: IO[bytes]) -> None:
        self.downloads.append(self.id)
        target_file.write(zipped(*self.files.items()).getvalue())


def test_files_keep_their_time_and_permissions_and_are_readable(tmp_path):
    unzip(zipped((entry("folder/tool", 0o100700), "x"), (entry("plain", 0o100200), "y")), tmp_path)

    tool = (tmp_path / "folder/tool").stat()
    assert tool.st_mtime == 1715941230  # the archive's date taken as UTC
    assert stat.S_IMODE(tool.st_mode) == 0o744
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o644


def test_an_extended_timestamp_is_more_exact_than_the_date(tmp_path):
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
def test_an_archive_cannot_write_outside_of_its_folder(tmp_path, entries):
    target = tmp_path / "target"
    target.mkdir()

    with pytest.raises(UnsafeArchive):
        unzip(zipped(*entries), target)

    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_layers_are_merged_in_order_and_later_ones_overwrite(tmp_path):
    store = CodeStore(tmp_path)
    layers = [
        Archive("one", {"python/a": "1", "python/b": "1"}),
        Archive("two", {"python/b": "2", "bin/c": "2"}),
    ]

    opt = store.prepare("v1", Archive("code", {"app.py": "x"}), layers).opt

    found = {str(path.relative_to(opt)): path.read_text() for path in opt.rglob("*") if path.is_file()}
    assert found == {"python/a": "1", "python/b": "2", "bin/c": "2"}


def test_the_order_of_layers_makes_a_folder_of_its_own(tmp_path):
    store = CodeStore(tmp_path)
    code, one, two = Archive("code", {}), Archive("one", {"a": "1"}), Archive("two", {"a": "2"})

    assert (store.prepare("v1", code, [one, two]).opt / "a").read_text() == "2"
    assert (store.prepare("v2", code, [two, one]).opt / "a").read_text() == "1"


def test_versions_share_what_they_have_in_common_until_the_last_is_released(tmp_path):
    store = CodeStore(tmp_path)
    layer = Archive("layer", {"python/a": "1"})
    one = store.prepare("v1", Archive("code 1", {"app.py": "1"}), [layer])
    two = store.prepare("v2", Archive("code 2", {"app.py": "2"}), [layer])
    assert one.opt == two.opt
    assert layer.downloads == ["layer"]

    store.release("v1")
    assert (not one.task_root.exists(), two.task_root.exists(), two.opt.exists()) == (True, True, True)
    store.release("v2")
    store.release("v2")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not two.opt.exists()


def test_an_archive_that_cannot_be_unzipped_leaves_nothing(tmp_path):
    store = CodeStore(tmp_path)

    with pytest.raises(UnsafeArchive):
        store.prepare("v1", Archive("code", {"a": "1", "../b": "2"}), [])

    assert list((tmp_path / "code").iterdir()) == []


def test_a_runtime_that_is_missing_says_where_it_was_looked_for_and_what_there_is(tmp_path):
    interpreter = tmp_path / "python3.13/bin/python"
    interpreter.parent.mkdir(parents=True)
    interpreter.touch()
    runtimes = Runtimes(tmp_path)

    assert runtimes.interpreter("python3.13") == interpreter
    with pytest.raises(CannotRun) as raised:
        runtimes.interpreter("nodejs22.x")
    assert f"Runtime nodejs22.x is not installed: no {tmp_path}/nodejs22.x/bin/python." in str(raised.value)
    assert "Installed are: python3.13 (" in str(raised.value)


def test_the_folder_of_runtimes_is_a_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("LAMBDA_PROCESS_RUNTIMES", str(tmp_path))

    assert Runtimes.from_environment().folder == tmp_path


def test_the_import_path_is_in_the_order_of_aws():
    assert import_path(Path("/task"), Path("/opt"), "python3.13") == [
        "/task",
        "/opt/python/lib/python3.13/site-packages",
        "/opt/python",
    ]


def variables(localstack: dict[str, object], function: dict[str, str]) -> dict[str, str]:
    return process_variables(
        localstack,
        function,
        runtime="python3.13",
        interpreter=Path("/runtimes/python3.13/bin/python"),
        task_root=Path("/task"),
        opt=Path("/layers"),
        tmp=Path("/private"),
    )


def test_variables_of_localstack_for_its_containers_are_left_out():
    found = variables({"AWS_REGION": "eu", "EDGE_PORT": "1", "LOCALSTACK_RUNTIME_ID": "x"}, {})

    assert found["AWS_REGION"] == "eu"
    assert {"EDGE_PORT", "LOCALSTACK_RUNTIME_ID"} & set(found) == set()


def test_a_function_may_set_such_a_variable_itself():
    assert variables({"EDGE_PORT": "mine"}, {"EDGE_PORT": "mine"})["EDGE_PORT"] == "mine"


def test_a_function_may_replace_the_unreserved_variables_only():
    own = {"PATH": "/mine", "LAMBDA_TASK_ROOT": "/mine", "TMPDIR": "/mine"}

    found = variables(dict(own), own)

    assert (found["PATH"], found["LAMBDA_TASK_ROOT"], found["TMPDIR"]) == ("/mine", "/task", "/private")


def test_programs_and_libraries_of_layers_are_found():
    found = variables({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": 128}, {})

    assert found["PATH"].split(":")[0] == "/runtimes/python3.13/bin"
    assert found["PATH"].split(":")[-1] == "/layers/bin"
    assert found["LD_LIBRARY_PATH"] == "/task:/task/lib:/layers/lib"
    assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128"
