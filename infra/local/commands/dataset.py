"""Chooses the data set of a run, and uploads a local file to S3, where the pipeline can read it."""

from hashlib import sha256
from pathlib import Path

from infra.local import aws, uci
from infra.local.commands import check_source
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack
from infra.local.terminal import step

SYNTHETIC = "synthetic:rows=20000,seed=1"


def check(dataset: str) -> None:
    """Raises LocalError for a local file that does not exist: better now than after building and deploying."""
    if not is_source(dataset):
        _file(dataset)


def source(settings: Settings, stack: Stack, dataset: str) -> str:
    """The pipeline's `source` for a URL, an S3 address, `synthetic…`, or a local file, which is uploaded.

    Raises LocalError if the file does not exist.
    """
    if is_source(dataset):
        return dataset
    file = _file(dataset)
    with step("data", f"uploading {file.name} to S3") as outcome:
        outcome.text = upload(settings, stack, file)
    return outcome.text


def mapping(settings: Settings, stack: Stack, name: str) -> str:
    """The S3 address of a mapping: of a local file, which is checked and uploaded, or the one that is given.

    Raises LocalError if the file does not exist or is not a mapping.
    """
    if name.startswith("s3://"):
        return name
    check_source.read(name)
    return upload(settings, stack, Path(name).expanduser())


def default() -> str:
    """The UCI archive, or synthetic data if the archive cannot be reached. Prints which."""
    with step("data", "connecting to the UCI archive") as outcome:
        problem = uci.problem()
        outcome.text = problem or "available"
    if problem is None:
        return uci.URL
    print(f"            {uci.URL}\n{uci.WITHOUT}", flush=True)
    return SYNTHETIC


def is_source(dataset: str) -> bool:
    """Whether it is an address or synthetic, which the pipeline can read as it is, and not a file on this machine."""
    return "://" in dataset or dataset.partition(":")[0] == "synthetic"


def _file(dataset: str) -> Path:
    file = Path(dataset).expanduser()
    if not file.is_file():
        raise LocalError(
            f"DATASET: {file} does not exist. Give a file, https://…, s3://bucket/key or synthetic[:rows=N][,seed=N]."
        )
    return file


def upload(settings: Settings, stack: Stack, file: Path) -> str:
    """Uploads the file to the data bucket, where the same content always gets the same address, and returns that."""
    with file.open("rb") as content:
        digest = sha256()
        while block := content.read(1 << 20):
            digest.update(block)
    key = f"sources/{digest.hexdigest()[:16]}/{file.name}"
    aws.client(settings, "s3").upload_file(str(file), stack.data_bucket, key)
    return f"s3://{stack.data_bucket}/{key}"
