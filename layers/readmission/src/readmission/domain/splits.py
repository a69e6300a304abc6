"""The train, validation and test splits: 70/15/15 of the patients by a stable hash, so no patient is in two splits."""

from hashlib import blake2b
from typing import Final, Literal

type Split = Literal["train", "validation", "test"]

SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")


def split_of(patient_nbr: str) -> Split:
    """The split of a patient: the same on every machine and for all encounters of the patient, future ones included.

    The number decides, not its spelling: "007" is patient 7.
    """
    bucket = int.from_bytes(blake2b(str(int(patient_nbr)).encode(), digest_size=8).digest()) % 100
    return "train" if bucket < 70 else "validation" if bucket < 85 else "test"
