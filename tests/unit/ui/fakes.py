"""A gateway and an MLflow on the loopback interface, and the parts of AWS clients that the pages use."""

import csv
import io
import json
import re
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.exceptions import ClientError

from tests.unit.ui import monitored

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PIPELINE = "arn:aws:states:eu-west-1:1:stateMachine:readmission-pipeline"
EXECUTION = "arn:aws:states:eu-west-1:1:execution:readmission-pipeline:first"
MODEL = {
    "name": "readmission",
    "version": "2",
    "family": "gradient_boosting",
    "data_kind": "real",
    "serves_since": "2026-11-24T10:00:00+00:00",
    "reason": "it is better",
    "mlflow_run_id": "run2",
    "test_metrics": {"auc_early": {"value": 0.68, "low": 0.66, "high": 0.7}},
    "model_card": {},
}
RUN = {
    "info": {"artifact_uri": "mlflow-artifacts:/1/run2/artifacts"},
    "data": {
        "tags": [{"key": "family", "value": "gradient_boosting"}, {"key": "data_kind", "value": "real"}],
        "params": [{"key": "max_iter", "value": "400"}],
    },
}
CARD = "# Model card: readmission, version 2\n\n## Metrics\n\n![ROC curves](plots/roc.png)\n\nThe end.\n"


def decision(version: str, before: str | None, kind: str = "promoted", **metrics: Any) -> dict[str, Any]:
    return {
        "id": int(version),
        "decided_at": "2026-11-24T10:00:00+00:00",
        "model_name": "readmission",
        "version": version,
        "previous_version": before,
        "decision": kind,
        "reason": f"reason of {version}",
        "metrics": metrics,
        "data_kind": "real",
        "data_hash": "",
        "code_version": "",
        "execution": None,
        "family": "gradient_boosting",
        "mlflow_run_id": f"run{version}",
    }


