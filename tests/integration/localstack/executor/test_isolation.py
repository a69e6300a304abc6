"""What a function sees: its files, its path, its variables."""

import calendar
import importlib.util
import os
import py_compile
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

from tests.integration.localstack.server import HOST_SECRET, wait_for, wait_until_updated

REPORT = """
import os, sys
def handler(event, context):
    return {"variables": dict(os.environ), "path": sys.path, "cwd": os.getcwd()}
"""
AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "LANG",
    "LD_LIBRARY_PATH",
    "PATH",
    "TZ",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
}
# Python sets LC_CTYPE itself if the machine lacks the locale that LANG names.
IN_ADDITION = {"AWS_ENDPOINT_URL", "TMPDIR", "LC_CTYPE"}


def test_a_function_sees_the_variables_of_aws_and_its_own_but_none_of_the_host(deploy):
    function = deploy(REPORT, Environment={"Variables": {"MINE": "yes", "TZ": "UTC"}}, MemorySize=256)

    variables = function.invoke().payload["variables"]

    assert set(variables) - IN_ADDITION == AWS_VARIABLES | {"MINE"}
    assert HOST_SECRET not in variables
    assert variables["AWS_ENDPOINT_URL"] == function.server.endpoint
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == function.name
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert variables["MINE"] == "yes"


def test_a_function_reaches_localstack_with_the_sdk_of_the_runtime(deploy):
    function = deploy(
        "import boto3\nclient = boto3.client('sts')\n"
        "def handler(event, context):\n    return client.get_caller_identity()['Account']\n"
    )

    assert function.invoke().payload == "000000000000"


def test_code_and_layers_precede_the_runtime_in_the_order_of_aws(deploy, layer):
    function = deploy(REPORT, Layers=[layer({"python/a.py": ""})])

    result = function.invoke().payload

    task_root = result["variables"]["LAMBDA_TASK_ROOT"]
    runtime = result["variables"]["LAMBDA_RUNTIME_DIR"]
    assert result["cwd"] == task_root == result["path"][0]
    assert result["path"][1].endswith("/python/lib/python3.13/site-packages")
    assert result["path"][2].endswith("/python")
    assert result["path"][3] == f"{runtime}/lib/python3.13/site-packages"
    assert result["path"][4].endswith("/python313.zip")


def test_a_later_layer_overwrites_an_earlier_one_and_the_function_overrides_both(deploy, layer):
    first = layer({"python/one.py": "X = 'first'", "python/two.py": "X = 'first'", "python/three.py": "X = 'first'"})
    second = layer({"python/two.py": "X = 'second'", "python/three.py": "X = 'second'"})
    function = deploy(
        "import one, two, three\ndef handler(event, context):\n    return [one.X, two.X, three.X]\n",
        files={"three.py": "X = 'function'"},
        Layers=[first, second],
    )

    assert function.invoke().payload == ["first", "second", "function"]


def test_a_layer_overrides_a_package_of_the_runtime(deploy, layer):
    function = deploy(
        "import boto3\ndef handler(event, context):\n    return boto3.MINE\n",
        Layers=[layer({"python/boto3/__init__.py": "MINE = 'layer'"})],
    )

    assert function.invoke().payload == "layer"


def test_programs_and_data_of_a_layer_are_in_opt(deploy, layer):
    function = deploy(
        """
import os, shutil
def handler(event, context):
    opt = os.environ["LD_LIBRARY_PATH"].split(":")[-1].removesuffix("/lib")
    return os.path.relpath(shutil.which("tool"), opt), open(f"{opt}/data.txt").read()
""",
        Layers=[layer({"bin/tool": "#!/bin/sh\n", "data.txt": "content"}, mode=0o755)],
    )

    assert function.invoke().payload == ["bin/tool", "content"]


@pytest.mark.parametrize("mode", [PycInvalidationMode.TIMESTAMP, PycInvalidationMode.UNCHECKED_HASH])
def test_compiled_files_of_a_layer_are_used_and_none_are_written(deploy, layer, tmp_path, mode):
    # The compiled file differs from its source, so the result shows which one was loaded.
    date = (2024, 5, 17, 10, 20, 30)
    compiled = _compile(tmp_path / "module.py", "X = 'pyc'", date, mode)
    files = {"python/module.py": "X = 'src'", f"python/__pycache__/{compiled.name}": compiled.read_bytes()}
    function = deploy(
        "import module\ndef handler(event, context):\n    return module.X, __file__, module.__file__\n",
        Layers=[layer(files, date=date)],
    )

    loaded, app, module = function.invoke().payload

    assert loaded == "pyc"
    assert not (Path(app).parent / "__pycache__").exists()
    assert [path.name for path in (Path(module).parent / "__pycache__").iterdir()] == [compiled.name]


def test_functions_with_the_same_layers_share_one_folder_for_all_their_environments(deploy, layer):
    layers = [layer({"python/shared.py": ""}), layer({"python/other.py": ""})]
    source = "import shared\ndef handler(event, context):\n    return shared.__file__\n"

    one, two = deploy(source, Layers=layers), deploy(source + "\n", Layers=layers)

    assert one.invoke().payload == two.invoke().payload


def test_code_and_layers_are_removed_with_the_last_function_that_uses_them(deploy, layer):
    function = deploy(
        "import mine\ndef handler(event, context):\n    return __file__, mine.__file__\n",
        Layers=[layer({"python/mine.py": ""})],
    )
    files = [Path(path) for path in function.invoke().payload]
    assert all(path.exists() for path in files)

    function.server.client("lambda").delete_function(FunctionName=function.name)

    wait_for(lambda: not any(path.exists() for path in files), "the files to be removed")


def test_each_environment_has_its_own_temporary_folder(deploy):
    function = deploy(
        """
import os, tempfile
def handler(event, context):
    found = os.listdir(tempfile.gettempdir())
    open(os.path.join(tempfile.gettempdir(), event), "w").close()
    return tempfile.gettempdir(), found
"""
    )
    folder, found = function.invoke("one").payload
    again, found_again = function.invoke("two").payload
    assert (folder, found, found_again) == (again, [], ["one"])

    function.server.client("lambda").update_function_configuration(FunctionName=function.name, Timeout=5)
    wait_until_updated(function.server, function.name)

    other, found = function.invoke("three").payload
    assert other != folder
    assert found == []
    wait_for(lambda: not Path(folder).exists(), "the temporary folder to be removed")


def _compile(source: Path, text: str, date: tuple[int, ...], mode: PycInvalidationMode) -> Path:
    """Write `text` to `source` with this time (UTC); returns its compiled file."""
    source.write_text(text)
    os.utime(source, (calendar.timegm(date),) * 2)
    target = Path(importlib.util.cache_from_source(str(source))).with_name("module.cpython-313.pyc")
    return Path(py_compile.compile(str(source), cfile=str(target), invalidation_mode=mode, doraise=True))
