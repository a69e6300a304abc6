"""Which rows each worker of a distributed training has."""

import numpy as np
import pytest
from readmission.training.rows import File, Strips, shares

FILES = [File("a", 250_000), File("b", 250_000), File("c", 1)]


def numbers(share: list[Strips]) -> list[int]:
    """The rows of a share, counted over all files."""
    begins = dict(zip("abc", (0, 250_000, 500_000), strict=True))
    return [
        begins[strips.key] + number for strips in share for start, end in strips.ranges for number in range(start, end)
    ]


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
def test_every_row_belongs_to_one_worker_and_all_have_as_many(workers: int) -> None:
    found = shares("bucket", FILES, workers)
    assert sorted(number for share in found for number in numbers(share)) == list(range(500_001))
    sizes = [sum(strips.rows for strips in share) for share in found]
    assert max(sizes) - min(sizes) <= max(8, 500_001 // 25_000)


def test_each_worker_has_rows_from_everywhere_in_the_order_of_the_export() -> None:
    for share in shares("bucket", FILES, 2):
        own = np.array(numbers(share))
        quarters = np.bincount(own * 4 // 500_001, minlength=4)
        assert quarters.min() > 40_000


def test_a_limit_takes_the_first_rows() -> None:
    found = shares("bucket", FILES, 2, limit=300_000)
    assert sorted(number for share in found for number in numbers(share)) == list(range(300_000))


def test_a_limit_above_the_number_of_rows_takes_all() -> None:
    assert shares("bucket", FILES, 2, limit=10**9) == shares("bucket", FILES, 2)
