"""Text in CSV files that people open in a spreadsheet, which takes some texts for formulas and runs them."""

import re
from typing import Final

# At the start of a cell, or after a character at which a spreadsheet may split it. Full-width forms count as well.
_FORMULA: Final = re.compile(r"(^|[;\t\r\n|])(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r])")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def cell(text: str) -> str:
    """The text for a cell of a CSV, with an apostrophe wherever a formula could start. Numbers stay as they are."""
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)
