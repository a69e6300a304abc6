"""Checks the templates, as CloudFormation deploys them, and the manifests of Kubernetes against checkov's rules.

`python -m tests.checkov`. The application is checked with every protection that its parameters offer. Prints each
finding that `skips.toml` does not explain, and each explanation that no finding needs; both fail.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.kubernetes.manifests import OVERLAYS, render
from tests.transformed import APPLICATION, IDENTITY, ROOT, as_template, deployed

PROJECT: Final = Path(__file__).parent
PLATFORM: Final = ROOT / "infra" / "aws"
PROTECTED: Final = {
    "KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/5e8a",
    "SubnetIds": "subnet-0123456789abcdef0",
    "SecurityGroupIds": "sg-0123456789abcdef0",
    "PredictConcurrency": 50,
    "HistoryConcurrency": 5,
    "Training": "distributed",
    "TrainingImageUri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/readmission-trainer:1",
    **IDENTITY,
}


@dataclass(frozen=True, order=True)
class Finding:
    """A rule, by its id, that a resource breaks, by its type and name; `says` is the rule itself."""

    check: str
    resource: str
    says: str = ""


@dataclass(frozen=True)
class Skip:
    """A rule that these resources may break; an asterisk stands for all of a type."""

    check: str
    resources: tuple[str, ...]
    reason: str

    def covers(self, finding: Finding) -> bool:
        kind = f"{finding.resource.rpartition('.')[0]}.*"
        return finding.check == self.check and bool({finding.resource, kind} & set(self.resources))


def skips(text: str) -> list[Skip]:
    return [Skip(one["check"], tuple(one["resources"]), one["reason"]) for one in tomllib.loads(text)["skip"]]


def compare(findings: Iterable[Finding], known: Iterable[Skip]) -> Iterator[str]:
    """A line for each finding without a skip, and for each skip, or resource of one, without a finding."""
    found = sorted(set(findings))
    for finding in found:
        if not any(skip.covers(finding) for skip in known):
            yield f"{finding.check} {finding.resource}: {finding.says}"
    for skip in known:
        for resource in skip.resources:
            if not any(Skip(skip.check, (resource,), "").covers(finding) for finding in found):
                yield f"skips.toml: nothing breaks {skip.check} at {resource} any more"


def findings(report: Any) -> Iterator[Finding]:
    """Of checkov's report in JSON, which is a list if it has read files of several kinds."""
    for part in report if isinstance(report, list) else [report]:
        if errors := part["results"].get("parsing_errors"):
            raise ValueError(f"checkov cannot read {errors}")
        for one in part["results"]["failed_checks"]:
            yield Finding(one["check_id"], one["resource"], one["check_name"])


def templates() -> dict[str, str]:
    """The templates by the names of their files."""
    platform = sorted(PLATFORM.glob("*.yaml")) if PLATFORM.is_dir() else []
    stacks = [path for path in platform if "\nResources:" in path.read_text()]
    return {
        "application.json": as_template(deployed(APPLICATION, **PROTECTED)),
        **{f"{path.stem}.json": as_template(deployed(path)) for path in stacks},
    }


def manifests() -> dict[str, str]:
    """The manifests of each overlay by the name of a file for it."""
    return {f"{overlay}.yaml": render(overlay) for overlay in OVERLAYS}


def _run(folder: Path) -> Any:
    command = [
        str(Path(sys.executable).parent / "uv"),
        "run",
        "--quiet",
        "--frozen",
        "--project",
        str(PROJECT),
        "checkov",
    ]
    frameworks = ["--framework", "cloudformation", "kubernetes"]
    options = ["--directory", str(folder), *frameworks, "--skip-download", "--output", "json"]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"checkov failed:\n{done.stdout}{done.stderr}") from None


def main() -> int:
    logging.disable(logging.WARNING)  # SAM's own, about itself
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**templates(), **manifests()}.items():
            Path(folder, name).write_text(text)
        report = _run(Path(folder))
    lines = list(compare(findings(report), skips((PROJECT / "skips.toml").read_text())))
    print(*lines, sep="\n", end="\n" if lines else "")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
