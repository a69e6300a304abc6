from readmission.pipeline.erased import Erased, digest

ERASED = Erased("north", "salt", frozenset({digest("salt", "north", 7)}))


def test_an_erased_patient_is_known_by_site_and_number() -> None:
    assert "7" in ERASED and "007" in ERASED
    assert "8" not in ERASED and "7 " not in ERASED and "" not in ERASED and "x" not in ERASED
    assert "7" not in Erased("south", "salt", ERASED.digests) and "7" not in Erased("north", "other", ERASED.digests)


def test_a_site_may_have_no_erased_patients() -> None:
    assert ERASED and not Erased("north")


def test_neither_salt_nor_digests_are_shown() -> None:
    assert "salt" not in repr(ERASED) and digest("salt", "north", 7) not in repr(ERASED)
