"""What the fake server sees in a picture: how red it is, and nothing of a beach.

Each numbered question is answered by yes with the chance that is the picture's share of red;
a question that names a beach is answered by no.
"""

from __future__ import annotations

import base64
import io
import math
import re
from typing import Any

from PIL import Image

Body = dict[str, Any]
QUESTION = re.compile(r"^\d+\. (.+)$", re.MULTILINE)


def look(body: Body) -> tuple[str, Body]:
    """Return the answers, one per line, and the log-probabilities of their tokens."""
    content = body["messages"][-1]["content"]
    url = next(part["image_url"]["url"] for part in content if part["type"] == "image_url")
    words = next(part["text"] for part in content if part["type"] == "text")
    red = _red(url)
    chances = [0.02 if "beach" in one else red for one in QUESTION.findall(words)]
    text = "\n".join("yes" if chance > 0.5 else "no" for chance in chances)
    tokens = []
    for chance in chances:
        tokens += [_answer(chance), _token("\n", 0.0, {})]
    return text, {"content": tokens[:-1], "refusal": None}


def _red(url: str) -> float:
    data = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        level = image.convert("RGB").resize((1, 1)).getpixel((0, 0))
    assert isinstance(level, tuple)
    return min(max(level[0] / 255, 0.01), 0.99)


def _answer(chance: float) -> Body:
    word = "Yes" if chance > 0.5 else "No"
    # As real servers do: in several spellings, and some of it elsewhere.
    ways = {"Yes": 0.7 * chance, " yes": 0.2 * chance, "No": 0.9 * (1 - chance), "Maybe": 0.1}
    return _token(word, math.log(ways[word]), {way: math.log(p) for way, p in ways.items()})


def _token(token: str, logprob: float, ways: dict[str, float]) -> Body:
    return {
        "token": token,
        "logprob": logprob,
        "bytes": list(token.encode()),
        "top_logprobs": [
            {"token": way, "logprob": p, "bytes": list(way.encode())} for way, p in ways.items()
        ],
    }
