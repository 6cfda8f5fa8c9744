"""One connection to a server that speaks the OpenAI API: address, key, and what went wrong.

Shared by authors, fine-tuning and generators, each of which turns an `ApiError` into its own.
The official SDK is loaded on first use, its own retries are off (it would resend even
"insufficient_quota"), it follows no redirect, and every wait has a limit. The key never stands
in a message, a log line or a repr. Knows nothing of Django.
"""

from __future__ import annotations

import copy
import email.utils
import functools
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import ssl

    import httpx2
    import openai

OPENAI_URL = "https://api.openai.com/v1"
QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
REFUSAL_CODES = {"content_policy_violation", "content_filter", "moderation_blocked"}
REFUSAL_WORDS = re.compile(r"content.?policy|moderation_blocked|safety system", re.IGNORECASE)
LONGEST_WAIT_S = 24 * 3600
CONNECT_S = 10
MAX_ANSWER_BYTES = 128_000_000  # ten large pictures in base64
# Somebody between us and the server gave up waiting: it may have done the work all the same.
GAVE_UP_WAITING = {502, 504, 520, 524, 598, 599}

T = TypeVar("T")


class Trouble(StrEnum):
    """What kind of fault it is; the word decides what becomes of the work."""

    NOT_SENT = "no connection was made, so nothing was asked"
    SILENT = "the request left, and no whole answer came"
    FAILED = "the server says that it failed, or is too busy"
    RATE = "too many requests"
    CREDIT = "the account is empty or at its limit"
    REFUSED = "the provider's policy refuses it"
    DENIED = "no key, a wrong one, or one without this right"
    UNKNOWN_NAME = "no such address or model"
    WRONG = "the request is not taken as it is"
    BAD_ANSWER = "an answer came that is not what the API promises"


class ApiError(Exception):
    """A call went wrong; `said` are the server's own words, short and without the key."""

    def __init__(
        self,
        trouble: Trouble,
        message: str,
        *,
        status: int = 0,
        said: str = "",
        retry_after_s: float | None = None,
        body: object = None,
    ) -> None:
        super().__init__(f"{message} {said}".strip())
        self.trouble = trouble
        self.status = status
        self.said = said
        self.retry_after_s = retry_after_s
        self.body = body


