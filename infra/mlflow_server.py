"""MLflow's server, as the local platform and the containers run it.

In a container, `python -m infra.mlflow_server` reads

- the login to its database from `DATABASE_HOST`, `DATABASE_PORT`, `DATABASE_USER` and `DATABASE_PASSWORD`, and how
  the connection is protected from `DATABASE_TLS`: `disable`, `prefer` (the default), `require`, or `verify-full`
  against the authorities of RDS;
- the place of artifacts from `MLFLOW_ARTIFACTS_DESTINATION`, and the address that it listens on from `HOST` and `PORT`;
- with `MLFLOW_AUTH_ADMIN_USERNAME` and `…_PASSWORD`, who may log in: this administrator, and those of `USERS`, whose
  names and passwords are in `MLFLOW_PIPELINE_USERNAME`, `MLFLOW_PIPELINE_PASSWORD` and so on.

boto3 reads the `AWS_…` variables, and MLflow its own, as `MLFLOW_SERVER_ALLOWED_HOSTS`.
"""

import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

DATABASE: Final = "mlflow"
REQUIRED: Final = ("DATABASE_HOST", "DATABASE_USER", "DATABASE_PASSWORD", "MLFLOW_ARTIFACTS_DESTINATION")
TLS: Final = ("disable", "prefer", "require", "verify-full")
USERS: Final = {"PIPELINE": "EDIT", "READER": "READ"}
"""Who logs in beside the administrator, and what each may do with all experiments and models: the functions that train
and promote, and those that only read."""
# Without the server and the login, which `connect_by_variables` adds: no command line, no URL of MLflow and no file has
# the password.
_URL: Final = f"postgresql+pg8000:///{DATABASE}"
_LOGIN_SETTINGS: Final = Path(__file__).with_name("mlflow_auth.ini")
_AUTHORITIES: Final = Path(__file__).parents[1] / "layers/readmission/src/readmission/storage/rds-global-bundle.pem"


def command(host: str, port: int, artifacts: str) -> list[str]:
    """`artifacts` is an S3 URL."""
    server = [sys.executable, "-m", "infra.mlflow_server", "server", "--host", host, "--port", str(port)]
    return [*server, "--workers", "1", "--artifacts-destination", artifacts]


def environment(host: str, port: int, user: str, password: str, tls: str = "prefer") -> dict[str, str]:
    """The variables of MLflow and of its connection to Postgres. `tls` is one of `TLS`."""
    return {
        "DATABASE_HOST": host,
        "DATABASE_PORT": str(port),
        "DATABASE_USER": user,
        "DATABASE_PASSWORD": password,
        "DATABASE_TLS": tls,
        "MLFLOW_BACKEND_STORE_URI": _URL,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # We do not use jobs (LLM judges, trace roll-ups). Switched off, MLflow starts no consumer processes for them.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def connect_by_variables(given: Mapping[str, str], authorities: Path = _AUTHORITIES) -> None:
    """Let every engine that this process makes log in to Postgres as the variables of `environment` say.

    MLflow takes nothing but a URL, in which pg8000's TLS settings have no place.
    """
    from sqlalchemy import Engine, event

    login = {name: given[f"DATABASE_{name.upper()}"] for name in ("host", "user", "password")}
    tls = _tls(given["DATABASE_TLS"], authorities)

    @event.listens_for(Engine, "do_connect")
    def _log_in(dialect: Any, record: Any, arguments: Any, parameters: dict[str, Any]) -> None:
        if dialect.driver == "pg8000":
            parameters |= {**login, "port": int(given["DATABASE_PORT"]), "ssl_context": tls}


def _tls(mode: str, authorities: Path) -> ssl.SSLContext | bool | None:
    """pg8000 tries TLS with None, and does without where the server has none."""
    if mode in ("disable", "prefer"):
        return False if mode == "disable" else None
    context = ssl.create_default_context()
    if mode == "verify-full":
        context.load_verify_locations(authorities)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def create_users(given: Mapping[str, str]) -> None:
    """Give the users of `USERS` their passwords and permissions, in MLflow's database."""
    from mlflow.server.auth.permissions import RESOURCE_TYPE_EXPERIMENT, RESOURCE_TYPE_REGISTERED_MODEL
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    users: Any = SqlAlchemyStore()
    users.init_db(_URL)
    for role, permission in USERS.items():
        name, password = given[f"MLFLOW_{role}_USERNAME"], given[f"MLFLOW_{role}_PASSWORD"]
        if users.has_user(name):
            users.update_user(name, password=password)
        else:
            users.create_user(name, password)
        for kind in (RESOURCE_TYPE_EXPERIMENT, RESOURCE_TYPE_REGISTERED_MODEL):
            users.grant_user_permission(name, kind, "*", permission)


def main(given: Mapping[str, str] = os.environ) -> None:
    """Becomes the server. Exits with the names of the variables that are missing, or with the one that is wrong."""
    required = list(REQUIRED)
    asks = bool(given.get("MLFLOW_AUTH_ADMIN_USERNAME"))
    if asks:
        required += [f"MLFLOW_{role}_{part}" for role in ("AUTH_ADMIN", *USERS) for part in ("USERNAME", "PASSWORD")]
    if missing := [name for name in required if not given.get(name)]:
        sys.exit(f"{', '.join(missing)} must be set. MLflow needs its database, a place for artifacts, and its users.")
    tls = given.get("DATABASE_TLS") or "prefer"
    if tls not in TLS:
        sys.exit(f"DATABASE_TLS is {tls!r}, but must be {', '.join(TLS)}.")
    port = int(given.get("DATABASE_PORT") or 5432)
    login = environment(given["DATABASE_HOST"], port, given["DATABASE_USER"], given["DATABASE_PASSWORD"], tls)
    server = command(
        given.get("HOST") or "127.0.0.1", int(given.get("PORT") or 5000), given["MLFLOW_ARTIFACTS_DESTINATION"]
    )
    if asks:
        server += ["--app-name", "basic-auth"]
        login["MLFLOW_AUTH_CONFIG_PATH"] = str(_LOGIN_SETTINGS)
        os.environ.update(login)
        connect_by_variables(login)
        create_users(given)
    os.execve(server[0], server, {**given, **login})


def run(arguments: list[str]) -> None:
    """`mlflow` with these arguments, in one process.

    `mlflow server` would start uvicorn as a second one, which takes seconds to import MLflow again, and 250 MB. The
    options `--static-prefix` and `--expose-prometheus` need that, because MLflow reads them when it is imported.
    """
    if os.environ.get("MLFLOW_BACKEND_STORE_URI") == _URL:
        connect_by_variables(os.environ)
    # Before MLflow, which knows by its presence that it is a server.
    import uvicorn.main
    from mlflow import cli

    server: Any = import_module("mlflow.server")

    def here(command: Sequence[str], extra_env: Mapping[str, str], **_: Any) -> NoReturn:
        os.environ |= extra_env
        uvicorn.main.main(args=list(command[command.index("uvicorn") + 1 :]))
        sys.exit()

    assert callable(server._exec_cmd), "this release of MLflow starts uvicorn in another way"
    server._exec_cmd = here
    cli.cli(arguments)


if __name__ == "__main__":
    run(sys.argv[1:]) if sys.argv[1:] else main()
