"""One connection to a server that speaks the OpenAI API: address, key, and our errors.

For the author and for remote fine-tuning. The official SDK is loaded on first use, its own
retries are off (it would resend even "insufficient_quota"), and it follows no redirect. The
key never stands in a message, a log line or a repr. Knows nothing of Django.
"""

from __future__ import annotations

import email.utils
import functools
import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from synthreview.prompting.authors.base import (
    AuthorError,
    BadAnswerError,
    OutOfCreditError,
    RateLimitedError,
    RefusedError,
    TransientAuthorError,
)

if TYPE_CHECKING:
    import ssl

    import openai

OPENAI_URL = "https://api.openai.com/v1"
QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
REFUSAL_CODES = {"content_policy_violation", "content_filter", "moderation_blocked"}
LONGEST_WAIT_S = 24 * 3600

T = TypeVar("T")


class SchemaUnsupportedError(AuthorError):
    """The server will not take `response_format`: ask without it."""


class Connection:
    """Calls one server and turns whatever goes wrong into an AuthorError.

    Args:
        base_url: up to and with `/v1`; empty is OpenAI itself.
        api_key: the key; better left out, and named by `api_key_env` instead.
        api_key_env: the environment variable that holds the key. A local server needs none.
        timeout_s: how long the server may be silent.
    """

    def __init__(
        self,
        *,
        base_url: str = "",
        api_key: str = "",
        api_key_env: str = "OPENAI_API_KEY",
        timeout_s: float = 120,
    ) -> None:
        self.base_url = base_url or OPENAI_URL
        self.timeout_s = timeout_s
        self._key = api_key
        self._key_env = api_key_env

    @property
    def has_key(self) -> bool:
        return bool(self._secret())

    def call(self, action: Callable[[openai.OpenAI], T]) -> T:
        """Return what `action` gets from the client. Raises AuthorError and its children."""
        import openai

        try:
            # One client per call: a worker forks, and a socket must not be shared by two.
            with self._client() as client:
                return action(client)
        # Not `from error`: its text and its request may repeat the key.
        except openai.OpenAIError as error:
            raise self._ours(error) from None
        except json.JSONDecodeError:
            raise BadAnswerError(f"{self.base_url} sent an answer that is no JSON.") from None

    def hide_key(self, text: str) -> str:
        """Return `text` without the key, where a server repeats it."""
        key = self._secret()
        return text.replace(key, "[key]") if key else text

    def _secret(self) -> str:
        return self._key or os.environ.get(self._key_env, "")

    def _client(self) -> openai.OpenAI:
        import openai

        limit = openai.Timeout(self.timeout_s, connect=min(10, self.timeout_s))
        return openai.OpenAI(
            base_url=self.base_url,
            api_key=self._secret() or "none",  # the SDK wants one, a local server does not
            max_retries=0,
            timeout=limit,
            http_client=openai.DefaultHttpxClient(
                timeout=limit, follow_redirects=False, verify=_tls()
            ),
        )

    def _ours(self, error: openai.OpenAIError) -> AuthorError:
        import openai

        if isinstance(error, openai.APITimeoutError):
            return TransientAuthorError(
                f"{self.base_url} did not answer within {self.timeout_s:g} s. It may be busy; a "
                "longer time-out or a smaller batch helps a slow model."
            )
        if isinstance(error, openai.APIStatusError):
            return self._for_status(error)
        if isinstance(error, openai.APIResponseValidationError):
            return BadAnswerError(f"{self.base_url} sent an answer of an unknown shape.")
        if isinstance(error, openai.APIConnectionError):
            return TransientAuthorError(
                f"{self.base_url} cannot be reached: is the server running, the address right?"
            )
        return AuthorError(self.hide_key(f"The request could not be made: {error}")[:500])

    def _for_status(self, error: openai.APIStatusError) -> AuthorError:
        status, code, said = error.status_code, error.code or "", self._said(error)
        if code in QUOTA_CODES or status == 402:
            return OutOfCreditError(f"The account at {self.base_url} is out of credit. {said}")
        if code in REFUSAL_CODES:
            return RefusedError(f"{self.base_url} will not write this. {said}")
        if status == 429:
            wait = _retry_after_s(dict(error.response.headers))
            again = f"; it may be asked again in {wait:g} s" if wait is not None else ""
            return RateLimitedError(
                f"{self.base_url} takes no more requests for now{again}. {said}",
                retry_after_s=wait,
            )
        if status in {408, 409} or status >= 500:
            return TransientAuthorError(f"{self.base_url} failed (HTTP {status}). {said}")
        if status in {401, 403}:
            advice = f"Check the key in {self._key_env}." if self.has_key else "It wants a key."
            return AuthorError(f"{self.base_url} refuses us (HTTP {status}). {advice} {said}")
        if status == 404:
            return AuthorError(
                f"{self.base_url} does not know this address or model (HTTP 404). {said}"
            )
        if status in {400, 422} and _blames_schema(error):
            return SchemaUnsupportedError(f"{self.base_url} takes no JSON schema. {said}")
        return AuthorError(f"{self.base_url} did not take the request (HTTP {status}). {said}")

    def _said(self, error: openai.APIStatusError) -> str:
        """Return the server's own words, short, on one line and without the key."""
        body: Any = error.body
        while isinstance(body, dict):  # {"error": {"message"}}, {"detail"}: servers differ
            body = next((body[k] for k in ("message", "error", "detail") if body.get(k)), "")
        words = " ".join(str(body or "").split())
        return f"It says: {self.hide_key(words)[:300]}" if words else ""


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return the SDK's own set of trusted certificates, read once: that takes 30 ms."""
    import httpx2

    return httpx2.create_ssl_context()


def _blames_schema(error: openai.APIStatusError) -> bool:
    text = f"{error.param or ''} {error.body or ''}".lower()
    return any(word in text for word in ("response_format", "json_schema", "grammar", "strict"))


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """Return the wait that the server asks for, as seconds or as a date; at most a day."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            wait = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return min(max(0.0, wait), LONGEST_WAIT_S) if wait == wait else None
    parsed = email.utils.parsedate_tz(headers.get("retry-after", ""))
    if parsed is None:
        return None
    return min(max(0.0, email.utils.mktime_tz(parsed) - time.time()), LONGEST_WAIT_S)
