"""API keys from a file or a secret."""

import logging
from pathlib import Path

import pytest
from readmission.errors import ApiKeyInvalid, ConfigurationError, IdentityUnavailable
from readmission.identity import api_keys
from readmission.identity.api_keys import ApiKeys, open_keys, parsed
from readmission.settings import ApiKeySettings

LOGGER = logging.getLogger("keys")
KEY, OTHER = "0123456789-0123456789", "abcdefghij-abcdefghij"


class Source:
    def __init__(self, text: str) -> None:
        self.text: str | Exception = text
        self.reads = 0
        self.now = 0.0
        self.keys = ApiKeys(self.read, LOGGER, seconds=300, unknown=10, clock=lambda: self.now)

    def read(self) -> str:
        self.reads += 1
        if isinstance(self.text, Exception):
            raise self.text
        return self.text

    def lets_in(self, key: str) -> bool:
        try:
            self.keys.actor(key)
        except ApiKeyInvalid:
            return False
        return True


def test_a_key_lets_in_with_an_id_that_is_not_the_key() -> None:
    actor = Source(f"{KEY}\n{OTHER}\n").keys.actor(OTHER)
    assert (actor.kind, actor.subject, actor.scopes) == ("api_key", "82a7747de64c", {"predict", "outcomes", "operate"})


@pytest.mark.parametrize("key", ["", KEY[:-1], f"{KEY} ", KEY.upper() + "x", "# a comment is not a key", "ä" * 20])
def test_any_other_key_does_not(key: str) -> None:
    with pytest.raises(ApiKeyInvalid, match="missing or wrong"):
        Source(f"# a comment is not a key\n{KEY}").keys.actor(key)


def test_comments_and_empty_lines_are_no_keys() -> None:
    assert len(parsed(f"# the wards\r\n\r\n  {KEY}  \r\n# {OTHER}\n")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no API keys"),
        ("# none\n", "there are no API keys"),
        (f"{KEY}\nshort", "line 2 of the API keys must be a key of 20 or more ASCII characters"),
        (f"{KEY} {OTHER}", "line 1"),
        ("ä" * 30, "line 1"),
    ],
)
def test_a_text_that_is_not_one_key_a_line_is_refused_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        parsed(text)
    assert not any(word in str(error.value) for word in (KEY, OTHER, "short", "ä"))


def test_a_new_key_is_found_at_once_but_guessing_does_not_read_each_time() -> None:
    source = Source(KEY)
    source.now = 60
    source.text = f"{KEY}\n{OTHER}"
    assert source.lets_in(OTHER)
    assert not any(source.lets_in(f"{KEY}-{number}") for number in range(50))
    assert source.reads == 2


def test_a_key_that_was_removed_ends_with_the_next_read() -> None:
    source = Source(f"{KEY}\n{OTHER}")
    source.text = OTHER
    source.now = 299
    assert not source.keys.due and source.lets_in(KEY)
    source.now = 300
    assert source.keys.due
    source.keys.renew()
    assert not source.lets_in(KEY) and source.lets_in(OTHER)


@pytest.mark.parametrize("now", ["", "short", IdentityUnavailable("Secrets Manager does not answer")])
def test_while_the_keys_cannot_be_read_those_known_stay_valid_and_the_log_says_why(
    now: str | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(KEY)
    source.text, source.now = now, 301  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING):
        source.keys.renew()
    assert source.lets_in(KEY) and not source.lets_in(OTHER)
    assert "those known stay valid" in caplog.text and KEY not in caplog.text


def test_a_file_is_read_and_one_that_is_missing_is_named(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with pytest.raises(ConfigurationError, match=str(file)):
        open_keys(ApiKeySettings(file=str(file)), LOGGER)
    file.write_text(KEY)
    assert open_keys(ApiKeySettings(file=str(file)), LOGGER).known(KEY)


def test_a_secret_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "_secret", {"readmission/api-keys": KEY}.__getitem__)
    assert open_keys(ApiKeySettings(secret="readmission/api-keys"), LOGGER).known(KEY)
