"""Starts the platform. Every step checks what is missing and does only that."""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError
from readmission.storage import access

from infra.local import aws, files, stack
from infra.local.errors import LocalError
from infra.local.lifecycle import application, down, ports, snapshot
from infra.local.lifecycle.lock import only_one
from infra.local.lifecycle.repair import CannotDelete
from infra.local.servers import mirror, postgres, processes, programs, prometheus, ready, supervision
from infra.local.settings import Settings, record, refuse_other_settings
from infra.local.terminal import step, table

SECRETS = {
    "readmission/database": access.OWNER,
    "readmission/database/pipeline": access.PIPELINE,
    "readmission/database/reader": access.READER,
}
"""The secrets with database logins, and the role of each. MLflow's login is in its environment."""

PORTS: dict[str, tuple[str, Callable[[Settings], int]]] = {
    "postgres": ("POSTGRES_PORT", lambda settings: settings.postgres_port),
    "localstack": ("LOCALSTACK_PORT", lambda settings: settings.localstack_port),
    "mlflow": ("MLFLOW_PORT", lambda settings: settings.mlflow_port),
    "prometheus": ("PROMETHEUS_PORT", lambda settings: settings.prometheus_port),
}


def put_secrets(settings: Settings) -> str:
    """Tells the application where its database is, and who may do what there."""
    client = aws.client(settings, "secretsmanager")
    for name, role in SECRETS.items():
        server = postgres.database(settings, role)
        value = {
            "engine": "postgres",
            "host": server.host,
            "port": server.port,
            "username": server.user,
            "password": server.password,
        }
        try:
            client.create_secret(Name=name, SecretString=json.dumps(value))
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=name, SecretString=json.dumps(value))
    return ", ".join(SECRETS)


def make_artifact_bucket(settings: Settings) -> str:
    """The bucket that MLflow writes to; on AWS, the platform's stack has it."""
    aws.client(settings, "s3").create_bucket(Bucket=programs.ARTIFACT_BUCKET)
    return programs.ARTIFACT_BUCKET


# How a new LocalStack is filled, in this order: the step's name, what it is doing, and the function, which returns a
# summary. The mirror starts after them. If one fails, the next `up` repeats them all.
AFTER_LOCALSTACK: list[tuple[str, str, Callable[[Settings], str]]] = [
    ("restore", "restoring the deployed application", application.restore),
    ("secrets", "storing the database logins in Secrets Manager", put_secrets),
    ("artifacts", "making MLflow's bucket", make_artifact_bucket),
    ("stack", "deploying what could not be restored", application.redeploy),
    ("s3", "restoring objects", mirror.restore),
]


NEXT_COMMANDS = """\
Next:
  make deploy    build the application and deploy it
  make status    what is running
  make logs      follow the servers' logs
  make down      stop everything and keep all data"""


def up(settings: Settings) -> None:
    """Starts what is down and prints the addresses. Raises LocalError as `start` does."""
    start(settings)
    print(f"\n{addresses(settings)}\n\n{NEXT_COMMANDS}")


def start(settings: Settings) -> None:
    """Raises LocalError, naming the server that failed and the cause."""
    with only_one(settings):
        _start_supervisor(settings)
        if settings.external_servers:
            _use_external(settings)
            return
        _start_database(settings)
        doing = _doing(settings, "mlflow")
        mlflow_is_ready = _start(settings, "mlflow")
        _start_localstack(settings)
        with step("mlflow", doing) as outcome:
            mlflow_is_ready()
            outcome.text = f"ready on {settings.mlflow_url}"
        ready.wait(settings, "s3-mirror")
        _start_prometheus(settings)


def deploy(settings: Settings) -> stack.Stack:
    """Starts what is down and deploys the application, if need be to a new LocalStack. Raises LocalError as `start` and
    `application.deploy` do."""
    start(settings)
    try:
        return application.deploy(settings)
    except CannotDelete:
        _stop_localstack(settings)
    start(settings)
    return application.deploy(settings)


def _stop_localstack(settings: Settings) -> None:
    """Its mirror first, whose last pass saves the newest objects."""
    if settings.external_servers:
        raise LocalError("LocalStack cannot delete the failed stack. Restart LocalStack, then run: make up")
    with only_one(settings), step("localstack", "replacing it, as it cannot delete the failed stack") as outcome:
        for program in ("s3-mirror", "localstack"):
            if supervision.states(settings)[program].may_run:
                supervision.stop_program(settings, program)
        outcome.text = "stopped"


def addresses(settings: Settings) -> str:
    server = postgres.database(settings)
    deployed = stack.find(settings)
    api = [("API", deployed.api_url, "the deployed application; make env prints its key")] if deployed else []
    observed = [("Prometheus", settings.prometheus_url, "metrics and alerts")] if _observes(settings) else []
    return table(
        [
            *api,
            ("LocalStack", settings.localstack_url, "AWS: S3, Lambda, Step Functions, API Gateway"),
            ("MLflow", settings.mlflow_url, "runs and the model registry"),
            ("Postgres", f"{server.host}:{server.port}", f"databases {', '.join(postgres.DATABASES)}"),
            *observed,
        ]
    )


