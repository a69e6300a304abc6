"""MLflow's server, as the local platform and the container run it.

In a container, `python -m infra.mlflow_server` reads the login to its database from `DATABASE_HOST`, `DATABASE_PORT`,
`DATABASE_USER` and `DATABASE_PASSWORD`, the place of artifacts from `MLFLOW_ARTIFACTS_DESTINATION`, and the address
that it listens on from `HOST` and `PORT`. boto3 reads the `AWS_…` variables.
"""

import os
import sys
from collections.abc import Mapping
from urllib.parse import quote

DATABASE = "mlflow"
REQUIRED = ("DATABASE_HOST", "DATABASE_USER", "DATABASE_PASSWORD", "MLFLOW_ARTIFACTS_DESTINATION")


def command(host: str, port: int, artifacts: str) -> list[str]:
    """`artifacts` is an S3 URL."""
    server = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    return [*server, "--workers", "1", "--artifacts-destination", artifacts]


def environment(host: str, port: int, user: str, password: str) -> dict[str, str]:
    """The variables of MLflow's own; the login is among them because everyone can read a command line."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return {
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+pg8000://{login}@{host}:{port}/{DATABASE}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # We do not use jobs (LLM judges, trace roll-ups). Switched off, MLflow starts no consumer processes for them.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def main(given: Mapping[str, str] = os.environ) -> None:
    """Becomes the server. Exits with the names of the variables that are missing."""
    if missing := [name for name in REQUIRED if not given.get(name)]:
        sys.exit(f"{', '.join(missing)} must be set. MLflow needs its database and a place for artifacts.")
    port = int(given.get("DATABASE_PORT") or 5432)
    login = environment(given["DATABASE_HOST"], port, given["DATABASE_USER"], given["DATABASE_PASSWORD"])
    server = command(
        given.get("HOST") or "127.0.0.1", int(given.get("PORT") or 5000), given["MLFLOW_ARTIFACTS_DESTINATION"]
    )
    os.execve(server[0], server, {**given, **login})


if __name__ == "__main__":
    main()
