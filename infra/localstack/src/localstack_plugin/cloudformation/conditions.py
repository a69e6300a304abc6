"""Lets an update switch a condition on or off.

LocalStack visits a resource once for its state before the update and its state after it, and rejects the template if
either refers to a resource whose condition is false then, even if the resource that refers to it is absent as well.
And it leaves out a resource whose condition becomes false, so that it is never deleted.
"""

import json
from collections.abc import Callable
from typing import Any

from localstack.services.cloudformation.engine.v2.change_set_model import NodeResource, NodeResources, is_nothing
from localstack.services.cloudformation.engine.v2.change_set_model_describer import (
    CHANGESET_KNOWN_AFTER_APPLY,
    ChangeSetModelDescriber,
)
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import (
    ChangeSetModelPreproc,
    PreprocEntityDelta,
)
from localstack.services.cloudformation.engine.validations import ValidationError
from localstack.utils.patch import patch

_ABSENT = "(absent by its condition)"


def attribute(
    original: Callable[..., str], self: ChangeSetModelPreproc, arguments: str | list[str], select_before: bool
) -> str:
    """A placeholder for an attribute of an absent resource. The properties of absent resources are not used."""
    name = arguments.partition(".")[0] if isinstance(arguments, str) else arguments[0]
    return original(self, arguments, select_before) if _exists(self, name, select_before) else _ABSENT


def described(
    original: Callable[..., Any], self: ChangeSetModelDescriber, arguments: str | list[str], select_before: bool
) -> Any:
    """In the description of a change set, an attribute of a resource that is not there yet is known later."""
    try:
        found = original(self, arguments, select_before)
    except RuntimeError:  # something that the resource refers to is not there yet
        return CHANGESET_KNOWN_AFTER_APPLY
    return CHANGESET_KNOWN_AFTER_APPLY if is_nothing(found) else found


def _exists(self: ChangeSetModelPreproc, name: str, before: bool) -> bool:
    node = self._get_node_resource_for(resource_name=name, node_template=self._change_set.update_model.node_template)
    if is_nothing(node.condition_reference):
        return True
    condition = self._resolve_condition(self._get_node_condition_if_exists(node.condition_reference.value).name)
    return bool(condition.before if before else condition.after)


def resource(
    original: Callable[..., PreprocEntityDelta], self: ChangeSetModelPreproc, node_resource: NodeResource
) -> PreprocEntityDelta:
    """As on AWS, a resource that exists after the update must not refer to one that does not."""
    found = original(self, node_resource)
    if not is_nothing(found.after) and _ABSENT in json.dumps(_plain(found.after.properties), default=str):
        raise ValidationError(
            f"Template format error: Unresolved resource dependencies of {node_resource.name}: it refers to a resource"
            " whose condition is false"
        )
    return found


def resources(original: Callable[..., None], self: ChangeSetModelPreproc, node_resources: NodeResources) -> None:
    """Also those that exist before the update and not after it."""
    original(self, node_resources)
    for node in node_resources.resources:
        if not is_nothing(node.condition_reference):
            condition = self._resolve_resource_condition_reference(node.condition_reference)
            if condition.before and condition.after is False:
                self.visit(node)


def _plain(properties: Any) -> Any:
    return getattr(properties, "properties", properties)


def install() -> None:
    patch(ChangeSetModelPreproc._resolve_attribute)(attribute)
    patch(ChangeSetModelDescriber._resolve_attribute)(described)
    patch(ChangeSetModelPreproc.visit_node_resource)(resource)
    patch(ChangeSetModelPreproc.visit_node_resources)(resources)