def _start_supervisor(settings: Settings) -> None:
    if supervision.is_running(settings):
        refuse_other_settings(settings)
        return
    down.stop_without_supervisor(processes.ours(settings))
    if not settings.external_servers:
        programs.refuse_missing_localstack()
    for program in settings.programs:
        if program != "prometheus" or prometheus.binary(settings):
            _refuse_taken_port(settings, program)
    with step("supervisor", "starting") as outcome:
        record(settings)
        supervision.start(settings)
        outcome.text = f"running, files in {settings.directory}"


def _use_external(settings: Settings) -> None:
    """Waits for the servers that others run, and fills LocalStack if it is new."""
    for program in supervision.EXTERNAL:
        with step(program, "waiting for the server") as outcome:
            ready.wait_for_external(settings, program)
            outcome.text = "ready, not ours"
    with _localstack_errors(settings):
        is_new = not _has_secret(settings)
    # Its self-signed certificate is new too. Everything here is on loopback.
    certificate = ssl.get_server_certificate(("127.0.0.1", settings.localstack_port))
    settings.certificate.parent.mkdir(parents=True, exist_ok=True)
    files.write(settings.certificate, certificate)
    if is_new and supervision.states(settings)["s3-mirror"].may_run:
        supervision.stop_program(settings, "s3-mirror")
    _create_databases(settings)
    _fill_localstack(settings)
    ready.wait(settings, "s3-mirror")


def _has_secret(settings: Settings) -> bool:
    client = aws.client(settings, "secretsmanager")
    try:
        client.describe_secret(SecretId=next(iter(SECRETS)))
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def _start_database(settings: Settings) -> None:
    if not settings.external_database:
        with step("postgres", _doing(settings, "postgres")) as outcome:
            is_new = postgres.create_cluster(settings)
            _start(settings, "postgres")()
            outcome.text = f"ready on 127.0.0.1:{settings.postgres_port}"
            if is_new:
                outcome.text += " with a new data folder"
    _create_databases(settings)


def _create_databases(settings: Settings) -> None:
    with step("databases", "checking") as outcome:
        created = postgres.create_databases(settings)
        outcome.text = f"created {', '.join(created)}" if created else "complete"


def _start_localstack(settings: Settings) -> None:
    states = supervision.states(settings)
    if not states["localstack"].runs and states["s3-mirror"].may_run:
        supervision.stop_program(settings, "s3-mirror")
    with step("localstack", _doing(settings, "localstack")) as outcome:
        _start(settings, "localstack")()
        outcome.text = f"ready on {settings.localstack_url}"
    try:
        _fill_localstack(settings)
    except snapshot.NotRestored as error:
        print(f"{error}\nLocalStack is started once more, to deploy to it.")
        snapshot.forget(settings)
        supervision.stop_program(settings, "localstack")
        _start_localstack(settings)


def _fill_localstack(settings: Settings) -> None:
    if supervision.states(settings)["s3-mirror"].runs:
        return  # the steps below are done
    for label, doing, function in AFTER_LOCALSTACK:
        with step(label, doing) as outcome, _localstack_errors(settings):
            outcome.text = function(settings)
    _start(settings, "s3-mirror")


def _start_prometheus(settings: Settings) -> None:
    if "prometheus" not in settings.programs:
        return
    if not _observes(settings):
        print("prometheus  not installed (to install and start it: make observe)")
        return
    with step("prometheus", _doing(settings, "prometheus")) as outcome:
        prometheus.configure(settings)
        deployed = stack.find(settings)
        prometheus.point(settings, deployed.api_url if deployed else None)
        _start(settings, "prometheus")()
        outcome.text = f"ready on {settings.prometheus_url}"


def _observes(settings: Settings) -> bool:
    return "prometheus" in settings.programs and prometheus.binary(settings) is not None


@contextmanager
def _localstack_errors(settings: Settings) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        log = settings.log("localstack")
        raise LocalError(f"LocalStack failed: {error}\nSee {log}, then try again: make up") from None


def _doing(settings: Settings, program: str) -> str:
    return "checking" if supervision.states(settings)[program].runs else "starting"


def _start(settings: Settings, program: str) -> Callable[[], None]:
    """Starts it unless it is running. The returned function waits until it is ready."""
    log = settings.log(program)
    position = log.stat().st_size if log.exists() else 0
    if not supervision.states(settings)[program].runs:
        leftovers = [process for process in processes.ours(settings) if process.program == program]
        processes.stop_leftovers(leftovers)
        _refuse_taken_port(settings, program)
        supervision.start_program(settings, program)
    return partial(ready.wait, settings, program, position)


def _refuse_taken_port(settings: Settings, program: str) -> None:
    if program in PORTS:
        variable, port = PORTS[program]
        ports.refuse_taken(port(settings), variable)
