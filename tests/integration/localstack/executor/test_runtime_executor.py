"""What a version leaves, in LocalStack's own Python, because the executor is a part of LocalStack."""

import subprocess

import pytest

from tests.integration.localstack.server import PROJECT

RELEASE = """
import sys
from types import SimpleNamespace
from localstack.runtime.events import infra_stopping
from localstack_plugin.executor import runtime_executor

store = SimpleNamespace(release=lambda key: print(key[0]))
runtime_executor.code_store = lambda: store
if sys.argv[1] == "stopping":
    infra_stopping.set()
version = SimpleNamespace(qualified_arn="arn:1", config=SimpleNamespace(internal_revision="a"))
runtime_executor.ProcessRuntimeExecutor.cleanup_version(version)
"""


@pytest.mark.parametrize(("state", "released"), [("running", "arn:1\n"), ("stopping", "")])
def test_a_deleted_version_leaves_no_folder_and_a_stopping_localstack_deletes_them_all_at_once(
    state: str, released: str
) -> None:
    """One after the other takes longer than the 30 s after which supervisord kills LocalStack."""
    command = [PROJECT / ".venv" / "bin" / "python", "-c", RELEASE, state]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout == released
