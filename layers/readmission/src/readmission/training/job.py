"""`python -m readmission.training.job`: a training as a job of one host or several, by SageMaker's contract.

The folder of the configuration has two files. `hyperparameters.json` holds texts: `model`, `data_kind`, `execution`,
`distributed` ("true" or "false"), and for trials `rows`, to learn from that many at most. `resourceconfig.json` has
`current_host` and `hosts`. The same command runs on every host.

With `distributed`, the first host exports the rows unless that has been done, trains with the workers of all hosts
(`cluster`), and logs to MLflow; the others exit with 0 if that ended well. Otherwise the first host trains as
`python -m readmission.training` does. An expected failure is a line in the file `failure` of the output's folder.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, Self, cast, get_args

from aws_lambda_powertools import Logger
from pg8000.native import Connection

from readmission.domain.payloads import FAMILIES, DataKind, TrainEvent, TrainResult
from readmission.errors import ConfigurationError, InvalidRequest, ReadmissionError, WorkerLost
from readmission.evaluation import origin
from readmission.evaluation.origin import Origin
from readmission.registry import names
from readmission.settings import ClusterSettings, DistributedSettings, JobSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.training import boosting, cluster, distributed, parquet, recipe
from readmission.training.__main__ import run, train_here
from readmission.training.rows import File, shares
from readmission.training.train import Engine, Fit, Library, train_with

_EVERY_ROW: Final = 2**62
_DISTRIBUTED: Final = "gradient_boosting"


class Stopped(BaseException):
    """SIGTERM. Not an Exception, so that nothing on the way takes it for a failure of its own."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to train, on which hosts, and which of them this is. `rows` limits the rows of a distributed training."""

    event: TrainEvent
    distributed: bool
    hosts: tuple[str, ...]
    current_host: str
    rows: int | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises `ConfigurationError` for a file that is missing, and `InvalidRequest` for an invalid value."""
        given, hosts = _read(folder / "hyperparameters.json"), _read(folder / "resourceconfig.json")
        execution = str(given.get("execution", ""))
        if not execution or "'" in execution or "\\" in execution:
            raise InvalidRequest("the hyperparameter execution must be a name without quotes and backslashes")
        model = _one_of(given, "model", FAMILIES)
        spread = _one_of(given, "distributed", ("true", "false")) == "true"
        if spread and model != _DISTRIBUTED:
            raise InvalidRequest(f"the hyperparameter distributed must be 'false' for {model}: only {_DISTRIBUTED} can")
        listed, current = hosts.get("hosts"), hosts.get("current_host")
        if not isinstance(listed, list) or not isinstance(current, str) or current not in listed:
            raise InvalidRequest(f"resourceconfig.json must list current_host {current!r} among its hosts {listed!r}")
        kind = cast(DataKind, _one_of(given, "data_kind", get_args(DataKind.__value__)))
        event = TrainEvent(execution=execution, data_kind=kind, model=model)
        return cls(event, spread, tuple(listed), current, _rows(given))

    @property
    def leads(self) -> bool:
        return self.current_host == self.hosts[0]


def main() -> int:
    """Exit code: 0 if the training ended well, 1 otherwise."""
    signal.signal(signal.SIGTERM, _stop)
    settings = JobSettings.from_environment()
    try:
        job = Job.read(Path(settings.configuration))
        if job.leads:
            run(job.event, lambda _, logger: _lead(job, logger))
        elif job.distributed:
            cluster.work(job.hosts, job.current_host, *_port_and_threads(), partial(_end, job, settings))
    except ReadmissionError as error:
        return _failed(settings, f"{type(error).__name__}: {error}")
    except Stopped:
        return _failed(settings, "Stopped: the job was asked to end (SIGTERM)")
    except BaseException as error:
        # Its message may quote rows, and this line is shown to everybody who may see the job.
        _failed(settings, f"{type(error).__name__}: see the log of the job")
        raise
    return 0


def _port_and_threads() -> tuple[int, int]:
    settings = ClusterSettings.from_environment()
    return settings.scheduler_port, settings.threads or os.process_cpu_count() or 1


def _lead(job: Job, logger: Logger) -> TrainResult:
    if not job.distributed:
        return train_here(job.event)
    settings = DistributedSettings.from_environment()
    with (
        connect("clean", settings.database, parquet.ANSWER_SECONDS) as clean,
        cluster.started(
            job.hosts, *_port_and_threads(), lambda line: logger.info("progress", extra={"progress": line})
        ) as workers,
    ):

        def prepare(clean: Connection, kind: DataKind) -> tuple[Origin, Fit]:
            manifest = parquet.export(clean, kind, s3_client(), settings.data_bucket)
            read = origin.of_export(clean, kind, manifest["rows"])
            while read.rows_hash != manifest["rows_hash"]:  # other rows have come meanwhile
                manifest = parquet.export(clean, kind, s3_client(), settings.data_bucket)
                read = origin.of_export(clean, kind, manifest["rows"])
            workers.progress(f"{manifest['rows']:,} rows are in s3://{settings.data_bucket}")
            files = [File(part["key"], part["rows"]) for part in manifest["parts"]]
            of_workers = shares(settings.data_bucket, files, len(job.hosts), job.rows)
            return read, partial(distributed.train_model, of_workers, workers)

        tags = {names.ENGINE: boosting.ENGINE, names.WORKERS: str(len(job.hosts))}
        if job.rows:
            tags[names.ROWS_LIMIT] = str(job.rows)
        text = recipe.of_workers(boosting.ENGINE, len(job.hosts), job.rows)
        library = Library(boosting.REQUIREMENTS, boosting.TRUSTED)
        engine = Engine(prepare, _EVERY_ROW, tags, library, text)
        return train_with(engine, job.event, clean, settings.model)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the file {file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"the file {file} must contain a JSON object")
    return found


def _end(job: Job, settings: JobSettings, code: int) -> NoReturn:
    """End the process of a worker."""
    if code:
        error = f"the training ended before the worker of {job.current_host} did; {job.hosts[0]} knows why"
        _failed(settings, f"{WorkerLost.__name__}: {error}")
    _exit(code)


def _exit(code: int) -> NoReturn:
    """End the process without waiting for its threads, of which one may be LightGBM's that waits for a lost worker."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _one_of[T: str](given: Mapping[str, Any], name: str, allowed: tuple[T, ...]) -> T:
    if (value := given.get(name)) not in allowed:
        raise InvalidRequest(f"the hyperparameter {name} must be one of {', '.join(allowed)}, not {value!r}")
    return cast(T, value)


def _rows(given: Mapping[str, Any]) -> int | None:
    text = str(given.get("rows", ""))
    if text and (not text.isascii() or not text.isdecimal() or not int(text)):
        raise InvalidRequest(f"the hyperparameter rows must be a positive integer, not {text!r}")
    return int(text) if text else None


def _stop(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ending takes seconds, and must not be interrupted
    raise Stopped


def _failed(settings: JobSettings, line: str) -> int:
    folder = Path(settings.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failure").write_text(" ".join(line.split()) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
