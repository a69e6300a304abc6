"""A function's output as complete lines, for the metrics that it embeds."""

import json


class Lines:
    """Joins output that arrives in pieces, so that each line is returned once and complete.

    A thread of the function may be in the middle of a line when an invocation ends.
    """

    def __init__(self) -> None:
        self._partial = ""

    def add(self, text: str) -> str:
        """The lines that are complete with `text`: terminated, or a whole JSON object, or not the start of one."""
        partial, self._partial = self._partial, ""
        first, line_end, _ = text.partition("\n")
        # Text that only looked like the start of an object must not spoil the next line.
        if partial and line_end and not _is_object(partial + first):
            partial += "\n"
        lines, _, last = (partial + text).rpartition("\n")
        if last.lstrip().startswith("{") and not _is_object(last):
            self._partial = last
            return lines
        return f"{lines}\n{last}"

    def end(self) -> str:
        """The unfinished line, which will not be continued."""
        partial, self._partial = self._partial, ""
        return partial


class Output:
    """The lines of a sandbox's processes that no invocation has returned yet."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._complete: list[str] = []

    def add(self, text: str) -> None:
        self._complete.append(self._lines.add(text))

    def end_process(self) -> None:
        """The next text comes from another process."""
        self._complete.append(self._lines.end())

    def take(self) -> str:
        lines = "\n".join(self._complete)
        self._complete.clear()
        return lines


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
