"""A platform for the parts that need servers, in a temporary folder and on free ports."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from readmission.client import ApiProblem

from infra.local import aws, stack
from infra.local.commands import dataset, predict
from tests.platforms import Platform, new_platform

BUCKETS = ("readmission-data-000000000000", "readmission-mlflow-000000000000")
_SERVED_ROWS = 6_000


@contextmanager
def running(folder: Path, deployed: bool) -> Iterator[Platform]:
    """Starts Postgres, MLflow and LocalStack, with the deployed application or with its buckets only."""
    folder.chmod(0o711)  # Postgres' own user must reach its data
    platform = new_platform(folder / ".local")
    try:
        tell("starting a platform ...")
        platform.run("up")
        if deployed:
            tell("deploying ...")
            platform.run("deploy")
        else:
            for bucket in BUCKETS:
                platform.client("s3").create_bucket(Bucket=bucket)
        yield platform
    finally:
        platform.run("clean")


def environment(platform: Platform, model_name: str) -> dict[str, str]:
    """A function's environment variables, as the template sets them, but with one thread for each training."""
    return aws.environment(platform.settings) | {
        "DATABASE_SECRET": "readmission/database",
        "DATABASE_TLS": "disable",
        "DATA_BUCKET": BUCKETS[0],
        "DEFAULT_SOURCE": "synthetic",
        "MAX_INVALID_SHARE": "0.02",
        "MLFLOW_TRACKING_URI": platform.settings.mlflow_url,
        "MODEL_NAME": model_name,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
    }


def source(platform: Platform, rows: int) -> str:
    """The archive named by DIABETES_DATA, uploaded to S3; otherwise a synthetic source of `rows` rows."""
    archive = os.environ.get("DIABETES_DATA")
    if not archive:
        return f"synthetic:rows={rows},seed=1"
    return dataset.source(platform.settings, stack.get(platform.settings), archive)


def serve_a_model(platform: Platform) -> None:
    """Trains a gradient boosting unless the deployed application has a model."""
    with predict.client(platform.settings, stack.get(platform.settings), retries=0) as api:
        try:
            api.health()
            return
        except ApiProblem as problem:
            if problem.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
    tell("training a model to serve ...")
    platform.run("pipeline", "--dataset", source(platform, _SERVED_ROWS), "--models", "gradient_boosting", seconds=900)


def tell(text: str) -> None:
    print(f"bench       {text}", file=sys.stderr, flush=True)
