"""`make score`: uploads a file, starts a scoring job, follows it, and says where the results are."""

import sys
import time
import uuid
from pathlib import Path
from typing import Any

from readmission.client import ApiProblem, ApiUnreachable, Client, Job
from readmission.domain.jobs import INCOMING, READABLE, UPLOADS

from infra.local import aws
from infra.local.commands import predict
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack
from infra.local.terminal import step

POLL_SECONDS = 0.5


def score(settings: Settings, stack: Stack, source: str | None, delivery: str | None, explain: str) -> None:
    """Scores a file on this machine, a key of the data bucket, or a delivery, and prints what came of it.

    Raises LocalError if the order is refused, or the job fails.
    """
    job_id = f"make-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    if (source is None) == (delivery is None):
        raise LocalError("Say what to score: make score SOURCE=file-or-key, or make score DELIVERY=name")
    if source is not None:
        source = _uploaded(settings, stack, source, job_id)
    began = time.monotonic()
    try:
        with predict.client(settings, stack) as api:
            job = _run(api, {"source": source, "delivery": delivery, "explain": explain, "job_id": job_id})
    except ApiProblem as error:
        raise LocalError(f"The API answered {error}") from error
    except (ApiUnreachable, OSError) as error:
        raise LocalError(
            f"The API cannot be reached: {error}. The job {job_id}, if it has started, continues. To see what is"
            " running: make status"
        ) from error
    print(summary(job, stack.data_bucket, time.monotonic() - began))


def _run(api: Client, order: dict[str, Any]) -> Job:
    with step("score", f"job {order['job_id']}") as outcome:
        api.start_job(**order)
        job = api.wait_for_job(order["job_id"], seconds=POLL_SECONDS, progress=_Progress(live=sys.stdout.isatty()))
        outcome.text = job["status"]
    return job


def _uploaded(settings: Settings, stack: Stack, source: str, job_id: str) -> str:
    """The key of the source in the data bucket: of a file on this machine once it is uploaded."""
    file = Path(source).expanduser()
    if not file.is_file():
        if source.startswith(("s3://", *READABLE)):
            return source
        raise LocalError(f"SOURCE: {file} does not exist. Give a file, or a key of the data bucket below {INCOMING}")
    # Not where the schedule looks, or the next night would score the file once more.
    key = f"{UPLOADS}{job_id}/{file.name}"
    with step("data", f"uploading {file.name} to S3") as outcome:
        aws.client(settings, "s3").upload_file(str(file), stack.data_bucket, key)
        outcome.text = f"s3://{stack.data_bucket}/{key}"
    return key


class _Progress:
    """Prints how far a job is: in place on a terminal, otherwise a line each time that something has changed."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._said = ""

    def __call__(self, job: Job) -> None:
        line = progress_line(job)
        if line == self._said:
            return
        self._said = line
        print(f"\r\033[K{line}" if self._live else line, end="" if self._live else "\n", flush=True)
        if self._live and job["status"] != "running":
            print(flush=True)


def progress_line(job: Job) -> str:
    """How far the job is."""
    if job.get("chunks") is None:
        return "            reading the rows"
    return f"            {job['rows']:,} rows, {job.get('chunks_done') or 0} of {job['chunks']} parts done"


def summary(job: Job, bucket: str, seconds: float) -> str:
    """The end of a job for people. Raises LocalError if it has failed or was stopped."""
    if error := job.get("error"):
        raise LocalError(
            f"The job {job['id']} failed: {error['code']}: {error['message']}\n"
            f"To see its logs: make logs FUNCTION=score SINCE=60 ONCE=1 CORRELATION={job['id']}"
        )
    if skipped := job.get("skipped"):
        return f"Nothing was scored: {skipped}."
    result = job.get("result")
    if result is None:
        raise LocalError(f"The job {job['id']} was stopped.")
    lines = [
        f"            {result['answered']:,} forecasts by version {result['model_version']}"
        f" ({result['data_kind']} data), {result['refused']:,} rows refused, {seconds:.1f} s",
        f"            results   s3://{bucket}/{result['results']}",
        f"            Parquet   s3://{bucket}/{result['parquet']}",
    ]
    if result["refused"]:
        lines.append(f"            refused   s3://{bucket}/{result['refused_rows']}")
    return "\n".join(lines)
