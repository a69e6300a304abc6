"""Patients as keyed hashes: the same for the same patient, and of no use without the key."""

import hashlib
import hmac
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from readmission.errors import ConfigurationError, PatientKeyUnavailable
from readmission.identity.patient_key import PatientKeys, patient_key
from readmission.settings import PatientKeySettings

KEY = "0123456789abcdef0123456789abcdef"


class Secrets:
    """A fake of Secrets Manager. Answers with each of `answers` in turn, and raises those that are errors."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)

    def get_secret_value(self, **asked: str) -> dict[str, str]:
        assert asked == {"SecretId": "name"}
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"SecretString": answer}


def _failure(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetSecretValue")


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answering(*answers: str | Exception) -> Secrets:
        fake = Secrets(*answers)
        monkeypatch.setattr(boto3, "client", lambda service, config: fake)
        return fake

    return answering


def test_the_hash_is_an_hmac_of_site_and_number() -> None:
    expected = hmac.new(KEY.encode(), b"north\x008222157", hashlib.sha256).hexdigest()
    assert patient_key(KEY.encode(), "north", 8222157) == expected
    assert PatientKeys(PatientKeySettings("", KEY)).key_of("north", 8222157) == expected


def test_the_same_number_of_another_site_is_another_patient_and_another_key_gives_another_hash() -> None:
    hashes = {
        patient_key(KEY.encode(), "north", 12),
        patient_key(KEY.encode(), "south", 12),
        patient_key(b"k", "north", 12),
    }
    # Without a separator, site "a" with patient 12 and site "a1" with patient 2 would be one.
    hashes |= {patient_key(KEY.encode(), "a", 12), patient_key(KEY.encode(), "a1", 2)}
    assert len(hashes) == 5


def test_the_key_is_read_from_its_secret_once(secrets: Any) -> None:
    fake = secrets(KEY)
    keys = PatientKeys(PatientKeySettings("name"))
    keys.open()
    assert keys.key_of("default", 1) == patient_key(KEY.encode(), "default", 1)
    assert fake.answers == []


def test_a_secret_that_was_away_is_read_by_the_next_call(secrets: Any) -> None:
    secrets(_failure("InternalServiceError"), KEY)
    keys = PatientKeys(PatientKeySettings("name"))
    with pytest.raises(PatientKeyUnavailable, match="'name'"):
        keys.open()
    assert keys.key_of("default", 1) == patient_key(KEY.encode(), "default", 1)


def test_a_secret_that_does_not_exist_or_is_empty_is_named(secrets: Any) -> None:
    secrets(_failure("ResourceNotFoundException"), "")
    keys = PatientKeys(PatientKeySettings("name"))
    with pytest.raises(ConfigurationError, match="'name'"):
        keys.open()
    with pytest.raises(PatientKeyUnavailable, match="empty"):
        keys.open()


def test_the_settings_do_not_show_the_key() -> None:
    assert KEY not in repr(PatientKeySettings("", KEY))
