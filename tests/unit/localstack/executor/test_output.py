"""Output that arrives in pieces becomes complete lines."""

import pytest
from localstack_plugin.executor.output import Lines


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (['{"a":', " 1}\n"], ["", '{"a": 1}\n']),
        (['x\n{"a": ', "1", '}\n{"b"', ": 2}"], ["x", "", '{"a": 1}', '\n{"b": 2}']),
        (['{"a": 1}', '{"b": 2}'], ['\n{"a": 1}', '\n{"b": 2}']),
        (["no line end", '{"a": 1}\n'], ["\nno line end", '{"a": 1}\n']),
        (["{no object", '{"a": 1}\n'], ["", '{no object\n{"a": 1}\n']),
        (["", "\n", ""], ["\n", "\n", "\n"]),
    ],
)
def test_lines_that_arrive_in_pieces_are_returned_once_and_complete(pieces, lines):
    output = Lines()

    assert [output.add(piece) for piece in pieces] == lines
    assert output.end() == ""


def test_an_unfinished_line_is_returned_only_at_the_end():
    lines = Lines()

    assert lines.add('{"a": ') == ""
    assert (lines.end(), lines.end()) == ('{"a": ', "")
