"""Nothing survives LocalStack."""

from pathlib import Path

import pytest

from tests.integration.localstack.server import (
    Function,
    Server,
    create_function,
    is_alive,
    processes_below,
    wait_for,
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


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_no_process_and_no_file_is_left_when_localstack_ends(tmp_path, end):
    server = Server.start(tmp_path / "localstack")
    create_function(server, "leave", LEAVE)
    server.client("lambda").get_waiter("function_active_v2").wait(FunctionName="leave", WaiterConfig={"Delay": 0.1})
    left = Function(server, "leave").invoke().payload
    assert all(is_alive(pid) for pid in left["pids"])
    assert all(Path(path).exists() for path in left["files"])

    end(server)

    wait_for(lambda: not processes_below(server.folder), "all processes to end")
    assert [pid for pid in left["pids"] if is_alive(pid)] == []
    wait_for(lambda: not list(server.temporary.glob("localstack-lambda-*")), "the working folder to be removed")


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_an_invocation_that_runs_ends_with_localstack(tmp_path, end):
    server = Server.start(tmp_path / "localstack")
    marker = tmp_path / "pid"
    create_function(
        server,
        "hang",
        f"""
import os, time
def handler(event, context):
    with open({str(marker)!r}, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
""",
        Timeout=900,
    )
    server.client("lambda").get_waiter("function_active_v2").wait(FunctionName="hang", WaiterConfig={"Delay": 0.1})
    server.client("lambda").invoke(FunctionName="hang", InvocationType="Event")
    pid = int(wait_for(lambda: marker.exists() and marker.read_text(), "the invocation to run"))

    end(server)

    wait_for(lambda: not is_alive(pid), "the process to end")
    wait_for(lambda: not processes_below(server.folder), "all processes to end")
