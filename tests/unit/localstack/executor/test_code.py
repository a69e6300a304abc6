"""Versions share the folders of their code and layers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

import pytest
from localstack_plugin.executor.archives import UnsafeArchive
from localstack_plugin.executor.code import CodeStore, Folders

from tests.unit.localstack.executor.archive_files import zipped


@dataclass
class Archive:
    """Stands in for LocalStack's code object."""

    id: str
    files: dict[str, str]
    downloads: list[str] = field(default_factory=list)

    def _download_archive_to_file(self, target_file: IO[bytes]) -> None:
        self.downloads.append(self.id)
        target_file.write(zipped(*self.files.items()).getvalue())


def prepared(store: CodeStore, version: str, code: Archive, layers: Sequence[Archive]) -> Folders:
    store.prepare(version, code, layers)
    return store.folders(version)


def test_layers_are_merged_in_order_and_later_ones_overwrite(tmp_path):
    store = CodeStore(tmp_path)
    layers = [
        Archive("one", {"python/a": "1", "python/b": "1"}),
        Archive("two", {"python/b": "2", "bin/c": "2"}),
    ]

    opt = prepared(store, "v1", Archive("code", {"app.py": "x"}), layers).opt

    found = {str(path.relative_to(opt)): path.read_text() for path in opt.rglob("*") if path.is_file()}
    assert found == {"python/a": "1", "python/b": "2", "bin/c": "2"}


def test_the_same_layers_in_another_order_get_their_own_folder(tmp_path):
    store = CodeStore(tmp_path)
    code, one, two = Archive("code", {}), Archive("one", {"a": "1"}), Archive("two", {"a": "2"})

    assert (prepared(store, "v1", code, [one, two]).opt / "a").read_text() == "2"
    assert (prepared(store, "v2", code, [two, one]).opt / "a").read_text() == "1"


def test_versions_share_folders_until_the_last_of_them_is_released(tmp_path):
    store = CodeStore(tmp_path)
    layer = Archive("layer", {"python/a": "1"})
    one = prepared(store, "v1", Archive("code 1", {"app.py": "1"}), [layer])
    two = prepared(store, "v2", Archive("code 2", {"app.py": "2"}), [layer])
    assert one.opt == two.opt
    assert layer.downloads == ["layer"]

    store.release("v1")
    assert (not one.task_root.exists(), two.task_root.exists(), two.opt.exists()) == (True, True, True)
    store.release("v2")
    store.release("v2")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not two.opt.exists()


def test_an_archive_that_cannot_be_unzipped_leaves_no_files(tmp_path):
    store = CodeStore(tmp_path)

    with pytest.raises(UnsafeArchive):
        store.prepare("v1", Archive("code", {"a": "1", "../b": "2"}), [])

    assert list((tmp_path / "code").iterdir()) == []


def test_what_is_deferred_is_unzipped_when_it_is_first_used(tmp_path):
    store = CodeStore(tmp_path)
    code, layer = Archive("code", {"app.py": "1"}), Archive("layer", {"python/a": "1"})

    with store.deferring():
        store.prepare("v1", code, [layer])
        store.prepare("v2", code, [layer])
    assert code.downloads == layer.downloads == []

    assert (store.folders("v1").task_root / "app.py").read_text() == "1"
    assert store.folders("v1") == store.folders("v2")
    assert code.downloads == ["code"]


def test_a_deferred_version_that_is_released_is_not_there(tmp_path):
    store = CodeStore(tmp_path)
    with store.deferring():
        store.prepare("v1", Archive("code", {}), [])

    store.release("v1")

    with pytest.raises(KeyError):
        store.folders("v1")


def test_after_deferring_versions_are_prepared_at_once(tmp_path):
    store = CodeStore(tmp_path)
    with store.deferring():
        pass
    code = Archive("code", {"app.py": "1"})

    store.prepare("v1", code, [])

    assert code.downloads == ["code"]
