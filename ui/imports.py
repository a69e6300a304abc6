"""Imports what the first page does without: with it, a new server would show that page seconds later.

The other pages and the charts need pandas, Altair and boto3. They are imported as soon as the first page has been sent,
so that nobody waits for them there either.
"""

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from threading import Thread
from typing import Final

_HEAVY: Final = ("pandas", "altair", "boto3")


def page(name: str) -> Callable[[], None]:
    """What shows the page; its module is imported then."""

    def show() -> None:
        import_module(f"ui.views.{name}").show()

    return show


@cache
def rest(pages: Iterable[str]) -> Thread:
    """Imports, in a thread, what has not been imported yet. Further calls do nothing."""
    thread = Thread(target=_import, args=([*_HEAVY, *(f"ui.views.{name}" for name in pages)],), daemon=True)
    thread.start()
    return thread


def _import(names: Iterable[str]) -> None:
    for name in names:
        import_module(name)
