"""The connection to a server that speaks the OpenAI API, with an author's errors.

For the author and for remote fine-tuning; what is said and heard on the wire is in
lib/openai_api.py. Knows nothing of Django.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from synthreview.lib.openai_api import ApiConnection, ApiError, Trouble
from synthreview.prompting.authors.base import (
    AuthorError,
    BadAnswerError,
    OutOfCreditError,
    RateLimitedError,
    RefusedError,
    TransientAuthorError,
)

if TYPE_CHECKING:
    import openai

T = TypeVar("T")


class SchemaUnsupportedError(AuthorError):
    """The server will not take `response_format`: ask without it."""


class Connection(ApiConnection):
    """Calls one server and turns whatever goes wrong into an AuthorError."""

    def call(self, action: Callable[[openai.OpenAI], T]) -> T:
        """Return what `action` gets from the client. Raises AuthorError and its children."""
        try:
            return self.ask(action)
        except ApiError as error:
            raise self._author_error(error) from None

    def _author_error(self, error: ApiError) -> AuthorError:
        message = str(error)
        if error.trouble is Trouble.RATE:
            return RateLimitedError(message, retry_after_s=error.retry_after_s)
        if error.trouble is Trouble.REFUSED:
            return RefusedError(f"{self.base_url} will not write this. {error.said}")
        if error.status in {400, 422} and _blames_schema(error.body):
            return SchemaUnsupportedError(f"{self.base_url} takes no JSON schema. {error.said}")
        kinds: dict[Trouble, type[AuthorError]] = {
            Trouble.CREDIT: OutOfCreditError,
            Trouble.BAD_ANSWER: BadAnswerError,
            # Words cost little: asked again, at worst they are paid twice.
            Trouble.NOT_SENT: TransientAuthorError,
            Trouble.SILENT: TransientAuthorError,
            Trouble.FAILED: TransientAuthorError,
        }
        return kinds.get(error.trouble, AuthorError)(message)


def _blames_schema(body: object) -> bool:
    text = str(body or "").lower()
    return any(word in text for word in ("response_format", "json_schema", "grammar", "strict"))
