"""The bearer token that guards the metrics, and where a function has it from."""

import hmac
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from readmission.errors import TokenUnavailable

# A rotated secret is followed; who guesses tokens does not make Secrets Manager's bill.
_READ_AGAIN_SECONDS: Final = 10.0


def bears(header: str | None, token: str) -> bool:
    """Whether an `Authorization` header carries this token, in a time that does not tell how much of it is right."""
    scheme, _, sent = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())


class SecretToken:
    """The token in a secret: read once, and again for a wrong one, at most every 10 seconds.

    `client` is boto3's for Secrets Manager; `clock` a monotonic one, in seconds.
    """

    def __init__(self, client: Any, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._secret, self._clock = client, secret, clock
        self._lock = Lock()
        self._token = ""
        self._read_at = float("-inf")

    def accepts(self, header: str | None) -> bool:
        """Whether the header carries it. Raises `TokenUnavailable` when there is no token to compare with."""
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
            raise TokenUnavailable(f"the secret {self._secret} cannot be read: {error}") from error
        if not token:
            raise TokenUnavailable(f"the secret {self._secret} is empty")
        return token
