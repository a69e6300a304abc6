"""Renders the overlays with kubectl, and validates them against the schemas of Kubernetes."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml
from kubernetes_validate import utils

from infra.local.errors import LocalError

type Manifest = dict[str, Any]
type Validate = Callable[[Manifest, str], object]

FOLDER: Final = Path(__file__).parent
OVERLAYS: Final = tuple(sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml")))
CUSTOM: Final = {
    "postgresql.cnpg.io/v1": "CloudNativePG",
    "external-secrets.io/v1": "External Secrets",
}
"""The APIs of operators, which bring the schemas of their resources into the cluster. PyPI has no package of them."""


def render(overlay: str) -> str:
    """The manifests of an overlay, as `kubectl apply` gets them. Raises LocalError if kubectl cannot render it."""
    if overlay not in OVERLAYS:
        raise LocalError(f"There is no overlay {overlay}; the overlays are {', '.join(OVERLAYS)}.")
    kubectl = Path(sys.executable).parent / "kubectl"
    command = [str(kubectl), "kustomize", str(FOLDER / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # kubectl warns of fields that it will not know much longer.
    if done.returncode or done.stderr:
        raise LocalError(f"`{' '.join(command)}` failed:\n{done.stderr}")
    return done.stdout


def manifests(overlay: str) -> list[Manifest]:
    return [manifest for manifest in yaml.safe_load_all(render(overlay)) if manifest]


def releases() -> list[str]:
    """The newest two releases of Kubernetes whose schemas are at hand, as `1.37`; the older one first."""
    return sorted({utils.major_minor(version) for version in utils.all_versions()}, key=_numbers)[-2:]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _strictly(manifest: Manifest, release: str) -> object:
    """Refuses fields that the schema does not have, too: Kubernetes would drop them without a word."""
    return kubernetes_validate.validate(manifest, release, strict=True)


def problems(found: Sequence[Manifest], wanted: Sequence[str] = (), validate: Validate = _strictly) -> Iterator[str]:
    """A line for each manifest that a release (`wanted`; by default the newest two) would refuse or not know."""
    for manifest in found:
        if manifest["apiVersion"] in CUSTOM:
            continue
        for release in wanted or releases():
            try:
                validate(manifest, release)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path) or "the manifest"
                yield f"{title(manifest)}: {where}: {error.message} (Kubernetes {release})"
            except kubernetes_validate.SchemaNotFoundError:
                yield f"{title(manifest)}: Kubernetes {release} does not know {manifest['apiVersion']}"


def not_validated(found: Sequence[Manifest]) -> list[str]:
    """What only an operator's own schema could tell, as `Cluster of CloudNativePG`."""
    custom = [manifest for manifest in found if manifest["apiVersion"] in CUSTOM]
    kinds = {(manifest["kind"], CUSTOM[manifest["apiVersion"]]) for manifest in custom}
    return [f"{kind} of {operator}" for kind, operator in sorted(kinds)]


def title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
