"""Ids of REST APIs that stay the same when a stack is deployed to a new LocalStack."""

from hashlib import sha256

from localstack.utils.id_generator import localstack_id_manager
from moto.apigateway.models import apigateway_backends
from moto.utilities.id_generator import IdSourceContext


def rest_api_id(context: IdSourceContext) -> str | None:
    """An id derived from the API's account, region and name, so that its URL outlives LocalStack.

    None for other resources and for a name in use: LocalStack then chooses a random id as usual.
    """
    identifier = context.get("resource_identifier")
    if identifier is None or (identifier.service, identifier.resource) != ("apigateway", "rest_api"):
        return None
    stable = sha256(identifier.unique_identifier.encode()).hexdigest()[:10]
    apis = apigateway_backends[identifier.account_id][identifier.region].apis
    return None if stable in apis else stable


def install() -> None:
    localstack_id_manager.add_id_source(rest_api_id)
