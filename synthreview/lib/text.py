"""Words: articles and the normal form in which two captions count as the same."""

from __future__ import annotations

import re
import unicodedata

# Written with a vowel, spoken with a consonant; and the other way round.
_CONSONANT_SOUND = re.compile(r"^(uni([^nm]|$)|us[ae]|eu|one\b|once\b|ufo)", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"^(hour|hono|heir|honest)", re.IGNORECASE)


def article(noun: str) -> str:
    """Return "a" or "an", by the sound that `noun` begins with."""
    if _VOWEL_SOUND.match(noun):
        return "an"
    return "an" if noun[:1].lower() in "aeiou" and not _CONSONANT_SOUND.match(noun) else "a"


def with_article(noun: str) -> str:
    """Return "a car", "an umbrella"; a noun that brings its own article stays as it is."""
    if not noun or re.match(r"^(a|an|the|some)\s", noun, re.IGNORECASE):
        return noun
    return f"{article(noun)} {noun}"


def normalised(text: str) -> str:
    """Return `text` as compared for sameness: one case, one spacing, no closing full stop."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"\s+", " ", folded).strip().rstrip(".").rstrip()


def one_line(text: str) -> str:
    """Return `text` as one line that no Markdown, table or YAML can mistake for its own marks."""
    line = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", line)
