"""The prose check of `make lint`."""

import pytest

from tests.prose import files, find, phrases

KNOWN = phrases()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("first\n# A row that is wrong costs no other.\n", 2),
        ("a body that is\n    # no JSON", 1),
        ("The function is told what to do", 1),
        ("Compare versions beside each other", 1),
    ],
)
def test_a_phrase_is_found_with_its_line_even_when_it_is_wrapped(text: str, line: int) -> None:
    assert {found[0] for found in find(text, KNOWN)} == {line}


@pytest.mark.parametrize(
    "text",
    [
        "There is no model in production.",
        "An invalid row does not affect the others.",
        "The limit is no longer enforced.",
        "the first line ends here: is\n\nno new paragraph continues it",
    ],
)
def test_plain_english_is_left_alone(text: str) -> None:
    assert list(find(text, KNOWN)) == []


def test_docs_and_code_are_read() -> None:
    names = {path.name for path in files()}
    assert {"README.md", "Makefile", "template.yaml", "errors.py", "en.toml"} <= names
    assert names.isdisjoint({"uv.lock", "es.toml", "openapi.json"})
