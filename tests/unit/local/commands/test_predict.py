"""`make predict`: its errors."""

from pathlib import Path
from typing import Any

import pytest
from readmission.client import ApiProblem, ApiUnreachable, Client

from infra.local import settings
from infra.local.commands import predict
from infra.local.errors import LocalError
from infra.local.stack import Stack

STACK = Stack("id", "key", "https://localhost:1/v1", "token", "arn", "bucket", {})


def _predict(folder: Path) -> Any:
    return predict.predict(settings.load({"LOCAL_DIR": str(folder)}), STACK, predict.SAMPLE)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ApiProblem(503, "no version is in Production yet"), "The API answered 503: no version is in Production yet"),
        (ApiUnreachable("refused"), "cannot be reached: refused. To see what is running: make status"),
    ],
)
def test_errors_of_the_client_are_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, said: str
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Client, "predict", fail)
    monkeypatch.setattr(predict, "client", lambda *_, **__: Client(STACK.api_url))
    with pytest.raises(LocalError, match=said):
        _predict(tmp_path)


def test_a_missing_certificate_points_to_make_status(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="make status"):
        _predict(tmp_path)
