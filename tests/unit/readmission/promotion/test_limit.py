from typing import Any

import pytest
from readmission.errors import InvalidRequest
from readmission.promotion import limit


@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("100", 100), ("1000", 1000), ("007", 7)])
def test_the_limit_of_a_query_is_a_whole_number(text: str, expected: int) -> None:
    assert limit.of_text(text) == expected


@pytest.mark.parametrize("text", ["0", "1001", "-1", "+5", "1.0", "ten", "", " 5", "\u0665", "²", "9" * 5000])
def test_an_invalid_limit_of_a_query_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="'limit' must be a whole number from 1 to 1000"):
        limit.of_text(text)


@pytest.mark.parametrize(("request_", "expected"), [({}, limit.DEFAULT), ({"limit": 1}, 1), ({"limit": 1000}, 1000)])
def test_the_limit_of_a_request_is_optional(request_: Any, expected: int) -> None:
    assert limit.of_request(request_) == expected


@pytest.mark.parametrize(
    "request_", [None, [], {"limit": 0}, {"limit": 1001}, {"limit": "5"}, {"limit": True}], ids=repr
)
def test_an_invalid_limit_of_a_request_is_refused_by_name(request_: Any) -> None:
    with pytest.raises(InvalidRequest, match="from 1 to 1000"):
        limit.of_request(request_)
