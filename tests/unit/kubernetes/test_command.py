"""`python -m infra.kubernetes`: the values of an overlay reach its manifests, and wrong manifests are refused."""

import shutil
from pathlib import Path

import pytest
import yaml

from infra.kubernetes import __main__ as program
from infra.kubernetes import manifests
from infra.local.errors import LocalError

SETTINGS: manifests.Manifest = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings"},
    "data": {"MODEL_NAME": "readmission"},
}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of manifests as a user's own copy."""
    for name in ("kubernetes", "prometheus", "grafana"):
        shutil.copytree(manifests.FOLDER.parent / name, tmp_path / name)
    monkeypatch.setattr(manifests, "FOLDER", tmp_path / "kubernetes")
    return tmp_path / "kubernetes"


def change(file: Path, **values: str) -> None:
    lines = [line for line in file.read_text().splitlines() if line.partition("=")[0] not in values]
    file.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")


def test_hosts_certificate_roles_and_addresses_are_those_of_the_overlay(copy: Path) -> None:
    given = {
        "API_HOST": "api.hospital.example",
        "PAGES_HOST": "pages.hospital.example",
        "MLFLOW_HOST": "mlflow.hospital.example",
        "CERTIFICATE_ARN": "arn:certificate",
        "VPC_CIDR": "10.77.0.0/16",
        "AWS_REGION": "eu-west-3",
        "API_ROLE": "arn:role-of-api",
    }
    change(copy / "overlays" / "aws" / "settings.env", **given)
    found = {(one["kind"], one["metadata"]["name"]): one for one in manifests.manifests("aws")}
    hosts = {name: found["Ingress", name]["spec"]["rules"][0]["host"] for name in ("api", "ui", "mlflow")}
    assert list(hosts.values()) == ["api.hospital.example", "pages.hospital.example", "mlflow.hospital.example"]
    for name in hosts:
        notes = found["Ingress", name]["metadata"]["annotations"]
        assert notes["alb.ingress.kubernetes.io/certificate-arn"] == "arn:certificate"
    for policy, direction, peers in (("from-load-balancer", "ingress", "from"), ("to-postgres", "egress", "to")):
        (rule,) = found["NetworkPolicy", policy]["spec"][direction]
        assert rule[peers] == [{"ipBlock": {"cidr": "10.77.0.0/16"}}]
    assert found["SecretStore", "secrets-manager"]["spec"]["provider"]["aws"]["region"] == "eu-west-3"
    assert found["ServiceAccount", "api"]["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:role-of-api"
    }


def test_the_ingress_controller_is_that_of_the_overlay(copy: Path) -> None:
    file = copy / "overlays" / "standalone" / "settings.env"
    change(file, API_HOST="api.example", INGRESS_CLASS="haproxy", INGRESS_NAMESPACE="edge", CLUSTER_ISSUER="ours")
    found = {(one["kind"], one["metadata"]["name"]): one for one in manifests.manifests("standalone")}
    api = found["Ingress", "api"]
    assert api["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "ours"
    assert api["spec"]["ingressClassName"] == "haproxy"
    assert api["spec"]["tls"] == [{"hosts": ["api.example"], "secretName": "api-tls"}]
    (rule,) = found["NetworkPolicy", "from-ingress-controller"]["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}}]


def test_a_change_of_a_setting_starts_the_pods_again(copy: Path) -> None:
    def references() -> set[str]:
        text = yaml.safe_dump([one for one in manifests.manifests("standalone") if one["kind"] == "Deployment"])
        return {word for word in text.split() if word.startswith("settings-")}

    (before,) = references()
    change(copy / "overlays" / "standalone" / "settings.env", API_URL="http://elsewhere:1")
    (after,) = references()
    assert before != after


def test_what_kubectl_refuses_is_an_error_with_its_words(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "base" / "api.yaml").write_text("kind: [")
    assert program.main(["render", "aws"]) == 1
    assert "api.yaml" in capsys.readouterr().err


def test_an_overlay_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(LocalError, match="There is no overlay azure; the overlays are aws, standalone"):
        manifests.render("azure")


def test_the_newest_two_releases_are_those_of_the_schemas() -> None:
    older, newer = manifests.releases()
    assert [int(part) for part in newer.split(".")] == [1, int(older.split(".")[1]) + 1]


def test_a_right_manifest_has_no_problem() -> None:
    assert list(manifests.problems([SETTINGS])) == []


def test_a_field_that_kubernetes_would_drop_is_a_problem_in_each_release() -> None:
    wrong = {**SETTINGS, "settings": {}}
    lines = list(manifests.problems([wrong]))
    assert [line.rpartition(" ")[2] for line in lines] == [f"{release})" for release in manifests.releases()]
    assert lines[0].startswith("ConfigMap settings: the manifest: Additional properties are not allowed ('settings' ")


def test_a_wrong_value_is_a_problem_with_its_place() -> None:
    (line,) = manifests.problems([{**SETTINGS, "data": {"PORT": 8000}}], ["1.37"])
    assert line == "ConfigMap settings: data.PORT: 8000 is not of type 'string', 'null' (Kubernetes 1.37)"


def test_an_api_that_a_release_does_not_have_is_a_problem() -> None:
    old = {**SETTINGS, "apiVersion": "extensions/v1beta1", "kind": "Ingress"}
    (line,) = manifests.problems([old], ["1.37"])
    assert line == "Ingress settings: Kubernetes 1.37 does not know extensions/v1beta1"


def test_what_only_an_operator_can_validate_is_named() -> None:
    custom = {**SETTINGS, "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster"}
    assert list(manifests.problems([custom])) == []
    assert manifests.not_validated([SETTINGS, custom, custom]) == ["Cluster of CloudNativePG"]


@pytest.mark.parametrize(("found", "code"), [([SETTINGS], 0), ([{**SETTINGS, "settings": {}}], 1)])
def test_check_fails_if_a_manifest_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: list[manifests.Manifest], code: int
) -> None:
    monkeypatch.setattr(manifests, "manifests", lambda overlay: found)
    assert program.main(["check"]) == code
    printed = capsys.readouterr().out
    assert ("1 manifests are valid" in printed) == (code == 0)
