"""The CORS headers of answers without Starlette are those of its middleware, which the rest of the API has."""

import asyncio
from typing import Any

import pytest
from readmission.http import cors, request_id
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

PAGE, OTHER = "https://ward.example", "https://other.example"


def _of_starlette(origin: str | None, allowed: tuple[str, ...]) -> dict[str, str]:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    app = CORSMiddleware(Response(), allow_origins=allowed, expose_headers=[request_id.HEADER])
    headers = [(b"origin", origin.encode())] if origin else []
    asyncio.run(app({"type": "http", "method": "GET", "path": "/", "headers": headers}, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return {name: value for name, value in found.items() if name != "content-length"}


@pytest.mark.parametrize("allowed", [(PAGE,), (PAGE, OTHER), ("*",)], ids=["one", "two", "all"])
@pytest.mark.parametrize("origin", [PAGE, "https://foreign.example", None])
def test_a_page_gets_the_headers_of_the_rest_of_the_api(origin: str | None, allowed: tuple[str, ...]) -> None:
    found = {name.lower(): value for name, value in cors.headers(origin, allowed).items()}
    assert found == _of_starlette(origin, allowed)


def test_without_allowed_origins_there_are_no_headers() -> None:
    assert cors.headers(PAGE, ()) == {}
