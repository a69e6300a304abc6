"""Environment variables and import path of a runtime process."""

from pathlib import Path

from localstack_plugin.executor.code import Folders
from localstack_plugin.executor.variables import import_path, process_variables


def test_the_import_path_has_the_order_of_aws():
    assert import_path(Folders(Path("/task"), Path("/opt")), "python3.13") == [
        "/task",
        "/opt/python/lib/python3.13/site-packages",
        "/opt/python",
    ]


def variables(localstack: dict[str, object], function: dict[str, str]) -> dict[str, str]:
    return process_variables(
        localstack,
        function,
        runtime="python3.13",
        interpreter=Path("/runtimes/python3.13/bin/python"),
        folders=Folders(task_root=Path("/task"), opt=Path("/layers")),
        tmp=Path("/private"),
    )


def test_the_variables_that_localstack_adds_for_containers_are_left_out():
    found = variables({"AWS_REGION": "eu", "EDGE_PORT": "1", "LOCALSTACK_RUNTIME_ID": "x"}, {})

    assert found["AWS_REGION"] == "eu"
    assert {"EDGE_PORT", "LOCALSTACK_RUNTIME_ID"} & set(found) == set()


def test_a_function_may_set_such_a_variable():
    assert variables({"EDGE_PORT": "mine"}, {"EDGE_PORT": "mine"})["EDGE_PORT"] == "mine"


def test_a_function_may_replace_only_unreserved_variables():
    own = {"PATH": "/mine", "LAMBDA_TASK_ROOT": "/mine", "TMPDIR": "/mine"}

    found = variables(dict(own), own)

    assert (found["PATH"], found["LAMBDA_TASK_ROOT"], found["TMPDIR"]) == ("/mine", "/task", "/private")


def test_programs_and_libraries_of_layers_are_found():
    found = variables({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": 128}, {})

    assert found["PATH"].split(":")[0] == "/runtimes/python3.13/bin"
    assert found["PATH"].split(":")[-1] == "/layers/bin"
    assert found["LD_LIBRARY_PATH"] == "/task:/task/lib:/layers/lib"
    assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128"
