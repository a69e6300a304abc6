"""A stack that cannot be updated is deleted before the next deployment."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local import aws, settings
from infra.local.errors import LocalError
from infra.local.lifecycle import repair


class CloudFormation:
    """Stacks with the statuses that they have one after the other; the last one stays, unless the stack is deleted."""

    def __init__(self, deletable: bool = True, **statuses: list[str]) -> None:
        self.statuses = {name.replace("_", "-"): found for name, found in statuses.items()}
        self.deleted: list[str] = []
        self._deletable = deletable

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        found = self.statuses.get(StackName)
        if not found:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        return {"Stacks": [{"StackStatus": found.pop(0) if len(found) > 1 else found[0]}]}

    def delete_stack(self, StackName: str) -> None:
        self.deleted.append(StackName)
        self.statuses[StackName] = ["DELETE_IN_PROGRESS", "DELETE_COMPLETE" if self._deletable else "DELETE_FAILED"]


def _repair(monkeypatch: pytest.MonkeyPatch, folder: Path, client: CloudFormation) -> list[str]:
    monkeypatch.setattr(aws, "client", lambda settings, service: client)
    monkeypatch.setattr(repair, "POLL_SECONDS", 0)
    return repair.repair(settings.load({"LOCAL_DIR": str(folder)}))


@pytest.mark.parametrize(
    "statuses",
    [["CREATE_FAILED"], ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"], ["REVIEW_IN_PROGRESS"], ["DELETE_FAILED"]],
)
def test_a_broken_stack_is_deleted_once_nothing_changes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, statuses: list[str]
) -> None:
    client = CloudFormation(readmission=statuses, aws_sam_cli_managed_default=["CREATE_COMPLETE"])
    assert _repair(monkeypatch, tmp_path, client) == client.deleted == ["readmission"]


@pytest.mark.parametrize("statuses", [[], ["UPDATE_COMPLETE"], ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]])
def test_a_stack_that_can_be_updated_and_a_missing_one_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, statuses: list[str]
) -> None:
    client = CloudFormation(readmission=statuses)
    assert _repair(monkeypatch, tmp_path, client) == client.deleted == []


def test_the_bucket_of_sam_is_repaired_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = CloudFormation(aws_sam_cli_managed_default=["ROLLBACK_COMPLETE"])
    assert _repair(monkeypatch, tmp_path, client) == ["aws-sam-cli-managed-default"]


def test_a_stack_that_cannot_be_deleted_is_said_with_the_way_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = CloudFormation(deletable=False, readmission=["CREATE_FAILED"])
    with pytest.raises(LocalError, match=r"DELETE_FAILED and cannot be deleted.*make down, make up, make deploy"):
        _repair(monkeypatch, tmp_path, client)
