"""A small file system of its own for some of the platform's folders, which can be filled without harm to the machine.

Mounting needs root, or a sudo that asks for no password. The folders' contents are copied to it, and back again at the
end. If chaos is killed in between, `make down` and `sudo umount` of the folders leaves them as they were before.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.local.errors import LocalError
from infra.local.settings import Settings

_TOOLS: Final = ("mkfs.ext4", "mount", "umount", "cp")
_MB: Final = 1024 * 1024
_FREE_MB: Final = 2000
"""What is free until it is filled: the servers have to start, and LocalStack to unpack the functions."""


def obstacle() -> str | None:
    """Why a file system cannot be mounted here; None if it can."""
    if os.geteuid() != 0 and not _sudo_works():
        return "only root can mount a file system, and sudo does not work without a password"
    if missing := [tool for tool in _TOOLS if not shutil.which(tool)]:
        return f"{', '.join(missing)} is missing"
    return None if Path("/dev/loop-control").exists() else "the kernel has no loop devices"


class SmallDisk:
    """One file system, in a file, for all given folders. The servers that use them must be down while it is attached or
    detached. Raises LocalError if a command fails."""

    def __init__(self, settings: Settings, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._image = settings.directory / "chaos-disk.img"
        self._mount = settings.directory / "chaos-disk"
        self._ballast = self._mount / "ballast"

    @property
    def is_attached(self) -> bool:
        return self._mount.exists()

    def attach(self) -> None:
        used = sum(_size(folder) for folder in self._folders)
        self._mount.mkdir(mode=0o711)
        with self._image.open("wb") as image:
            image.truncate(2 * used + _FREE_MB * _MB)
        # Without reserved blocks, which only root may use, it is full for everybody at the same time.
        owner = f"root_owner={os.geteuid()}:{os.getegid()}"
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", owner, str(self._image))
        _as_root("mount", "-o", "loop", str(self._image), str(self._mount))
        self._mount.chmod(0o711)  # Postgres, which runs as another user, must reach its folder
        for folder in self._folders:
            folder.mkdir(mode=0o700, exist_ok=True)
            _run("cp", "-a", str(folder), str(self._copy(folder)))
            _as_root("mount", "--bind", str(self._copy(folder)), str(folder))

    def fill(self) -> None:
        """To the last block."""
        with self._ballast.open("ab") as ballast:
            chunk = 64 * _MB
            while chunk:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), chunk)
                except OSError:
                    chunk //= 4

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def detach(self) -> None:
        """Puts back the folders with what they hold now. Also after an `attach` that broke off."""
        self.free()
        for folder in self._folders:
            if not folder.is_mount():
                continue
            _as_root("umount", str(folder))
            newer = folder.with_name(f"{folder.name}.newer")
            _run("cp", "-a", str(self._copy(folder)), str(newer))
            shutil.rmtree(folder)
            newer.rename(folder)
        if self._mount.is_mount():
            _as_root("umount", str(self._mount))
        self._mount.rmdir()
        self._image.unlink(missing_ok=True)

    def _copy(self, folder: Path) -> Path:
        return self._mount / f"{folder.parent.name}-{folder.name}"


def _size(folder: Path) -> int:
    """In bytes; 0 if it does not exist."""
    return sum(path.stat(follow_symlinks=False).st_size for path in folder.rglob("*"))


def _sudo_works() -> bool:
    done = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False) if shutil.which("sudo") else None
    return done is not None and done.returncode == 0


def _as_root(*command: str) -> None:
    _run(*(() if os.geteuid() == 0 else ("sudo", "-n")), *command)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalError(f"{' '.join(command)}: {done.stderr.strip()}")
