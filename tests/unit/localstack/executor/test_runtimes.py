"""The interpreters of Lambda runtimes."""

import pytest
from localstack_plugin.executor.runtimes import CannotRun, Runtimes


def test_the_error_for_a_missing_runtime_names_its_path_and_the_installed_runtimes(tmp_path):
    interpreter = tmp_path / "python3.13/bin/python"
    interpreter.parent.mkdir(parents=True)
    interpreter.touch()
    runtimes = Runtimes(tmp_path)

    assert runtimes.interpreter("python3.13") == interpreter
    with pytest.raises(CannotRun) as raised:
        runtimes.interpreter("nodejs22.x")
    assert f"Runtime nodejs22.x is not installed: {tmp_path}/nodejs22.x/bin/python does not exist." in str(raised.value)
    assert "Installed runtimes: python3.13 (" in str(raised.value)


def test_the_folder_of_runtimes_is_a_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("LAMBDA_PROCESS_RUNTIMES", str(tmp_path))

    assert Runtimes.from_environment().folder == tmp_path
