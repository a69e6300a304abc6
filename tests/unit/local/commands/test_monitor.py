"""What `make monitor` prints."""

from typing import Any

from infra.local.commands.monitor import shown

FIGURE = {"value": 0.68, "low": 0.66, "high": 0.7}
WINDOW: dict[str, Any] = {
    "name": "run-2",
    "site": "default",
    "version": "1",
    "only_test_rows": True,
    "forecasts": 2500,
    "labels": 2400,
    "realised": {"auc_early": {"value": 0.671, "low": 0.65, "high": 0.69}},
    "estimated": {"auc_early": FIGURE},
    "drift": {"inputs": [{"psi": 0.01}, {"psi": 1.25}]},
    "alerts": [
        {"code": "input_drift", "subject": "payer_code", "value": 1.25, "limit": 0.2, "what_to_do": "Look at it."}
    ],
}


def test_each_window_is_a_line_and_each_alert_says_what_to_do() -> None:
    nothing = {"name": "run-3", "site": None, "realised": None, "estimated": None, "drift": None, "alerts": []}
    lines = shown({"version": "1", "windows": [WINDOW, WINDOW | nothing]}).splitlines()
    assert " ".join(lines[1].split()) == ("run-2 default 1* 2,500 2,400 0.671 0.680 (0.660 to 0.700) 1.250 1")
    assert " ".join(lines[2].split()) == "run-3 - 1* 2,500 2,400 - - - -"
    assert lines[-2:] == ["run-2, version 1: input_drift of payer_code: 1.25, limit 0.2", "  Look at it."]


def test_without_windows_it_says_what_is_missing() -> None:
    assert "No version is in production" in shown({"version": None, "windows": []})
    assert "make pipeline" in shown({"version": "1", "windows": []})
