"""The template's API in LocalStack, with its authorizer and a real issuer: who gets in, what functions learn."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.localstack.server import REGION, Function, Server
from tests.oidc import Issuer, issuer
from tests.unit.templates import RESOURCES, ROOT

AUDIENCE = "readmission-api"
KEY = "a-key-of-at-least-20-characters"
STACK_KEY = "the-key-of-the-stack-itself"
ECHO = """
import json

def handler(event, context):
    found = event["requestContext"]
    answer = {"authorizer": found.get("authorizer"), "key": found["identity"].get("apiKeyId")}
    return {"statusCode": 200, "body": json.dumps(answer)}
"""
# The function as it is deployed, with the packages of its layers from this environment.
LAYERS = [str(ROOT / "layers/readmission/src"), str(Path(sys.prefix) / "lib/python3.13/site-packages")]
PATHS = f"import sys; sys.path += {LAYERS!r}\n"
AUTHORIZE = PATHS + (ROOT / "functions" / "authorize" / "app.py").read_text()


@dataclass
class Gateway:
    url: str
    keys: dict[str, str]

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            self.url + path, headers={name.replace("_", "-"): value for name, value in headers.items()}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or "{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or "{}")


def body_of_the_template(authorizer: str, function: str) -> dict[str, Any]:
    """The API's definition as CloudFormation resolves it with an issuer, with one function behind every path."""
    definition = resolved(RESOURCES["Api"]["Properties"]["DefinitionBody"])
    of_lambda = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{{}}/invocations"
    definition["securityDefinitions"]["oidc"]["x-amazon-apigateway-authorizer"]["authorizerUri"] = of_lambda.format(
        authorizer
    )
    for path in definition["paths"].values():
        for operation in path.values():
            operation["x-amazon-apigateway-integration"] = {
                "type": "aws_proxy",
                "httpMethod": "POST",
                "uri": of_lambda.format(function),
            }
    return definition


def resolved(value: Any) -> Any:
    if isinstance(value, dict):
        if "If" in value:
            condition, then, _ = value["If"]
            assert condition == "HasIssuer"
            return resolved(then)
        return "text" if "Sub" in value else {name: resolved(one) for name, one in value.items()}
    return [resolved(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def oidc() -> Iterator[Issuer]:
    with issuer() as started:
        yield started


@pytest.fixture
def deployed(server: Server, deploy: Callable[..., Function]) -> Iterator[Callable[..., Gateway]]:
    apis, plans, keys = [], [], []
    client = server.client("apigateway")

    def deploy_api(issuer_url: str, api_key: str = "on") -> Gateway:
        for name, value in (("client", KEY), ("stack", STACK_KEY)):
            keys.append(client.create_api_key(name=name, value=value, enabled=True)["id"])
        variables = {
            "OIDC_ISSUER": issuer_url,
            "OIDC_AUDIENCE": AUDIENCE,
            "OIDC_API_KEY": api_key,
            "USAGE_KEY_ID": keys[-1],
            "POWERTOOLS_SERVICE_NAME": "authorize",
        }
        authorizer = deploy(AUTHORIZE, Environment={"Variables": variables}, MemorySize=512, Timeout=30)
        echo = deploy(ECHO)
        definition = body_of_the_template(arn(server, authorizer), arn(server, echo))
        api = client.create_rest_api(name="api", apiKeySource="AUTHORIZER")["id"]
        apis.append(api)
        client.put_rest_api(restApiId=api, mode="overwrite", body=json.dumps(definition).encode())
        client.update_rest_api(
            restApiId=api, patchOperations=[{"op": "replace", "path": "/apiKeySource", "value": "AUTHORIZER"}]
        )
        client.create_deployment(restApiId=api, stageName="v1")
        plan = client.create_usage_plan(name="plan", apiStages=[{"apiId": api, "stage": "v1"}])["id"]
        plans.append(plan)
        for key in keys:
            client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
        return Gateway(f"{server.endpoint}/_aws/execute-api/{api}/v1", {"client": keys[-2], "stack": keys[-1]})

    yield deploy_api
    for api in apis:
        client.delete_rest_api(restApiId=api)
    for plan in plans:
        client.delete_usage_plan(usagePlanId=plan)
    for key in keys:
        client.delete_api_key(apiKey=key)


def arn(server: Server, function: Function) -> str:
    found: str = server.client("lambda").get_function(FunctionName=function.name)["Configuration"]["FunctionArn"]
    return found


def test_a_token_or_a_key_gets_in_and_the_function_learns_who_asks(
    deployed: Callable[..., Gateway], oidc: Issuer
) -> None:
    gateway = deployed(oidc.url)
    token = oidc.token("u-17", AUDIENCE, name="Ana Ruiz", scope="predict operate")

    status, answer = gateway.ask("/predict", "POST", Authorization=f"Bearer {token}")
    assert (status, answer["key"]) == (200, gateway.keys["stack"])
    told = {"kind": "token", "subject": "u-17", "name": "Ana Ruiz", "scopes": "operate predict", "principalId": "u-17"}
    assert answer["authorizer"] == told

    status, answer = gateway.ask("/model", x_api_key=KEY)
    assert (status, answer["authorizer"]["kind"], answer["key"]) == (200, "api_key", gateway.keys["client"])

    assert gateway.ask("/model", x_api_key="another-key-of-20-characters")[0] == 403
    assert gateway.ask("/model")[0] == 401
    assert gateway.ask("/model/history")[0] == 401
    assert gateway.ask("/anything", "DELETE")[0] == 401
    assert gateway.ask("/model", Authorization=f"Bearer {token[:-8]}AAAAAAAA", x_api_key=KEY)[0] == 401
    stranger = oidc.token("u-17", "another-service", scope="predict")
    assert gateway.ask("/model", Authorization=f"Bearer {stranger}")[0] == 401
    for path in ("/docs", "/openapi.json", "/metrics"):
        assert gateway.ask(path) == (200, {"authorizer": None, "key": None})


def test_where_keys_do_not_suffice_only_tokens_get_in(deployed: Callable[..., Gateway], oidc: Issuer) -> None:
    gateway = deployed(oidc.url, api_key="off")
    assert gateway.ask("/model", x_api_key=KEY)[0] == 401
    assert gateway.ask("/model", Authorization=f"Bearer {oidc.token('u-17', AUDIENCE, scope='predict')}")[0] == 200


def test_while_the_issuer_is_away_nobody_with_a_token_gets_in(deployed: Callable[..., Gateway]) -> None:
    with issuer() as away:
        token = away.token("u-17", AUDIENCE, scope="predict")
    gateway = deployed(away.url)
    # The template makes it 503; the status is the gateway's own here, without GatewayResponses.
    assert gateway.ask("/model", Authorization=f"Bearer {token}")[0] == 500
    assert gateway.ask("/model", x_api_key=KEY)[0] == 200
