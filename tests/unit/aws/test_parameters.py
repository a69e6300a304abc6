"""The platform's outputs on their way to the application."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.parameters import NoParameters, main, parameters
from tests.unit.templates import PLATFORM, TEMPLATE


class Cloud:
    """CloudFormation with the platform's stack, each output's value being its own name."""

    def __init__(self, status: str = "CREATE_COMPLETE") -> None:
        self.status = status

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if StackName != "platform":
            error = {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
            raise ClientError({"Error": error}, "DescribeStacks")
        outputs = [{"OutputKey": name, "OutputValue": f"of-{name}"} for name in PLATFORM["Outputs"]]
        return {"Stacks": [{"StackStatus": self.status, "Outputs": outputs}]}


def test_every_output_that_is_a_parameter_is_passed_on_and_no_other() -> None:
    shared = [name for name in PLATFORM["Outputs"] if name in TEMPLATE["Parameters"]]
    assert parameters(Cloud(), "platform") == [f"{name}=of-{name}" for name in shared]
    assert {"DatabaseHost", "MlflowTrackingUri", "SubnetIds"} <= set(shared)


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"])
def test_a_stack_that_is_not_complete_has_no_parameters(status: str) -> None:
    with pytest.raises(NoParameters, match=f"in state {status}"):
        parameters(Cloud(status), "platform")


def test_a_missing_stack_is_named() -> None:
    with pytest.raises(NoParameters, match=r"The stack other cannot be read: .* does not exist"):
        parameters(Cloud(), "other")


def test_a_shell_that_points_to_localstack_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}) == 2
    assert "AWS_ENDPOINT_URL is set" in capsys.readouterr().err
