"""When LocalStack ends, its metrics survive, but no process and no file does.

Two servers with the same metric database run one after the other: the first is stopped, the second killed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from localstack_plugin.cloudwatch.metric_store import MetricStore

from tests.integration.localstack.metrics import EMBED, query
from tests.integration.localstack.server import (
    Function,
    Server,
    create_function,
    is_alive,
    processes_below,
    wait_for,
    wait_until_active,
)

# Leaves what is hardest to find: a warm process, a detached daemon, a child without variables, and files.
LEAVE = """
import os, subprocess, sys, tempfile
DETACHED = '''
import os, time
if os.fork():
    os._exit(0)
os.setsid()
print(os.getpid(), flush=True)
time.sleep(600)
'''
def handler(event, context):
    detached = subprocess.Popen([sys.executable, "-c", DETACHED], stdout=subprocess.PIPE)
    cleared = subprocess.Popen(["/bin/sleep", "600"], env={})
    with tempfile.NamedTemporaryFile(delete=False) as file:
        pids = [os.getpid(), cleared.pid, int(detached.stdout.readline())]
        return {"pids": pids, "files": [file.name, __file__]}
"""
HANG = """
import os, pathlib, time
def handler(event, context):
    file = pathlib.Path(event)
    file.with_suffix(".new").write_text(str(os.getpid()))
    file.with_suffix(".new").rename(file)
    time.sleep(600)
"""
# Embeds one metric in an invocation, and another after it, when the file that the event names exists.
MEASURE = f"""{EMBED}
import pathlib, threading
def later(may_write, written):
    while not may_write.exists():
        time.sleep(0.01)
    print(embed("Last", 2, service="kept"), flush=True)
    written.touch()
def handler(event, context):
    print(embed("Last", 1, service="kept"))
    threading.Thread(target=later, args=[pathlib.Path(path) for path in event]).start()
"""


@dataclass(frozen=True)
class Ended:
    """A LocalStack that has ended, with the processes and files that its functions had at the end.

    first_metrics: sample count and sum of the metric "Requests" right after the start.
    """

    server: Server
    first_metrics: tuple[float, ...]
    left_pids: list[int]
    left_files: list[Path]
    running_pid: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("end")


@pytest.fixture(scope="module")
def database(folder: Path) -> Path:
    return folder / "kept" / "metrics.db"


@pytest.fixture(scope="module")
def stopped(folder: Path, database: Path) -> Iterator[Ended]:
    server = Server.start(folder / "stopped", CLOUDWATCH_DATABASE=str(database))
    try:
        left = _leave(server, folder / "stopped-pid")
        _measure(server, folder)
        server.stop()
        yield left
    finally:
        server.kill()


@pytest.fixture(scope="module")
def killed(folder: Path, database: Path, stopped: Ended) -> Ended:
    server = Server.start(folder / "killed", CLOUDWATCH_DATABASE=str(database))
    try:
        left = _leave(server, folder / "killed-pid")
        data = [{"MetricName": "Requests", "Dimensions": [{"Name": "service", "Value": "kept"}], "Value": 4}]
        server.client("cloudwatch").put_metric_data(Namespace="Last", MetricData=data)
    finally:
        server.kill()
    return left


@pytest.fixture(params=["stopped", "killed"])
def ended(request: pytest.FixtureRequest) -> Ended:
    found: Ended = request.getfixturevalue(request.param)
    return found


def test_no_process_and_no_file_is_left_when_localstack_ends(ended: Ended) -> None:
    wait_for(lambda: not processes_below(ended.server.folder), "all processes to exit")
    assert [pid for pid in ended.left_pids if is_alive(pid)] == []
    wait_for(lambda: not list(ended.server.temporary.glob("localstack-lambda-*")), "the working folder to be removed")
    assert [path for path in ended.left_files if path.exists()] == []


def test_a_running_invocation_ends_with_localstack(ended: Ended) -> None:
    wait_for(lambda: not is_alive(ended.running_pid), "the process to exit")


def test_metrics_outlive_localstack_including_those_of_its_last_moment(killed: Ended, database: Path) -> None:
    assert killed.first_metrics == (2, 3)
    store = MetricStore(database)
    values = sorted(point["v"] for point in store.get_all_metric_data() if point["ns"] == "Last")
    store.close()
    assert values == [1, 2, 4]


def _leave(server: Server, pid_file: Path) -> Ended:
    """Leaves processes and files, and an invocation that is still running."""
    first_metrics = query(server, "Last", "Requests", {"service": "kept"}, "SampleCount", "Sum")
    create_function(server, "leave", LEAVE)
    create_function(server, "hang", HANG, Timeout=900)
    wait_until_active(server, "leave")
    wait_until_active(server, "hang")
    server.client("lambda").invoke(FunctionName="hang", InvocationType="Event", Payload=f'"{pid_file}"')
    left = Function(server, "leave").invoke().payload
    files = [Path(path) for path in left["files"]]
    wait_for(pid_file.exists, "the invocation to run")
    assert all(is_alive(pid) for pid in left["pids"])
    assert all(path.exists() for path in files)
    return Ended(server, first_metrics, left["pids"], files, int(pid_file.read_text()))


def _measure(server: Server, folder: Path) -> None:
    """Publishes one metric in an invocation, and leaves another in the pipe of the idle process."""
    create_function(server, "kept", MEASURE)
    wait_until_active(server, "kept")
    may_write, written = folder / "may-write", folder / "written"
    assert not Function(server, "kept").invoke([str(may_write), str(written)]).error
    may_write.touch()
    wait_for(written.exists, "the thread to write")
