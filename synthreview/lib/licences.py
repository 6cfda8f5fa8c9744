"""Licences under which data are given away, by the names that the Hugging Face Hub knows.

Source: the Hub's list of licence identifiers ("Repositories, Licenses" in its documentation); of
those the ones that people choose for data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence: `hub_id` is "other" where the Hub knows it not, `url` empty where none is told."""

    hub_id: str
    name: str
    url: str = ""

    @property
    def slug(self) -> str:
        """Return the name as the Hub wants that of a licence which it knows not."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.casefold()).strip("-.")[:60] or "own-terms"


_CC: Final = "https://creativecommons.org"
KNOWN: Final[dict[str, Licence]] = {
    one.hub_id: one
    for one in (
        Licence("cc0-1.0", "CC0 1.0 (public domain)", f"{_CC}/publicdomain/zero/1.0/"),
        Licence("cc-by-4.0", "CC BY 4.0", f"{_CC}/licenses/by/4.0/"),
        Licence("cc-by-sa-4.0", "CC BY-SA 4.0", f"{_CC}/licenses/by-sa/4.0/"),
        Licence("cc-by-nc-4.0", "CC BY-NC 4.0", f"{_CC}/licenses/by-nc/4.0/"),
        Licence("cc-by-nc-sa-4.0", "CC BY-NC-SA 4.0", f"{_CC}/licenses/by-nc-sa/4.0/"),
        Licence("cc-by-nd-4.0", "CC BY-ND 4.0", f"{_CC}/licenses/by-nd/4.0/"),
        Licence("cc-by-nc-nd-4.0", "CC BY-NC-ND 4.0", f"{_CC}/licenses/by-nc-nd/4.0/"),
        Licence("cdla-permissive-2.0", "CDLA Permissive 2.0", "https://cdla.dev/permissive-2-0/"),
        Licence("cdla-sharing-1.0", "CDLA Sharing 1.0", "https://cdla.dev/sharing-1-0/"),
        Licence("odc-by", "ODC-By 1.0", "https://opendatacommons.org/licenses/by/1-0/"),
        Licence("odbl", "ODbL 1.0", "https://opendatacommons.org/licenses/odbl/1-0/"),
        Licence("pddl", "PDDL 1.0", "https://opendatacommons.org/licenses/pddl/1-0/"),
        Licence("mit", "MIT", "https://opensource.org/license/mit"),
        Licence("apache-2.0", "Apache 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    )
}


def licence_of(said: str) -> Licence | None:
    """Return the licence that somebody named, by its identifier or in their own words.

    None where nothing is said. An address in the words is where its text stands.
    """
    words = " ".join(said.split())
    if not words:
        return None
    if known := KNOWN.get(words.casefold().replace(" ", "-")):
        return known
    found = re.search(r"https?://[^\s<>\"]+", words)
    return Licence("other", words, found.group().rstrip(".,;)") if found else "")
