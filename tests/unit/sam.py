"""A template as CloudFormation gets it: after SAM's transform, with the code in a bucket."""

from pathlib import Path
from typing import Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.transformed import loaded

CODE = {"CodeUri": "s3://code/function.zip", "ContentUri": "s3://code/layer.zip", "DefinitionUri": "s3://code/a.json"}


def transformed(file: Path, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """Raises samtranslator's errors for a template that SAM refuses."""
    template = loaded(file)
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        properties |= {name: uri for name, uri in CODE.items() if name in properties}
    policies = {
        name: f"arn:aws:iam::aws:policy/service-role/{name}"
        for name in ("AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole")
    } | {"AWSXRayDaemonWriteAccess": "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess"}
    result: dict[str, Any] = Translator(policies, Parser()).translate(template, parameters or {})
    return result
