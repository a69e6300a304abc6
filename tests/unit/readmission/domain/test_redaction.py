import pytest
from readmission.domain.redaction import redacted


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://example.org/data.csv", "https://example.org/data.csv"),
        ("https://user:secret@example.org/data.csv", "https://***@example.org/data.csv"),
        ("https://secret@example.org/data.csv", "https://***@example.org/data.csv"),
        ("https://user:s@cret@example.org/data.csv", "https://***@example.org/data.csv"),
        ("https://user:sec/ret@example.org/data.csv", "https://***@example.org/data.csv"),
        ("https://user:sec?ret@example.org/data.csv", "https://***@example.org/data.csv"),
        ("https://user:sec#ret@example.org/data.csv", "https://***@example.org/data.csv"),
        ("https://example.org:8443/@lists/data.csv", "https://example.org:8443/@lists/data.csv"),
        ("https://example.org/d?sig=secret&id=secret", "https://example.org/d?sig=***&id=***"),
        ("https://example.org/d?sig=secret=&secret", "https://example.org/d?sig=***&***"),
        ("https://example.org/d?secret", "https://example.org/d?***"),
        ("https://example.org/d#secret", "https://example.org/d"),
        ("HTTPS://user:secret@example.org", "HTTPS://***@example.org"),
        ("ftp://user:secret@example.org/d", "ftp://***@example.org/d"),
        ("user:secret@example.org/d", "***@example.org/d"),
        ("http://[::1", "http://[::1"),
        ("://", "://"),
        ("", ""),
        ("s3://bucket/a?b=c@d", "s3://bucket/a?b=c@d"),
        ("synthetic:rows=5,seed=1", "synthetic:rows=5,seed=1"),
    ],
)
def test_a_source_is_shown_without_its_credentials(source: str, shown: str) -> None:
    assert redacted(source) == shown
