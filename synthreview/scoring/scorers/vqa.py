"""The judge that asks: does this image show its caption? Yes or no, from a vision model's server.

Any server that speaks the OpenAI chat API and takes pictures: OpenAI itself, vLLM, llama.cpp,
Ollama, LM Studio, LiteLLM. Beside the whole caption each part of it is asked for, so that a
reviewer sees which one failed. Where the server gives the log-probabilities of its tokens, an
answer is a chance; else it is 1 or 0. One request per image; nothing is retried here. Model names
and prices are configuration: none stands in this file. Knows nothing of Django.

Source: VQAScore (Lin et al. 2024), "Does this figure show '{text}'?" with the chance of "Yes";
TIFA (Hu et al. 2023) for a question to each part.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from synthreview.lib.outcomes import ServiceError, UnusableAnswerError
from synthreview.prompting.authors.openai_connection import Connection

from .base import ScorerCard, ScoreRequest, ScorerError, ScoreResult

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

ASKING_VERSION = "asking 1"
SIDE = 512
JPEG_QUALITY = 90
TOP_TOKENS = 10
TOKENS_PER_ANSWER = 6
CHARACTERS_PER_TOKEN = 3
LIST_TIMEOUT_S = 10
HOW = (
    "You check pictures against short descriptions. Answer every question with yes or no, one "
    "answer per line, in order, and nothing else. Answer no where you cannot see it."
)
QUESTIONS = {
    "object": "Does this image show {}?",
    "environment": "Is the scene of this image {}?",
    "style": "Is this image {}?",
    "colour": "Is its main subject {}?",
    "count": "Does this image show exactly {}?",
}
OTHER = "Is this true of the image: {}?"
YES, NO = "yes", "no"
WORD = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer used; `cost_usd` is None where the price table does not know the model."""

    tokens_in: int
    tokens_out: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model said of one image, and what that used. `is_graded`: by log-probabilities."""

    result: ScoreResult
    usage: Usage
    model: str
    is_graded: bool


class VqaScorer:
    """Asks a vision model.

    Args:
        model: its name on that server.
        base_url, api_key, api_key_env, timeout_s: see Connection.
        prices: US dollars per million tokens, {model: {"input": 0.4, "output": 1.6}}; the model
            "*" stands for every other. Without a price the cost is unknown, not nought.
        image_tokens: what the server counts for one picture of 512 pixels, for the estimate.
        asks_logprobs: off for servers that refuse the field.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str = "",
        api_key: str = "",
        api_key_env: str = "OPENAI_API_KEY",
        timeout_s: float = 60,
        prices: Mapping[str, Mapping[str, float | str]] | None = None,
        image_tokens: int = 1_500,
        asks_logprobs: bool = True,
    ) -> None:
        self._model = model
        where = {"base_url": base_url, "api_key": api_key, "api_key_env": api_key_env}
        self._connection = Connection(**where, timeout_s=timeout_s)
        self._quick = Connection(**where, timeout_s=min(timeout_s, LIST_TIMEOUT_S))
        self._prices = prices or {}
        self._image_tokens = image_tokens
        self._asks_logprobs = asks_logprobs

    def card(self) -> ScorerCard:
        """Return the identity; a server's weights are not known, so its name stands for them."""
        named = f"{self._connection.base_url} {self._model}"
        return ScorerCard(
            name="Questions",
            model=self._model,
            tag=ASKING_VERSION,
            weights_sha256=hashlib.sha256(named.encode()).hexdigest(),
            preprocessing=f"long side {SIDE} px, JPEG {JPEG_QUALITY}",
            facts={"server": self._connection.base_url, "weights": "unknown: a server's"},
        )

    def health(self) -> list[str]:
        """Return what is wrong: no answer, or a model that the server does not list."""
        try:
            page = self._quick.call(lambda client: client.models.list())
        except ServiceError as error:
            return [str(error)]
        names = {str(model.id) for model in page.data or []}
        if names and not names & {self._model, f"{self._model}:latest"}:
            some = ", ".join(sorted(names)[:8])
            return [f"{self._connection.base_url} has no model {self._model!r}; it lists: {some}."]
        return []

    def prepare(self, image: Image.Image) -> None:
        """Return nothing: the server waits longer than the copy takes."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """Ask for each image, one after the other. Raises ScorerError.

        Paid work goes through `ask`, which tells what was used.
        """
        try:
            return [self.ask(request).result for request in requests]
        except ServiceError as error:
            raise ScorerError(str(error)) from error

    def ask(self, request: ScoreRequest) -> Answered:
        """Ask about one image. Raises ServiceError and its children."""
        asked = questions_of(request)
        fields: dict[str, Any] = {"temperature": 0, "max_tokens": TOKENS_PER_ANSWER * len(asked)}
        if self._asks_logprobs:
            fields |= {"logprobs": True, "top_logprobs": TOP_TOKENS}
        messages: Any = messages_of(asked, request.image)
        answer = self._connection.call(
            lambda client: client.chat.completions.create(
                model=self._model, messages=messages, **fields
            )
        )
        usage = self._usage(answer)
        cost = int((usage.cost_usd or 0) * 1_000_000)
        text, tokens = _text_of(answer, cost)
        said = answers_of(text)
        if len(said) != len(asked):
            raise UnusableAnswerError(
                f"{self._model} gave {len(said)} answers to {len(asked)} questions.",
                cost_micro_usd=cost,
            )
        graded = chances_of(tokens)
        is_graded = len(graded) == len(asked)
        chances = graded if is_graded else [float(word == YES) for word in said]
        model = str(getattr(answer, "model", "") or self._model)
        return Answered(_result(list(asked), chances), usage, model, is_graded)

    def estimate_usd(self, request: ScoreRequest) -> Decimal | None:
        """Return what asking about one image costs at most; None where no price is known."""
        asked = questions_of(request)
        characters = len(HOW) + sum(len(question) + 4 for question in asked.values())
        tokens_in = self._image_tokens + characters // CHARACTERS_PER_TOKEN + 20
        return self._cost(tokens_in, TOKENS_PER_ANSWER * len(asked))

    def _cost(self, tokens_in: int, tokens_out: int) -> Decimal | None:
        price = self._prices.get(self._model, self._prices.get("*"))
        if price is None:
            return None
        return (
            Decimal(str(price.get("input", 0))) * tokens_in
            + Decimal(str(price.get("output", 0))) * tokens_out
        ) / Decimal(1_000_000)

    def _usage(self, answer: ChatCompletion) -> Usage:
        used = getattr(answer, "usage", None)
        tokens = (
            int(getattr(used, "prompt_tokens", 0) or 0),
            int(getattr(used, "completion_tokens", 0) or 0),
        )
        return Usage(*tokens, self._cost(*tokens))


# --- Questions ------------------------------------------------------------------------


def questions_of(request: ScoreRequest) -> dict[str, str]:
    """Return the question for the whole caption, under "", and for each part by its slot."""
    asked = {"": f"Does this image show {_plain(request.caption)}?"}
    for slot, words in request.parts.items():
        if words:
            asked[slot] = QUESTIONS.get(slot, OTHER).format(_plain(words))
    return asked


def _plain(words: str) -> str:
    """Return words as they stand within a question: one line in quotes that they cannot end."""
    return '"' + " ".join(words.split()).rstrip(".").replace('"', "'")[:500] + '"'


def messages_of(asked: Mapping[str, str], image: Image.Image) -> list[dict[str, Any]]:
    """Return the messages: what to do, then the picture with numbered questions."""
    lines = "\n".join(f"{place}. {one}" for place, one in enumerate(asked.values(), start=1))
    picture = {"type": "image_url", "image_url": {"url": _data_url(image), "detail": "low"}}
    return [
        {"role": "system", "content": HOW},
        {"role": "user", "content": [picture, {"type": "text", "text": lines}]},
    ]


def _data_url(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


# --- Answers --------------------------------------------------------------------------


def _text_of(answer: Any, cost: int) -> tuple[str, list[Any]]:
    """Return the text and its tokens' log-probabilities. Raises UnusableAnswerError."""
    choices = getattr(answer, "choices", None) or []
    text = getattr(choices[0].message, "content", None) if choices else None
    if not isinstance(text, str):
        raise UnusableAnswerError("The answer has no text.", cost_micro_usd=cost)
    logprobs = getattr(choices[0], "logprobs", None)
    return text, list(getattr(logprobs, "content", None) or [])


