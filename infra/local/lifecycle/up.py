"""Starting the platform: every step finds out what is missing and does only that."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws, stack
from infra.local.errors import LocalError
from infra.local.lifecycle import application, down, ports, processes
from infra.local.lifecycle.lock import only_one
from infra.local.servers import mirror, postgres, programs, prometheus, ready, supervision
from infra.local.settings import Settings, record, refuse_other_settings
from infra.local.terminal import step, table

SECRET = "readmission/database"

PORTS: dict[str, tuple[str, Callable[[Settings], int]]] = {
    "postgres": ("POSTGRES_PORT", lambda settings: settings.postgres_port),
    "localstack": ("LOCALSTACK_PORT", lambda settings: settings.localstack_port),
    "mlflow": ("MLFLOW_PORT", lambda settings: settings.mlflow_port),
    "prometheus": ("PROMETHEUS_PORT", lambda settings: settings.prometheus_port),
}


def put_secret(settings: Settings) -> str:
    """Where the application finds its database."""
    server = postgres.database(settings)
    value = {
        "engine": "postgres",
        "host": server.host,
        "port": server.port,
        "username": server.user,
        "password": server.password,
    }
    client = aws.client(settings, "secretsmanager")
    try:
        client.create_secret(Name=SECRET, SecretString=json.dumps(value))
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=SECRET, SecretString=json.dumps(value))
    return SECRET


# What a new LocalStack is given, in this order: the name of the step, what it does in words, and the function
# that returns what it did in words. The mirror starts behind them; if one fails, the next `up` does them all.
AFTER_LOCALSTACK: list[tuple[str, str, Callable[[Settings], str]]] = [
    ("secret", "putting the database's address into Secrets Manager", put_secret),
    ("stack", "putting back what was deployed", application.redeploy),
    ("s3", "putting objects back", mirror.restore),
]


NEXT_COMMANDS = """\
make deploy    build the application and deploy it
make status    how it does
make logs      follow the logs
make down      stop it, keeping all data"""


def up(settings: Settings) -> None:
    """Starts all that does not run, and says where it is. Raises LocalError as `start` does."""
    start(settings)
    print(f"\n{addresses(settings)}\n\n{NEXT_COMMANDS}")


def start(settings: Settings) -> None:
    """Raises LocalError, saying which server failed and why."""
    with only_one(settings):
        _start_supervisor(settings)
        _start_database(settings)
        mlflow_is_ready = _start(settings, "mlflow")
        _start_localstack(settings)
        with step("mlflow", "waiting for it (its very first start makes its tables)") as outcome:
            mlflow_is_ready()
            outcome.text = f"ready on {settings.mlflow_url}"
        ready.wait(settings, "s3-mirror")
        _start_prometheus(settings)


def addresses(settings: Settings) -> str:
    server = postgres.database(settings)
    deployed = stack.find(settings)
    api = [("API", deployed.api_url, "the deployed application; make env tells its key")] if deployed else []
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
    programs.refuse_missing_localstack()
    for program in settings.programs:
        if program != "prometheus" or prometheus.binary(settings):
            _refuse_taken_port(settings, program)
    with step("supervisor", "starting") as outcome:
        record(settings)
        supervision.start(settings)
        outcome.text = f"keeps its files in {settings.directory}"


def _start_database(settings: Settings) -> None:
    if not settings.external_database:
        with step("postgres", "starting") as outcome:
            made = postgres.create_cluster(settings)
            _start(settings, "postgres")()
            ready_text = f"ready on 127.0.0.1:{settings.postgres_port}"
            outcome.text = f"{ready_text} with a new data folder" if made else ready_text
    with step("databases", "looking for what is missing") as outcome:
        made_names = postgres.create_databases(settings)
        outcome.text = f"made {', '.join(made_names)}" if made_names else "all there"


def _start_localstack(settings: Settings) -> None:
    states = supervision.states(settings)
    if not states["localstack"].runs and states["s3-mirror"].may_run:
        supervision.stop_program(settings, "s3-mirror")
    with step("localstack", "starting") as outcome:
        _start(settings, "localstack")()
        outcome.text = f"ready on {settings.localstack_url}"
    if supervision.states(settings)["s3-mirror"].runs:
        return  # so all of the following had been done
    for label, doing, function in AFTER_LOCALSTACK:
        with step(label, doing) as outcome, _localstack_errors(settings):
            outcome.text = function(settings)
    _start(settings, "s3-mirror")


def _start_prometheus(settings: Settings) -> None:
    if "prometheus" not in settings.programs:
        return
    if not _observes(settings):
        print("prometheus  not installed; to install and start it: make observe")
        return
    with step("prometheus", "starting") as outcome:
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
        raise LocalError(f"LocalStack refused: {error}\nSee {log}, then: make up") from None


def _start(settings: Settings, program: str) -> Callable[[], None]:
    """Starts it unless it runs; the result waits until it is ready."""
    log = settings.log(program)
    position = log.stat().st_size if log.exists() else 0
    if not supervision.states(settings)[program].runs:
        leftovers = [process for process in processes.ours(settings) if process.program == program]
        down.stop_leftovers(leftovers)
        _refuse_taken_port(settings, program)
        supervision.start_program(settings, program)
    return partial(ready.wait, settings, program, position)


def _refuse_taken_port(settings: Settings, program: str) -> None:
    if program in PORTS:
        variable, port = PORTS[program]
        ports.refuse_taken(port(settings), variable)
