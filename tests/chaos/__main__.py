"""`make chaos`: breaks the running platform on purpose, and checks that it keeps what is promised.

It adds synthetic encounters, training runs and model versions to the platform.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from infra.local import settings
from infra.local.errors import LocalError
from tests.arguments import positive
from tests.chaos import report, runner
from tests.chaos.plan import impossible, schedule, select
from tests.chaos.runner import Outcome
from tests.chaos.system import STEPS, System, wait_until
from tests.chaos.traffic import Traffic
from tests.load import patients

_PATIENTS = 100
_MANY_ROUNDS = 1000
_START_SECONDS = 300.0


def main() -> int:
    asked = _arguments()
    # As an interrupt does, so that a fault puts back what it has changed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        faults = select(asked.only)
    except ValueError as error:
        raise LocalError(f"ONLY: {error}") from None
    system = System(settings.load())
    _refuse_real_data(system, asked.force)
    _make_ready(system)
    rounds = asked.rounds or (_MANY_ROUNDS if asked.minutes else 1)
    minutes = asked.minutes or 60.0
    outcomes: list[Outcome] = []
    certificate = str(system.settings.certificate)
    planned = schedule(faults, asked.seed, rounds)
    with Traffic(lambda: system.stack, certificate, patients.read(_PATIENTS), asked.seed) as traffic:
        for outcome in runner.play(planned, system, traffic, minutes, asked.recovery):
            outcomes.append(outcome)
            print(report.line(outcome), file=sys.stderr, flush=True)
    # Without ROUNDS, MINUTES alone decide when it ends, so nothing is missing.
    left = [one.title for one in planned[len(outcomes) :]] if asked.rounds or not asked.minutes else []
    left += impossible(asked.only)
    if asked.json:
        asked.json.write_text(report.document(outcomes, left, asked.seed))
    print(report.text(outcomes, left, asked.seed))
    return report.exit_code(outcomes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="decides order, steps and moments")
    parser.add_argument(
        "--rounds", type=positive, help="how often each fault happens; default: once, or as MINUTES allow"
    )
    parser.add_argument("--minutes", type=float, help="start no fault after so many minutes; default: 60")
    parser.add_argument("--only", help="comma-separated faults; default: all")
    parser.add_argument("--recovery", type=float, default=300.0, help="seconds within which it has to recover")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    parser.add_argument("--force", action="store_true", help="also on a platform that holds real data")
    return parser.parse_args()


def _refuse_real_data(system: System, force: bool) -> None:
    if force or not system.query("raw", "SELECT to_regclass('diabetes_raw') IS NOT NULL")[0][0]:
        return
    if system.query("raw", "SELECT EXISTS (SELECT FROM diabetes_raw WHERE data_kind = 'real')")[0][0]:
        raise LocalError(
            "This platform holds real data, and make chaos would kill its servers and add synthetic data and model"
            " versions. Use another one (LOCAL_DIR=.chaos make up, then deploy), or say so: make chaos FORCE=1"
        )


def _make_ready(system: System) -> None:
    """With a model in production; LocalError if there is none after a whole execution, or a server is down."""
    if system.production() is None:
        print("chaos       training a first model", file=sys.stderr, flush=True)
        ending = system.finish(system.start(STEPS[-1].stage), _START_SECONDS)
        if ending is None or not ending.succeeded:
            raise LocalError(f"The first execution did not succeed: {ending}")
    if not wait_until(system.is_healthy, 60):
        raise LocalError("The platform does not work even before the first fault. See: make status")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalError as error:
        sys.exit(str(error))
