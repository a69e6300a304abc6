"""What infra/aws/kubernetes.yaml says: each service account of the manifests has a role that only it can take."""

import json
from typing import Any

import pytest

from tests.unit.kubernetes.rendered import named, of_kind, values
from tests.unit.templates import KUBERNETES, SERVICES

RESOURCES = KUBERNETES["Resources"]
NAMES = {
    "AWS::Partition": "aws",
    "AWS::AccountId": "111122223333",
    "AWS::Region": "eu-central-1",
    "OidcProvider": "oidc.eks.eu-central-1.amazonaws.com/id/ABC",
    "Namespace": "readmission",
    "PlatformStack": "readmission-platform",
}


def resolved(text: str, **given: str) -> str:
    for name, value in (NAMES | given).items():
        text = text.replace(f"${{{name}}}", value)
    return text


def account_of(role: str) -> str:
    _, given = RESOURCES[role]["Properties"]["AssumeRolePolicyDocument"]["Sub"]
    return str(given["Account"])


def statements(role: str) -> list[dict[str, Any]]:
    (policy,) = RESOURCES[role]["Properties"]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


@pytest.mark.parametrize("role", RESOURCES)
def test_only_one_service_account_of_the_cluster_can_take_a_role(role: str) -> None:
    text, given = RESOURCES[role]["Properties"]["AssumeRolePolicyDocument"]["Sub"]
    (statement,) = json.loads(resolved(text, **given))["Statement"]
    provider = NAMES["OidcProvider"]
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{provider}"}
    assert statement["Condition"] == {
        "StringEquals": {
            f"{provider}:aud": "sts.amazonaws.com",
            f"{provider}:sub": f"system:serviceaccount:readmission:{account_of(role)}",
        }
    }


def test_the_service_accounts_with_a_role_are_those_of_the_template() -> None:
    key = "eks.amazonaws.com/role-arn"
    accounts = {
        account["metadata"]["name"]
        for account in of_kind("aws", "ServiceAccount")
        if key in account["metadata"].get("annotations", {})
    }
    assert accounts == {account_of(role) for role in RESOURCES}
    assert KUBERNETES["Outputs"].keys() == RESOURCES.keys()


def test_the_secrets_that_are_copied_are_those_that_the_role_may_read() -> None:
    (statement,) = statements("SecretsRole")
    prefix = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:"
    allowed = [resolved(one["Sub"]).removeprefix(prefix) for one in statement["Resource"]]
    wanted = {reference["key"] for one in of_kind("aws", "ExternalSecret") for reference in values(one, "remoteRef")}
    exact = {one.removesuffix("-??????") for one in allowed if one.endswith("-??????")}
    own = {name for name in wanted if name.startswith("readmission/kubernetes/")}
    assert wanted - own == exact
    assert [one for one in allowed if one.endswith("*")] == ["readmission/kubernetes/*"]


def test_the_secret_store_takes_the_role_of_its_account() -> None:
    store = named("aws", "SecretStore", "secrets-manager")["spec"]["provider"]["aws"]
    assert store["auth"]["jwt"]["serviceAccountRef"]["name"] == account_of("SecretsRole")
    for secret in of_kind("aws", "ExternalSecret"):
        assert secret["spec"]["secretStoreRef"] == {"kind": "SecretStore", "name": "secrets-manager"}


def test_the_pages_may_do_in_a_cluster_what_they_may_do_on_fargate() -> None:
    (policy,) = SERVICES["Resources"]["UiRole"]["Properties"]["Policies"]

    def actions(found: list[dict[str, Any]]) -> set[str]:
        listed = [[one["Action"]] if isinstance(one["Action"], str) else one["Action"] for one in found]
        return {action for names in listed for action in names}

    assert actions(statements("UiRole")) == actions(policy["PolicyDocument"]["Statement"])
