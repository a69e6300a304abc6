"""The command line: `python -m infra.local COMMAND`, one entry of COMMANDS for each command."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from readmission.domain.jobs import EXPLAINS

from infra.local import environment, expected, stack, user
from infra.local.commands import (
    challenger,
    check_source,
    dataset,
    debian,
    deliveries,
    demo,
    deploy,
    env,
    evaluate,
    example_months,
    function_logs,
    history,
    monitor,
    months,
    observe,
    patients,
    pipeline,
    predict,
    rebuild,
    recalibrate,
    redrive,
    score,
    server_logs,
    train_distributed,
)
from infra.local.errors import LocalError
from infra.local.lifecycle import down, status, up
from infra.local.settings import Settings, load


def _status(settings: Settings, arguments: argparse.Namespace) -> int:
    return 0 if status.status(settings) else 1


def _logs(settings: Settings, arguments: argparse.Namespace) -> None:
    if not arguments.function:
        server_logs.follow(settings, arguments.name)
    selection = function_logs.Selection(
        arguments.function, arguments.correlation, everything=arguments.all, raw=arguments.raw
    )
    with suppress(KeyboardInterrupt):
        function_logs.follow(settings, selection, arguments.since, arguments.once)


def _example_months(settings: Settings, arguments: argparse.Namespace) -> None:
    example_months.example(settings, arguments.dataset, arguments.seed, arguments.order)


def _pipeline(settings: Settings, arguments: argparse.Namespace) -> None:
    deployed = stack.get(settings)
    request: dict[str, Any] = pipeline.resumed(settings, deployed, arguments.resume) if arguments.resume else {}
    if arguments.dataset:
        request["source"] = dataset.source(settings, deployed, arguments.dataset)
    if arguments.mapping:
        request["mapping"] = dataset.mapping(settings, deployed, arguments.mapping)
    if arguments.models:
        request["models"] = arguments.models.split(",")
    for name in ("batch_size", "site", "taken_on", "diag_version", "start_at", "stop_after", "reason"):
        if (value := getattr(arguments, name)) is not None:
            request[name] = value
    if who := arguments.by or user.name():
        request["by"] = who
    if arguments.force:
        request["force"] = True
    pipeline.show_models(settings, pipeline.run(settings, deployed, request))


def _check_source(settings: Settings, arguments: argparse.Namespace) -> int:
    return check_source.check(settings, arguments.dataset, arguments.mapping)


def _predict(settings: Settings, arguments: argparse.Namespace) -> None:
    patient = predict.read_patient(arguments.patient)
    predict.show(settings, stack.get(settings), patient)


def _score(settings: Settings, arguments: argparse.Namespace) -> None:
    score.score(settings, stack.get(settings), arguments.source, arguments.delivery, arguments.explain)


def _history(settings: Settings, arguments: argparse.Namespace) -> None:
    print(history.history(settings, stack.get(settings), arguments.limit))


def _rollback(settings: Settings, arguments: argparse.Namespace) -> None:
    request = history.rollback_request(arguments.version, arguments.reason, arguments.by, force=arguments.force)
    print(history.rollback(settings, stack.get(settings), request))


def _monitor(settings: Settings, arguments: argparse.Namespace) -> None:
    print(monitor.monitor(settings, stack.get(settings)))


def _deliveries(settings: Settings, arguments: argparse.Namespace) -> None:
    print(deliveries.deliveries(settings, stack.get(settings)))


def _challenger(settings: Settings, arguments: argparse.Namespace) -> None:
    if arguments.version is None:
        print(challenger.state(settings, stack.get(settings)))
        return
    request = challenger.request(arguments.version, arguments.reason, arguments.by, force=arguments.force)
    print(challenger.challenge(settings, stack.get(settings), request))


def _abort_challenger(settings: Settings, arguments: argparse.Namespace) -> None:
    request = challenger.abort_request(arguments.reason, arguments.by)
    print(challenger.abort(settings, stack.get(settings), request))


def _replay(settings: Settings, arguments: argparse.Namespace) -> None:
    print(challenger.replay(settings, stack.get(settings), arguments.version, arguments.rows))


def _withdraw(settings: Settings, arguments: argparse.Namespace) -> None:
    print(deliveries.withdraw(settings, stack.get(settings), arguments.delivery, arguments.reason))


def _find_patient(settings: Settings, arguments: argparse.Namespace) -> None:
    print(patients.find(settings, stack.get(settings), arguments.patient, arguments.site))


def _erase(settings: Settings, arguments: argparse.Namespace) -> None:
    request = patients.erasure_request(arguments.patient, arguments.site, arguments.reason, arguments.by)
    print(patients.erase(settings, stack.get(settings), request, force=arguments.force))


def _redrive(settings: Settings, arguments: argparse.Namespace) -> None:
    print(redrive.redrive(settings, stack.get(settings)))


def _evaluate(settings: Settings, arguments: argparse.Namespace) -> None:
    if arguments.dataset:
        dataset.check(arguments.dataset)
    up.start(settings)
    print(evaluate.evaluate(settings, arguments.dataset, arguments.model, arguments.engine))


def _train_distributed(settings: Settings, arguments: argparse.Namespace) -> None:
    up.start(settings)
    train_distributed.train(settings, arguments.workers, arguments.rows)


def _rebuild(settings: Settings, arguments: argparse.Namespace) -> int:
    up.start(settings)
    stack.get(settings)
    return rebuild.rebuild(settings, arguments.version)


def _recalibrate(settings: Settings, arguments: argparse.Namespace) -> None:
    stack.get(settings)
    asked = (arguments.site, arguments.version, arguments.reason, arguments.by)
    print(recalibrate.recalibrate(settings, *asked, other_sites=arguments.other_sites))


def _install(settings: Settings, arguments: argparse.Namespace) -> None:
    for package in arguments.packages:
        debian.ensure(package)


def _logs_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="only this server, for example localstack")
    parser.add_argument("--function", help="follow a function of the application instead, for example predict; or all")
    parser.add_argument("--correlation", help="only lines of this execution (its name) or request (its id)")
    parser.add_argument("--since", type=float, default=10, metavar="MINUTES", help="start this long ago; default: 10")
    parser.add_argument("--all", action="store_true", help="include metrics and Lambda's own lines")
    parser.add_argument("--raw", action="store_true", help="print lines as they were written, for example for jq")
    parser.add_argument("--once", action="store_true", help="print what there is now, then exit")


def _install_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", nargs="+", help="Debian packages named like their program: prometheus, chromium")


def _deploy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parameters", help="parameters of the template, 'Name=value Name=value'; default: those given the last time"
    )


def _dataset_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        help="a file, URL, s3://bucket/key or synthetic[:rows=N][,seed=N]; default: the UCI archive",
    )


def _example_months_options(parser: argparse.ArgumentParser) -> None:
    _dataset_option(parser)
    parser.add_argument("--seed", type=int, default=1, help="of the draw of the patients; default: 1")
    parser.add_argument(
        "--order",
        choices=months.ORDERS,
        default="patients",
        help="patients (default): each month has other patients, drawn by chance; time: months follow each other",
    )


def _pipeline_options(parser: argparse.ArgumentParser) -> None:
    _dataset_option(parser)
    parser.add_argument("--mapping", help="a YAML file or s3://bucket/key that says what the data set's columns are")
    parser.add_argument("--batch-size", type=int, help="rows per batch; default: 15000")
    parser.add_argument("--site", help="the institution whose encounters these are; default: default")
    parser.add_argument("--taken-on", help="the day on which the data set was taken from the records, YYYY-MM-DD")
    parser.add_argument("--diag-version", help="icd9 or icd10; default: inferred from the format of the codes")
    parser.add_argument("--models", help="comma-separated model families; default: all three")
    parser.add_argument("--start-at", help="ingest (default), clean, train or promote")
    parser.add_argument("--stop-after", help="ingest, clean, train or promote (default)")
    parser.add_argument(
        "--force", action="store_true", help="train even if nothing has changed since the last training"
    )
    parser.add_argument("--by", metavar="NAME", help="who starts the run; default: this machine's user")
    parser.add_argument("--reason", help="why the run is started")
    parser.add_argument("--resume", metavar="EXECUTION", help="take up an execution that failed or was interrupted")


def _check_source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="a file on this machine, https://… or s3://bucket/key")
    parser.add_argument("--mapping", help="a YAML file or s3://bucket/key that says what its columns are")


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", help="ingest and clean this first; default: the rows already cleaned, else the UCI archive"
    )
    parser.add_argument("--model", default="gradient_boosting", help="model family; default: gradient_boosting")
    parser.add_argument(
        "--engine",
        default=evaluate.ENGINES[0],
        help="scikit-learn (default), as in the pipeline, or lightgbm, as in a distributed training",
    )


def _train_distributed_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=2, help="number of worker processes; default: 2")
    parser.add_argument("--rows", type=int, help="learn from that many rows at most; default: all clean rows")


def _rebuild_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", help="the number of the version, as make history shows it")


def _recalibrate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", help="the site whose base rates the forecasts are to have")
    parser.add_argument("--version", help="the version to recalibrate; default: the one in production")
    parser.add_argument("--reason", help="why; recorded in the promotion ledger")
    parser.add_argument("--by", help="who asks for it, recorded too; default: the user of this machine")
    parser.add_argument("--other-sites", action="store_true", help="let it forecast for other sites as well")


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patient", help="a JSON file with the 14 required fields and any optional ones; default: a sample patient"
    )


def _score_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", help="a file on this machine, or a key of the data bucket, such as scoring/incoming/tonight.csv"
    )
    parser.add_argument("--delivery", help="the name of a delivery, whose clean stays are scored")
    parser.add_argument(
        "--explain",
        choices=EXPLAINS,
        default="none",
        help="which rows are explained: none (default), those of the bands high and very high, or all",
    )


def _history_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, help="number of decisions to show; default: 20")


def _rollback_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", help="the model version to restore; default: the previous one")
    parser.add_argument("--reason", help="why; required, and recorded in the promotion ledger")
    parser.add_argument("--by", help="who asks for it, recorded too; default: the user of this machine")
    parser.add_argument(
        "--force", action="store_true", help="also to a version that never served, or from real to synthetic data"
    )


def _challenger_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", help="the model version to try; default: only show what is tried")
    parser.add_argument("--reason", help="why; recorded in the promotion ledger")
    parser.add_argument("--by", help="who asks for it, recorded too; default: the user of this machine")
    parser.add_argument("--force", action="store_true", help="also one that was refused or withdrawn before")


def _abort_challenger_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", help="why; required, and recorded in the promotion ledger")
    parser.add_argument("--by", help="who asks for it, recorded too; default: the user of this machine")


def _replay_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", help="the model version to score")
    parser.add_argument("--rows", type=int, help="how many of the newest logged requests; default: 20000")


def _withdraw_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("delivery", help="the name of the delivery, as make deliveries shows it")
    parser.add_argument("--reason", help="recorded with the delivery")


def _patient_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patient", help="the patient's number, as in the column patient_nbr")
    parser.add_argument("--site", required=True, help="the institution whose number it is, such as default")


def _erase_options(parser: argparse.ArgumentParser) -> None:
    _patient_options(parser)
    parser.add_argument("--reason", help="why; required, and recorded")
    parser.add_argument("--by", help="who asks for it, recorded too; default: the user of this machine")
    parser.add_argument("--force", action="store_true", help="delete; without it, only show what would be deleted")


@dataclass(frozen=True)
class Command:
    name: str
    help: str
    run: Callable[[Settings, argparse.Namespace], int | None]
    """Returns the exit code, None for 0. Raises LocalError for an expected failure."""
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None


COMMANDS = (
    Command("up", "start the servers that are down and restore what LocalStack held", lambda s, _: up.up(s)),
    Command("down", "stop everything; all data stays", lambda s, _: down.down(s)),
    Command("status", "show what is running and where; exits 0 only if everything is up", _status),
    Command("logs", "follow the logs of servers or functions", _logs, _logs_options),
    Command(
        "env", 'print shell exports for clients: eval "$(make -s env)"', lambda s, a: print(env.exports(s, a.caller))
    ),
    Command(
        "deploy",
        "build the application and deploy it to LocalStack",
        lambda s, a: deploy.deploy(s, a.parameters),
        _deploy_options,
    ),
    Command("pipeline", "run the state machine and show its progress", _pipeline, _pipeline_options),
    Command(
        "check-source",
        "say what the pipeline would do with a file, or write a first mapping for it",
        _check_source,
        _check_source_options,
    ),
    Command("predict", "request one prediction through the gateway", _predict, _predict_options),
    Command("score", "score all rows of a file, or all stays of a delivery, in a job", _score, _score_options),
    Command("history", "show promotions, refusals and rollbacks with their reasons", _history, _history_options),
    Command("rollback", "put an earlier model version back into production", _rollback, _rollback_options),
    Command(
        "challenger",
        "show the version that is tried on live requests, or try another one",
        _challenger,
        _challenger_options,
    ),
    Command(
        "abort-challenger",
        "take the version that is tried on live requests back",
        _abort_challenger,
        _abort_challenger_options,
    ),
    Command("replay", "score a version on the logged requests", _replay, _replay_options),
    Command("monitor", "run the monitor, and show how good the forecasts are on what has arrived", _monitor),
    Command("deliveries", "show what has been delivered, and what became of it", _deliveries),
    Command("withdraw", "take a delivery back: nothing of it is learned from any more", _withdraw, _withdraw_options),
    Command("find-patient", "show where something is stored of a patient", _find_patient, _patient_options),
    Command("erase", "delete everything that is stored of a patient", _erase, _erase_options),
    Command("redrive", "send the dead letters of the prediction log again", _redrive),
    Command(
        "evaluate",
        "cross-validate the recipe over five patient-grouped folds and compare it with the 14 required fields alone",
        _evaluate,
        _evaluate_options,
    ),
    Command(
        "train-distributed",
        "train gradient boosting on a Dask cluster of several processes",
        _train_distributed,
        _train_distributed_options,
    ),
    Command(
        "example-months",
        "play six months of a hospital: deliveries, drift, late labels, a new model on trial",
        _example_months,
        _example_months_options,
    ),
    Command(
        "rebuild",
        "train a version again from the rows of then, and compare its scorer; exits 0 only if it is the same",
        _rebuild,
        _rebuild_options,
    ),
    Command(
        "recalibrate",
        "fit a version to the base rates of a site, and let it challenge the version in production",
        _recalibrate,
        _recalibrate_options,
    ),
    Command("demo", "start, deploy, run the pipeline, predict", lambda s, a: demo.demo(s, a.dataset), _dataset_option),
    Command("observe", "start the platform with Prometheus, installed if possible", lambda s, _: observe.observe(s)),
    Command("install", "install missing Debian packages that tests need (as root)", _install, _install_options),
    Command("clean", "stop everything and delete all data", lambda s, _: down.clean(s)),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="Operates the platform on this machine.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    parsed = parser.parse_args(arguments, argparse.Namespace(caller=dict(os.environ)))
    environment.isolate()
    try:
        code: int | None = parsed.run(load(), parsed)
        return code or 0
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output is gone, as in `up | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        said = expected.sentence(error)
        if said is None:
            raise
        print(said, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. Servers that were started keep running; to see them: make status", file=sys.stderr)
        return 130
