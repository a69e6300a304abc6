"""The stack that `sam deploy` created on the platform's LocalStack."""

from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.settings import Settings

NAME = "readmission"
STAGE = "v1"


@dataclass(frozen=True)
class Stack:
    api_id: str
    api_key: str
    api_url: str
    metrics_token: str
    pipeline_arn: str
    data_bucket: str
    tags: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)
    """All that the stack tells, by the names in the template."""


def find(settings: Settings) -> Stack | None:
    """The deployed stack; None if there is none or its deployment is incomplete.

    Raises LocalError if LocalStack does not answer.
    """
    try:
        (found,) = aws.client(settings, "cloudformation").describe_stacks(StackName=NAME)["Stacks"]
    except ClientError:
        return None
    except BotoCoreError as error:
        raise LocalError(f"LocalStack does not answer ({error}). Start the platform: make up") from error
    if found["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    key = aws.client(settings, "apigateway").get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)
    return Stack(
        metrics_token=_metrics_token(settings, outputs.get("MetricsTokenSecret", "")),
        api_id=outputs["ApiId"],
        api_key=key["value"],
        api_url=f"https://localhost:{settings.localstack_port}/_aws/execute-api/{outputs['ApiId']}/{STAGE}",
        pipeline_arn=outputs["PipelineArn"],
        data_bucket=outputs["DataBucketName"],
        tags={tag["Key"]: tag["Value"] for tag in found.get("Tags", [])},
        outputs=outputs,
    )


def _metrics_token(settings: Settings, secret: str) -> str:
    """Empty for a stack from a release without the exporter."""
    if not secret:
        return ""
    value: str = aws.client(settings, "secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    return value


def get(settings: Settings) -> Stack:
    """Raises LocalError if the application is not deployed."""
    if stack := find(settings):
        return stack
    raise LocalError("The application is not deployed. Deploy it: make deploy")
