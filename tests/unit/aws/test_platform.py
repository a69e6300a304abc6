"""What infra/aws/platform.yaml says, above all where no emulator makes the resource."""

from collections.abc import Iterator
from typing import Any

import pytest
from readmission.settings import BootstrapSettings
from readmission.storage import access

from infra import mlflow_server
from infra.containers import images
from tests.unit.templates import PLATFORM, SERVICES, TEMPLATE

RESOURCES = PLATFORM["Resources"]
SECRETS = {
    "OwnerSecret": access.OWNER,
    "PipelineSecret": access.PIPELINE,
    "ReaderSecret": access.READER,
    "MlflowDatabaseSecret": access.MLFLOW,
}
LOGINS = [{"Ref": name} for name in SECRETS]


def stage(target: str) -> str:
    """The part of the Containerfile that makes an image."""
    return images.CONTAINERFILE.read_text().split(f" AS {target}\n")[1].split("\nFROM ")[0]


def properties(name: str) -> Any:
    return RESOURCES[name]["Properties"]


def statements(name: str) -> Iterator[dict[str, Any]]:
    for policy in properties(name)["Policies"]:
        if isinstance(policy, dict):
            yield from policy.get("PolicyDocument", policy)["Statement"]


# ---------------------------------------------------------------- Postgres
def test_postgres_is_private_encrypted_and_speaks_tls_alone() -> None:
    database = properties("DatabaseInstance")
    assert database["PubliclyAccessible"] is False and database["StorageEncrypted"] is True
    assert database["DBParameterGroupName"] == {"Ref": "DatabaseParameters"}
    assert properties("DatabaseParameters")["Parameters"]["rds.force_ssl"] == "1"
    assert {rule["SourceSecurityGroupId"]["Ref"] for rule in properties("DatabaseGroup")["SecurityGroupIngress"]} == {
        "FunctionGroup",
        "MlflowGroup",
    }


def test_the_database_is_backed_up_protected_and_leaves_a_snapshot() -> None:
    assert RESOURCES["DatabaseInstance"]["DeletionPolicy"] == "Snapshot"
    assert RESOURCES["DatabaseInstance"]["UpdateReplacePolicy"] == "Snapshot"
    assert properties("DatabaseInstance")["BackupRetentionPeriod"] == {"Ref": "DatabaseBackupDays"}
    assert PLATFORM["Parameters"]["DatabaseBackupDays"]["MinValue"] > 0
    assert properties("DatabaseInstance")["DeletionProtection"] == {"If": ["IsProtected", True, False]}
    assert PLATFORM["Conditions"]["IsProtected"] == {"Equals": [{"Ref": "DatabaseDeletionProtection"}, "on"]}
    assert PLATFORM["Parameters"]["DatabaseDeletionProtection"]["Default"] == "on"


def test_no_password_is_a_parameter_or_in_the_template() -> None:
    assert properties("DatabaseInstance")["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in properties("DatabaseInstance")
    assert not [name for name, one in PLATFORM["Parameters"].items() if "NoEcho" in one]


# ---------------------------------------------------------------- users
@pytest.mark.parametrize("name", SECRETS)
def test_a_users_secret_has_its_role_and_a_password_that_fits_into_a_url(name: str) -> None:
    generated = properties(name)["GenerateSecretString"]
    assert generated["SecretStringTemplate"] == f'{{"username": "{SECRETS[name]}"}}'
    assert generated["GenerateStringKey"] == "password" and generated["PasswordLength"] >= 32
    assert generated["ExcludePunctuation"] is True


@pytest.mark.parametrize("name", SECRETS)
def test_every_users_password_rotates_once_the_databases_are_there(name: str) -> None:
    (rotation,) = (
        one
        for one in RESOURCES.values()
        if one["Type"] == "AWS::SecretsManager::RotationSchedule" and one["Properties"]["SecretId"] == {"Ref": name}
    )
    assert rotation["Condition"] == "Rotates" and "Databases" in rotation["DependsOn"]
    assert rotation["Properties"]["RotationLambdaARN"] == {"GetAtt": "BootstrapFunction.Arn"}


def test_only_secrets_manager_in_this_account_may_call_the_bootstrap_function() -> None:
    permission = properties("RotationPermission")
    assert permission["Principal"] == "secretsmanager.amazonaws.com"
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}


