"""What a request for a rollback must say; `tests/integration/readmission/promotion/test_rollback.py` has the rest."""

from typing import Any

import pytest
from readmission.errors import InvalidRequest
from readmission.promotion.rollback import rollback
from readmission.settings import ModelSettings

ASKED: Any = {"version": "2", "reason": "a complaint", "by": "an operator"}
NO_CONNECTION: Any = None  # a request is validated before anything is read


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ("2", "must be an object"),
        (None, "must be an object"),
        ({**ASKED, "versions": "2"}, "unknown fields: versions"),
        *(({**ASKED, "version": value}, "'version' must be a version number") for value in (2, "x", "", "٣")),
        ({**ASKED, "force": "1"}, "'force'"),
        *(({**ASKED, "reason": value}, "'reason'") for value in (None, 5, " ", "x" * 1001, "a\0b")),
        *(({**ASKED, "by": value}, "'by'") for value in (None, 5, " ", "x" * 201)),
    ],
    ids=repr,
)
def test_an_invalid_rollback_request_is_refused_by_name(request_: Any, names: str) -> None:
    with pytest.raises(InvalidRequest, match=names):
        rollback(request_, NO_CONNECTION, ModelSettings("http://mlflow.example", "readmission"))
