import pytest

from infra.local.errors import LocalError
from tests.load import target

HERE = {"API_URL": "https://localhost:4566/v1/", "API_KEY": "a key", "API_CA": "a file"}
ELSEWHERE = "https://abc.execute-api.eu-central-1.amazonaws.com/v1"


@pytest.mark.parametrize("url", ["https://localhost:4566/v1", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_an_address_of_this_machine_may_come_with_the_environment(url: str) -> None:
    assert target.find(None, HERE | {"API_URL": url}) == target.Target(url, "a key", "a file")


@pytest.mark.parametrize("url", [ELSEWHERE, "https://localhost.example.com", "https://10.0.0.1", "http://0.0.0.0:80"])
def test_another_machine_must_be_named_explicitly(url: str) -> None:
    with pytest.raises(LocalError, match="another machine"):
        target.find(None, HERE | {"API_URL": url})
    assert target.find(url, HERE).url == url


@pytest.mark.parametrize("url", ["not-a-url", "localhost:4566", "ftp://localhost/v1", "https:///v1"])
def test_an_invalid_address_is_refused_by_its_name(url: str) -> None:
    with pytest.raises(LocalError, match=r"^URL must be an address"):
        target.find(url, HERE)
    with pytest.raises(LocalError, match=r"^API_URL must be an address"):
        target.find(None, HERE | {"API_URL": url})


def test_the_emulators_certificate_does_not_vouch_for_another_machine() -> None:
    assert target.find(ELSEWHERE, HERE).ca_file is None
    assert target.find(ELSEWHERE, HERE).key == "a key"


def test_an_address_needs_a_key() -> None:
    with pytest.raises(LocalError, match="API_KEY"):
        target.find(ELSEWHERE, {})


def test_without_an_address_it_is_the_running_platforms(tmp_path: object) -> None:
    with pytest.raises(LocalError, match=r"make (up|deploy)"):
        target.find(None, {"LOCAL_DIR": str(tmp_path), "LOCALSTACK_PORT": "9"})
