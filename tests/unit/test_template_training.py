"""Training jobs exist only if a parameter asks for them, and their roles allow what they need and nothing else."""

import json
from typing import Any

import pytest

from tests.transformed import ROOT, deployed
from tests.unit.templates import TEMPLATE

IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/readmission/trainer:1"
JOBS = {"Training": "distributed", "TrainingImageUri": IMAGE}
VPC = {"SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-1"}
KEY = "arn:aws:kms:eu-central-1:123456789012:key/5e8a"


def statements(role: str, **parameters: object) -> list[dict[str, Any]]:
    properties = deployed(**JOBS, **parameters)[role]["Properties"]
    return [one for policy in properties["Policies"] for one in policy["PolicyDocument"]["Statement"]]


def allowed(role: str, **parameters: object) -> dict[str, list[str]]:
    """The resources of each action."""
    found: dict[str, list[str]] = {}
    for one in statements(role, **parameters):
        names = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
        for name in names:
            found.setdefault(name, []).append(one["Resource"])
    return found


def substitutions(**parameters: object) -> dict[str, Any]:
    found: dict[str, Any] = deployed(**parameters)["Pipeline"]["Properties"]["DefinitionSubstitutions"]
    return found


def test_by_default_the_function_trains_and_nothing_of_a_job_exists() -> None:
    stack = deployed()
    assert stack["TrainFunction"]["Properties"]["Environment"]["Variables"]["TRAINING"] == "lambda"
    assert "sagemaker" not in json.dumps(stack)
    assert TEMPLATE["Conditions"]["HasTrainingJobs"] and TEMPLATE["Resources"]["TrainingJobRole"]["Condition"]


def test_a_job_needs_an_image() -> None:
    rule = TEMPLATE["Rules"]["TrainingJobsHaveAnImage"]["Assertions"]
    assert "TrainingImageUri" in rule[0]["AssertDescription"]


def test_only_sagemaker_of_this_account_may_use_the_role_of_the_jobs() -> None:
    (trust,) = deployed(**JOBS)["TrainingJobRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_a_job_may_fetch_its_image_write_its_log_read_its_secrets_and_use_its_folder_of_the_bucket() -> None:
    given = allowed("TrainingJobRole", MlflowSecretName="mlflow/login", DatabasePipelineSecretName="database/pipeline")
    assert {name for name in given if not name.startswith(("ecr:", "logs:"))} == {
        "cloudwatch:PutMetricData",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "secretsmanager:GetSecretValue",
    }
    secrets = given["secretsmanager:GetSecretValue"]
    assert [secret.rpartition(":secret:")[2] for secret in secrets] == [
        "database/pipeline-??????",
        "mlflow/login-??????",
    ]
    assert {given[name][0].partition("/")[2] for name in given if name.endswith("Object")} == {"training/*"}
    (listing,) = [one for one in statements("TrainingJobRole") if one["Action"] == "s3:ListBucket"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "training/*"}}


def test_only_what_knows_no_resource_is_allowed_for_all() -> None:
    given = allowed("TrainingJobRole", **VPC)
    unlimited = {name for name, resources in given.items() if "*" in resources}
    assert {name for name in unlimited if not name.startswith("ec2:")} == {
        "cloudwatch:PutMetricData",
        "ecr:GetAuthorizationToken",
    }


def test_a_job_in_a_vpc_may_join_it_and_one_with_a_key_may_use_it() -> None:
    assert not [name for name in allowed("TrainingJobRole") if name.startswith(("ec2:", "kms:"))]
    given = allowed("TrainingJobRole", KmsKeyArn=KEY, **VPC)
    assert {name for name in given if name.startswith("kms:")} == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert {"ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission"} <= given.keys()


def test_the_state_machine_may_run_jobs_of_this_stack_and_pass_their_role_to_sagemaker() -> None:
    given = allowed("PipelineRole")
    jobs = "arn:aws:sagemaker:eu-central-1:123456789012:training-job/readmission-*"
    for name in ("Create", "Describe", "Stop"):
        assert given[f"sagemaker:{name}TrainingJob"] == [jobs]
    assert given["sagemaker:AddTags"] == [jobs]
    rule = "arn:aws:events:eu-central-1:123456789012:rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
    assert {tuple(given[f"events:{name}"]) for name in ("PutTargets", "PutRule", "DescribeRule")} == {(rule,)}
    (passing,) = [one for one in statements("PipelineRole") if one["Action"] == "iam:PassRole"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert passing["Resource"].endswith(":TrainingJobRole")


@pytest.mark.parametrize(("own", "groups"), [("", "sg-1"), ("sg-2", "sg-1,sg-2")])
def test_a_job_is_in_the_vpc_of_the_functions_and_in_groups_of_its_own(own: str, groups: str) -> None:
    given = substitutions(**JOBS, **VPC, TrainingSecurityGroupIds=own)
    assert (given["TrainingSubnetIds"], given["TrainingSecurityGroupIds"]) == ("subnet-1,subnet-2", groups)


def test_outside_a_vpc_a_job_has_no_subnets() -> None:
    assert substitutions(**JOBS)["TrainingSubnetIds"] == ""


def test_the_parameters_reach_the_job_and_the_function() -> None:
    parameters = {
        **JOBS,
        "TrainingInstanceType": "ml.r5.8xlarge",
        "TrainingInstanceCount": 5,
        "TrainingVolumeSize": 200,
        "TrainingMaxSeconds": 7200,
        "TrainingJobRows": 300_000,
    }
    given = substitutions(**parameters)
    assert (given["TrainingImage"], given["TrainingInstanceType"]) == (IMAGE, "ml.r5.8xlarge")
    assert (given["TrainingVolumeSize"], given["TrainingMaxSeconds"]) == ("200", "7200")
    # LocalStack fails on a number.
    assert {type(value) for value in given.values()} == {str}
    variables = deployed(**parameters)["TrainFunction"]["Properties"]["Environment"]["Variables"]
    assert {name: variables[name] for name in variables if name.startswith("TRAINING")} == {
        "TRAINING": "distributed",
        "TRAINING_JOB_ROWS": 300_000,
        "TRAINING_INSTANCES": 5,
        "TRAINING_JOB_SECONDS": 7200,
    }


def test_on_the_platform_the_machines_of_a_job_reach_each_other_and_nobody_else_reaches_them() -> None:
    platform = deployed(ROOT / "infra/aws/platform.yaml", MlflowImage="image")
    into, out_of = (platform[f"TrainingGroup{way}"]["Properties"] for way in ("In", "Out"))
    assert (into["GroupId"], into["SourceSecurityGroupId"], into["IpProtocol"]) == ("TrainingGroup",) * 2 + ("-1",)
    assert (out_of["GroupId"], out_of["DestinationSecurityGroupId"]) == ("TrainingGroup", "TrainingGroup")
    assert "SecurityGroupIngress" not in platform["TrainingGroup"]["Properties"]
