"""The logger interface that modules take."""

from collections.abc import Mapping
from typing import Protocol


class Logger(Protocol):
    """What `logging.Logger` and the Logger of Powertools, which is not a subclass of it, have in common."""

    def info(self, msg: object, *args: object, extra: Mapping[str, object] | None = None) -> None: ...

    def warning(self, msg: object, *args: object, extra: Mapping[str, object] | None = None) -> None: ...

    def error(self, msg: object, *args: object, extra: Mapping[str, object] | None = None) -> None: ...

    def exception(self, msg: object, *args: object, extra: Mapping[str, object] | None = None) -> None: ...
