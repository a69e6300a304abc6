"""The bootstrap function's work on a real Postgres that requires TLS, with RDS's form of certificates."""

import datetime
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto import mock_aws
from moto.secretsmanager.models import SecretsManagerBackend
from readmission import storage
from readmission.errors import ConfigurationError, DatabaseUnavailable
from readmission.settings import BootstrapSettings, DatabaseSettings
from readmission.storage import access, database, provisioning
from readmission.storage.database import connect

from infra import mlflow_server
from infra.local.servers import postgres
from infra.local.settings import ROOT, Settings
from tests.integration.readmission.storage.servers import running

HOST = "localhost"
RDS_AUTHORITIES = Path(storage.__file__).with_name("rds-global-bundle.pem")
# MLflow's connection to its database, with the authorities of the argument.
CONNECTED = """
import os, sys
from sqlalchemy import create_engine, text
from infra.mlflow_server import connect_by_variables


connect_by_variables(os.environ, sys.argv[1])
with create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"]).connect() as connection:
    print(connection.execute(text("SELECT current_database()")).scalar())
"""


# ---------------------------------------------------------------- certificates
def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _signed(common: str, key: Any, issuer: str, issuer_key: Any, authority: bool) -> x509.Certificate:
    """Extensions as RDS has them: critical constraints and usage; only the root has no authority key identifier."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False), critical=True
        )
    )
    if common != issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root, and the files of a server whose certificate an authority below the root has signed."""
    folder = tmp_path_factory.mktemp("certificates")
    root, subordinate, server = (ec.generate_private_key(ec.SECP384R1()) for _ in range(3))
    chain = [
        _signed(HOST, server, "Subordinate CA", subordinate, authority=False),
        _signed("Subordinate CA", subordinate, "Root CA", root, authority=True),
    ]
    top = _signed("Root CA", root, "Root CA", root, authority=True)
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(top.public_bytes(pem))
    (folder / "server.pem").write_bytes(b"".join(one.public_bytes(pem) for one in chain))
    key = server.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(key)
    return folder


# ---------------------------------------------------------------- server
_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)


class TlsFront:
    """Speaks TLS with clients and passes everything on to Postgres, whose local build has no TLS.

    Like RDS with rds.force_ssl, it hangs up on who does not ask for TLS.
    """

    def __init__(self, target: int, certificates: Path) -> None:
        self.target = target
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                return
            client.sendall(b"S")
            with (
                self.context.wrap_socket(client, server_side=True) as outside,
                socket.create_connection(("127.0.0.1", self.target)) as inside,
            ):
                # A request is answered before the next comes, so one thread passes on what there is on either side.
                while True:
                    ready, _, _ = select.select([] if outside.pending() else [outside, inside], [], [])
                    for source, target in ((outside, inside), (inside, outside)):
                        if source in ready or (source is outside and outside.pending()):
                            data = source.recv(1 << 16)
                            if not data:
                                return
                            target.sendall(data)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("provisioning")
    with running(folder / ".local", ["-c", "fsync=off"]) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def front(server: Settings, certificates: Path) -> Iterator[TlsFront]:
    made = TlsFront(server.postgres_port, certificates)
    yield made
    made.listener.close()


# ---------------------------------------------------------------- secrets
def _secret(name: str, user: str, password: str) -> str:
    value = json.dumps({"username": user, "password": password})
    arn: str = boto3.client("secretsmanager").create_secret(Name=name, SecretString=value)["ARN"]
    return arn


def _user(secret: str) -> str:
    value = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    return str(value["username"])


_get_secret_value = SecretsManagerBackend.get_secret_value


def _current(backend: Any, secret_id: str, version_id: str, version_stage: str) -> Any:
    """Without a version, the current one, as in Secrets Manager. The emulator gives the first."""
    stage = version_stage if version_id or version_stage else "AWSCURRENT"
    return _get_secret_value(backend, secret_id, version_id, stage)


