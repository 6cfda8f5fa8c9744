"""What a call costs: tokens or images times a price table that the operator keeps.

A table maps a model's name ("*" is every other) to either

    {"text_input": 5, "image_input": 8, "output": 30}   US dollars per million tokens;
                                                        images count as text where not told
    {"image": 0.04}                                     US dollars per image
    {"image": {"low": 0.01, "high": 0.17}}              …by quality; "auto" counts as the dearest

Beside either, {"batch": 0.5} says that the batch API takes half; without it no batch is offered.

Before a call nobody knows its tokens, so the estimate takes the most that may come:
`most_output_tokens` per image and `most_input_tokens` per input image, which the table may
also set. Prices are figures of the operator: none stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import Any

from synthreview.lib.money import micro_usd

# Twice the largest count that OpenAI published for its first token-priced model (4,160 for a
# square of 1,024 px at high quality, 6,240 for 1,536 × 1,024); a larger picture, so much more.
MOST_OUTPUT_TOKENS = 8_400
MOST_INPUT_TOKENS = 8_000
ASKED_PX = 1024 * 1024
# Around a prompt stand some words of the provider's own.
PROMPT_TOKENS = 100
FIELDS = {
    "text_input",
    "image_input",
    "output",
    "image",
    "most_output_tokens",
    "most_input_tokens",
    "batch",
}


class PriceError(ValueError):
    """The price table cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call used, by kind."""

    text: int = 0
    image: int = 0
    output: int = 0

    def as_usage(self) -> dict[str, int]:
        return {
            "text_input_tokens": self.text,
            "image_input_tokens": self.image,
            "output_tokens": self.output,
        }


@dataclass(frozen=True, slots=True)
class Price:
    """One model's price: per million tokens, or per image by quality ("" is any quality)."""

    text_input: Decimal = Decimal(0)
    image_input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    images: Mapping[str, Decimal] | None = None
    most_output_tokens: int = MOST_OUTPUT_TOKENS
    most_input_tokens: int = MOST_INPUT_TOKENS
    batch: Decimal | None = None  # the share of it that the batch API takes

    def in_batch(self, cost_micro_usd: int) -> int:
        """Return what a cost comes to within a batch, rounded up."""
        assert self.batch is not None
        return int((self.batch * cost_micro_usd).to_integral_value(ROUND_UP))

    def of_images(self, count: int, quality: str) -> int:
        """Return what `count` images cost in millionths of a dollar, where images are priced."""
        assert self.images is not None
        each = self.images.get(quality, max(self.images.values()))
        return micro_usd(each * count)

    def of_tokens(self, used: Tokens) -> int:
        """Return what the tokens cost: dollars per million are millionths per token."""
        cost = (
            self.text_input * used.text + self.image_input * used.image + self.output * used.output
        )
        return int(cost.to_integral_value(ROUND_UP))

    def at_most(self, *, prompt: str, inputs: int, count: int, pixels: int, quality: str) -> int:
        """Return an upper bound for a call, in millionths of a dollar."""
        if self.images is not None:
            return self.of_images(count, quality)
        area = max(1, -(-pixels // ASKED_PX))
        return self.of_tokens(
            Tokens(
                # No tokenizer makes more tokens than there are bytes.
                text=len(prompt.encode("utf-8", "surrogatepass")) + PROMPT_TOKENS,
                image=self.most_input_tokens * inputs,
                output=self.most_output_tokens * count * area,
            )
        )


def price_of(table: Mapping[str, Mapping[str, Any]], model: str) -> Price | None:
    """Return the price of a model; None where the table has none. Raises PriceError."""
    entry = table.get(model, table.get("*"))
    if entry is None:
        return None
    if not isinstance(entry, Mapping) or not entry or set(entry) - FIELDS:
        raise PriceError(f"The price of {model!r} takes {', '.join(sorted(FIELDS))}.")
    images = entry.get("image")
    by_quality = images if isinstance(images, Mapping) else {"": images}
    tokens = {name: _amount(model, name, entry.get(name, 0)) for name in ("text_input", "output")}
    tokens["image_input"] = _amount(
        model, "image_input", entry.get("image_input", entry.get("text_input", 0))
    )
    most = {
        name: int(_amount(model, name, entry[name]))
        for name in ("most_output_tokens", "most_input_tokens")
        if name in entry
    }
    batch = _amount(model, "batch", entry["batch"]) if "batch" in entry else None
    if batch is not None and batch > 1:
        raise PriceError(f"The price of {model!r} has a batch share of {batch}: at most 1.")
    if images is None:
        return Price(**tokens, **most, batch=batch)  # type: ignore[arg-type]
    return Price(
        images={str(name): _amount(model, "image", usd) for name, usd in by_quality.items()},
        batch=batch,
    )


def _amount(model: str, name: str, value: object) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise PriceError(f"The price of {model!r} has no number in {name!r}: {value!r}.")
    return amount