def test_the_bootstrap_function_has_the_settings_that_it_reads() -> None:
    variables = properties("BootstrapFunction")["Environment"]["Variables"]
    assert BootstrapSettings.from_environment({name: "5432" for name in variables} | {"DATABASE_TLS": "verify-full"})
    assert variables["DATABASE_TLS"] == "verify-full"
    assert variables["LOGIN_SECRETS"] == {"Join": [",", LOGINS]}


def test_the_bootstrap_function_may_do_what_its_code_does_and_no_more() -> None:
    may = {
        tuple([one["Action"]] if isinstance(one["Action"], str) else one["Action"]): one["Resource"]
        for one in statements("BootstrapFunction")
    }
    administrator = {"GetAtt": "DatabaseInstance.MasterUserSecret.SecretArn"}
    service = "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:service/${AWS::StackName}/mlflow"
    assert may == {
        ("secretsmanager:GetSecretValue",): administrator,
        (
            "secretsmanager:GetSecretValue",
            "secretsmanager:DescribeSecret",
            "secretsmanager:PutSecretValue",
            "secretsmanager:UpdateSecretVersionStage",
        ): LOGINS,
        ("secretsmanager:GetRandomPassword",): "*",
        ("ecs:UpdateService",): {"Sub": service},
    }


# ---------------------------------------------------------------- MLflow
def test_mlflow_has_two_gigabytes_and_a_deployment_that_fails_is_taken_back() -> None:
    assert min(PLATFORM["Parameters"]["MlflowMemory"]["AllowedValues"]) >= 2048
    assert properties("MlflowTask")["NetworkMode"] == "awsvpc"
    breaker = properties("MlflowService")["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
    assert breaker == {"Enable": True, "Rollback": True}


def test_mlflow_starts_only_once_its_database_is_there() -> None:
    assert set(RESOURCES["MlflowService"]["DependsOn"]) == {"Listener", "Databases"}


def test_mlflow_reads_and_writes_its_artifacts_and_nothing_else() -> None:
    may = [(one["Action"], one["Resource"]["Sub"][0]) for one in statements("MlflowRole")]
    assert may == [
        ("s3:ListBucket", "arn:${AWS::Partition}:s3:::${Bucket}"),
        (["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "arn:${AWS::Partition}:s3:::${Bucket}/artifacts/*"),
    ]


def test_fargate_reads_the_secrets_of_mlflow_alone() -> None:
    (resources,) = (
        one["Resource"] for one in statements("MlflowExecutionRole") if one["Action"] == "secretsmanager:GetSecretValue"
    )
    users = ("MlflowSecret", "MlflowPipelineSecret", "MlflowReaderSecret")
    assert resources == [{"Ref": name} for name in ("MlflowDatabaseSecret", *users, "MlflowSessionSecret")]


def test_every_user_of_mlflow_has_a_secret_and_the_application_gets_that_of_no_administrator() -> None:
    (container,) = properties("MlflowTask")["ContainerDefinitions"]
    given = {one["Name"]: one["ValueFrom"] for one in container["Secrets"]}
    for role in mlflow_server.USERS:
        name = f"Mlflow{role.capitalize()}Secret"
        generated = properties(name)["GenerateSecretString"]
        assert generated["SecretStringTemplate"] == f'{{"username": "{role.lower()}"}}'
        assert given[f"MLFLOW_{role}_PASSWORD"] == {"Sub": f"${{{name}}}:password::"}
    administrator = properties("MlflowSecret")["Name"]
    assert administrator not in [one["Value"] for one in PLATFORM["Outputs"].values()]


@pytest.mark.parametrize("template", [PLATFORM, SERVICES], ids=["platform", "services"])
def test_a_container_writes_to_its_temporary_folder_alone(template: Any) -> None:
    tasks = [one["Properties"] for one in template["Resources"].values() if one["Type"].endswith("::TaskDefinition")]
    assert tasks
    for task in tasks:
        (container,) = task["ContainerDefinitions"]
        assert container["ReadonlyRootFilesystem"] is True
        assert container["MountPoints"] == [{"SourceVolume": "tmp", "ContainerPath": "/tmp"}]
        assert task["Volumes"] == [{"Name": "tmp"}]
        # Fargate gives the volume the owner and the mode of the image only if the image declares it.
        assert 'VOLUME ["/tmp"]' in stage(container["Name"])


def test_mlflow_verifies_the_certificate_of_rds() -> None:
    (container,) = properties("MlflowTask")["ContainerDefinitions"]
    assert {"Name": "DATABASE_TLS", "Value": "verify-full"} in container["Environment"]
    assert "Command" not in container and "EntryPoint" not in container


def test_no_role_may_do_everything_or_use_every_resource_but_where_iam_knows_none() -> None:
    without_resource = {"secretsmanager:GetRandomPassword", "ecr:GetAuthorizationToken"}
    for name in ("BootstrapFunction", "MlflowRole", "MlflowExecutionRole"):
        for one in statements(name):
            actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
            assert not [action for action in actions if "*" in action]
            assert one["Resource"] != "*" or set(actions) <= without_resource


# ---------------------------------------------------------------- artifacts
def test_the_artifact_bucket_is_versioned_encrypted_and_kept() -> None:
    bucket = RESOURCES["ArtifactBucket"]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate" and bucket["UpdateReplacePolicy"] == "Retain"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert "${AWS::Region}" in bucket["Properties"]["BucketName"]["Sub"]


def test_every_request_to_the_bucket_without_tls_is_denied() -> None:
    (statement,) = properties("ArtifactBucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [one["Sub"][0] for one in statement["Resource"]] == [
        "arn:${AWS::Partition}:s3:::${Bucket}",
        "arn:${AWS::Partition}:s3:::${Bucket}/*",
    ]


def test_the_application_has_no_artifact_bucket_any_more() -> None:
    assert "ArtifactBucket" not in TEMPLATE["Resources"]


# ---------------------------------------------------------------- network
def test_every_service_that_the_functions_and_fargate_call_has_an_endpoint() -> None:
    services = {
        one["Properties"]["ServiceName"]["Sub"].removeprefix("com.amazonaws.${AWS::Region}.")
        for one in RESOURCES.values()
        if one["Type"] == "AWS::EC2::VPCEndpoint"
    }
    assert services == {"s3", "secretsmanager", "ecr.api", "ecr.dkr", "logs", "monitoring", "sqs", "events", "ecs"}


def test_nothing_is_open_to_the_internet() -> None:
    for name, one in RESOURCES.items():
        for rule in one.get("Properties", {}).get("SecurityGroupIngress", []):
            assert "CidrIp" not in rule or rule["CidrIp"] == {"Ref": "VpcCidr"}, name
    assert properties("Balancer")["Scheme"] == "internal"
    assert properties("MlflowService")["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"


# ---------------------------------------------------------------- the application
PASSED_ON = (
    "DatabaseSecretName",
    "DatabasePipelineSecretName",
    "DatabaseReaderSecretName",
    "DatabaseHost",
    "DatabasePort",
    "DatabaseTls",
    "MlflowTrackingUri",
    "MlflowSecretName",
    "MlflowReaderSecretName",
    "SubnetIds",
    "SecurityGroupIds",
)


def test_the_outputs_are_parameters_of_the_application() -> None:
    assert set(PASSED_ON) <= PLATFORM["Outputs"].keys() & TEMPLATE["Parameters"].keys()


@pytest.mark.parametrize("output", [name for name in PLATFORM["Outputs"] if name.endswith("SecretName")])
def test_an_output_names_a_secret_of_the_stack(output: str) -> None:
    names = [one["Properties"].get("Name") for one in RESOURCES.values() if one["Type"].endswith("::Secret")]
    assert PLATFORM["Outputs"][output]["Value"] in names