@pytest.fixture
def settings(
    server: Settings, front: TlsFront, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BootstrapSettings]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(database, "_RDS_AUTHORITIES", str(certificates / "root.pem"))
    monkeypatch.setattr(SecretsManagerBackend, "get_secret_value", _current)
    database._credentials.cache_clear()
    with mock_aws():
        ecs = boto3.client("ecs")
        ecs.create_cluster(clusterName="platform")
        container = {"name": "mlflow", "image": "mlflow", "memory": 2048}
        ecs.register_task_definition(family="mlflow", containerDefinitions=[container])
        ecs.create_service(cluster="platform", serviceName="mlflow", taskDefinition="mlflow", desiredCount=1)
        superuser = postgres._superuser(server)
        administrator = _secret("administrator", superuser.user, superuser.password)
        logins = [_secret(role, role, f"first of {role}") for role in access.ROLES]
        yield BootstrapSettings(
            DatabaseSettings(administrator, "verify-full", HOST, front.port),
            tuple(logins),
            "platform",
            "mlflow",
        )
    database._credentials.cache_clear()


def _of(settings: BootstrapSettings, secret: str) -> DatabaseSettings:
    return DatabaseSettings(secret, "verify-full", HOST, settings.administrator.port)


class Secrets:
    """Lists the pending version before it has a value, as Secrets Manager does and the emulator does not."""

    def __init__(self, secret: str, token: str) -> None:
        self.client = boto3.Session().client("secretsmanager")
        self.secret, self.token = secret, token

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def describe_secret(self, SecretId: str) -> dict[str, Any]:
        stages = self.client.describe_secret(SecretId=SecretId)["VersionIdsToStages"]
        return {"VersionIdsToStages": {self.token: ["AWSPENDING"], **stages} if SecretId == self.secret else stages}


