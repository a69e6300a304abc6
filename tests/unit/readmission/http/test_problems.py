"""Problem documents, request ids and security headers."""

import base64
import json
import logging
import re
from hashlib import sha256
from typing import Any

import httpx
import pytest
from readmission.serving.schemas import EXAMPLE

from tests.unit.readmission.serving.fakes import Api, serving

SECRET = "87654321"  # a value that no answer and no log may contain


@pytest.fixture
def api() -> Api:
    return serving(0.1, 0.2, 0.7)


@pytest.fixture
def broken(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An API whose model fails unexpectedly, with a patient's value in the exception."""

    def fail(row: Any) -> Any:
        raise ZeroDivisionError(f"{SECRET} by zero")

    assert api.model_cache.refresh() is None and api.model_cache.served
    monkeypatch.setattr(api.model_cache.served.scorer, "probabilities", fail)
    return api


def _problem(api: Api, status: int) -> httpx.Response:
    """A request that is answered with this status."""
    body = json.dumps(EXAMPLE)
    if status == 503:
        api.model_cache.served = None
        api.registry.problem = "MLflow cannot be reached"
    return {
        404: lambda: api.get("/patients/a b"),
        405: lambda: api.get("/predict"),
        413: lambda: api.post("/predict", " " * 100_000),
        415: lambda: api.post("/predict", body, "text/plain"),
        422: lambda: api.predict({**EXAMPLE, "age_numeric": SECRET}),
        503: lambda: api.predict(EXAMPLE),
    }[status]()


PROBLEMS = {
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    503: "Service Unavailable",
}


@pytest.mark.parametrize("status", PROBLEMS)
def test_every_problem_has_one_shape(api: Api, status: int) -> None:
    answer = _problem(api, status)
    problem = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    expected = {"type", "title", "status", "detail", "instance", "request_id"}
    assert problem.keys() == expected | ({"errors"} if status == 422 else set())
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", PROBLEMS[status], status)
    assert problem["detail"] and problem["request_id"] == answer.headers["x-request-id"]
    assert problem["instance"] == ("/patients/a%20b" if status == 404 else "/predict")


def test_a_method_that_is_not_allowed_is_answered_with_the_allowed_ones(api: Api) -> None:
    assert _problem(api, 405).headers["Allow"] == "POST"


def test_an_unexpected_error_is_a_problem_without_its_cause(broken: Api) -> None:
    answer = broken.predict(EXAMPLE)
    problem = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert problem["title"] == "Internal Server Error" and problem["request_id"] == answer.headers["x-request-id"]
    assert "zero" not in answer.text.lower() and "Traceback" not in answer.text


def test_an_unexpected_error_is_logged_with_its_stack_but_without_values(
    broken: Api, caplog: pytest.LogCaptureFixture
) -> None:
    broken.predict(EXAMPLE)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "ZeroDivisionError" in record.getMessage() and "in forecast" in record.getMessage()
    assert SECRET not in caplog.text


def test_an_invalid_query_parameter_is_a_problem(api: Api) -> None:
    @api.app.get("/with-parameter")
    def with_parameter(flag: bool) -> bool:
        return flag

    answer = api.get(f"/with-parameter?flag={SECRET}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == ["flag"] and SECRET not in answer.text


def test_the_number_of_errors_is_limited(api: Api) -> None:
    answer = api.predict({**EXAMPLE, **{f"x{n}": 1 for n in range(150)}})
    assert len(answer.json()["errors"]) == 50
    answer = api.predict({**EXAMPLE, **{f"x{n}": 1 for n in range(3000)}})
    assert [error["message"] for error in answer.json()["errors"]] == ["has too many fields"]


def test_a_client_may_choose_the_request_id(api: Api) -> None:
    answer = api.request("POST", "/predict", json=EXAMPLE, headers={"x-request-id": "Ward-7_a.1"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "Ward-7_a.1"
    assert api.ids == ["Ward-7_a.1"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'a"b', "{}", "a/b", "é".encode()])
def test_an_invalid_request_id_is_replaced(api: Api, given: Any) -> None:
    answer = api.request("GET", "/health", headers={"x-request-id": given})
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.headers["x-request-id"])


def test_each_request_has_an_id_of_its_own(api: Api) -> None:
    api.get("/health")
    api.get("/nothing")
    assert len(set(api.ids)) == 2


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json", "/nothing"])
def test_every_answer_has_the_security_headers(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Strict-Transport-Security"].startswith("max-age=")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert len(headers.get_list("Content-Security-Policy")) == 1


@pytest.mark.parametrize("status", PROBLEMS)
def test_every_problem_has_the_security_headers(api: Api, status: int) -> None:
    assert _problem(api, status).headers["X-Content-Type-Options"] == "nosniff"


def test_the_docs_may_run_only_their_own_scripts(api: Api) -> None:
    page = api.get("/docs")
    policy = dict(part.split(None, 1) for part in page.headers["Content-Security-Policy"].split(";"))
    (inline,) = re.findall("<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(sha256(inline.encode()).digest()).decode()
    assert policy["script-src"].split() == ["'self'", f"'sha256-{digest}'"]
    assert (policy["style-src"], policy["connect-src"]) == ("'self' 'unsafe-inline'", "'self'")
    assert "http" not in page.headers["Content-Security-Policy"]


def test_the_docs_load_their_files_from_the_api_itself(api: Api) -> None:
    addresses = re.findall(r'(?:src|href)="([^"]*)"', api.get("/docs").text)
    assert sorted(addresses) == ["data:,", "docs/swagger-ui-bundle.js", "docs/swagger-ui.css"]
    for name, media_type in (("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")):
        answer = api.get(f"/docs/{name}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, f"{media_type}; charset=utf-8")
        assert len(answer.text) > 100_000


@pytest.mark.parametrize("name", ["favicon-32x32.png", "..%2Fmain.py", "__init__.py", ""])
def test_no_other_file_is_served(api: Api, name: str) -> None:
    assert api.get(f"/docs/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/health", "/model", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/nothing"])
def test_head_is_answered_as_get_without_the_body(api: Api, path: str) -> None:
    head, get = api.request("HEAD", path), api.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for name in ("Content-Type", "Content-Length", "Cache-Control", "Content-Security-Policy"):
        if path != "/nothing" or name != "Content-Length":  # the request id there may be longer
            assert head.headers[name] == get.headers[name]


def test_head_is_not_allowed_where_get_is_not(api: Api) -> None:
    answer = api.request("HEAD", "/predict")
    assert (answer.status_code, answer.headers["Allow"], answer.content) == (405, "POST", b"")


def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(api: Api) -> None:
    assert api.post("/health").headers["Allow"] == "GET, HEAD"


PREFLIGHT = {
    "Origin": "https://ward.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-api-key,x-request-id",
}


def test_a_page_of_an_allowed_origin_may_send_requests() -> None:
    api = Api("https://ward.example")
    preflight = api.request("OPTIONS", "/predict", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://ward.example"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    answer = api.request("GET", "/health", headers={"Origin": "https://ward.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ward.example"
    assert answer.headers["Access-Control-Expose-Headers"] == "x-request-id"


def test_a_page_of_an_allowed_origin_may_read_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api("https://ward.example")
    for path in ("/nothing", "/predict"):
        answer = api.request("GET", path, headers={"Origin": "https://ward.example"})
        assert answer.status_code >= 400 and "Access-Control-Allow-Origin" in answer.headers
    monkeypatch.setattr(api.model_cache, "current", lambda: 1 / 0)
    answer = api.request("GET", "/health", headers={"Origin": "https://ward.example"})
    assert answer.status_code == 500 and "Access-Control-Allow-Origin" in answer.headers


@pytest.mark.parametrize("origins", [(), ("https://ward.example",)])
def test_a_page_of_another_origin_may_not(origins: tuple[str, ...]) -> None:
    api = Api(*origins)
    preflight = api.request("OPTIONS", "/predict", headers=PREFLIGHT | {"Origin": "https://other.example"})
    assert preflight.status_code >= 400 and "Access-Control-Allow-Origin" not in preflight.headers
    answer = api.request("GET", "/health", headers={"Origin": "https://other.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("content_type", ["application/json; charset=latin-1", "application/xml", "json", ""])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_an_unsupported_content_type_is_answered_with_the_right_one(api: Api, path: str, content_type: str) -> None:
    answer = api.post(path, json.dumps(EXAMPLE), content_type)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"] or "utf-8" in answer.json()["detail"]


def test_a_compressed_body_is_refused(api: Api) -> None:
    answer = api.post("/predict", json.dumps(EXAMPLE), **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["detail"]) == (415, "The body must not be compressed")


def test_a_byte_order_mark_is_ignored(api: Api) -> None:
    assert api.post("/predict", b"\xef\xbb\xbf" + json.dumps(EXAMPLE).encode()).status_code == 200


def test_a_repeated_field_is_named(api: Api) -> None:
    answer = api.post("/predict", json.dumps(EXAMPLE).replace("{", '{"age_numeric": 50, ', 1))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["age_numeric"]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
@pytest.mark.parametrize(
    "body",
    [b"[" * 60_000, b'{"encounters": ' * 3_000, b"[" * 20_000 + b"]" * 20_000, b'{"encounters": [' + b"[" * 60_000],
)
def test_deeply_nested_json_is_a_client_error(api: Api, path: str, body: bytes) -> None:
    assert api.post(path, body).status_code in (413, 422)


@pytest.mark.parametrize(
    "body", [f'{{"age_numeric": {SECRET}', f'{{"x": "{SECRET}\n"}}', f'{{"x": {SECRET}x}}', f"{SECRET}"]
)
def test_invalid_json_is_not_repeated(api: Api, body: str) -> None:
    answer = api.post("/predict", body)
    assert answer.status_code == 422 and SECRET not in answer.text
