"""Builds the images with docker, podman or buildah, whichever works on this machine."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from infra.local.errors import LocalError

ROOT = Path(__file__).resolve().parents[2]
CONTAINERFILE = ROOT / "infra" / "containers" / "Containerfile"
GROUPS = {
    "api": "image-api",
    "exporter": "image-exporter",
    "mlflow": "image-mlflow",
    "ui": "ui",
    "trainer": "image-trainer",
}
"""The dependency group of each image. That of LocalStack has a lock file of its own."""
TARGETS = (*GROUPS, "localstack")
INSTALLED = ("pyproject.toml", "uv.lock", "infra/containers/install", "layers/readmission/pyproject.toml")
"""What decides which packages are in an image; for LocalStack's also the folder of its own."""
TOOLS = ("docker", "podman", "buildah")
BASE = "docker.io/library/debian:trixie-slim"
MIRROR = "http://deb.debian.org/debian"


def name(target: str) -> str:
    return f"localhost/readmission-{target}"


def tool(given: str | None = None) -> str:
    """The first of docker, podman and buildah that works, or the one that is given. Raises LocalError without one."""
    for candidate in (given,) if given else TOOLS:
        # A client without its daemon cannot build.
        if shutil.which(candidate) and _succeeds([candidate, "info"]):
            return candidate
    named = f"{given} does not work" if given else f"None of {', '.join(TOOLS)} works"
    raise LocalError(
        f"{named} on this machine. To get one: sudo apt-get install -y --no-install-recommends buildah debootstrap"
    )


def build(target: str, builder: str) -> None:
    """Raises LocalError if it fails; the builder has said why."""
    if builder == "buildah":
        _ensure_base()
    command = build_command(target, builder, os.environ)
    if subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode:
        raise LocalError(f"The image {name(target)} was not built: {builder} says why, above.")


def build_command(target: str, builder: str, caller: Mapping[str, str]) -> list[str]:
    """The authorities in SSL_CERT_FILE and the indexes of packages are the caller's, as for `make setup`."""
    command = [builder, "build", "--file", str(CONTAINERFILE), "--target", target, "--tag", name(target)]
    if builder != "docker":
        # Docker finds the list by its name. The others' own format of images has no health checks.
        command += ["--ignorefile", f"{CONTAINERFILE}.dockerignore", "--format", "docker", "--layers"]
    command += ["--build-arg", f"PACKAGES={packages(target)}"]
    authorities = caller.get("SSL_CERT_FILE", "")
    if authorities and Path(authorities).is_file():
        command += ["--secret", f"id=authorities,src={authorities}"]
    for variable in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"):
        if caller.get(variable):
            # Without its value, which may hold a password: the builder reads it from its environment.
            command += ["--build-arg", variable]
    return [*command, str(ROOT)]


def packages(target: str, root: Path = ROOT) -> str:
    """Changes with the packages that are installed in the image of a target."""
    paths = [root / name for name in INSTALLED]
    if target == "localstack":
        own = root / "infra" / "localstack"
        paths += [own / "pyproject.toml", own / "uv.lock", *sorted((own / "src").rglob("*.py"))]
    found = hashlib.sha256()
    for path in paths:
        found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def _ensure_base() -> None:
    """The base from its registry. Where that cannot be reached, root makes it from Debian's packages, in a minute."""
    if _succeeds(["buildah", "inspect", "--type", "image", BASE]) or _succeeds(["buildah", "pull", "--quiet", BASE]):
        return
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise LocalError(
            f"{BASE} cannot be pulled. Root can make it from Debian's packages instead, with debootstrap: "
            "sudo apt-get install -y --no-install-recommends debootstrap"
        )
    with _working_container("scratch") as container:
        root = Path(_output(["buildah", "mount", container]))
        mirror = os.environ.get("DEBIAN_MIRROR") or MIRROR
        _output(["debootstrap", "--variant=minbase", "trixie", str(root), mirror])
        # As in the image of the registry.
        for pattern in ("var/cache/apt/*", "var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "usr/share/doc/*"):
            _delete(root.glob(pattern))
        for pattern in ("usr/share/man/*", "usr/share/locale/*"):
            _delete(root.glob(pattern))
        _output(["buildah", "commit", "--quiet", container, BASE])


def _delete(paths: Iterator[Path]) -> None:
    for path in paths:
        if path.name == "archives":
            continue  # apt needs the folder
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _working_container(image: str) -> Iterator[str]:
    container = _output(["buildah", "from", image])
    try:
        yield container
    finally:
        _output(["buildah", "rm", container])


def _output(command: Sequence[str]) -> str:
    finished = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if finished.returncode:
        raise LocalError(f"`{' '.join(command)}` failed:\n{finished.stdout[-2000:]}{finished.stderr[-2000:]}")
    return finished.stdout.strip()


def _succeeds(command: Sequence[str]) -> bool:
    return _ends_well(command, environment())


def environment() -> dict[str, str]:
    """That of every call of a builder. buildah's own isolation needs no daemon and no user namespaces, so that it works
    in a container too; where the kernel refuses its usual storage there, it copies files instead."""
    return {"BUILDAH_ISOLATION": "chroot", **_storage(), **os.environ}


@cache
def _storage() -> dict[str, str]:
    copying = {"STORAGE_DRIVER": "vfs"}
    if not shutil.which("buildah") or _ends_well(["buildah", "info"], os.environ):
        return {}
    return copying if _ends_well(["buildah", "info"], {**os.environ, **copying}) else {}


def _ends_well(command: Sequence[str], variables: Mapping[str, str]) -> bool:
    quiet = subprocess.DEVNULL
    return subprocess.run(command, env=variables, stdout=quiet, stderr=quiet, check=False).returncode == 0