def answers_of(text: str) -> list[str]:
    """Return the words yes and no of an answer, in order."""
    return [word.lower() for word in WORD.findall(text)]


def chances_of(tokens: Sequence[Any]) -> list[float]:
    """Return the chance of yes against no wherever the answer has one of them.

    Of all ways in which the model could have gone on there, those that are yes or no, in any
    spelling, share the chance between them.
    """
    chances = []
    for token in tokens:
        if _word(token.token) is None:
            continue
        weights = {YES: 0.0, NO: 0.0}
        ways = {way.token: way.logprob for way in token.top_logprobs or []}
        for way, logprob in (ways | {token.token: token.logprob}).items():
            if (word := _word(way)) is not None:
                weights[word] += math.exp(min(float(logprob), 0.0))
        whole = weights[YES] + weights[NO]
        chances.append(weights[YES] / whole if whole else float(_word(token.token) == YES))
    return chances


def _word(token: str) -> str | None:
    word = token.strip(" \t\n.,:;*\"'\u2581\u0120").lower()
    return word if word in (YES, NO) else None


def _result(slots: Sequence[str], chances: Sequence[float]) -> ScoreResult:
    by_slot = dict(zip(slots, chances, strict=True))
    match = by_slot.pop("")
    return ScoreResult(
        similarity=None,
        match=match,
        parts=by_slot,
        class_probabilities=np.zeros(0, dtype=np.float32),
        class_margin=None,
        value=min([match, *by_slot.values()]),
        embedding=None,
    )
