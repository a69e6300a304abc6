"""A template as CloudFormation deploys it: transformed by SAM, with the values of parameters, conditions and functions.

`transformed` does what the SAM transform does on AWS, `deployed` also what CloudFormation does after it. References to
resources become their logical ids, and their ARNs `arn:aws:…:ID`.
"""

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT: Final = Path(__file__).parents[1]
APPLICATION: Final = ROOT / "template.yaml"
PLATFORM: Final = ROOT / "infra" / "aws" / "platform.yaml"
PACKAGED: Final = "packaged"
"""The bucket in which `transformed` expects the code."""
PSEUDO: Final = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "readmission",
    "AWS::URLSuffix": "amazonaws.com",
}
GIVEN: Final = {"MlflowTrackingUri": "https://mlflow.example"}
"""Parameters that have no default."""
IDENTITY: Final = {
    "OidcIssuer": "https://login.example",
    "OidcAudience": "readmission",
    "EhrIssuers": "https://ehr.example=https://ehr.example/jwks.json",
}
"""With these, the stack has everything that depends on who asks."""
_NOTHING: Final = object()


def loaded(path: Path) -> Any:
    """The template as SAM reads it."""
    # SAM adds constructors to yaml's own loader, where every other reader of YAML in this process would meet them.
    with pytest.MonkeyPatch.context() as patch:
        for name in ("yaml_constructors", "yaml_multi_constructors"):
            patch.setattr(yaml.SafeLoader, name, dict(getattr(yaml.SafeLoader, name)))
        return yaml_parse(path.read_text())


@cache
def _packaged(path: Path) -> Any:
    """The template after `sam package`, which replaces folders by objects in S3."""
    template = loaded(path)
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for name in ("CodeUri", "ContentUri", "DefinitionUri"):
            if name in properties:
                properties[name] = f"s3://{PACKAGED}/{properties[name].replace('../', '')}"
    return json.loads(json.dumps(template))


def transformed(path: Path = APPLICATION, **parameters: object) -> dict[str, Any]:
    """The template after the SAM transform."""
    template = deepcopy(_packaged(path))
    if "Transform" not in template:
        return template  # type: ignore[no-any-return]
    # The template names managed policies by their ARNs, so none is looked up in IAM.
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=PSEUDO["AWS::Region"]))
    result: dict[str, Any] = translator.translate(template, _values(template, parameters))
    return result


def deployed(path: Path = APPLICATION, **parameters: object) -> dict[str, Any]:
    """The resources that CloudFormation makes, by logical id, without functions and conditions."""
    return evaluated(transformed(path, **parameters), **parameters)


def evaluated(template: dict[str, Any], **parameters: object) -> dict[str, Any]:
    """The resources of a transformed template, by logical id, with these values of its parameters."""
    evaluate = _Evaluation(template, _values(template, parameters))
    return {
        name: evaluate({key: value for key, value in resource.items() if key != "Condition"})
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or evaluate.condition(resource["Condition"])
    }


def as_template(resources: Mapping[str, Any]) -> str:
    """Resources of `deployed` as a CloudFormation template in JSON."""
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}, indent=1)


def _values(template: Any, parameters: Mapping[str, object]) -> dict[str, Any]:
    declared = template.get("Parameters", {})
    defaults = {name: one["Default"] for name, one in declared.items() if "Default" in one}
    given = {name: value for name, value in GIVEN.items() if name in declared}
    unknown = parameters.keys() - declared.keys()
    if unknown:
        raise KeyError(f"the template has no parameters {', '.join(sorted(unknown))}")
    return {**PSEUDO, **defaults, **given, **parameters}


class _Evaluation:
    """Evaluates parts of a template."""

    def __init__(self, template: Any, values: Mapping[str, Any]) -> None:
        self._conditions = template.get("Conditions", {})
        self._mappings = template.get("Mappings", {})
        self._values = values
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": lambda name: _NOTHING if name == "AWS::NoValue" else values.get(name, name),
            "Condition": self.condition,
            "Fn::GetAtt": self._attribute,
            "Fn::Sub": self._substitute,
            "Fn::If": lambda parts: self(parts[1] if self.condition(parts[0]) else parts[2]),
            "Fn::Equals": lambda parts: str(self(parts[0])) == str(self(parts[1])),
            "Fn::Not": lambda parts: not self(parts[0]),
            "Fn::And": lambda parts: all(self(part) for part in parts),
            "Fn::Or": lambda parts: any(self(part) for part in parts),
            "Fn::Join": lambda parts: parts[0].join(str(part) for part in self(parts[1])),
            "Fn::Split": lambda parts: self(parts[1]).split(parts[0]),
            "Fn::Select": lambda parts: self(parts[1])[int(parts[0])],
            "Fn::FindInMap": self._find,
            "Fn::Cidr": lambda parts: [f"{self(parts[0])}#{number}" for number in range(int(self(parts[1])))],
            "Fn::GetAZs": lambda _: [f"{PSEUDO['AWS::Region']}{zone}" for zone in "abc"],
        }

    def __call__(self, part: Any) -> Any:
        if isinstance(part, list):
            return [value for value in map(self, part) if value is not _NOTHING]
        if not isinstance(part, dict):
            return part
        if len(part) == 1 and (name := next(iter(part))) in self._functions:
            return self._functions[name](part[name])
        evaluated = {name: self(value) for name, value in part.items()}
        return {name: value for name, value in evaluated.items() if value is not _NOTHING}

    def condition(self, name: str) -> bool:
        value: bool = self(self._conditions[name])
        return value

    def _attribute(self, parts: Any) -> str:
        name, _, attribute = ".".join(parts if isinstance(parts, list) else [parts]).partition(".")
        return f"arn:aws:…:{name}" if attribute == "Arn" else f"{name}.{attribute}"

    def _substitute(self, parts: Any) -> str:
        text, own = parts if isinstance(parts, list) else (parts, {})

        def value(match: re.Match[str]) -> str:
            if (name := match[1]) in own:
                return str(self(own[name]))
            return self._attribute(name) if "." in name else str(self._values.get(name, name))

        return re.sub(r"\$\{([\w:.]+)\}", value, text)

    def _find(self, parts: Any) -> Any:
        table, row, column = (self(part) for part in parts)
        return self._mappings[table][row][column]
