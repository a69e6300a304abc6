"""One line per step, which moves on a terminal."""

import threading
import time

import pytest

from infra.local import terminal


def test_a_step_says_what_it_does_and_what_became_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.step("deploy", "deploying") as outcome:
        outcome.text = "deployed"
    said = capsys.readouterr().out
    assert said.startswith("deploy      deploying ... deployed (") and said.endswith(" s)\n")


def test_a_step_that_fails_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), terminal.step("deploy", "deploying"):
        raise KeyboardInterrupt
    assert capsys.readouterr().out == "deploy      deploying ... failed\n"


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person watches, on a terminal."""
    monkeypatch.setattr(terminal, "is_watched", lambda: True)
    monkeypatch.setattr(terminal, "MOVES_SECONDS", 0.01)


def test_on_a_terminal_the_line_moves_and_its_outcome_replaces_it(
    watched: None, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = threading.Event()

    def so_far() -> str:
        seen.set()
        return "12 done,"

    with terminal.step("deploy", "deploying") as outcome:
        outcome.so_far = so_far
        assert seen.wait(60)
        outcome.text = "deployed"
    *moving, last = capsys.readouterr().out.split(terminal.CLEARED)
    assert any(line == "deploy      deploying ... 12 done, 0 s" for line in moving)
    assert last.startswith("deploy      deploying ... deployed (")


def test_a_line_never_needs_a_second_row(watched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert terminal.fitting("deploy      deploying ... 12 done") == "deploy      deployi"


def test_nothing_moves_after_a_step(watched: None, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.step("deploy", "deploying"):
        time.sleep(0.05)
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().out == ""
