"""Keeps references to a resource that is updated in place from counting as changes."""

from collections.abc import Callable

from localstack.services.cloudformation.engine.v2.change_set_model import (
    ChangeSetEntity,
    ChangeSetModel,
    ChangeType,
    TerminalValue,
)
from localstack.utils.patch import patch


def change_of_reference(
    resolve: Callable[[ChangeSetModel, ChangeSetEntity], ChangeType], self: ChangeSetModel, arguments: ChangeSetEntity
) -> ChangeType:
    """The value of a `Ref` to a resource that is updated in place, its name or id, does not change.

    LocalStack treats it as changed. It therefore replaces every resource that refers to a changed function in a
    property that cannot be updated, for example an alias, and fails because the alias already exists.
    """
    change = resolve(self, arguments)
    if change != ChangeType.MODIFIED or not isinstance(arguments, TerminalValue):
        return change
    if arguments.value not in self._after_template["Resources"]:
        return change
    resource = self._retrieve_or_visit_resource(arguments.value)
    return change if resource.requires_replacement else ChangeType.UNCHANGED


def install() -> None:
    patch(ChangeSetModel._resolve_intrinsic_function_ref)(change_of_reference)
