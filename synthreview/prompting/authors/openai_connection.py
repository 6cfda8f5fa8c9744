"""The connection to a server that speaks the OpenAI API, with the errors that a job goes by.

For the author and for remote fine-tuning; what is said and heard on the wire is in
lib/openai_api.py. Knows nothing of Django.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from synthreview.lib.openai_api import ApiConnection, ApiError, Trouble
from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    OutOfCreditError,
    PermanentError,
    RateLimitedError,
    RefusedError,
    ServiceError,
    TransientError,
    UnusableAnswerError,
)

if TYPE_CHECKING:
    import openai

T = TypeVar("T")


class SchemaUnsupportedError(PermanentError):
    """The server will not take `response_format`: ask without it."""


class Connection(ApiConnection):
    """Calls one server and turns whatever goes wrong into a ServiceError."""

    def call(self, action: Callable[[openai.OpenAI], T]) -> T:
        """Return what `action` gets from the client. Raises ServiceError and its children."""
        try:
            return self.ask(action)
        except ApiError as error:
            raise self._service_error(error) from None

    def _service_error(self, error: ApiError) -> ServiceError:
        message = str(error)
        if error.trouble is Trouble.RATE:
            return RateLimitedError(message, retry_after_s=error.retry_after_s)
        if error.trouble is Trouble.REFUSED:
            return RefusedError(f"{self.base_url} will not write this. {error.said}")
        if error.status in {400, 422} and _blames_schema(error.body):
            return SchemaUnsupportedError(f"{self.base_url} takes no JSON schema. {error.said}")
        kinds: dict[Trouble, type[ServiceError]] = {
            Trouble.CREDIT: OutOfCreditError,
            Trouble.BAD_ANSWER: UnusableAnswerError,
            Trouble.NOT_SENT: TransientError,
            Trouble.SILENT: OutcomeUnknownError,
            Trouble.FAILED: TransientError,
        }
        return kinds.get(error.trouble, PermanentError)(message)


def _blames_schema(body: object) -> bool:
    text = str(body or "").lower()
    return any(word in text for word in ("response_format", "json_schema", "grammar", "strict"))
