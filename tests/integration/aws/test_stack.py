"""The platform's stack created on moto, with what moto cannot do named here and asserted on the template's text."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.rds.models import DBParameterGroup

from infra.aws.parameters import parameters
from tests.transformed import PACKAGED, PLATFORM, transformed

# Asserted in tests/unit/aws/test_platform.py, as are the deletion protection, the network mode
# and the bucket's versions.
NOT_IN_MOTO = {
    "AWS::S3::BucketPolicy",
    "AWS::SecretsManager::Secret",
    "AWS::SecretsManager::RotationSchedule",
    "AWS::EC2::SecurityGroupEgress",
}
# moto would run the function's code in Docker; tests/integration/readmission/storage/test_provisioning.py runs it.
NOT_RUN = "Custom::Databases"
# Created, as the test sees elsewhere, but without an id in the list of resources.
WITHOUT_ID = {
    "AWS::RDS::DBSubnetGroup",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::EC2::SecurityGroupIngress",
}
OF_NAT = {f"AWS::EC2::{name}" for name in ("InternetGateway", "VPCGatewayAttachment", "Route", "EIP", "NatGateway")}


def _for_moto(value: Any) -> Any:
    """Replaces the two functions that moto does not know."""
    if isinstance(value, list):
        return [_for_moto(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Cidr" in value:
        return [f"10.64.{4 * number}.0/24" for number in range(4)]
    if "MasterUserSecret" in str(value.get("Fn::GetAtt")):
        return "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-1-abcdef"
    return {name: _for_moto(one) for name, one in value.items()}


@cache
def _template() -> dict[str, Any]:
    template: dict[str, Any] = _for_moto(transformed(PLATFORM))
    resources = template["Resources"]
    (custom,) = (name for name, one in resources.items() if one["Type"] == NOT_RUN)
    del resources[custom]
    for one in resources.values():
        if isinstance(one.get("DependsOn"), list):
            one["DependsOn"] = [name for name in one["DependsOn"] if name != custom]
    return template


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # In moto, a reference to a parameter group is an object instead of its name.
    monkeypatch.setattr(DBParameterGroup, "physical_resource_id", property(lambda group: group.name), raising=False)
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=PACKAGED)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("app.py", "")
        for key in re.findall(r'"S3Key": "([^"]+)"', json.dumps(_template())):
            s3.put_object(Bucket=PACKAGED, Key=key, Body=archive.getvalue())
        yield


def _create(**parameters: str) -> set[str]:
    """Returns the types of what was created."""
    client = boto3.client("cloudformation")
    given = {"MlflowImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlflow:1", **parameters}
    client.create_stack(
        StackName="platform",
        TemplateBody=json.dumps(_template()),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
    )
    assert client.describe_stacks(StackName="platform")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    resources = client.describe_stack_resources(StackName="platform")["StackResources"]
    return {one["ResourceType"] for one in resources if "PhysicalResourceId" in one}


@pytest.mark.usefixtures("account")
@pytest.mark.filterwarnings("ignore")
def test_the_stack_of_an_empty_account() -> None:
    created = _create()
    types = {one["Type"] for one in _template()["Resources"].values()}
    assert types - created == NOT_IN_MOTO | OF_NAT | WITHOUT_ID
    assert len(boto3.client("rds").describe_db_subnet_groups()["DBSubnetGroups"]) == 1
    assert len(boto3.client("lambda").list_layers()["Layers"]) == 2
    groups = boto3.client("ec2").describe_security_groups()["SecurityGroups"]
    (training,) = (one for one in groups if one["Description"].startswith("The machines of a training job"))
    ((pair,),) = (rule["UserIdGroupPairs"] for rule in training["IpPermissions"])
    assert pair["GroupId"] == training["GroupId"]

    (database,) = boto3.client("rds").describe_db_instances()["DBInstances"]
    wanted = {
        "PubliclyAccessible": False,
        "StorageEncrypted": True,
        "BackupRetentionPeriod": 14,
        "MultiAZ": False,
        "DBInstanceClass": "db.t4g.small",
    }
    assert {name: database[name] for name in wanted} == wanted  # type: ignore[literal-required]

    ecs = boto3.client("ecs")
    (service,) = ecs.describe_services(cluster="platform", services=["mlflow"])["services"]
    task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    assert int(task["memory"]) == 2048
    (balancer,) = boto3.client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert balancer["Scheme"] == "internal"

    ec2 = boto3.client("ec2")
    endpoints = [one["VpcEndpointType"] for one in ec2.describe_vpc_endpoints()["VpcEndpoints"]]
    assert sorted(endpoints) == ["Gateway", *["Interface"] * 8]
    zones = {
        one["AvailabilityZone"]
        for one in ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["platform-private-*"]}])["Subnets"]
    }
    assert len(zones) == 2

    buckets = {one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]}
    assert "platform-artifacts-123456789012-us-east-1" in buckets

    passed_on = dict(one.split("=", 1) for one in parameters(boto3.client("cloudformation"), "platform"))
    assert passed_on["DatabaseTls"] == "verify-full"
    assert passed_on["MlflowReaderSecretName"] == "platform/mlflow/reader"
    assert len(passed_on["SubnetIds"].split(",")) == 2
    # The shell splits them at spaces.
    assert all(value and " " not in value for value in passed_on.values())


@pytest.mark.usefixtures("account")
@pytest.mark.filterwarnings("ignore")
def test_one_nat_gateway_instead_of_the_endpoints() -> None:
    assert "AWS::EC2::NatGateway" in _create(Egress="nat")
    endpoints = [one["VpcEndpointType"] for one in boto3.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]]
    assert endpoints == ["Gateway"]


@pytest.mark.usefixtures("account")
@pytest.mark.filterwarnings("ignore")
def test_subnets_and_a_bucket_that_exist_are_used() -> None:
    ec2 = boto3.client("ec2")
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    boto3.client("s3").create_bucket(Bucket="readmission-mlflow-123456789012")
    created = _create(
        VpcId=vpc["VpcId"], SubnetIds=",".join(subnets), ExistingArtifactBucket="readmission-mlflow-123456789012"
    )
    assert created.isdisjoint({"AWS::EC2::VPC", "AWS::EC2::VPCEndpoint", "AWS::S3::Bucket"})
    (database,) = boto3.client("rds").describe_db_instances()["DBInstances"]
    group = database["DBSubnetGroup"]
    assert {one["SubnetIdentifier"] for one in group["Subnets"]} == set(subnets)