class Rotation:
    """Calls the function as Secrets Manager does."""

    def __init__(self, settings: BootstrapSettings, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings, self.secret, self.token = settings, secret, str(uuid4())
        secrets, original = Secrets(secret, self.token), provisioning.boto3.client
        monkeypatch.setattr(
            provisioning,
            "boto3",
            SimpleNamespace(client=lambda name, **_: secrets if name == "secretsmanager" else original(name)),
        )

    def run(self, *steps: str) -> None:
        for step in steps:
            for _ in range(2):  # each may run twice
                event: provisioning.RotationEvent = {
                    "Step": f"{step}Secret",
                    "SecretId": self.secret,
                    "ClientRequestToken": self.token,
                }
                provisioning.rotate(event, self.settings)


def test_everything_is_set_up_over_verified_tls(settings: BootstrapSettings) -> None:
    provisioning.set_up(settings)
    for secret, name in zip(settings.login_secrets, ("raw", "raw", "mlflow", "clean"), strict=True):
        with connect(name, _of(settings, secret)) as connection:  # type: ignore[arg-type]
            assert connection.run("SELECT current_database()") == [[name]]


def test_a_server_that_another_authority_vouches_for_is_refused(
    settings: BootstrapSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_RDS_AUTHORITIES", "rds-global-bundle.pem")
    with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
        provisioning.set_up(settings)


def test_a_server_of_another_name_is_refused(settings: BootstrapSettings) -> None:
    address = DatabaseSettings(settings.administrator.secret, "verify-full", "127.0.0.1", settings.administrator.port)
    with pytest.raises(DatabaseUnavailable, match="IP address mismatch"):
        database.open_connection("postgres", address)


@pytest.mark.parametrize(
    ("host", "authorities", "refused"),
    [
        (HOST, "root.pem", None),
        (HOST, None, "certificate verify failed"),
        ("127.0.0.1", "root.pem", "IP address mismatch"),
    ],
    ids=["RDS", "another authority", "another name"],
)
def test_mlflow_verifies_the_certificate_of_its_database(
    settings: BootstrapSettings,
    certificates: Path,
    host: str,
    authorities: str | None,
    refused: str | None,
) -> None:
    provisioning.set_up(settings)
    port, password = settings.administrator.port, f"first of {access.MLFLOW}"
    variables = mlflow_server.environment(host, int(port or 0), access.MLFLOW, password, "verify-full")
    assert mlflow_server._AUTHORITIES.samefile(RDS_AUTHORITIES)
    known = str(certificates / authorities) if authorities else str(RDS_AUTHORITIES)
    # In a process of its own, because it changes every engine of its process.
    connected = subprocess.run(
        [sys.executable, "-c", CONNECTED, known],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (connected.stdout.strip() == "mlflow") is not bool(refused)
    assert refused is None or refused in connected.stderr


def test_a_connection_without_tls_is_refused_by_the_server(settings: BootstrapSettings) -> None:
    plain = DatabaseSettings(settings.administrator.secret, "disable", HOST, settings.administrator.port)
    with pytest.raises(DatabaseUnavailable, match="database 'postgres': "):
        database.open_connection("postgres", plain)


@pytest.mark.parametrize("number", range(4), ids=access.ROLES)
def test_a_rotation_breaks_neither_who_has_the_old_login_nor_who_reads_the_new_one(
    settings: BootstrapSettings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    provisioning.set_up(settings)
    secret, name = settings.login_secrets[number], ("raw", "raw", "mlflow", "clean")[number]
    first = {"username": _user(secret), "password": f"first of {access.ROLES[number]}"}
    Rotation(settings, secret, monkeypatch).run("create", "set", "test", "finish")
    assert _user(secret) == f"{access.ROLES[number]}_2"
    database.log_in(name, settings.administrator, first).close()
    database._credentials.cache_clear()
    with connect(name, _of(settings, secret)) as connection:  # type: ignore[arg-type]
        ((user, role),) = connection.run("SELECT session_user, current_user")
    assert (user, role) == (f"{access.ROLES[number]}_2", access.ROLES[number])
    # The stack can be updated after a rotation.
    assert provisioning.set_up(settings) == []


def test_the_rotation_after_the_next_ends_the_first_login_and_a_function_that_still_has_it_reads_the_secret(
    settings: BootstrapSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    provisioning.set_up(settings)
    secret = settings.login_secrets[1]
    with connect("raw", _of(settings, secret)):
        pass  # the login is cached now
    for _ in range(2):
        with monkeypatch.context() as patch:
            Rotation(settings, secret, patch).run("create", "set", "test", "finish")
    assert _user(secret) == access.PIPELINE
    first = {"username": access.PIPELINE, "password": f"first of {access.PIPELINE}"}
    assert database._credentials(secret) == first
    with pytest.raises(DatabaseUnavailable, match="password authentication failed"):
        database.log_in("raw", settings.administrator, first)
    with connect("raw", _of(settings, secret)) as connection:
        assert connection.run("SELECT session_user") == [[access.PIPELINE]]


def test_only_a_rotation_of_mlflows_login_restarts_mlflow(
    settings: BootstrapSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    provisioning.set_up(settings)
    restarted: list[dict[str, Any]] = []
    ecs = SimpleNamespace(update_service=lambda **arguments: restarted.append(arguments))
    monkeypatch.setattr(provisioning, "boto3", SimpleNamespace(client=lambda name, **_: ecs))
    for secret in settings.login_secrets:
        with monkeypatch.context() as patch:
            Rotation(settings, secret, patch).run("create", "set", "test", "finish")
    wanted = {"cluster": "platform", "service": "mlflow", "forceNewDeployment": True}
    assert restarted == [wanted, wanted]  # once for each time that the last step ran


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Step": "dropSecret"}, "'dropSecret' is not a step"),
        ({"SecretId": "another"}, "'another' is not one of a database user"),
        ({"ClientRequestToken": "other"}, "version other of the secret .* is not pending"),
    ],
)
def test_a_rotation_of_something_else_is_refused(
    settings: BootstrapSettings, changed: dict[str, str], message: str
) -> None:
    event = {"Step": "setSecret", "SecretId": settings.login_secrets[0], "ClientRequestToken": "token", **changed}
    with pytest.raises(ConfigurationError, match=message):
        provisioning.rotate(event, settings)  # type: ignore[arg-type]
