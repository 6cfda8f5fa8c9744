"""Words: articles, plurals, and the normal form in which two captions count as the same.

The rules are our own: `inflect` knows more words, and takes two seconds to import.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from enum import StrEnum

# Written with a vowel, spoken with a consonant; and the other way round.
_CONSONANT_SOUND = re.compile(
    r"uni(?![nmd]|ro)|us[aeiu]|use|uk|ut[aeio]|ub|ur(an|in|ug|et)|ufo\b|u-|u\b|eu|ewe|"
    r"one\b|oneself|once\b|ouija",
    re.IGNORECASE,
)
_VOWEL_SOUND = re.compile(r"hour|hono|heir|honest", re.IGNORECASE)
_SPELLED = re.compile(r"[A-Z]{2,}\b|[A-Z]\b")  # SUV, LED, X-ray: letter by letter
_VOWEL_LETTERS = "AEFHILMNORSX"  # "an SUV", "a USB stick"
_VOWEL_NUMBER = re.compile(r"(8|11|18)(?!\d)|8\d*|(11|18)(\d{3})+(?!\d)")

_IRREGULAR = {
    "child": "children", "die": "dice", "foot": "feet", "goose": "geese", "louse": "lice",
    "man": "men", "mouse": "mice", "ox": "oxen", "person": "people", "tooth": "teeth",
    "woman": "women", "cactus": "cacti", "fungus": "fungi", "nucleus": "nuclei",
    "larva": "larvae", "alga": "algae", "phenomenon": "phenomena", "bacterium": "bacteria",
    "calf": "calves", "half": "halves", "hoof": "hooves", "elf": "elves", "knife": "knives",
    "leaf": "leaves", "life": "lives", "loaf": "loaves", "scarf": "scarves", "self": "selves",
    "sheaf": "sheaves", "shelf": "shelves", "thief": "thieves", "wife": "wives",
    "wolf": "wolves", "wharf": "wharves", "quiz": "quizzes", "passer-by": "passers-by",
}  # fmt: skip
_UNCHANGED = frozenset(
    """aircraft spacecraft hovercraft bison cod deer elk fish moose offspring salmon series sheep
    shrimp species squid swine trout tuna carp plaice""".split()
)
_O_WITH_ES = frozenset(
    """buffalo cargo domino echo hero mango mosquito potato tomato tornado volcano torpedo
    """.split()
)
# An s at the end that is no plural, where the spelling does not show it (as "ss", "us" do).
_SINGULAR_S = frozenset(
    """alias atlas bias canvas chaos christmas cosmos gas lens pancreas pyjamas rhinoceros series
    species tennis texas iris tripos asbestos pampas""".split()
)
_PAIRS = frozenset(
    """binoculars glasses goggles jeans leggings pants pliers pyjamas scissors shears shorts
    spectacles sunglasses tights trousers tweezers knickers overalls dungarees""".split()
)
_UNCOUNTED = frozenset(
    """bacon beef bread broccoli butter cheese chocolate clothing coffee coral cutlery dough
    equipment fire flour fog food fruit furniture gold grass hair hay honey ice jam jewellery
    lightning luggage machinery meat milk money moss mud music oil paint paper pasta pork rain
    rice rubbish salt sand seaweed silver smoke snow soap soil spaghetti steam straw sugar
    sushi tea traffic water wheat wine wood wool""".split()
)
# These keep their plural at the end of a longer word: policeman, bookshelf, dormouse.
_COMPOUNDING = ("child", "knife", "leaf", "loaf", "man", "mouse", "person", "shelf", "wife", "wolf")
_NO_COMPOUND = frozenset("german human norman roman talisman caiman ottoman shaman".split())
_IRREGULAR_PLURALS = frozenset(_IRREGULAR.values()) | {"police", "cattle"}
_HEAD_ENDS = re.compile(r"\s(?:of|with|without|in|on|at|for|from|to|by|and)\s", re.IGNORECASE)
_OWN_ARTICLE = re.compile(r"(?:a|an|the|some)\s+", re.IGNORECASE)


def article(noun: str) -> str:
    """Return "a" or "an", by the sound that `noun` begins with."""
    if (spelled := _SPELLED.match(noun)) and _is_spelled(spelled.group()):
        return "an" if noun[0] in _VOWEL_LETTERS else "a"
    if noun[:1].isdigit():
        return "an" if _VOWEL_NUMBER.match(noun) else "a"
    if _VOWEL_SOUND.match(noun):
        return "an"
    return "an" if noun[:1].lower() in "aeiou" and not _CONSONANT_SOUND.match(noun) else "a"


def _is_spelled(capitals: str) -> bool:
    """Say whether people read it letter by letter: SUV, but not LEGO."""
    return len(capitals) <= 3 or not re.search("[AEIOU]", capitals)


class Number(StrEnum):
    """How a noun is counted, and so which word may stand before it."""

    SINGULAR = "a car"
    PLURAL = "cars, people"
    PAIR = "a pair of scissors"
    UNCOUNTED = "bread"


def number_of(noun: str) -> Number:
    """Return how `noun` is counted, by its head: "cup of coffee" is singular."""
    head = _head(noun)[1]
    word = head.lower()
    if word in _PAIRS:
        return Number.PAIR
    if word in _UNCOUNTED:
        return Number.UNCOUNTED
    if word in _IRREGULAR_PLURALS or re.search(r"(?<!speci)(?<!abdo)(?<!acu)men$", word):
        return Number.PLURAL
    if (
        head == word  # names such as Mercedes are left alone
        and len(word) > 3
        and word.endswith("s")
        and not re.search(r"(ss|us|is)$", word)
        and word not in _SINGULAR_S
    ):
        return Number.PLURAL
    return Number.SINGULAR


def plural(noun: str) -> str:
    """Return "boxes" for "box", "cups of coffee" for "cup of coffee"; a plural stays."""
    noun = without_article(noun)
    how = number_of(noun)
    if how is Number.PLURAL:
        return noun
    if how is Number.PAIR:
        return f"pairs of {noun}"
    if how is Number.UNCOUNTED:
        return f"pieces of {noun}"
    before, head, after = _head(noun)
    return f"{before}{_plural_word(head)}{after}"


def _head(noun: str) -> tuple[str, str, str]:
    """Split into what stands before the head noun, the head, and what follows it."""
    found = _HEAD_ENDS.search(noun)
    phrase, after = (noun[: found.start()], noun[found.start() :]) if found else (noun, "")
    # The head of "mother-in-law" comes first, that of "T-shirt" last.
    if found_in := re.search(r"-(?:in|of|de|by|on)-", phrase):
        phrase, after = phrase[: found_in.start()], phrase[found_in.start() :] + after
    start = max(phrase.rfind(" "), phrase.rfind("-")) + 1
    if phrase[start:].lower() == "by":  # passer-by
        start = phrase.rfind(" ") + 1
    return phrase[:start], phrase[start:], after


def _plural_word(word: str) -> str:
    lower = word.lower()
    for one in (lower, *(end for end in _COMPOUNDING if lower.endswith(end))):
        if one in _IRREGULAR and lower not in _NO_COMPOUND:
            made = word[: len(word) - len(one)] + _IRREGULAR[one]
            return made[0].upper() + made[1:] if word[0].isupper() else made
    if lower in _UNCHANGED or lower.endswith("fish"):
        return word
    if re.search(r"([^aeiou]|qu)y$", lower):
        return word[:-1] + ("ies" if word[-1] == "y" else "IES")
    if re.search(r"(s|x)is$", lower) and len(lower) > 3:
        return word[:-2] + "es"
    if re.search(r"(s|x|z|ch|sh)$", lower) and lower != "stomach":
        return word + "es"
    return word + ("es" if lower in _O_WITH_ES else "s")


def without_article(noun: str) -> str:
    """Return `noun` without the article that it brings."""
    return _OWN_ARTICLE.sub("", noun, count=1) if _OWN_ARTICLE.match(noun) else noun


def without_note(name: str) -> str:
    """Return the name as spoken: "crane" for "crane (bird)"; no bracket is left in it."""
    spoken = re.sub(r"\s*(\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\})", "", name)
    return re.sub(r"\s+", " ", re.sub(r"[\[\]{}()]", " ", spoken or name)).strip()


def with_article(noun: str) -> str:
    """Return "a car", "an umbrella", "a pair of scissors"; what takes no article stays as it is."""
    if not noun or _OWN_ARTICLE.match(noun):
        return noun
    how = number_of(noun)
    if how is Number.PAIR:
        return f"a pair of {noun}"
    return f"{article(noun)} {noun}" if how is Number.SINGULAR else noun


def normalised(text: str) -> str:
    """Return `text` as compared for sameness: one case, one spacing, no closing full stop."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"\s+", " ", folded).strip().rstrip(".").rstrip()


# PostgreSQL's index takes 2,704 bytes in a row; longer keys end with a checksum instead.
MAX_KEY_BYTES = 2_000


def text_key(text: str) -> str:
    """Return what a caption is told apart by: its normal form, shortened where it is long."""
    key = normalised(text)
    data = key.encode(errors="surrogatepass")
    if len(data) <= MAX_KEY_BYTES:
        return key
    return f"{key[:200]}… sha256:{hashlib.sha256(data).hexdigest()}"


def one_line(text: str) -> str:
    """Return `text` as one line that no Markdown, table or YAML can mistake for its own marks."""
    line = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", line)
