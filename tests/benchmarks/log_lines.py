"""How many bytes one warm prediction writes to CloudWatch Logs, by who writes them."""

import re
from collections.abc import Mapping
from typing import Any, Final

# What the function itself writes, measured; tests/unit/benchmarks/test_log_lines.py measures it again.
EMF_BYTES: Final = 1613
ACCESS_LINE_BYTES: Final = 579

_REQUEST_ID: Final = "8f507cfc-9c5b-4f0e-8e0a-3f1d7c1f6a52"
_TRACE: Final = "1-5759e988-bd862e3fe1be46a994272793"
# Lambda's own lines in its text format, as its documentation shows them.
PLATFORM_LINES: Final = (
    f"START RequestId: {_REQUEST_ID} Version: 12\n",
    f"END RequestId: {_REQUEST_ID}\n",
    f"REPORT RequestId: {_REQUEST_ID}\tDuration: 5.51 ms\tBilled Duration: 6 ms\tMemory Size: 512 MB\t"
    f"Max Memory Used: 110 MB\t\nXRAY TraceId: {_TRACE}\tSegmentId: 07fef2fd3b23f1b2\tSampled: true\t\n",
)
# Values of the length that API Gateway's variables have; any other is as long as `_OTHER`.
_VARIABLES: Final = {
    "requestId": _REQUEST_ID,
    "extendedRequestId": "Aa1Bb2Cc3Dd4Ee5=",
    "requestTime": "26/Nov/2026:22:30:21 +0000",
    "requestTimeEpoch": "1795732221042",
    "httpMethod": "POST",
    "resourcePath": "/{proxy+}",
    "path": "/v1/predict",
    "status": "200",
    "protocol": "HTTP/1.1",
    "xrayTraceId": _TRACE,
}
_OTHER: Final = "0" * 15


def gateway_bytes(template: Mapping[str, Any]) -> int:
    """The length of the gateway's access line for one request, by the format in the template; 0 without one."""
    setting = template["Resources"]["Api"]["Properties"].get("AccessLogSetting") or {}
    form = setting.get("Format")
    if not isinstance(form, str):
        return 0
    line = re.sub(r"\$context\.([\w.]+)", lambda found: _VARIABLES.get(found[1], _OTHER), form)
    return len(f"{line}\n".encode())


def by_writer(template: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of one warm prediction by who writes them."""
    return {
        "the function's metrics (EMF)": EMF_BYTES,
        "its access line": ACCESS_LINE_BYTES,
        "Lambda's START, END and REPORT": sum(len(line.encode()) for line in PLATFORM_LINES),
        "the gateway's access line": gateway_bytes(template),
    }
