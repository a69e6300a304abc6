"""Databases and users on AWS: set up when the platform's stack is deployed, with new passwords when they are due.

Passwords rotate between two logins of each role (`access.Login.other`): the login in use keeps its password until the
rotation after the next, so no connection and no container that still uses it fails.
"""

import json
from functools import partial
from typing import TYPE_CHECKING, Final, TypedDict

import boto3

from readmission.errors import ConfigurationError
from readmission.settings import BootstrapSettings
from readmission.storage import access
from readmission.storage.database import log_in, open_connection
from readmission.storage.secrets import CONFIG

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_CURRENT: Final = "AWSCURRENT"
_PENDING: Final = "AWSPENDING"
_PASSWORD_LENGTH: Final = 40
# A database that each role may connect to.
_TRIED: Final = {access.OWNER: "raw", access.PIPELINE: "raw", access.READER: "clean", access.MLFLOW: "mlflow"}


class RotationEvent(TypedDict):
    """What Secrets Manager sends: the step, the secret's ARN, and the version that becomes the new one."""

    Step: str
    SecretId: str
    ClientRequestToken: str


def set_up(settings: BootstrapSettings) -> list[str]:
    """Make databases and users what they should be (`access.set_up`), and return the names of what was created."""
    secrets = boto3.client("secretsmanager", config=CONFIG)
    logins = [_login(secrets, secret, _CURRENT) for secret in settings.login_secrets]
    return access.set_up(partial(open_connection, settings=settings.administrator), logins)


def rotate(event: RotationEvent, settings: BootstrapSettings) -> None:
    """One of the four steps of Secrets Manager's rotation. Each may run twice.

    Raises `ConfigurationError` for a secret or a version that is not to be rotated.
    """
    steps = {"createSecret": _create, "setSecret": _set, "testSecret": _test, "finishSecret": _finish}
    if event["Step"] not in steps:
        raise ConfigurationError(f"{event['Step']!r} is not a step of a rotation: {', '.join(steps)}")
    secrets = boto3.client("secretsmanager", config=CONFIG)
    secret, token = event["SecretId"], event["ClientRequestToken"]
    if secret not in settings.login_secrets:
        raise ConfigurationError(f"the secret {secret!r} is not one of a database user")
    stages = secrets.describe_secret(SecretId=secret)["VersionIdsToStages"].get(token, [])
    if _CURRENT in stages and event["Step"] != "finishSecret":
        return
    if _CURRENT not in stages and _PENDING not in stages:
        raise ConfigurationError(f"version {token} of the secret {secret!r} is not pending")
    steps[event["Step"]](secrets, secret, token, settings)


def _create(secrets: "SecretsManagerClient", secret: str, token: str, settings: BootstrapSettings) -> None:
    try:
        secrets.get_secret_value(SecretId=secret, VersionId=token, VersionStage=_PENDING)
    except secrets.exceptions.ResourceNotFoundException:
        user = _login(secrets, secret, _CURRENT).other
        password = secrets.get_random_password(PasswordLength=_PASSWORD_LENGTH, ExcludePunctuation=True)
        secrets.put_secret_value(
            SecretId=secret,
            ClientRequestToken=token,
            SecretString=json.dumps({"username": user, "password": password["RandomPassword"]}),
            VersionStages=[_PENDING],
        )


def _set(secrets: "SecretsManagerClient", secret: str, token: str, settings: BootstrapSettings) -> None:
    login = _login(secrets, secret, _PENDING, token)
    access.change_password(partial(open_connection, settings=settings.administrator), login)


def _test(secrets: "SecretsManagerClient", secret: str, token: str, settings: BootstrapSettings) -> None:
    login = _login(secrets, secret, _PENDING, token)
    credentials = {"username": login.user, "password": login.password}
    connection = log_in(_TRIED[login.role], settings.administrator, credentials)
    try:
        connection.run("SELECT 1")
    finally:
        connection.close()


def _finish(secrets: "SecretsManagerClient", secret: str, token: str, settings: BootstrapSettings) -> None:
    stages = secrets.describe_secret(SecretId=secret)["VersionIdsToStages"]
    (current,) = (version for version, names in stages.items() if _CURRENT in names)
    if current != token:
        secrets.update_secret_version_stage(
            SecretId=secret, VersionStage=_CURRENT, MoveToVersionId=token, RemoveFromVersionId=current
        )
    if _login(secrets, secret, _CURRENT).role == access.MLFLOW:
        # Its container has the login from its start. The old one works until the next rotation.
        boto3.client("ecs", config=CONFIG).update_service(
            cluster=settings.mlflow_cluster, service=settings.mlflow_service, forceNewDeployment=True
        )


def _login(secrets: "SecretsManagerClient", secret: str, stage: str, token: str | None = None) -> access.Login:
    version = {"VersionId": token} if token else {}
    value = secrets.get_secret_value(SecretId=secret, VersionStage=stage, **version)["SecretString"]
    try:
        document = json.loads(value)
        return access.Login(document["username"], document["password"])
    except (ValueError, TypeError, LookupError):
        raise ConfigurationError(f"the secret {secret!r} must be a JSON object with username and password") from None
