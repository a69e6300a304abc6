"""The username and password for an MLflow server that asks for them, from a JSON secret in Secrets Manager."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Final

from readmission.errors import TrackingUnavailable

# Short enough to follow a rotation; a wrong password does not cause a Secrets Manager request each time.
_READ_AGAIN_SECONDS: Final = 10.0
_FIELDS: Final = ("username", "password")


@dataclass(frozen=True, slots=True)
class Login:
    """What MLflow's basic authentication asks for."""

    username: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of the Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def read(secret: str) -> Login:
    """The login in a secret. Raises `TrackingUnavailable` and `ConfigurationError`."""
    # Imported here: boto3 costs a cold start of *predict* more than everything else, and most stacks name no secret.
    from readmission.storage import secrets

    document = secrets.read(secret, "the MLflow credentials", _FIELDS, TrackingUnavailable)
    return Login(str(document["username"]), str(document["password"]))


class Credentials:
    """The login in a secret: read once, and again after MLflow refused it, at most every 10 seconds."""

    def __init__(
        self, secret: str, read: Callable[[str], Login] = read, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._secret, self._read, self._clock = secret, read, clock
        self._lock = Lock()
        self._login: Login | None = None
        self._read_at = float("-inf")

    def login(self) -> Login:
        """The login. Raises `TrackingUnavailable` and `ConfigurationError`."""
        with self._lock:
            return self._login or self._renew()

    def login_after(self, refused: Login) -> Login | None:
        """The login to try after one that MLflow refused, None if there is no other."""
        with self._lock:
            if self._login == refused and self._clock() - self._read_at >= _READ_AGAIN_SECONDS:
                self._renew()
            return self._login if self._login != refused else None

    def _renew(self) -> Login:
        self._read_at = self._clock()
        self._login = self._read(self._secret)
        return self._login


@cache
def of(secret: str) -> Credentials | None:
    """The credentials in the secret of that name, the same for all callers; None without a name."""
    return Credentials(secret) if secret else None
