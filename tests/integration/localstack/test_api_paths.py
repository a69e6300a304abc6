"""A new LocalStack, in which nothing has used API Gateway yet."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.integration.localstack.server import Server


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_to_an_api_that_is_not_deployed_never_succeeds(tmp_path: Path, method: str) -> None:
    server = Server.start(tmp_path / "localstack")
    try:
        request = urllib.request.Request(f"{server.endpoint}/_aws/execute-api/abc123/v1/predict", method=method)
        if method == "POST":
            request.data = b"{}"
            request.add_header("Content-Type", "application/json")
        with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request, timeout=60):
            pass
        with refused.value as answer:
            assert answer.code == 404
            assert "does not correspond to a deployed API" in answer.read().decode()
    finally:
        server.kill()
