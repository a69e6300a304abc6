"""template.yaml and the templates of infra/aws, read."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


class _Template(yaml.SafeLoader):
    """Reads CloudFormation; a function becomes its arguments, a mapping by its name."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    return {name: node.value}


_Template.add_multi_constructor("!", _function)

TEMPLATE = yaml.load((ROOT / "template.yaml").read_text(), _Template)
RESOURCES = TEMPLATE["Resources"]
PLATFORM = yaml.load((ROOT / "infra" / "aws" / "platform.yaml").read_text(), _Template)
SERVICES = yaml.load((ROOT / "infra" / "aws" / "services.yaml").read_text(), _Template)
KUBERNETES = yaml.load((ROOT / "infra" / "aws" / "kubernetes.yaml").read_text(), _Template)
