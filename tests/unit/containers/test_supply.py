"""What `make audit` says about pip-audit's answer."""

import json

import pytest

from infra.containers import supply

CLEAN = {"name": "idna", "version": "3.20", "vulns": []}
FLAWED = {"name": "jinja2", "version": "2.4", "vulns": [{"id": "PYSEC-2014-8", "fix_versions": ["2.7.2"]}]}
SKIPPED = {"name": "click", "skip_reason": "Dependency not found on PyPI and could not be audited: click (8.5.1)"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([CLEAN], 0, "none of 1 packages has a known vulnerability"),
        ([CLEAN, FLAWED], 1, "jinja2 2.4: PYSEC-2014-8, fixed in 2.7.2"),
        ([CLEAN, SKIPPED], 2, "1 of 2 packages not checked"),
        ([FLAWED, SKIPPED], 2, "jinja2 2.4: PYSEC-2014-8"),
    ],
)
def test_a_package_that_was_not_looked_up_is_not_called_clean(packages: list[object], code: int, said: str) -> None:
    text, exit_code = supply.judged(json.dumps({"dependencies": packages}), "")
    assert exit_code == code
    assert said in text


def test_a_database_that_cannot_be_reached_is_said_to_be() -> None:
    text, exit_code = supply.judged("", "Traceback\nConnectionError: pypi.org")
    assert exit_code == supply.UNKNOWN
    assert text.startswith("not checked") and text.endswith("ConnectionError: pypi.org")
