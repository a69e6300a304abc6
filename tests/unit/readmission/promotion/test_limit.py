from typing import Any

import pytest
from readmission.errors import InvalidRequest
from readmission.promotion import limit


@pytest.mark.parametrize(("request_", "expected"), [({}, limit.DEFAULT), ({"limit": 1}, 1), ({"limit": 1000}, 1000)])
def test_the_limit_of_a_request_is_optional(request_: Any, expected: int) -> None:
    assert limit.of_request(request_) == expected


@pytest.mark.parametrize(
    "request_", [None, [], {"limit": 0}, {"limit": 1001}, {"limit": "5"}, {"limit": True}], ids=repr
)
def test_an_invalid_limit_of_a_request_is_refused_by_name(request_: Any) -> None:
    with pytest.raises(InvalidRequest, match="a whole number from 1 to 1000"):
        limit.of_request(request_)
