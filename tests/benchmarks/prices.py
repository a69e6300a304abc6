"""AWS's list prices that the capacity model uses: us-east-1, US dollars, x86_64, without the free tier.

They change: check them against the sources before use.
"""

from typing import Final, NamedTuple

READ_ON: Final = "2026-11-24"


class Price(NamedTuple):
    """Dollars for one `unit`, from a public page of AWS."""

    dollars: float
    unit: str
    source: str


GB_SECOND: Final = Price(0.0000166667, "GB-second of a function", "https://aws.amazon.com/lambda/pricing/")
LAMBDA_REQUEST: Final = Price(0.20 / 1e6, "invocation of a function", "https://aws.amazon.com/lambda/pricing/")
API_REQUEST: Final = Price(
    3.50 / 1e6, "request to a REST API, the first 333 million a month", "https://aws.amazon.com/api-gateway/pricing/"
)
STATE_TRANSITION: Final = Price(
    25.0 / 1e6, "state transition of a standard workflow", "https://aws.amazon.com/step-functions/pricing/"
)
LOG_GB: Final = Price(
    0.50, "GB of logs taken in, the first 10 TB a month", "https://aws.amazon.com/cloudwatch/pricing/"
)
METRIC_MONTH: Final = Price(
    0.30, "custom metric and month, the first 10,000", "https://aws.amazon.com/cloudwatch/pricing/"
)

ALL: Final = (GB_SECOND, LAMBDA_REQUEST, API_REQUEST, STATE_TRANSITION, LOG_GB, METRIC_MONTH)