def prediction(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The risk grows with the inpatient stays, so that a test can tell patients apart."""
    risk = 0.1 + 0.05 * fields["number_inpatient"]
    return {
        "readmitted": "NO",
        "probabilities": {"<30": risk, ">30": 0.3, "NO": 0.7 - risk},
        "early_risk": {"probability": risk, "band": "high", "percentile": 84.0},
        "model_name": "readmission",
        "model_version": "2",
        "data_kind": "real",
        "request_id": "r-1",
        "explanation": {
            "base_score": -2.3,
            "score": -2.0,
            "contributions": [
                {"field": "number_inpatient", "contribution": 0.4, "direction": "raises"},
                {"field": "diag_1", "contribution": -0.1, "direction": "lowers"},
                {"field": "age_numeric", "contribution": 0.0, "direction": "none"},
            ],
        },
    }


def scored(text: str) -> dict[str, Any]:
    """The batch endpoint's answer to a CSV: the risk is the column `risk`, and a row without one is invalid."""
    rows = [_scored(index, row["risk"]) for index, row in enumerate(csv.DictReader(io.StringIO(text)))]
    refused = sum("problem" in row for row in rows)
    return {"request_id": "r-1", "answered": len(rows) - refused, "refused": refused, "predictions": rows}


def _scored(index: int, risk: str) -> dict[str, Any]:
    if not risk:
        error = {"field": "risk", "message": "is required", "code": "required"}
        return {"index": index, "problem": {"detail": "the encounter cannot be used: risk", "errors": [error]}}
    forecast = {
        "readmitted": "NO",
        "probabilities": {"<30": float(risk), ">30": 0.2, "NO": 0.5},
        "early_risk": {"probability": float(risk), "band": "low" if float(risk) < 0.25 else "high", "percentile": 10.0},
    }
    return {"index": index, "prediction": forecast}


class Gateway:
    """Answers like the API, or with the status and detail of `problem` if that is set."""

    def __init__(self) -> None:
        self.problem: tuple[int, str] | None = None
        self.errors: list[dict[str, Any]] = []
        self.explains = True
        self.history: dict[str, Any] | None = None  # what a look-up finds
        self.model = MODEL
        self.decisions = [decision("2", "1"), decision("1", None)]
        self.monitored: dict[str, Any] | None = monitored.document()
        self.predicted: list[dict[str, Any]] = []
        self.batches: list[int] = []
        self.feedback: list[dict[str, Any]] | None = []  # None: an API without the route

    def answer(self, method: str, path: str, body: str) -> tuple[int, str]:
        if self.problem:
            status, detail = self.problem
            document = {"status": status, "detail": detail, "errors": self.errors, "request_id": "r-9"}
            return status, json.dumps(document)
        match path.partition("?"):
            case "/predict", _, query:
                return self._predict(json.loads(body), query)
            case "/predict/batch", _, _:
                self.batches.append(body.count("\n") - 1)
                return 200, json.dumps(scored(body))
            case "/model", _, "card=markdown":
                return 200, CARD
            case "/model", _, _:
                return 200, json.dumps(self.model)
        return self._rest(method, path, body)

    def _rest(self, method: str, path: str, body: str) -> tuple[int, str]:
        match path.partition("?"):
            case "/feedback", _, _:
                if self.feedback is None:
                    return 404, json.dumps({"status": 404, "detail": "There is no such route"})
                self.feedback += json.loads(body)["feedback"]
                return 200, json.dumps({"kept": 1})
            case "/monitor", _, _:
                return self._monitor()
            case "/model/history", _, _:
                return 200, json.dumps({"decisions": self.decisions})
        raise AssertionError(f"{method} {path}")

    def _monitor(self) -> tuple[int, str]:
        if self.monitored is None:
            return 404, json.dumps({"status": 404, "detail": "The monitor has no result yet"})
        return 200, json.dumps(self.monitored)

    def _predict(self, fields: dict[str, Any], query: str) -> tuple[int, str]:
        if query and not self.explains:
            return 409, json.dumps({"detail": "an earlier release"})
        self.predicted.append(fields)
        answer = prediction(fields) | {"data_kind": self.model["data_kind"]}
        if self.history:
            answer["history"] = self.history
            added = {"field": "prior_encounters", "contribution": 0.2, "direction": "raises"}
            answer["explanation"]["contributions"].insert(0, added)
        if not query:
            del answer["explanation"]
        return 200, json.dumps(answer)


@contextmanager
def serving(answer: Any) -> Iterator[str]:
    """Serves `answer(method, path, body)` over HTTP and yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            status, text = answer(self.command, self.path, body)
            content = text if isinstance(text, bytes) else text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _respond

        def log_message(self, format: str, *arguments: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        # Not joined: a client may keep its connection, and so the handler's thread, open.
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Pages:
    def __init__(self, pages: list[dict[str, Any]]) -> None:
        self._pages = pages

    def paginate(self, **arguments: Any) -> list[dict[str, Any]]:
        return self._pages


class CloudFormation:
    class exceptions:
        ClientError = ClientError

    def __init__(self, deployed: bool = True) -> None:
        self._deployed = deployed

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if not self._deployed:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        outputs = {"PipelineArn": PIPELINE}
        return {"Stacks": [{"Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]}]}


def event(kind: str, seconds: float, **details: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": NOW + timedelta(seconds=seconds), **details}


def entered(name: str, seconds: float, kind: str = "Task") -> dict[str, Any]:
    return event(f"{kind}StateEntered", seconds, stateEnteredEventDetails={"name": name})


def left(name: str, seconds: float, kind: str = "Task") -> dict[str, Any]:
    return event(f"{kind}StateExited", seconds, stateExitedEventDetails={"name": name})


def succeeded(seconds: float, **payload: Any) -> dict[str, Any]:
    return event("TaskSucceeded", seconds, taskSucceededEventDetails={"output": json.dumps({"Payload": payload})})


class StepFunctions:
    """Executions by ARN, each with its description and events."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.executions: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}

    def add(self, arn: str, status: str, events: list[dict[str, Any]], **more: Any) -> None:
        ended = {} if status == "RUNNING" else {"stopDate": NOW + timedelta(seconds=75)}
        self.executions[arn] = {"executionArn": arn, "status": status, "startDate": NOW, **ended, **more}
        self.events[arn] = events

    def start_execution(self, **arguments: Any) -> dict[str, Any]:
        self.started.append(json.loads(arguments["input"]))
        self.add(EXECUTION, "SUCCEEDED", [], input=arguments["input"], output="{}")
        return {"executionArn": EXECUTION}

    def list_executions(self, **arguments: Any) -> dict[str, Any]:
        return {"executions": list(self.executions.values())}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        return self.executions[executionArn]

    def get_execution_history(self, executionArn: str, maxResults: int) -> dict[str, Any]:
        return {"events": self.events[executionArn][:maxResults]}

    def get_paginator(self, name: str) -> Any:
        fake = self

        class Events:
            def paginate(self, executionArn: str, maxResults: int) -> list[dict[str, Any]]:
                """In pages of what Step Functions returns at most."""
                events, size = fake.events[executionArn], min(maxResults, 1000)
                return [{"events": events[start : start + size]} for start in range(0, len(events), size)]

        return Events()


class Mlflow:
    """MLflow's REST API for runs with artifacts, by run id and path, and one registered version per run (`run2`)."""

    def __init__(self, artifacts: Mapping[str, Mapping[str, bytes]]) -> None:
        self._artifacts = {run_id: dict(files) for run_id, files in artifacts.items()}
        self.down = False

    def add(self, run_id: str, path: str, content: bytes) -> None:
        self._artifacts.setdefault(run_id, {})[path] = content

    def answer(self, method: str, path: str, body: str) -> tuple[int, str | bytes]:
        if self.down:
            return 503, ""
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        match parts.path:
            case "/api/2.0/mlflow/artifacts/list":
                return 200, json.dumps({"files": self._files(query["run_id"], query.get("path", ""))})
            case "/get-artifact":
                return 200, self._artifacts[query["run_uuid"]][query["path"]]
            case "/api/2.0/mlflow/runs/get":
                return 200, json.dumps({"run": RUN})
            case "/api/2.0/mlflow/model-versions/get":
                version = {"name": query["name"], "version": query["version"], "run_id": f"run{query['version']}"}
                return 200, json.dumps({"model_version": version | {"creation_timestamp": 1_700_000_000_000}})
        raise AssertionError(f"{method} {path}")

    def _files(self, run_id: str, folder: str) -> list[dict[str, str]]:
        paths = self._artifacts.get(run_id, {})
        return [{"path": path} for path in paths if path.rpartition("/")[0] == folder]


class Lambda:
    def __init__(self, answer: Any, error: str | None = None) -> None:
        self._answer, self._error = answer, error
        self.asked: list[dict[str, Any]] = []

    def invoke(self, FunctionName: str, Payload: str) -> dict[str, Any]:
        self.asked.append({"function": FunctionName, **json.loads(Payload)})
        return {"Payload": io.BytesIO(json.dumps(self._answer).encode())} | (
            {"FunctionError": self._error} if self._error else {}
        )


class CloudWatch:
    """Sums by metric, dimensions and minutes from the window's start."""

    def __init__(self, sums: Mapping[tuple[str, tuple[tuple[str, str], ...]], Mapping[int, float]]) -> None:
        self._sums = sums
        self.periods: set[int] = set()

    def get_paginator(self, name: str) -> Any:
        fake = self

        class Listed:
            def paginate(self, MetricName: str, Dimensions: Any, **_: Any) -> list[dict[str, Any]]:
                wanted = {(one["Name"], one["Value"]) for one in Dimensions}
                return [
                    {
                        "Metrics": [
                            {"Dimensions": [{"Name": key, "Value": value} for key, value in dimensions]}
                            for metric, dimensions in fake._sums
                            if metric == MetricName and wanted <= set(dimensions)
                        ]
                    }
                ]

        class Data:
            def paginate(self, MetricDataQueries: Any, StartTime: datetime, **_: Any) -> list[dict[str, Any]]:
                return [{"MetricDataResults": [fake._result(query, StartTime) for query in MetricDataQueries]}]

        return Listed() if name == "list_metrics" else Data()

    def _result(self, query: Any, start: datetime) -> dict[str, Any]:
        metric = query["MetricStat"]["Metric"]
        self.periods.add(query["MetricStat"]["Period"])
        key = metric["MetricName"], tuple((one["Name"], one["Value"]) for one in metric["Dimensions"])
        sums = self._sums[key]
        times = [start + timedelta(minutes=minute) for minute in sums]
        return {"Id": query["Id"], "Timestamps": times, "Values": list(sums.values())}


type Samples = dict[str, list[tuple[float, float]]]
"""Times and values by series: `name{label="value"}`."""


class Prometheus:
    """The few queries of the pages, over samples: the last or the largest value in a window, and raw samples."""

    _SERIES = re.compile(r"(\w+)(?:{(.*?)})?")
    _OVER_TIME = re.compile(r"(last|max)_over_time\((.*)\[(\d+)([sd])\]\)")
    _RAW = re.compile(r"(.*)\[(\d+)([sd])\]")

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self.down = False

    def answer(self, method: str, path: str, body: str) -> tuple[int, str]:
        if self.down:
            return 503, ""
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        if parts.path == "/api/v1/query_range":
            start, end, step = (float(query[name]) for name in ("start", "end", "step"))
            times = [start + index * step for index in range(int((end - start) / step) + 1)]
            found = self._over_time(query["query"], times, "values")
        elif "_over_time" in query["query"]:
            found = self._over_time(query["query"], [float(query["time"])], "value")
        else:
            found = self._raw(query["query"], float(query["time"]))
        return 200, json.dumps({"data": {"result": found}})

    def _over_time(self, query: str, times: list[float], key: str) -> list[dict[str, Any]]:
        match = self._OVER_TIME.search(query)
        assert match, query
        lookback, only_one = int(match[3]) * {"s": 1, "d": 86400}[match[4]], query.endswith("== 1")
        result = []
        for labels, samples in self._matching(match[2]):
            points = []
            for time in times:
                values = [value for _, value in _between(samples, time - lookback, time)]
                if values and not (only_one and max(values) != 1):
                    points.append([time, str(values[-1] if match[1] == "last" else max(values))])
            if points:
                result.append({"metric": labels, key: points if key == "values" else points[0]})
        return result

    def _raw(self, query: str, time: float) -> list[dict[str, Any]]:
        match = self._RAW.fullmatch(query)
        assert match, query
        lookback = int(match[2]) * {"s": 1, "d": 86400}[match[3]]
        found = [
            (labels, [[at, str(value)] for at, value in _between(samples, time - lookback, time)])
            for labels, samples in self._matching(match[1])
        ]
        return [{"metric": labels, "values": values} for labels, values in found if values]

    def _matching(self, selector: str) -> Iterator[tuple[dict[str, str], list[tuple[float, float]]]]:
        name, wanted = self._parse(selector)
        for series, samples in self._samples.items():
            own, labels = self._parse(series)
            if own == name and wanted.items() <= labels.items():
                yield labels | {"job": "readmission", "instance": "here"}, samples

    def _parse(self, series: str) -> tuple[str, dict[str, str]]:
        match = self._SERIES.fullmatch(series)
        assert match, series
        return match[1], dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))


def _between(samples: list[tuple[float, float]], after: float, until: float) -> list[tuple[float, float]]:
    return samples[bisect_right(samples, (after, inf)) : bisect_right(samples, (until, inf))]
