"""Stopping the platform, whole or what is left of it."""

import shutil
import signal
import sys
from collections.abc import Sequence

from infra.local.errors import LocalError
from infra.local.lifecycle import application, processes
from infra.local.lifecycle.lock import only_one
from infra.local.lifecycle.processes import Process
from infra.local.servers import supervision
from infra.local.settings import ROOT, Settings, forget
from infra.local.terminal import step

SUPERVISOR = ""
STOP_ORDER = (SUPERVISOR, "prometheus", "mlflow", "s3-mirror", "localstack", "postgres")
"""supervisord first: it would start again what is stopped behind its back."""


PATIENCE_SECONDS = {
    SUPERVISOR: 250,  # it stops all the others first
    "prometheus": 30,
    "mlflow": 5,
    "s3-mirror": 60,
    "localstack": 5,  # it keeps nothing, and without its supervisor it hangs on the closed pipe of its log
    "postgres": 60,
}
"""Before SIGKILL, where nothing but these signals can stop them."""


def down(settings: Settings) -> None:
    """Afterwards none of the platform's processes is left; all its files are."""
    if not settings.run.exists():
        print(f"Nothing to stop: there is no platform in {settings.directory}.")
        return
    with only_one(settings):
        _stop(settings)


def clean(settings: Settings) -> None:
    """Stops the platform and removes its folder with all data. Raises LocalError for any other folder."""
    if not settings.directory.exists():
        print(f"Nothing to remove: {settings.directory} does not exist.")
        return
    if not settings.run.exists() or ROOT.is_relative_to(settings.directory):
        raise LocalError(f"{settings.directory} (LOCAL_DIR) is not a folder of this platform: nothing removed.")
    with only_one(settings):
        _stop(settings)
        with step("files", f"removing {settings.directory}") as outcome:
            shutil.rmtree(settings.directory)
            outcome.text = "gone"


def _stop(settings: Settings) -> None:
    running = processes.ours(settings)
    if supervision.is_running(settings):
        running = _stop_supervised(settings, running)
    elif not running:
        print("Nothing to stop: no process of this platform runs.")
    stop_without_supervisor(processes.still_alive(running))
    forget(settings)


def _stop_supervised(settings: Settings, known: list[Process]) -> list[Process]:
    """Returns all that ever ran meanwhile: a Lambda function started just now may outlive the parent by which
    it is known."""
    seen = set(known)
    if supervision.states(settings)["localstack"].runs:
        application.remember(settings)
    for program in reversed(settings.programs):
        seen |= set(processes.ours(settings))
        if supervision.states(settings)[program].may_run:
            with step(program, "stopping") as outcome:
                supervision.stop_program(settings, program)
                outcome.text = "stopped"
        if program == "s3-mirror" and supervision.states(settings)[program].exit_code != 0:
            log = settings.log(program)
            print(f"The last copy of S3 failed; what was written last may be lost. See {log}", file=sys.stderr)
    seen |= set(processes.ours(settings))
    supervision.shut_down(settings)
    processes.wait_until_gone(seen, PATIENCE_SECONDS[SUPERVISOR])
    return list(seen)


def stop_without_supervisor(leftovers: Sequence[Process]) -> None:
    if leftovers:
        with step("leftovers", f"stopping {len(leftovers)} processes without a supervisor") as outcome:
            stop_leftovers(leftovers)
            outcome.text = "gone"


def stop_leftovers(leftovers: Sequence[Process]) -> None:
    """Stops processes that no supervisor stops, politely where that matters: Postgres writes a checkpoint,
    the mirror makes its last pass. Raises LocalError when one cannot be stopped."""
    for program in STOP_ORDER:
        _stop_program(program, [process for process in leftovers if process.program == program])


def _stop_program(program: str, members: list[Process]) -> None:
    polite = signal.SIGINT if program == "postgres" else signal.SIGTERM
    for process in processes.roots(members):
        process.send(polite)
    processes.kill(processes.wait_until_gone(members, PATIENCE_SECONDS[program]))
    if stubborn := processes.wait_until_gone(members, 5):
        pids = ", ".join(str(process.pid) for process in stubborn)
        raise LocalError(f"{program or 'supervisord'} cannot be stopped (pid {pids}).")
