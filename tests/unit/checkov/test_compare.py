"""Findings of checkov against the explained skips."""

import pytest

from tests.checkov.__main__ import PROJECT, Finding, Skip, compare, findings, skips

OPEN = Finding("CKV_AWS_21", "AWS::S3::Bucket.DataBucket", "Ensure the S3 bucket has versioning enabled")
REPORT = {"results": {"failed_checks": [{"check_id": OPEN.check, "resource": OPEN.resource, "check_name": OPEN.says}]}}


def test_a_finding_that_nothing_explains_is_printed_with_its_rule() -> None:
    assert list(compare([OPEN, OPEN], [])) == [
        "CKV_AWS_21 AWS::S3::Bucket.DataBucket: Ensure the S3 bucket has versioning enabled"
    ]


@pytest.mark.parametrize("resource", ["AWS::S3::Bucket.DataBucket", "AWS::S3::Bucket.*"])
def test_a_finding_is_explained_by_its_resource_or_by_all_of_its_type(resource: str) -> None:
    assert list(compare([OPEN], [Skip("CKV_AWS_21", (resource,), "copies")])) == []


@pytest.mark.parametrize(
    "skip",
    [
        Skip("CKV_AWS_18", ("AWS::S3::Bucket.DataBucket",), "another rule"),
        Skip("CKV_AWS_21", ("AWS::S3::Bucket.Other",), "another bucket"),
        Skip("CKV_AWS_21", ("AWS::Logs::LogGroup.*",), "another type"),
    ],
    ids=lambda skip: skip.reason,
)
def test_a_skip_that_nothing_needs_is_printed_beside_the_finding(skip: Skip) -> None:
    found = list(compare([OPEN], [skip]))
    assert len(found) == 2 and found[1].startswith("skips.toml: nothing breaks")


@pytest.mark.parametrize("report", [REPORT, [REPORT]], ids=["one kind of file", "several"])
def test_findings_are_read_from_the_report(report: object) -> None:
    assert list(findings(report)) == [OPEN]


def test_a_template_that_cannot_be_read_is_not_one_without_findings() -> None:
    with pytest.raises(ValueError, match=r"a\.json"):
        list(findings({"results": {"failed_checks": [], "parsing_errors": ["a.json"]}}))


def test_every_skip_has_a_reason() -> None:
    known = skips((PROJECT / "skips.toml").read_text())
    assert known and all(len(skip.reason.strip()) > 30 and skip.resources for skip in known)
