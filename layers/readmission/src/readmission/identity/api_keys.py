"""Checks API keys where no gateway does: from a file, such as a mounted secret, or from Secrets Manager.

Both are texts with one key a line. Empty lines, and lines that begin with #, are ignored.
"""

import hmac
import re
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from readmission.errors import ApiKeyInvalid, ConfigurationError, IdentityUnavailable
from readmission.identity.actor import Actor
from readmission.settings import ApiKeySettings
from readmission.telemetry.logs import Logger

# As the parameter ApiKeyValue of the template.
SHORTEST: Final = 20
_VALID: Final = re.compile(rf"[\x21-\x7e]{{{SHORTEST},}}")
_ID_LENGTH: Final = 12

type Read = Callable[[], str]


class ApiKeys:
    """The keys of one source, which is read again every `seconds`, and after an unknown key at most every `unknown`.

    If they cannot be read again, or are not valid, those known go on to be valid and the log says why. `read` returns
    the text, and raises `ConfigurationError` or `IdentityUnavailable`; `clock` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        read: Read,
        logger: Logger,
        *,
        seconds: float,
        unknown: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `ConfigurationError` and `IdentityUnavailable` if the keys cannot be read."""
        self._read, self._logger, self._clock = read, logger, clock
        self._seconds, self._unknown = seconds, unknown
        self._lock = Lock()
        self._read_at = clock()
        self._keys = parsed(read())

    @property
    def due(self) -> bool:
        """Whether `renew` would read the keys, for which the caller may have to wait."""
        return self._clock() - self._read_at >= self._seconds

    def actor(self, key: str) -> Actor:
        """Who sent this key, which may have to be looked for in the source. Raises `ApiKeyInvalid`."""
        if (found := self.known(key)) is None:
            self._renew_after(self._unknown)
            found = self.known(key)
        if found is None:
            raise ApiKeyInvalid("the API key in the x-api-key header is missing or wrong")
        return found

    def known(self, key: str) -> Actor | None:
        """Who sent this key, if it is one that has been read; never waits."""
        sent = sha256(key.encode()).digest()
        # Every key is compared, so that the time of an answer does not depend on the key.
        found = [name for digest, name in self._keys.items() if hmac.compare_digest(digest, sent)]
        return Actor.with_key(found[0]) if found else None

    def renew(self) -> None:
        """Read the keys again, if that is due."""
        self._renew_after(self._seconds)

    def _renew_after(self, seconds: float) -> None:
        with self._lock:
            if self._clock() - self._read_at < seconds:
                return
            self._read_at = self._clock()
            try:
                self._keys = parsed(self._read())
            except (ConfigurationError, IdentityUnavailable) as error:
                self._logger.warning("the API keys cannot be read again, those known stay valid: %s", error)


def parsed(text: str) -> dict[bytes, str]:
    """The SHA-256 of each key, and the key's id: the first 12 hexadecimal digits of it.

    Raises `ConfigurationError`, which repeats no key.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if not _VALID.fullmatch(key):
            raise ConfigurationError(
                f"line {number} of the API keys must be a key of {SHORTEST} or more ASCII characters without spaces"
            )
        digest = sha256(key.encode())
        found[digest.digest()] = digest.hexdigest()[:_ID_LENGTH]
    if not found:
        raise ConfigurationError("there are no API keys: one key a line is needed")
    return found


def open_keys(settings: ApiKeySettings, logger: Logger) -> ApiKeys:
    """The keys of these settings. Raises `ConfigurationError` and `IdentityUnavailable` if they cannot be read."""
    if settings.file:
        # A file costs nothing to read; each change is seen within a second.
        return ApiKeys(lambda: _file(Path(settings.file)), logger, seconds=1, unknown=1)
    # Secrets Manager bills each read. Guessing keys does not cause one each time.
    return ApiKeys(lambda: _secret(settings.secret), logger, seconds=300, unknown=10)


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the file {path} with the API keys cannot be read: {error}") from error


def _secret(name: str) -> str:
    # Imported only here: boto3 takes half a second, and a file needs none of it.
    from readmission.storage import secrets

    return secrets.text(name, "the API keys", IdentityUnavailable)
