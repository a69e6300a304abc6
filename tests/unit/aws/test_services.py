"""What infra/aws/services.yaml says: nobody reaches the pages without a login, nor the metrics without the token."""

from typing import Any

import pytest

from tests.unit.templates import SERVICES

RESOURCES = SERVICES["Resources"]


def properties(name: str) -> Any:
    return RESOURCES[name]["Properties"]


def test_people_log_in_before_they_reach_the_pages() -> None:
    login, forward = properties("Listener")["DefaultActions"]
    assert (login["Type"], login["Order"]) == ("authenticate-oidc", 1)
    assert login["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"] == "authenticate"
    assert forward == {"Type": "forward", "Order": 2, "TargetGroupArn": {"Ref": "UiTargets"}}
    assert properties("Listener")["Protocol"] == "HTTPS"


def test_only_the_metrics_need_no_login_and_their_container_has_the_token() -> None:
    (rule,) = (one for one in RESOURCES.values() if one["Type"] == "AWS::ElasticLoadBalancingV2::ListenerRule")
    assert rule["Properties"]["Conditions"][0]["PathPatternConfig"]["Values"] == ["/metrics"]
    (container,) = properties("ExporterTask")["ContainerDefinitions"]
    assert container["Secrets"] == [{"Name": "METRICS_TOKEN", "ValueFrom": {"Ref": "MetricsTokenSecretArn"}}]


def test_the_client_secret_is_read_from_its_secret_and_is_no_parameter() -> None:
    secret = properties("Listener")["DefaultActions"][0]["AuthenticateOidcConfig"]["ClientSecret"]
    assert secret["Sub"].startswith("{{resolve:secretsmanager:")


@pytest.mark.parametrize("service", ["UiService", "ExporterService"])
def test_the_containers_have_no_public_address_and_only_the_balancer_reaches_them(service: str) -> None:
    network = properties(service)["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["AssignPublicIp"] == "DISABLED"
    rules = properties("ContainerGroup")["SecurityGroupIngress"]
    assert {rule["SourceSecurityGroupId"]["Ref"] for rule in rules} == {"BalancerGroup"}
    assert properties(service)["DeploymentConfiguration"]["DeploymentCircuitBreaker"]["Rollback"] is True


def test_the_balancer_is_not_open_to_the_internet_by_default() -> None:
    parameters = SERVICES["Parameters"]
    assert parameters["Scheme"]["Default"] == "internal" and parameters["AllowedCidr"]["Default"] != "0.0.0.0/0"
