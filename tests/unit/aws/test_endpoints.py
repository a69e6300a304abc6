"""Whatever service of AWS is asked from the VPC has an endpoint there, because without NAT there is no other way."""

from pathlib import Path

import pytest

from tests import transformed
from tests.aws_calls import ROOT, hosts

PREFIX = f"com.amazonaws.{transformed.PSEUDO['AWS::Region']}."
APPLICATION = transformed.deployed(
    SubnetIds="subnet-1,subnet-2",
    SecurityGroupIds="sg-1",
    PatientHistory="on",
    PredictionLog="on",
    ShadowRequests="100",
    RetrainOnAlert="on",
    **transformed.IDENTITY,
)
PLATFORM = transformed.deployed(transformed.PLATFORM, MlflowImage="image", Egress="endpoints")
ENDPOINTS = {
    one["Properties"]["ServiceName"].removeprefix(PREFIX)
    for one in PLATFORM.values()
    if one["Type"] == "AWS::EC2::VPCEndpoint"
}
INSIDE = sorted(
    name.removesuffix("Function").lower()
    for name, one in (APPLICATION | PLATFORM).items()
    if one["Type"] == "AWS::Lambda::Function" and "VpcConfig" in one["Properties"]
)


@pytest.mark.parametrize("function", INSIDE)
def test_a_function_in_the_vpc_asks_only_services_that_have_an_endpoint(function: str) -> None:
    assert hosts(ROOT / "functions" / function / "app.py") <= ENDPOINTS


def test_a_training_job_asks_only_services_that_have_an_endpoint() -> None:
    training = ROOT / "layers" / "readmission" / "src" / "readmission" / "training"
    assert hosts(training / "job.py", training / "__main__.py") <= ENDPOINTS


def test_the_functions_outside_need_none() -> None:
    assert "monitor" in INSIDE and "bootstrap" in INSIDE and not {"metrics", "authorize"} & set(INSIDE)


def test_the_search_finds_clients_in_the_modules_that_a_function_uses(tmp_path: Path) -> None:
    entry = tmp_path / "app.py"
    entry.write_text(
        "import boto3\n"
        "from readmission.monitoring import notice\n"
        "def handler(event, context):\n"
        "    boto3.client('stepfunctions').list_executions()\n"
        "    notice.send(event)\n"
    )
    assert hosts(entry) == {"events", "states"}


def test_a_client_of_a_service_that_only_a_variable_names_is_not_overlooked(tmp_path: Path) -> None:
    entry = tmp_path / "app.py"
    entry.write_text("import boto3\nboto3.client(name)\n")
    with pytest.raises(ValueError, match=r"boto3\.client\(name\)"):
        hosts(entry)
