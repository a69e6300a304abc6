"""`python -m infra.local COMMAND`: one function per command, listed in COMMANDS."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local import (
    aws,
    dataset,
    debian,
    deploy,
    down,
    evaluate,
    function_logs,
    history,
    pipeline,
    predict,
    stack,
    status,
    up,
)
from infra.local import demo as whole
from infra.local.errors import LocalError
from infra.local.settings import Settings, load


def _up(settings: Settings, arguments: argparse.Namespace) -> int:
    up.up(settings)
    return 0


def _down(settings: Settings, arguments: argparse.Namespace) -> int:
    down.down(settings)
    return 0


def _status(settings: Settings, arguments: argparse.Namespace) -> int:
    return 0 if status.status(settings) else 1


def _logs(settings: Settings, arguments: argparse.Namespace) -> int:
    """Of a function until Ctrl-C; else becomes `tail`, which also follows a log that is rotated."""
    if arguments.function:
        wanted = function_logs.Wanted(
            arguments.function, arguments.correlation, everything=arguments.all, raw=arguments.raw
        )
        with suppress(KeyboardInterrupt):
            function_logs.follow(settings, wanted, arguments.since, arguments.once)
        return 0
    known = sorted(log.stem for log in settings.logs.glob("*.log"))
    wanted = [arguments.name] if arguments.name else known
    if not known:
        raise LocalError("There are no logs yet. Start the platform: make up")
    if missing := set(wanted) - set(known):
        raise LocalError(f"There is no log of {', '.join(missing)}. There are: {', '.join(known)}")
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", "20", "-F", *(str(settings.log(name)) for name in wanted)])


def _env(settings: Settings, arguments: argparse.Namespace) -> int:
    exports = aws.environment(settings) | {"MLFLOW_TRACKING_URI": settings.mlflow_url}
    if deployed := stack.find(settings):
        exports |= {
            "API_URL": deployed.api_url,
            "API_KEY": deployed.api_key,
            "API_CA": str(predict.certificate(settings)),
            "METRICS_TOKEN": deployed.metrics_token,
            "STATE_MACHINE_ARN": deployed.pipeline_arn,
        }
    for name, value in exports.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _deploy(settings: Settings, arguments: argparse.Namespace) -> int:
    up.start(settings)
    print(f"\n{whole.next_commands(settings, deploy.deploy(settings))}")
    return 0


def _pipeline(settings: Settings, arguments: argparse.Namespace) -> int:
    deployed = stack.get(settings)
    request: dict[str, Any] = {}
    if arguments.dataset:
        request["source"] = dataset.source(settings, deployed, arguments.dataset)
    if arguments.models:
        request["models"] = arguments.models.split(",")
    for name in ("batch_size", "start_at", "stop_after"):
        if (value := getattr(arguments, name)) is not None:
            request[name] = value
    whole.models(settings, pipeline.run(settings, deployed, request))
    return 0


def _predict(settings: Settings, arguments: argparse.Namespace) -> int:
    patient = predict.SAMPLE
    if arguments.patient:
        try:
            patient = json.loads(Path(arguments.patient).read_text())
        except (OSError, ValueError) as error:
            raise LocalError(f"PATIENT: {arguments.patient} is no JSON file: {error}") from error
    whole.show_prediction(settings, stack.get(settings), patient)
    return 0


def _history(settings: Settings, arguments: argparse.Namespace) -> int:
    print(history.history(settings, stack.get(settings), arguments.limit))
    return 0


def _rollback(settings: Settings, arguments: argparse.Namespace) -> int:
    print(history.rollback(settings, stack.get(settings), arguments.version, arguments.reason))
    return 0


def _evaluate(settings: Settings, arguments: argparse.Namespace) -> int:
    up.start(settings)
    print(evaluate.evaluate(settings, arguments.dataset, arguments.model))
    return 0


def _demo(settings: Settings, arguments: argparse.Namespace) -> int:
    whole.demo(settings, arguments.dataset)
    return 0


def _observe(settings: Settings, arguments: argparse.Namespace) -> int:
    if settings.prometheus == "off":
        raise LocalError("PROMETHEUS is off. Stop the platform (make down), then set it to a path, or not at all.")
    if not settings.prometheus:
        debian.ensure("prometheus")
    up.start(settings)
    print(f"\nMetrics and alerts: {settings.prometheus_url}/alerts\nThe dashboard: infra/grafana/README.md")
    return 0


def _install(settings: Settings, arguments: argparse.Namespace) -> int:
    for package in arguments.packages:
        debian.ensure(package)
    return 0


def _clean(settings: Settings, arguments: argparse.Namespace) -> int:
    down.clean(settings)
    return 0


def _log_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="only this one, for instance localstack")
    parser.add_argument("--function", help="what a function of the application logs, for instance predict; or all")
    parser.add_argument("--correlation", help="only lines of this execution (its name) or request (its id)")
    parser.add_argument("--since", type=float, default=10, metavar="MINUTES", help="begin so long ago, 10 by default")
    parser.add_argument("--all", action="store_true", help="metrics and Lambda's own lines too")
    parser.add_argument("--raw", action="store_true", help="the lines as they were written, for instance for jq")
    parser.add_argument("--once", action="store_true", help="what there is now, and no more")


def _packages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", nargs="+", help="Debian's, each named as its program: prometheus, chromium")


def _dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", help="a file, URL, s3://bucket/key or synthetic[:rows=N][,seed=N]; UCI's by default"
    )


def _request(parser: argparse.ArgumentParser) -> None:
    _dataset(parser)
    parser.add_argument("--batch-size", type=int, help="rows a batch, 15000 by default")
    parser.add_argument("--models", help="comma-separated; all three by default")
    parser.add_argument("--start-at", help="ingest (default), clean, train or promote")
    parser.add_argument("--stop-after", help="ingest, clean, train or promote (default)")


def _evaluation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", help="clean this first; else what is clean already, or UCI's archive")
    parser.add_argument("--model", default="gradient_boosting", help="gradient_boosting by default")


def _patient(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patient", help="a JSON file with the 14 fields, and optional ones; a sample patient by default"
    )


def _limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, help="how many decisions, 20 by default")


def _version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", help="of the model; the one that served before by default")
    parser.add_argument("--reason", help="why, for the ledger")


@dataclass(frozen=True)
class Command:
    name: str
    help: str
    run: Callable[[Settings, argparse.Namespace], int]
    """Returns the exit code; an expected failure is a LocalError."""
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None


COMMANDS = (
    Command("up", "start all that does not run, and put back what LocalStack held", _up),
    Command("down", "stop everything; the data stays", _down),
    Command("status", "what runs and where; exit code 0 only when all is up", _status),
    Command("logs", "follow the logs", _logs, _log_name),
    Command("env", 'shell exports for AWS and MLflow clients: eval "$(make -s env)"', _env),
    Command("deploy", "build the application and deploy it to LocalStack", _deploy),
    Command("pipeline", "run the state machine and watch it", _pipeline, _request),
    Command("predict", "one prediction through the gateway", _predict, _patient),
    Command("history", "what was promoted, refused and rolled back, and why", _history, _limit),
    Command("rollback", "put an earlier version of the model into Production", _rollback, _version),
    Command(
        "evaluate", "the recipe over five patient-grouped splits, beside that of 14 features", _evaluate, _evaluation
    ),
    Command("demo", "all of it: start, deploy, run the pipeline, predict", _demo, _dataset),
    Command("observe", "start Prometheus too, installed where that is possible", _observe),
    Command(
        "install", "Debian's packages that tests need, where they are missing and we are root", _install, _packages
    ),
    Command("clean", "stop everything and remove all data", _clean),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="The platform on this machine.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    parsed = parser.parse_args(arguments)
    try:
        code: int = parsed.run(load(), parsed)
        return code
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our lines has left, as in `up | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("Interrupted. What was started still runs: make status", file=sys.stderr)
        return 130
