"""The bearer token that protects the metrics."""

import hmac
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from readmission.errors import TokenUnavailable

# Short enough to follow a rotation; guessing tokens does not cause a Secrets Manager request each time.
_READ_AGAIN_SECONDS: Final = 10.0


def bears(header: str | None, token: str) -> bool:
    """Whether an Authorization header contains this token; compared in constant time."""
    scheme, _, sent = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())


class SecretToken:
    """A token in Secrets Manager. It is read once, and again after a wrong token, at most every 10 seconds.

    `client` is a boto3 client of Secrets Manager, `clock` a monotonic clock in seconds.
    """

    def __init__(self, client: Any, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._secret, self._clock = client, secret, clock
        self._lock = Lock()
        self._token = ""
        self._read_at = float("-inf")

    def accepts(self, header: str | None) -> bool:
        """Whether the header contains the token. Raises `TokenUnavailable` if the secret cannot be read."""
        with self._lock:
            if self._token and bears(header, self._token):
                return True
            if self._clock() - self._read_at < _READ_AGAIN_SECONDS:
                return False
            self._token, self._read_at = self._read(), self._clock()
            return bears(header, self._token)

    def _read(self) -> str:
        try:
            token: str = self._client.get_secret_value(SecretId=self._secret)["SecretString"]
        except (BotoCoreError, ClientError, KeyError) as error:
            raise TokenUnavailable(f"cannot read the secret {self._secret}: {error}") from error
        if not token:
            raise TokenUnavailable(f"the secret {self._secret} is empty")
        return token
