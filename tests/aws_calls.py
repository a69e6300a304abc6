"""Which actions and services of AWS the code can reach, read from its source.

Follows the names that functions and classes of the package mention, from an entry file on. A method that is called, and
a text such as the name of a paginator, counts as a call of AWS if a service that the repository uses has an operation
of this name.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import botocore.session
from botocore import xform_name

ROOT: Final = Path(__file__).parents[1]
_PACKAGES: Final = {"readmission": ROOT / "layers" / "readmission" / "src", "ui": ROOT}
_SERVICES: Final = {
    "cloudformation": "cloudformation",
    "cloudwatch": "cloudwatch",
    "lambda": "lambda",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "sqs": "sqs",
    "ssm": "ssm",
    "stepfunctions": "states",
}
"""Services by their names in boto3, with the prefixes of their actions."""
_OTHERWISE: Final = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
}
"""Operations whose action has another name."""
_METHODS: Final = {
    "get_api_key": "apigateway:GET",
    "put_events": "events:PutEvents",
    "download_file": "s3:GetObject",
    "download_fileobj": "s3:GetObject",
    "upload_file": "s3:PutObject",
    "upload_fileobj": "s3:PutObject",
}
"""Methods that boto3 adds to its clients, and one of a service whose actions are named after HTTP."""
_ALL: Final = "*"
"""In place of a name: everything in an entry file."""


@cache
def _operations() -> dict[str, str]:
    """The action of each operation, by the name of its method in boto3."""
    session = botocore.session.Session()
    found = dict(_METHODS)
    for service, prefix in _SERVICES.items():
        for operation in session.get_service_model(service).operation_names:
            action = f"{prefix}:{operation}"
            found[xform_name(operation)] = _OTHERWISE.get(action, action)
    return found


@dataclass
class _Module:
    """A source file: what it defines at its top level, and what its imported names stand for."""

    definitions: dict[str, ast.AST] = field(default_factory=dict)
    statements: list[ast.AST] = field(default_factory=list)
    imported: dict[str, str] = field(default_factory=dict)


@cache
def _module(path: Path) -> _Module:
    module = _Module()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            module.definitions[node.name] = node
        else:
            module.statements.append(node)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            module.imported |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            module.imported |= {one.asname or one.name: one.name for one in node.names}
    return module


def actions(*entries: Path) -> set[str]:
    """The actions, such as `s3:GetObject`, that code reaches which starts at these files."""
    return {action for node in _reached(*entries) for action in _called(node)}


def hosts(*entries: Path) -> set[str]:
    """The services whose boto3 clients code makes which starts at these files, as AWS names their hosts: `events`."""
    session = botocore.session.Session()
    named = {name for node in _reached(*entries) for name in _client(node)}
    return {session.get_service_model(name).endpoint_prefix for name in named}


def _reached(*entries: Path) -> Iterator[ast.AST]:
    seen: set[tuple[Path, str]] = set()
    waiting = [(entry, _ALL) for entry in entries]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        for node in _nodes(*place):
            yield node
            waiting += _mentioned(place[0], node)


def _client(node: ast.AST) -> set[str]:
    """The service that `boto3.client` is called for, by its name in boto3. Raises `ValueError` for a variable."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("boto3.client", "boto3.resource")):
        return set()
    match node.args:
        case [ast.Constant(value=str(name)), *_]:
            return {name}
    raise ValueError(f"no literal names the service of {ast.unparse(node)}")


def _nodes(path: Path, name: str) -> Iterator[ast.AST]:
    """Of one definition; without a name, of all that runs when the module is imported; of `_ALL`, of the whole file."""
    module = _module(path)
    if name not in ("", _ALL):
        yield from ast.walk(module.definitions[name])
        return
    for statement in [*module.statements, *(module.definitions.values() if name == _ALL else ())]:
        yield from ast.walk(statement)


def _called(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        action = _operations().get(node.func.attr)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        action = _operations().get(node.value) if "_" in node.value else None
    else:
        return set()
    return {action} if action else set()


def _mentioned(path: Path, node: ast.AST) -> Iterator[tuple[Path, str]]:
    module = _module(path)
    if isinstance(node, ast.Name):
        if node.id in module.definitions:
            yield path, node.id
        elif node.id in module.imported:
            yield from _resolved(module.imported[node.id])
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.imported:
        yield from _resolved(f"{module.imported[node.value.id]}.{node.attr}")


def _resolved(name: str) -> Iterator[tuple[Path, str]]:
    """Where the module is, or the definition in it; nothing for other packages."""
    if file := _file(name):
        yield file, ""
        return
    module, _, definition = name.rpartition(".")
    if file := _file(module):
        yield file, ""
        if definition in _module(file).definitions:
            yield file, definition
        elif further := _module(file).imported.get(definition):
            yield from _resolved(further)


def _file(module: str) -> Path | None:
    package = module.partition(".")[0]
    if package not in _PACKAGES:
        return None
    path = _PACKAGES[package].joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
