"""`python -m readmission.training`: one training as a process, for example in a container.

It does what the function *train* does, with the same settings, and logs the same lines and metrics to its output. A
container has neither Lambda's 15 minutes nor its 10 GB as a limit. Another training takes a run that began longer ago
than TRAINING_JOB_SECONDS (15 minutes) and a quarter of an hour for one that was killed, until that run ends and says so
itself.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import get_args

from aws_lambda_powertools import Logger

from readmission.domain.payloads import FAMILIES, DataKind, TrainEvent, TrainResult
from readmission.errors import ReadmissionError
from readmission.settings import TrainSettings
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability
from readmission.training.train import train


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 1 for an expected failure, such as no rows or no database, which the last line of the log names."""
    try:
        run(_event(arguments), lambda event, _: train_here(event))
    except ReadmissionError:
        return 1
    return 0


def train_here(event: TrainEvent) -> TrainResult:
    """Train as the function does."""
    settings = TrainSettings.from_environment()
    with connect("clean", settings.database) as clean:
        return train(event, clean, settings.model)


def run(event: TrainEvent, body: Callable[[TrainEvent, Logger], TrainResult]) -> TrainResult:
    """Train by `body`, logged and measured as in the function. Raises what `body` raises."""
    logger, meter = observability.logger("train"), observability.EmfMeter("train")
    logger.set_correlation_id(event["execution"])
    start, outcome = perf_counter(), "failed"
    try:
        result = body(event, logger)
        outcome = "succeeded"
    except ReadmissionError as error:
        logger.error("failed", extra={"error": type(error).__name__, "cause": str(error)})
        raise
    finally:
        meter.count(metrics.STEP_RUNS, outcome=outcome)
        meter.observe(metrics.STEP_DURATION, perf_counter() - start)
    meter.observe(metrics.TRAINING_DURATION, perf_counter() - start, model=result["model"])
    logger.info("trained", extra={**result})
    return result


def _event(arguments: Sequence[str] | None) -> TrainEvent:
    parser = argparse.ArgumentParser(prog="python -m readmission.training", description="Train one model family.")
    parser.add_argument("--model", required=True, choices=FAMILIES, help="the model family")
    parser.add_argument("--data-kind", default="real", choices=get_args(DataKind.__value__), help="default: real")
    parser.add_argument(
        "--execution", required=True, help="whose run this is: repeated, it returns the run that has finished"
    )
    parsed = parser.parse_args(arguments)
    if not parsed.execution or "'" in parsed.execution or "\\" in parsed.execution:
        parser.error("argument --execution: must be a name without quotes and backslashes")
    return TrainEvent(execution=parsed.execution, data_kind=parsed.data_kind, model=parsed.model)


if __name__ == "__main__":
    sys.exit(main())
