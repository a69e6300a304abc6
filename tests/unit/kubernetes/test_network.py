"""Who may reach whom, by the network policies as Kubernetes applies them."""

from typing import Any

import pytest

from infra.kubernetes.manifests import OVERLAYS
from tests.unit.kubernetes.rendered import of_kind, workloads

type Flow = tuple[str, str, int]

PORTS = {
    "api": (8000, 9106),
    "exporter": (9105,),
    "grafana": (3000,),
    "localstack": (4566,),
    "mlflow": (5000,),
    "postgres": (5432, 8000),
    "prometheus": (9090,),
    "store": (7070,),
    "ui": (8501,),
}
SHARED: set[Flow] = {
    ("api", "mlflow", 5000),
    ("grafana", "prometheus", 9090),
    ("prometheus", "api", 9106),
    ("prometheus", "exporter", 9105),
    ("ui", "api", 8000),
    ("ui", "mlflow", 5000),
    ("ui", "prometheus", 9090),
}
FLOWS: dict[str, set[Flow]] = {
    "aws": SHARED,
    "standalone": {
        *SHARED,
        ("exporter", "localstack", 4566),
        ("localstack", "mlflow", 5000),
        ("localstack", "postgres", 5432),
        ("mlflow", "postgres", 5432),
        ("mlflow", "store", 7070),
        ("postgres", "postgres", 5432),
        ("postgres", "postgres", 8000),
        ("ui", "localstack", 4566),
    },
}
OUTSIDE: dict[str, set[tuple[str, int]]] = {
    # AWS, the issuer of the login, and Postgres in the VPC.
    "aws": {("api", 443), ("exporter", 443), ("mlflow", 443), ("mlflow", 5432), ("ui", 443)},
    # The issuer, sources of data, and Kubernetes' own API.
    "standalone": {("localstack", 443), ("postgres", 443), ("postgres", 6443), ("ui", 443)},
}
INSIDE: dict[str, set[tuple[str, int]]] = {
    "aws": {("api", 8000), ("mlflow", 5000), ("ui", 8501)},
    "standalone": {("api", 8000), ("postgres", 5432), ("postgres", 8000), ("ui", 8501)},
}
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def labels(name: str) -> dict[str, str]:
    return {"cnpg.io/cluster": name} if name == "postgres" else {"app.kubernetes.io/name": name}


def selects(selector: dict[str, Any], found: dict[str, str]) -> bool:
    by_label = all(found.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    by_expression = all(
        one["operator"] == "In" and found.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", ())
    )
    return by_label and by_expression


def rules(overlay: str, name: str, direction: str) -> list[dict[str, Any]]:
    """Of all policies that select the pods of that name."""
    key = "ingress" if direction == "Ingress" else "egress"
    return [
        rule
        for policy in of_kind(overlay, "NetworkPolicy")
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], labels(name))
        for rule in policy["spec"].get(key, ())
    ]


def allows(rule: dict[str, Any], peers: str, other: str | None, port: int) -> bool:
    """Whether the rule lets the pods of a name through; `other` None stands for what is not a pod of the namespace."""
    if port not in {one["port"] for one in rule["ports"] if one.get("protocol", "TCP") == "TCP"}:
        return False
    if other is None:
        return any("podSelector" not in peer for peer in rule[peers])
    return any(
        "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], labels(other))
        for peer in rule[peers]
    )


def names(overlay: str) -> list[str]:
    found = [workload["metadata"]["name"] for workload in workloads(overlay)]
    return [*found, *(cluster["metadata"]["name"] for cluster in of_kind(overlay, "Cluster"))]


@each_overlay
def test_nothing_is_allowed_by_default(overlay: str) -> None:
    (deny,) = [policy for policy in of_kind(overlay, "NetworkPolicy") if policy["metadata"]["name"] == "deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@each_overlay
def test_pods_reach_each_other_as_they_need_and_not_otherwise(overlay: str) -> None:
    """Both ends have to allow it: the one that calls and the one that is called."""
    found = {
        (caller, called, port)
        for caller in names(overlay)
        for called in names(overlay)
        for port in PORTS[called]
        if any(allows(rule, "to", called, port) for rule in rules(overlay, caller, "Egress"))
        and any(allows(rule, "from", caller, port) for rule in rules(overlay, called, "Ingress"))
    }
    assert found == FLOWS[overlay]


@each_overlay
def test_no_rule_is_one_that_the_other_end_refuses(overlay: str) -> None:
    one_sided = {
        (caller, called, port)
        for caller in names(overlay)
        for called in names(overlay)
        for port in PORTS[called]
        if any(allows(rule, "to", called, port) for rule in rules(overlay, caller, "Egress"))
        != any(allows(rule, "from", caller, port) for rule in rules(overlay, called, "Ingress"))
    }
    assert one_sided == set()


@each_overlay
def test_pods_reach_beyond_the_namespace_only_what_they_need(overlay: str) -> None:
    ports = {443, 6443, *(port for found in PORTS.values() for port in found)}
    found = {
        (name, port)
        for name in names(overlay)
        for port in ports
        if any(allows(rule, "to", None, port) for rule in rules(overlay, name, "Egress"))
    }
    assert found == OUTSIDE[overlay]


@each_overlay
def test_others_reach_only_what_is_published(overlay: str) -> None:
    found = {
        (name, port)
        for name in names(overlay)
        for port in PORTS[name]
        if any(allows(rule, "from", None, port) for rule in rules(overlay, name, "Ingress"))
    }
    assert found == INSIDE[overlay]
