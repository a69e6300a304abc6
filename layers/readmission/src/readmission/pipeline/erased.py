"""The patients whose data were erased, so that no later delivery brings them back, and the lock of an erasure."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.errors import DatabaseUnavailable, LoadingInProgress
from readmission.storage.database import sqlstate

_LOCK: Final = 7_401_303  # any number that no other advisory lock in this database uses
_LOCK_SECONDS: Final = 30
_LOCK_NOT_AVAILABLE: Final = "55P03"


@dataclass(frozen=True, slots=True)
class Erased:
    """The erased patients of a site, by digests of their numbers."""

    site: str
    salt: str = field(repr=False, default="")
    digests: frozenset[str] = field(repr=False, default=frozenset())

    def __bool__(self) -> bool:
        return bool(self.digests)

    def __contains__(self, patient_nbr: str) -> bool:
        """Whether the patient with this number, as it is in a row, was erased. "007" is patient 7."""
        return patient_nbr.isdecimal() and digest(self.salt, self.site, int(patient_nbr)) in self.digests


def digest(salt: str, site: str, patient_nbr: int) -> str:
    """What an erased patient is known by, in hexadecimal."""
    return sha256(f"{salt}\0{site}\0{patient_nbr}".encode()).hexdigest()


def read(raw: Connection, site: str) -> Erased:
    """The erased patients of the site."""
    digests = frozenset(one for (one,) in raw.run("SELECT digest FROM erasure WHERE site = :site", site=site))
    return Erased(site, salt_of(raw), digests)


def salt_of(raw: Connection) -> str:
    """The salt of the digests in this database."""
    ((salt,),) = raw.run("SELECT salt FROM erasure_salt")
    return str(salt)


@contextmanager
def loading(raw: Connection) -> Iterator[None]:
    """While rows are planned, loaded or cleaned: no erasure runs meanwhile, and one that runs is waited for.

    `raw` is a connection to the database `raw`; nothing else may use its session locks.
    """
    raw.run("SELECT pg_advisory_lock_shared(:lock)", lock=_LOCK)
    try:
        yield
    except BaseException:
        # The error matters more, and a connection that is lost has lost its locks.
        with suppress(DatabaseUnavailable, DatabaseError):
            _unlock(raw)
        raise
    _unlock(raw)


def lock(raw: Connection) -> None:
    """Wait, within a transaction, until nothing loads rows, and let nothing start to until its end.

    Raises `LoadingInProgress` after half a minute.
    """
    raw.run(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
    try:
        raw.run("SELECT pg_advisory_xact_lock(:lock)", lock=_LOCK)
    except DatabaseError as error:
        if sqlstate(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise LoadingInProgress(
            "a run is planning, loading or cleaning rows; erase again once it has ended. Until then, the patient's rows"
            " are there, but no new delivery brings more"
        ) from error
    raw.run("SET LOCAL lock_timeout = DEFAULT")


def _unlock(raw: Connection) -> None:
    raw.run("SELECT pg_advisory_unlock_shared(:lock)", lock=_LOCK)
