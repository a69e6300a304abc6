"""The problem documents for a caller who is not known, or not allowed."""

from http import HTTPStatus
from typing import Final

from readmission.errors import ApiKeyInvalid, AuditUnavailable, IdentityUnavailable, ScopeMissing, TokenInvalid
from readmission.http.problems import Refused, sentence

type Refusal = TokenInvalid | ApiKeyInvalid | ScopeMissing | IdentityUnavailable | AuditUnavailable

UNAVAILABLE: Final = "The keys of the identity provider cannot be read, so the token cannot be checked; try again later"


def refusal(error: Refusal) -> Refused:
    """The answer: 401, 403 or 503, with the challenge of RFC 6750."""
    match error:
        case TokenInvalid():
            return Refused(HTTPStatus.UNAUTHORIZED, sentence(str(error)), headers=_challenge("invalid_token"))
        case ApiKeyInvalid():
            return Refused(HTTPStatus.FORBIDDEN, sentence(str(error)))
        case ScopeMissing():
            return Refused(HTTPStatus.FORBIDDEN, sentence(str(error)), headers=_challenge("insufficient_scope"))
        case IdentityUnavailable():
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE)
        case AuditUnavailable():
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, sentence(str(error)))


def _challenge(error: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer error="{error}"'}
