"""Which data a run starts from, and bringing a local file to where the pipeline can read it."""

import urllib.error
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
    """The pipeline's source for `dataset`: a URL, an S3 key, `synthetic…`, or a file, which is put into S3."""
    if "://" in dataset or dataset.partition(":")[0] == "synthetic":
        return dataset
    return _upload(settings, stack, Path(dataset).expanduser())


def default() -> str:
    """The UCI archive; where it cannot be reached, synthetic data, and it says so."""
    request = urllib.request.Request(UCI, method="HEAD", headers={"User-Agent": "readmission"})
    try:
        with step("data", "looking for the UCI archive") as outcome:
            try:
                urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
                outcome.text = "reached"
            except urllib.error.HTTPError:
                raise
            except OSError as error:
                outcome.text = f"cannot be reached: {getattr(error, 'reason', error)}"
                raise
    except OSError:
        print(
            f"            {UCI}\n"
            "            Going on with SYNTHETIC data instead: its forecasts mean nothing for patients.\n"
            "            With a copy of the archive: make demo DATASET=path/to/archive.zip"
        )
        return SYNTHETIC
    return UCI


def _upload(settings: Settings, stack: Stack, file: Path) -> str:
    if not file.is_file():
        raise LocalError(
            f"DATASET: there is no file {file}. It may be a file, https://…, s3://bucket/key or synthetic[:rows=N]."
        )
    with step("data", f"putting {file.name} into S3") as outcome:
        with file.open("rb") as content:
            digest = sha256()
            while block := content.read(1 << 20):
                digest.update(block)
        key = f"sources/{digest.hexdigest()[:16]}/{file.name}"
        aws.client(settings, "s3").upload_file(str(file), stack.data_bucket, key)
        outcome.text = f"s3://{stack.data_bucket}/{key}"
    return outcome.text
