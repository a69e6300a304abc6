from itertools import product
from pathlib import Path

import pytest

from infra.local.servers.keys import path_of

AWKWARD = [
    "a",
    "a/",
    "a/b",
    "a//b",
    "/a",
    "//",
    "/",
    ".",
    "..",
    "../a",
    "../../etc/passwd",
    "a/../b",
    "a/./b",
    "a%",
    "a%2F",
    "a%/b",
    "%",
    "%2E%2E/a",
    "%..%",
    " ",
    "a b",
    "a\\b",
    "a\nb",
    "a\0b",
    "é",
    "e\u0301",
    "🩺/x",
    "x" * 1024,
    "x" * 1023 + "y",
    "é" * 512,
    "/" * 1024,
    "a/" * 512,
]


@pytest.mark.parametrize("key", AWKWARD)
def test_every_key_maps_to_a_writable_path_inside_the_folder(tmp_path: Path, key: str) -> None:
    path = tmp_path / path_of(key)
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert path.resolve() != tmp_path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(key)
    assert path.read_text() == key


def test_no_two_keys_share_a_path() -> None:
    parts = ["", ".", "..", "%", "%%", "a", "a%", "%..%", "%2F", "a%2Fa", "~", "%~"]
    keys = {"/".join(chosen) for count in (1, 2, 3) for chosen in product(parts, repeat=count)} | set(AWKWARD)
    assert len({path_of(key) for key in keys}) == len(keys)


def test_all_keys_coexist_in_one_folder(tmp_path: Path) -> None:
    for key in AWKWARD:
        path = tmp_path / path_of(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)
    assert [(tmp_path / path_of(key)).read_text() for key in AWKWARD] == AWKWARD


def test_an_ordinary_key_keeps_a_readable_path() -> None:
    assert str(path_of("raw/2024-01/batch 1.csv")) == "raw%/2024-01%/batch 1.csv"
