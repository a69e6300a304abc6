import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.lifecycle import archives

TEMPLATE = {
    "Resources": {
        "One": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "One", "Handler": "app.handler"}},
        "Two": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "One", "Handler": "app.other"}},
        "Layer": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "Layer"}},
        "Machine": {"Type": "AWS::Serverless::StateMachine", "Properties": {"DefinitionUri": "../pipeline.asl.json"}},
        "Foreign": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": {"Bucket": "b", "Key": "k"}}},
        "Alone": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
    },
    "Outputs": {"Url": {"Value": {"Fn::Sub": "https://${Api}/"}}},
}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return make(tmp_path / "build")


def make(build: Path) -> Path:
    files = {"One/app.py": "def handler(): ...", "Layer/python/b.py": "b = 1", "Layer/python/a.py": "a = 1"}
    for name, text in files.items():
        (build / name).parent.mkdir(parents=True, exist_ok=True)
        (build / name).write_text(text)
    (build / "One/app.py").chmod(0o750)
    (build / archives.TEMPLATE).write_text(yaml.safe_dump(TEMPLATE))
    return build


def properties(build: Path) -> dict[str, Any]:
    content = yaml.safe_load((build / archives.TEMPLATE).read_text())
    assert content["Outputs"] == TEMPLATE["Outputs"]
    return {name: resource.get("Properties") for name, resource in content["Resources"].items()}


def test_the_template_refers_to_archives_and_is_otherwise_the_same(build: Path) -> None:
    archives.pack(build)
    packed = properties(build)
    assert (packed["One"]["CodeUri"], packed["Two"]["CodeUri"]) == ("One.zip", "One.zip")
    assert packed["Layer"] == {"ContentUri": "Layer.zip"}
    assert packed["One"]["Handler"] == "app.handler"
    for name in ("Machine", "Foreign", "Alone"):
        assert packed[name] == TEMPLATE["Resources"][name].get("Properties")


def test_an_archive_has_the_files_of_its_folder_which_everyone_may_read(build: Path) -> None:
    archives.pack(build)
    with zipfile.ZipFile(build / "Layer.zip") as layer:
        assert {name: layer.read(name) for name in layer.namelist()} == {
            "python/a.py": b"a = 1",
            "python/b.py": b"b = 1",
        }
    with zipfile.ZipFile(build / "One.zip") as function:
        (entry,) = function.infolist()
    assert (entry.filename, entry.compress_type) == ("app.py", zipfile.ZIP_DEFLATED)
    assert stat.filemode(entry.external_attr >> 16) == "-rwxr-xr--"


def test_the_same_files_give_the_same_bytes_whenever_and_wherever_they_were_built(build: Path, tmp_path: Path) -> None:
    again = make(tmp_path / "again")
    for file in again.rglob("*.py"):
        os.utime(file, (1, 1_000_000_000))
    for folder in (build, again):
        archives.pack(folder)
    for name in ("One.zip", "Layer.zip"):
        assert (build / name).read_bytes() == (again / name).read_bytes()


def test_a_build_that_is_packed_already_stays_as_it_is(build: Path) -> None:
    archives.pack(build)
    before = {file: file.read_bytes() for file in build.rglob("*") if file.is_file()}
    archives.pack(build)
    assert {file: file.read_bytes() for file in build.rglob("*") if file.is_file()} == before
