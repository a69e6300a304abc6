"""Keeps one unzipped copy of the code and layers of function versions."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Protocol

from localstack_plugin.executor.archives import unzip
from localstack_plugin.storage.working_folder import working_folder


class Archive(Protocol):
    """The part of LocalStack's code objects (`S3Code`) that the store uses."""

    id: str

    def _download_archive_to_file(self, target_file: IO[bytes]) -> None: ...


@dataclass(frozen=True)
class Folders:
    """A version's files: `task_root` is AWS's /var/task, `opt` its /opt with all layers merged."""

    task_root: Path
    opt: Path


class CodeStore:
    """Versions with the same code archive, or the same list of layers, share a folder. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._versions: dict[object, Folders] = {}
        self._deferred: dict[object, tuple[Archive, Sequence[Archive]]] = {}
        self._defers = False

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """Meanwhile, `prepare` leaves the work to the first use of a version: its archives are known to be good."""
        self._defers = True
        try:
            yield
        finally:
            self._defers = False

    def prepare(self, version: object, code: Archive, layers: Sequence[Archive]) -> None:
        """Unzip the files that `version` (any key) lacks; later layers overwrite earlier ones."""
        with self._lock:
            if self._defers:
                self._deferred[version] = code, layers
            else:
                self._prepare(version, code, layers)

    def _prepare(self, version: object, code: Archive, layers: Sequence[Archive]) -> None:
        self._versions[version] = Folders(
            task_root=self._unzipped("code", [code]),
            opt=self._unzipped("layers", layers),
        )

    def folders(self, version: object) -> Folders:
        """Folders of a prepared version; raises KeyError for any other."""
        if version not in self._versions:
            with self._lock:
                if archives := self._deferred.get(version):
                    self._prepare(version, *archives)
                    self._deferred.pop(version)
        return self._versions[version]

    def release(self, version: object) -> None:
        """Remove the folders that only this version used; does nothing for an unprepared version."""
        with self._lock:
            self._deferred.pop(version, None)
            folders = self._versions.pop(version, None)
            if folders:
                for path in {folders.task_root, folders.opt} - set(_paths(self._versions.values())):
                    shutil.rmtree(path)

    def _unzipped(self, kind: str, archives: Sequence[Archive]) -> Path:
        key = hashlib.sha256("\n".join(archive.id for archive in archives).encode()).hexdigest()[:32]
        target = self._folder / kind / key
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            partial = Path(tempfile.mkdtemp(dir=target.parent))
            try:
                for archive in archives:
                    _unzip(archive, partial)
                partial.chmod(0o755)
                partial.rename(target)
            except BaseException:
                shutil.rmtree(partial)
                raise
        return target


@cache
def code_store() -> CodeStore:
    """The store of this LocalStack, in its working folder."""
    return CodeStore(working_folder().path)


def _unzip(archive: Archive, target: Path) -> None:
    with tempfile.TemporaryFile(dir=target.parent) as file:
        archive._download_archive_to_file(file)
        unzip(file, target)


def _paths(versions: Iterable[Folders]) -> Iterable[Path]:
    for folders in versions:
        yield folders.task_root
        yield folders.opt
