"""Which split a patient belongs to: 70/15/15 by a stable hash, so that no patient is ever in two splits."""

from hashlib import blake2b
from typing import Final, Literal

type Split = Literal["train", "validation", "test"]

SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")


def split_of(patient_nbr: str) -> Split:
    """The split of a patient, the same on every machine and for all of the patient's encounters, new ones too.

    It is the number that counts: "007" is patient 7.
    """
    place = int.from_bytes(blake2b(str(int(patient_nbr)).encode(), digest_size=8).digest()) % 100
    return "train" if place < 70 else "validation" if place < 85 else "test"
