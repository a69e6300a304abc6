"""The overlays' manifests, rendered once for all tests."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from infra.kubernetes.manifests import Manifest, manifests

rendered = cache(manifests)


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in rendered(overlay) if manifest["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Manifest:
    (found,) = [manifest for manifest in of_kind(overlay, kind) if manifest["metadata"]["name"] == name]
    return found


def workloads(overlay: str) -> list[Manifest]:
    return of_kind(overlay, "Deployment", "StatefulSet")


def pod(workload: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def containers(workload: Manifest) -> list[dict[str, Any]]:
    spec = pod(workload)
    return [*spec.get("initContainers", ()), *spec["containers"]]


def values(node: Any, key: str) -> Iterator[Any]:
    """Every value that has this key, anywhere in a manifest."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for item in node:
            yield from values(item, key)
