"""What is running: asks every server."""

import time

from infra.local import stack
from infra.local.errors import LocalError
from infra.local.servers import processes, prometheus, ready, supervision
from infra.local.settings import Settings
from infra.local.terminal import table


def status(settings: Settings) -> bool:
    """Prints a table. True if everything is up."""
    try:
        states = supervision.states(settings)
    except supervision.NotRunning:
        _print_without_supervisor(settings)
        return False
    addresses = {
        "postgres": f"127.0.0.1:{settings.postgres_port}",
        "localstack": settings.localstack_url,
        "mlflow": settings.mlflow_url,
        "s3-mirror": str(settings.mirror),
        "prometheus": settings.prometheus_url,
    }
    rows = [("NAME", "STATE", "PID", "UPTIME", "ADDRESS")]
    if external := settings.external_database:
        rows.append(("postgres", _words(settings, "postgres"), "-", "-", f"{external.host}:{external.port}"))
    if settings.external_servers:
        rows += [(name, _words(settings, name), "-", "-", addresses[name]) for name in supervision.EXTERNAL]
    for name in settings.programs:
        state = states[name]
        if name == "prometheus" and not state.runs and not prometheus.binary(settings):
            rows.append((name, "not installed", "-", "-", "to install it: make observe"))
            continue
        words = _words(settings, name) if state.runs else f"down ({state.name.lower()})"
        pid, uptime = (str(state.pid), _duration(time.time() - state.started)) if state.runs else ("-", "-")
        rows.append((name, words, pid, uptime, addresses[name]))
    if states["localstack"].runs:
        rows.append(_application(settings))
    print(table(rows))
    all_up = all(row[1] in ("up", "deployed", "not deployed", "not installed") for row in rows[1:])
    if not all_up:
        print("\nTo start what is down: make up")
    return all_up


def _application(settings: Settings) -> tuple[str, str, str, str, str]:
    try:
        deployed = stack.find(settings)
    except LocalError:
        return ("api", "does not answer", "-", "-", "-")
    if deployed is None:
        return ("api", "not deployed", "-", "-", "to deploy it: make deploy")
    return ("api", "deployed", "-", "-", deployed.api_url)


def _words(settings: Settings, program: str) -> str:
    try:
        return "up" if ready.is_ready(settings, program) else "does not answer"
    except LocalError:
        return "rejects the password"


def _print_without_supervisor(settings: Settings) -> None:
    orphans = processes.ours(settings)
    if orphans:
        pids = ", ".join(str(process.pid) for process in processes.roots(orphans))
        print(f"supervisord is gone, but servers of this platform are still running (pid {pids}).")
        print("To stop them: make down. To replace them: make up")
    else:
        print("The platform is down. Start it: make up")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
