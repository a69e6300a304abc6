"""What is in the images: a bill of materials (SBOM) for each, and the known vulnerabilities of its packages."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra.containers.images import GROUPS, ROOT
from infra.local.errors import LocalError

BIN = Path(sys.executable).parent
LOCALSTACK = ROOT / "infra" / "localstack"
SBOM = ROOT / "infra" / "containers" / "sbom"
UNKNOWN = 2


def sboms(folder: Path = SBOM) -> list[Path]:
    """Writes one CycloneDX document for each image, from the lock files. Debian's packages are not in it: the image
    itself lists them (`dpkg-query --show`)."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for image in (*GROUPS, "localstack"):
        file = folder / f"{image}.cdx.json"
        with requirements(image) as locked:
            _run(
                [str(BIN / "cyclonedx-py"), "requirements", str(locked), "--output-reproducible", "-o", str(file)],
                f"the bill of materials of {image}",
            )
        written.append(file)
    return written


def audit() -> int:
    """Prints the known vulnerabilities of the packages in the images.

    Exit code: 1 if there are any; 2 if some packages could not be looked up, so that nothing is known about them.
    """
    worst = 0
    for image in (*GROUPS, "localstack"):
        with requirements(image) as locked:
            command = [str(BIN / "pip-audit"), "--requirement", str(locked), "--no-deps", "--disable-pip"]
            command += ["--format", "json", "--progress-spinner", "off"]
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
        verdict, code = judged(finished.stdout, finished.stderr)
        print(f"{image}: {verdict}", flush=True)
        worst = max(worst, code)
        if code == UNKNOWN:
            break  # the next image's packages would not be found either
    return worst


def judged(report: str, errors: str) -> tuple[str, int]:
    """What pip-audit's JSON says, in words, and the exit code for it.

    pip-audit itself exits with 0 for packages that its database does not answer about: a mirror of PyPI, for example,
    that has only the files. They are not known to be clean.
    """
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        last = (errors.strip().splitlines() or ["pip-audit printed nothing"])[-1]
        return f"not checked, because the database of vulnerabilities at pypi.org cannot be reached: {last}", UNKNOWN
    found = [_flaw(package, flaw) for package in packages for flaw in package.get("vulns", ())]
    if skipped := [package["name"] for package in packages if "skip_reason" in package]:
        missing = f"{len(skipped)} of {len(packages)} packages not checked, because the database of vulnerabilities at"
        return "\n  ".join([f"{missing} pypi.org cannot be reached", *found]), UNKNOWN
    if found:
        return "\n  ".join([f"{len(found)} known vulnerabilities", *found]), 1
    return f"none of {len(packages)} packages has a known vulnerability", 0


def _flaw(package: Mapping[str, Any], flaw: Mapping[str, Any]) -> str:
    fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}"


@contextmanager
def requirements(image: str) -> Iterator[Path]:
    """The locked packages of an image, with versions and hashes, in pip's format."""
    project, options = (
        (LOCALSTACK, ["--all-groups"]) if image == "localstack" else (ROOT, ["--only-group", GROUPS[image]])
    )
    export = [str(BIN / "uv"), "export", "--quiet", "--frozen", "--project", str(project), *options]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        _run(
            [*export, "--no-emit-project", "--no-emit-local", "--output-file", str(file)],
            f"the locked packages of {image}",
        )
        yield file


def _run(command: list[str], what: str) -> None:
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise LocalError(f"{Path(command[0]).name} did not write {what}:\n{finished.stderr.strip()[-2000:]}")