class ApiConnection:
    """Calls one server and turns whatever goes wrong into an ApiError.

    Args:
        base_url: up to and with `/v1`; empty is OpenAI itself.
        api_key: the key; better left out, and named by `api_key_env` instead.
        api_key_env: the environment variable that holds the key. A local server needs none.
        timeout_s: how long the server may think, and again how long its answer may take.
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
        self._max_answer_bytes = MAX_ANSWER_BYTES
        self._key = api_key
        self._key_env = api_key_env

    def with_limits(self, *, timeout_s: float, max_answer_bytes: int) -> ApiConnection:
        """Return a connection to the same server with other limits, for whole files."""
        other = copy.copy(self)
        other.timeout_s, other._max_answer_bytes = timeout_s, max_answer_bytes
        return other

    @property
    def has_key(self) -> bool:
        return bool(self.key())

    def key(self) -> str:
        """Return the key, read anew each time; empty where there is none."""
        return self._key or os.environ.get(self._key_env, "")

    def ask(self, action: Callable[[openai.OpenAI], T]) -> T:
        """Return what `action` gets from the client. Raises ApiError."""
        import openai

        try:
            # One client per call: a worker forks, and a socket must not be shared by two.
            with self._client() as client:
                return action(client)
        # Not `from error`: its text and its request may repeat the key.
        except openai.OpenAIError as error:
            raise self._ours(error) from None
        except json.JSONDecodeError:
            raise ApiError(
                Trouble.BAD_ANSWER, f"{self.base_url} sent an answer that is no JSON."
            ) from None

    def hide_key(self, text: str) -> str:
        """Return `text` without the key, where a server repeats it."""
        key = self.key()
        return text.replace(key, "[key]") if key else text

    def words_of(self, body: object) -> str:
        """Return a server's own words in a body of any shape: short, one line, without the key."""
        while isinstance(body, dict):  # {"error": {"message"}}, {"detail"}: servers differ
            body = next((body[k] for k in ("message", "error", "detail") if body.get(k)), "")
        words = " ".join(str(body or "").split())
        return f"It says: {self.hide_key(words)[:300]}" if words else ""

    def _client(self) -> openai.OpenAI:
        import openai

        limit = openai.Timeout(self.timeout_s, connect=min(CONNECT_S, self.timeout_s))
        return openai.OpenAI(
            base_url=self.base_url,
            api_key=self.key() or "none",  # the SDK wants one, a local server does not
            max_retries=0,
            timeout=limit,
            http_client=openai.DefaultHttpxClient(
                timeout=limit,
                follow_redirects=False,
                verify=_tls(),
                event_hooks={"response": [_bounded(self.timeout_s, self._max_answer_bytes)]},
            ),
        )

    def _ours(self, error: openai.OpenAIError) -> ApiError:
        import openai

        if isinstance(error, openai.APIStatusError):
            return self._for_status(error)
        if isinstance(error, openai.APIResponseValidationError):
            return ApiError(
                Trouble.BAD_ANSWER, f"{self.base_url} sent an answer of an unknown shape."
            )
        if isinstance(error, openai.APIConnectionError):  # a time-out is one, too
            return self._broken_off(error.__cause__)
        said = self.hide_key(str(error))[:400]
        return ApiError(Trouble.WRONG, f"The request could not be made: {said}")

    def _broken_off(self, cause: BaseException | None) -> ApiError:
        """Return the error of a connection; before it stands, nothing is sent."""
        import httpx2

        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return ApiError(
                Trouble.NOT_SENT,
                f"{self.base_url} cannot be reached: is the server running, the address right?",
            )
        if isinstance(cause, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
            return ApiError(Trouble.WRONG, f"{self.base_url} is no address that can be asked.")
        if isinstance(cause, httpx2.TimeoutException):
            return ApiError(
                Trouble.SILENT,
                f"{self.base_url} did not answer within {self.timeout_s:g} s. It may be busy; a "
                "longer time-out or a smaller batch helps a slow model.",
            )
        return ApiError(
            Trouble.SILENT, f"The connection to {self.base_url} broke off before the answer."
        )

    def _for_status(self, error: openai.APIStatusError) -> ApiError:
        status, code = error.status_code, error.code or ""
        trouble, message, wait = self._meaning(status, code, error)
        return ApiError(
            trouble,
            message,
            status=status,
            said=self.words_of(error.body),
            retry_after_s=wait,
            body=error.body,
        )

    def _meaning(
        self, status: int, code: str, error: openai.APIStatusError
    ) -> tuple[Trouble, str, float | None]:
        at = self.base_url
        if code in QUOTA_CODES or status == 402:
            return Trouble.CREDIT, f"The account at {at} is out of credit.", None
        if is_refusal(code, error.body if status in {400, 403, 422} else ""):
            return Trouble.REFUSED, f"{at} refuses this by its policy.", None
        if status == 429:
            wait = retry_after_s(dict(error.response.headers))
            again = f"; it may be asked again in {wait:g} s" if wait is not None else ""
            return Trouble.RATE, f"{at} takes no more requests for now{again}.", wait
        if status in GAVE_UP_WAITING:
            return Trouble.SILENT, f"A server before {at} gave up waiting (HTTP {status}).", None
        if status in {408, 409, 425} or status >= 500:
            wait = retry_after_s(dict(error.response.headers))
            return Trouble.FAILED, f"{at} failed (HTTP {status}).", wait
        if status in {401, 403}:
            advice = f"Check the key in {self._key_env}." if self.has_key else "It wants a key."
            return Trouble.DENIED, f"{at} refuses us (HTTP {status}). {advice}", None
        if status == 404:
            return (
                Trouble.UNKNOWN_NAME,
                f"{at} does not know this address or model (HTTP 404).",
                None,
            )
        return Trouble.WRONG, f"{at} did not take the request (HTTP {status}).", None


def _bounded(timeout_s: float, max_bytes: int) -> Callable[[httpx2.Response], None]:
    """Return a hook that ends an answer which trickles on, or has no end."""
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __init__(self, inner: httpx2.SyncByteStream) -> None:
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            ends_at, size = time.monotonic() + timeout_s, 0
            for part in self._inner:
                size += len(part)
                if size > max_bytes:
                    raise httpx2.ReadError(f"more than {max_bytes:,} bytes")
                if time.monotonic() > ends_at:
                    raise httpx2.ReadTimeout("the answer trickles")
                yield part

        def close(self) -> None:
            self._inner.close()

    def bound(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = Bounded(response.stream)

    return bound


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return the SDK's own set of trusted certificates, read once: that takes 30 ms."""
    import httpx2

    return httpx2.create_ssl_context()


def is_refusal(code: str, body: object) -> bool:
    """Say whether an error's code or words mean that the provider's policy refuses."""
    return code in REFUSAL_CODES or REFUSAL_WORDS.search(str(body)) is not None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the wait that a server asks for, as seconds or as a date; at most a day.

    `headers` have lower-case names.
    """
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


def models_of(page: Any) -> list[tuple[str, str]]:
    """Return (name, shutdown date or "") of each listed model. Raises ValueError: no list."""
    listed = getattr(page, "data", None)
    if not isinstance(listed, list):
        raise ValueError("no list of models")
    return [
        (str(model.id), str(getattr(model, "shutdown_date", None) or ""))
        for model in listed
        if getattr(model, "id", None)
    ]
