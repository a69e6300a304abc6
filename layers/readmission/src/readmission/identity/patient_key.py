"""Patients and their sites as keyed hashes (HMAC-SHA-256), where a patient must be found again and not be known.

With the key one can find a patient's rows; without it nobody can tell whose they are.
"""

import hashlib
import hmac
from typing import Final

from readmission.errors import PatientKeyUnavailable
from readmission.settings import PatientKeySettings
from readmission.storage import secrets

_HOLDS: Final = "the key of the patients' hashes"


def patient_key(key: bytes, site: str, patient_nbr: int) -> str:
    """The patient of the site as 64 hexadecimal digits. Sites number their patients independently."""
    return hmac.digest(key, f"{site}\0{patient_nbr}".encode(), hashlib.sha256).hex()


class PatientKeys:
    """Hashes patients with the key of `settings`, which is read once."""

    def __init__(self, settings: PatientKeySettings) -> None:
        self._settings = settings
        self._key = b""

    def open(self) -> None:
        """Read the key. Raises `PatientKeyUnavailable`, and `ConfigurationError` if no retry can help."""
        if not self._key:
            self._key = read_key(self._settings)

    def key_of(self, site: str, patient_nbr: int) -> str:
        """`patient_key` of this patient. Raises what `open` raises."""
        self.open()
        return patient_key(self._key, site, patient_nbr)


def read_key(settings: PatientKeySettings) -> bytes:
    """The key of these settings. Raises `PatientKeyUnavailable`, and `ConfigurationError` if no retry can help."""
    if not settings.secret:
        return settings.key.encode()
    key = secrets.text(settings.secret, _HOLDS, PatientKeyUnavailable)
    if not key:
        raise PatientKeyUnavailable(f"the secret {settings.secret!r} with {_HOLDS} is empty")
    return key.encode()
