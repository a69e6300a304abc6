"""Chooses the data set of a run, and uploads a local file to S3, where the pipeline can read it."""

import urllib.request
from hashlib import sha256
from pathlib import Path

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack
from infra.local.terminal import step

UCI = "https://archive.ics.uci.edu/static/public/296/diabetes+130-us+hospitals+for+years+1999-2008.zip"
SYNTHETIC = "synthetic:rows=20000,seed=1"
TIMEOUT_SECONDS = 10


def source(settings: Settings, stack: Stack, dataset: str) -> str:
    """The pipeline's `source` for a URL, an S3 address, `synthetic…`, or a local file, which is uploaded.

    Raises LocalError if the file does not exist.
    """
    if "://" in dataset or dataset.partition(":")[0] == "synthetic":
        return dataset
    return _upload(settings, stack, Path(dataset).expanduser())


def default() -> str:
    """The UCI archive, or synthetic data if the archive cannot be reached. Prints which."""
    with step("data", "connecting to the UCI archive") as outcome:
        problem = _problem(UCI)
        outcome.text = problem or "available"
    if problem is None:
        return UCI
    print(
        f"            {UCI}\n"
        "            Using SYNTHETIC data instead. Its predictions say nothing about patients.\n"
        "            If you have a copy of the archive: make demo DATASET=path/to/archive.zip",
        flush=True,
    )
    return SYNTHETIC


def _problem(url: str) -> str | None:
    """Why the URL cannot be read; None if it can."""
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "readmission"})
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
    except OSError as error:  # includes HTTP errors
        return f"cannot be reached: {getattr(error, 'reason', None) or error}"
    return None


def _upload(settings: Settings, stack: Stack, file: Path) -> str:
    if not file.is_file():
        raise LocalError(
            f"DATASET: {file} does not exist. Give a file, https://…, s3://bucket/key or synthetic[:rows=N][,seed=N]."
        )
    with step("data", f"uploading {file.name} to S3") as outcome:
        with file.open("rb") as content:
            digest = sha256()
            while block := content.read(1 << 20):
                digest.update(block)
        key = f"sources/{digest.hexdigest()[:16]}/{file.name}"
        aws.client(settings, "s3").upload_file(str(file), stack.data_bucket, key)
        outcome.text = f"s3://{stack.data_bucket}/{key}"
    return outcome.text
