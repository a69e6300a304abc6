"""The program of a measured process: `python subject.py ours|peer events.json`.

Imports the handler and answers the commands on its standard input, one JSON document a line. Imports little itself,
because that would count as the handler's memory.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Context:
    """The Lambda context of an invocation."""

    function_name = "readmission-predict"
    function_version = "1"
    memory_limit_in_mb = "512"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:readmission-predict"
    aws_request_id = "8f507cfc-9c5b-4f0e-8e0a-3f1d7c1f6a52"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def event_of(path: str, body: str, content_type: str) -> dict[str, Any]:
    """An event of API Gateway's REST proxy integration."""
    headers = {
        "Accept": "*/*",
        "Content-Type": content_type,
        "Host": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
        "User-Agent": "curl/8.5.0",
        "X-Amzn-Trace-Id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "x-api-key": "0123456789abcdefghij",
    }
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path[1:]},
        "stageVariables": None,
        "requestContext": {
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "httpMethod": "POST",
            "path": f"/v1{path}",
            "stage": "v1",
            "protocol": "HTTP/1.1",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "curl/8.5.0"},
        },
        "body": body,
        "isBase64Encoded": False,
    }


def load(kind: str) -> Any:
    """The module with the handler."""
    if kind == "ours":
        sys.path.insert(0, os.path.join(ROOT, "functions", "predict"))
        import app  # type: ignore[import-not-found]

        return app
    from tests.benchmarks import peer

    return peer


def answers(handler: Any, events: list[dict[str, Any]], times: int) -> dict[str, Any]:
    """The time of each call (ns), the CPU time of all, and the last answer."""
    context, took, answer = Context(), [], {}
    worked = time.process_time_ns()
    for number in range(times):
        event = events[number % len(events)]
        began = time.perf_counter_ns()
        answer = handler(event, context)
        took.append(time.perf_counter_ns() - began)
        if answer["statusCode"] != 200:
            raise SystemExit(answer["body"])
    return {"took": took, "worked": time.process_time_ns() - worked, "body": answer["body"]}


def unmetered(module: Any, events: list[dict[str, Any]], times: int) -> dict[str, Any]:
    """The same for the handler without writing metrics."""
    from mangum import Mangum
    from readmission.serving.api import create_app

    application = create_app(module.model_cache, logger=module.logger, correlate=module.logger.set_correlation_id)
    return answers(module.logger.inject_lambda_context(Mangum(application, lifespan="off")), events, times)


def applications(module: Any, events: list[dict[str, Any]], times: int) -> dict[str, Any]:
    """The same for the application without Mangum and the handler: a call is an ASGI scope and a body."""
    application = module.application

    async def ask(event: dict[str, Any]) -> int:
        body, statuses = event["body"].encode(), []
        headers = [(name.lower().encode(), value.encode()) for name, value in event["headers"].items()]
        path = event["path"]
        scope = {
            **{"type": "http", "http_version": "1.1", "method": "POST", "scheme": "https", "root_path": ""},
            **{"path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers},
            **{"server": ("localhost", 443), "client": ("192.0.2.1", 1), "asgi": {"version": "3.0"}},
            "aws.event": event,
            "aws.context": Context(),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            statuses.append(message.get("status", 200))

        began = time.perf_counter_ns()
        await application(scope, receive, send)
        if statuses[0] != 200:
            raise SystemExit(f"the application answered {statuses[0]}")
        return time.perf_counter_ns() - began

    async def all_of_them() -> list[int]:
        return [await ask(events[number % len(events)]) for number in range(times)]

    loop = asyncio.new_event_loop()  # asyncio.run would remove the loop that Mangum uses
    try:
        return {"took": loop.run_until_complete(all_of_them())}
    finally:
        loop.close()


def scores(module: Any, events: list[dict[str, Any]], times: int) -> dict[str, Any]:
    """The same for the scorer alone."""
    from readmission.domain.features import inputs_of

    scorer = module.model_cache.current().scorer
    known = [inputs_of(json.loads(event["body"])) for event in events]
    rows = [[one[name] for name in scorer.features] for one in known]
    took = []
    for number in range(times):
        row = rows[number % len(rows)]
        began = time.perf_counter_ns()
        scorer.probabilities(row)
        took.append(time.perf_counter_ns() - began)
    return {"took": took}


def memory() -> dict[str, Any]:
    """This process's resident and private memory, in KiB."""
    fields: dict[str, int] = {}
    with open("/proc/self/smaps_rollup") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if rest.endswith("kB\n"):
                fields[name] = int(rest.split()[0])
    return {"rss": fields["Rss"], "uss": fields["Private_Clean"] + fields["Private_Dirty"]}


def peak_mb() -> float:
    """This process's peak memory. Not by getrusage, which includes the parent's if that was larger."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    _, kind, path = sys.argv
    # Answers get a channel of their own, because the handler logs to standard output.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module = load(kind)
    with open(path) as file:
        events = {name: [event_of(*one) for one in known] for name, known in json.load(file).items()}
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["what"] == "memory":
            found = memory()
        elif asked["what"] == "scorer":
            found = scores(module, events[asked["events"]], asked["times"])
        elif asked["what"] == "unmetered":
            found = unmetered(module, events[asked["events"]], asked["times"])
        elif asked["what"] == "asgi":
            found = applications(module, events[asked["events"]], asked["times"])
        else:
            found = answers(module.handler, events[asked["events"]], asked["times"])
        print(json.dumps(found), file=out)


if __name__ == "__main__":
    main()
