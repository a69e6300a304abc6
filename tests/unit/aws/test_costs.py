"""The costs in docs/aws.md are those of the template's resources."""

import pytest

from tests.documents import DOCS, rows
from tests.unit.templates import PLATFORM

RESOURCES = PLATFORM["Resources"].values()
HOURS = 730
IDLE = [row for row in rows(DOCS / "aws.md", "## Cost") if len(row) == 5]
(HEADER,) = [row for row in IDLE if row[0] == "resource"]
LINES = {row[0]: row for row in IDLE if row[1] and row is not HEADER and not set(row[0]) <= set("-:")}


def number(kind: str) -> int:
    return sum(one["Type"] == kind for one in RESOURCES)


def line(start: str) -> list[str]:
    (found,) = (row for name, row in LINES.items() if name.startswith(start))
    return found


def test_every_line_multiplies_price_and_number() -> None:
    assert len(LINES) == 7
    for name, (_, price, count, endpoints, nat) in LINES.items():
        amount = float(price.split()[0]) * int(count) * (HOURS if price.endswith("an hour") else 1)
        assert {text for text in (endpoints, nat) if text} == {f"{amount:.2f}"}, name


def test_the_sums_are_those_of_the_columns() -> None:
    (total,) = (row for row in IDLE if "sum" in row[0])
    for column in (3, 4):
        amount = sum(float(row[column] or 0) for row in LINES.values())
        assert total[column].strip("*") == f"{amount:.2f}"


@pytest.mark.parametrize(
    ("start", "count"),
    [
        ("database", number("AWS::RDS::DBInstance")),
        ("its disk", PLATFORM["Parameters"]["DatabaseGigabytes"]["Default"]),
        ("Fargate", number("AWS::ECS::Service")),
        ("load balancer", number("AWS::ElasticLoadBalancingV2::LoadBalancer")),
        ("secrets", number("AWS::SecretsManager::Secret") + 1),
        (
            "interface endpoints",
            2
            * sum(
                one["Properties"].get("ServiceName") and one.get("Condition") == "HasEndpoints"
                for one in RESOURCES
                if one["Type"] == "AWS::EC2::VPCEndpoint"
            ),
        ),
        ("NAT gateway", number("AWS::EC2::NatGateway")),
    ],
)
def test_the_numbers_are_those_of_the_template(start: str, count: int) -> None:
    assert int(line(start)[2]) == count


def test_the_sizes_are_the_defaults() -> None:
    assert PLATFORM["Parameters"]["DatabaseClass"]["Default"] in line("database")[0]
    assert PLATFORM["Parameters"]["MlflowMemory"]["Default"] == 2048 and "2 GB" in line("Fargate")[0]
