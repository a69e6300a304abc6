import pytest
from readmission.pipeline.source_address import parse


def test_a_url_has_host_port_and_target() -> None:
    address = parse("https://Example.org/a%20b/c.csv?sig=x&y#part", allow_http=False)
    assert (address.secure, address.host, address.port, address.target) == (
        True,
        "example.org",
        443,
        "/a%20b/c.csv?sig=x&y",
    )
    assert (address.host_header, address.authorization) == ("example.org", None)


def test_user_and_password_become_a_header() -> None:
    address = parse("https://user:p%40ss@example.org:8443", allow_http=False)
    assert (address.host_header, address.target) == ("example.org:8443", "/")
    assert address.authorization == "Basic dXNlcjpwQHNz"


def test_an_ipv6_address_keeps_its_brackets_in_the_header_only() -> None:
    address = parse("https://[2606:2800:21f::1]/", allow_http=False)
    assert (address.host, address.host_header) == ("2606:2800:21f::1", "[2606:2800:21f::1]")


def test_http_is_allowed_only_where_it_is_switched_on() -> None:
    assert parse("http://example.org/", allow_http=True).port == 80
    with pytest.raises(ValueError, match="AllowHttpSources"):
        parse("http://example.org/", allow_http=False)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://secret.example.org/a b", "percent-encode"),
        ("https://secret.example.org/a\r\nHost: b", "percent-encode"),
        ("https://secret.example.org/\u00e9", "percent-encode"),
        ("https://secret.example.org:99999/", "port"),
        ("https://secret.example.org:0/", "port"),
        ("https://secret.example.org:secret/", "port"),
        ("http://[::1", "not a valid URL"),
        ("https://[secret]/", "not a valid URL"),
        ("https:///secret", "host"),
        ("https://", "host"),
        ("https://sec!ret/", "host"),
        ("file:///secret", "https://"),
        ("gopher://secret/", "https://"),
    ],
)
def test_an_invalid_url_is_explained_without_being_repeated(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        parse(url, allow_http=True)
    assert "secret" not in str(refused.value)
