from tests.benchmarks import encounters


def test_synthetic_encounters_are_read_with_the_fields_of_a_request() -> None:
    read = encounters.read(60, None)
    assert len(read.fields) == len(read.table) > 40
    assert read.fields[0]["prior_encounters"] == 0
