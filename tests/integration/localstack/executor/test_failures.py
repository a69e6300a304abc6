"""Timeouts, memory, crashes, and functions that cannot run."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.integration.localstack.server import (
    ROLE,
    Function,
    Result,
    Server,
    create_function,
    is_alive,
    wait_for,
    wait_until_active,
)

MISBEHAVE = """
import ctypes, os, sys, time

def hold(megabytes, seconds):
    block = bytearray(megabytes * 2**20)
    for i in range(0, len(block), 4096):
        block[i] = 1
    time.sleep(seconds)

def handler(event, context):
    print("output before the end")
    match event:
        case "pid": return os.getpid()
        case "hang": time.sleep(60)
        case "memory": hold(400, 60)
        case "exit": sys.exit(3)
        case "exit quietly": os._exit(0)
        case "crash": ctypes.string_at(0)
"""


def test_an_invocation_that_exceeds_its_timeout_is_killed_and_the_next_gets_a_new_process(deploy):
    function = deploy(MISBEHAVE, Timeout=1)
    pid = function.invoke("pid").payload

    result = function.invoke("hang")

    assert result.error
    assert result.payload["errorType"] == "Sandbox.Timedout"
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [0-9a-f-]{36} Task timed out after 1\.00 seconds"
    assert re.fullmatch(line, result.payload["errorMessage"])
    assert re.search(rf"output before the end\n{line}\n", result.logs)
    assert "Status: timeout" in result.logs
    assert function.invoke("pid").payload != pid


def test_a_process_that_exceeds_its_memory_size_is_killed(deploy):
    function = deploy(MISBEHAVE, Timeout=30, MemorySize=128)

    _assert_killed(function.invoke("memory"))

    assert isinstance(function.invoke("pid").payload, int)


def test_memory_of_child_processes_counts(deploy):
    function = deploy(
        """
import subprocess, sys
def handler(event, context):
    hold = "import time; block = bytearray(b'x') * (400 * 2**20); time.sleep(60)"
    subprocess.run([sys.executable, "-c", hold])
""",
        Timeout=30,
    )

    _assert_killed(function.invoke())


def test_memory_shared_with_forked_children_counts_once(deploy):
    function = deploy(
        """
import os, time
block = b"x" * (60 * 2**20)
def handler(event, context):
    children = []
    for _ in range(4):
        pid = os.fork()
        if not pid:
            time.sleep(0.5)
            os._exit(0)
        children.append(pid)
    return [os.waitpid(child, 0)[1] for child in children]
""",
        Timeout=30,
        MemorySize=192,
    )

    assert function.invoke().payload == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("exit", "Runtime exited with error: exit status 3"),
        ("exit quietly", "Runtime exited without providing a reason"),
        ("crash", "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_a_process_that_exits_is_an_error_and_the_next_invocation_gets_a_new_one(deploy, event, reason):
    function = deploy(MISBEHAVE)
    pid = function.invoke("pid").payload

    result = function.invoke(event)

    assert result.error
    assert result.payload["errorType"] == "Runtime.ExitError"
    assert result.payload["errorMessage"].endswith(f"Error: {reason}")
    assert "output before the end\n" in result.logs
    assert f"Error: {reason}\nRuntime.ExitError\nEND" in result.logs
    assert function.invoke("pid").payload != pid


def test_a_warm_process_that_exited_between_invocations_is_replaced(deploy):
    function = deploy(
        """
import os, threading
def handler(event, context):
    threading.Timer(0.1, os._exit, [1]).start()
    return os.getpid()
"""
    )
    pid = function.invoke().payload
    wait_for(lambda: not is_alive(pid), "the process to exit")

    result = function.invoke()

    assert not result.error
    assert result.payload != pid


@pytest.mark.parametrize(
    ("source", "error_type", "message"),
    [
        ("import missing\n", "Runtime.ImportModuleError", "No module named 'missing'"),
        ("def handler(:\n", "Runtime.UserCodeSyntaxError", "invalid syntax"),
        ("other = 1\n", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("raise RuntimeError('in init')\n", "RuntimeError", "in init"),
        ("import sys\nsys.exit(4)\n", "Runtime.ExitError", "exit status 4"),
    ],
)
def test_an_error_in_init_is_the_result_of_the_invocation_and_in_its_log(deploy, source, error_type, message):
    function = deploy(f"print('init output')\n{source}")

    for _ in range(2):
        result = function.invoke()

        assert result.error
        assert result.payload["errorType"] == error_type
        assert message in result.payload["errorMessage"]
        assert "START RequestId" in result.logs
        assert message in result.logs
        assert f"Error Type: {error_type}" in result.logs
    if "Syntax" not in error_type:
        assert "init output" in result.logs


@pytest.fixture(scope="module", autouse=True)
def hanging_init(server: Server) -> Iterator[Future[Result]]:
    """An invocation whose init never ends. It takes 11 s, so it starts before the module's first test."""
    create_function(server, "hanging-init", "import time\ntime.sleep(60)\n", Timeout=1)
    wait_until_active(server, "hanging-init")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(Function(server, "hanging-init").invoke)
    server.client("lambda").delete_function(FunctionName="hanging-init")


def test_an_init_that_hangs_times_out_and_does_not_block_the_caller(hanging_init):
    assert hanging_init.result(timeout=60).payload["errorType"] == "Sandbox.Timedout"


def test_all_processes_of_a_function_are_killed_with_its_environment(deploy):
    function = deploy(
        """
import subprocess, sys, time
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
    print("pids", int(detached.stdout.readline()), cleared.pid)
    time.sleep(60)
""",
        Timeout=1,
    )

    logs = function.invoke().logs

    pids = [int(pid) for pid in re.search(r"pids (\d+) (\d+)", logs).groups()]
    assert len(pids) == 2
    assert [pid for pid in pids if is_alive(pid)] == []


def test_a_runtime_that_is_not_installed_fails_with_a_clear_reason(server):
    create_function(server, "missing-runtime", "", Runtime="python3.9")

    reason = _wait_for_failure(server, "missing-runtime")

    assert "python3.9 is not installed" in reason
    assert "Installed runtimes: python3.13" in reason
    assert ".runtimes/python3.9/bin/python" in reason


def test_a_container_image_fails_with_a_clear_reason(server):
    server.client("lambda").create_function(
        FunctionName="image",
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": "000000000000.dkr.ecr.eu-west-1.amazonaws.com/image:latest"},
    )

    assert "PackageType Image cannot run as a process" in _wait_for_failure(server, "image")


def _assert_killed(result: Result) -> None:
    assert result.error
    assert result.payload["errorType"] == "Runtime.ExitError"
    assert result.payload["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    assert "Max Memory Used: 128 MB" in result.logs


def _wait_for_failure(server: Server, name: str) -> str:
    def reason() -> str:
        found = server.client("lambda").get_function_configuration(FunctionName=name)
        return found["StateReason"] if found["State"] == "Failed" else ""

    return wait_for(reason, f"{name} to fail")
