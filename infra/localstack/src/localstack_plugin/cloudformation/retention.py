"""Keeps resources whose deletion policy is RetainExceptOnCreate; LocalStack deletes them with their stack."""

from collections.abc import Callable
from typing import Any

from localstack.services.cloudformation.engine.v2.change_set_model_preproc import DeletionPolicy, PreprocResource
from localstack.utils.patch import patch


def keep(original: Callable[..., None], self: PreprocResource, *arguments: Any, **options: Any) -> None:
    original(self, *arguments, **options)
    if self.deletion_policy == DeletionPolicy.RetainExceptOnCreate:
        self.deletion_policy = DeletionPolicy.Retain


def install() -> None:
    patch(PreprocResource.__init__)(keep)
