"""The word lists that ship with the project: one TOML file each in wordlists/. No Django here.

Add a list by adding a file. `place` says where its words stand in a caption, and `kinds` to
which kinds of thing a value belongs (an animal sleeps, a car is parked).
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "wordlists"
KINDS = ("animal", "vehicle", "person", "object", "plant")
PLACES = ("before", "action", "after", "last", "quoted")

# The head nouns by which the kind of a class is guessed; what is not here is an object.
_NOUNS = {
    kind: frozenset(nouns.split())
    for kind, nouns in {
        "animal": """ant bat bear bee beetle bird bison boar buffalo butterfly calf camel cat cattle
        cheetah chick chicken cow crab crocodile crow deer dog dolphin donkey dove dragonfly duck
        duckling eagle elephant falcon fish flamingo fly fox frog giraffe goat goldfish goose
        gorilla hamster hare hawk hedgehog hen heron hippo hippopotamus horse hound insect
        jellyfish kangaroo kitten koala ladybird lamb leopard lion lizard llama lobster lynx
        mole monkey moose mosquito moth mouse octopus ostrich otter owl ox oyster panda parrot
        peacock pelican penguin pig pigeon pony poodle puma puppy rabbit raccoon ram rat raven
        reindeer rhino rhinoceros robin salmon seal shark sheep shrimp snail snake songbird spaniel
        sparrow spider squirrel starfish stork swan terrier tiger toad tortoise trout turkey turtle
        wasp whale wolf worm zebra dalmatian beagle labrador retriever shepherd gull seagull""",
        "vehicle": """aeroplane airliner airplane ambulance automobile bicycle bike boat bulldozer
        bus cab canoe car caravan coach crane digger excavator ferry forklift glider helicopter jeep
        kayak limousine lorry minibus moped motorbike motorcycle plane rickshaw rocket sailboat
        scooter ship sled sledge speedboat submarine tank taxi tractor train tram tricycle trolley
        truck unicycle van vehicle wagon yacht""",
        "person": """actor adult athlete baby boy builder child cook cyclist dancer doctor driver
        elder engineer farmer firefighter girl guard human judge man musician nurse passenger
        patient pedestrian people person pilot player policeman runner sailor scientist singer
        soldier student teacher teenager toddler tourist waiter woman worker""",
        "plant": """bamboo blossom bush cactus daisy dandelion fern flower grass hedge herb ivy lily
        moss mushroom oak orchid palm pine plant poppy rose sapling shrub sunflower tree tulip
        vine willow""",
    }.items()
}


@dataclass(frozen=True, slots=True)
class ShippedValue:
    """One value: its name, its words in a caption, and the kinds of thing that it fits."""

    name: str
    phrase: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShippedAxis:
    """One list. The first `starter` values (of each kind) make a good small beginning."""

    name: str
    title: str
    place: str
    starter: int
    values: tuple[ShippedValue, ...]

    def of_kind(self, kinds: Iterable[str], *, starter: bool = False) -> list[ShippedValue]:
        """Return the values that fit any of the kinds, each once; `starter`: the first ones."""
        chosen: dict[str, ShippedValue] = {}
        for kind in kinds:
            fitting = [value for value in self.values if not value.kinds or kind in value.kinds]
            for value in fitting[: self.starter] if starter else fitting:
                chosen.setdefault(value.name, value)
        return list(chosen.values())


@functools.cache
def shipped_axes() -> dict[str, ShippedAxis]:
    """Return every list by its name."""
    axes = {}
    for path in sorted(FOLDER.glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        values = tuple(
            ShippedValue(row["name"], row.get("phrase", row["name"]), tuple(row.get("kinds", ())))
            for row in table["values"]
        )
        axes[table["name"]] = ShippedAxis(
            table["name"], table["title"], table["place"], table["starter"], values
        )
    return axes


def shipped_axis(name: str) -> ShippedAxis:
    """Return one list. Raises ValueError, which names the known ones."""
    try:
        return shipped_axes()[name]
    except KeyError:
        known = ", ".join(shipped_axes())
        raise ValueError(f"No word list is called {name!r}; known: {known}.") from None


def kind_of(class_name: str, synonyms: Iterable[str] = ()) -> str:
    """Guess what kind of thing a class is, by its last noun: "golden retriever" is an animal."""
    for name in (class_name, *synonyms):
        last = name.lower().replace("-", " ").split()[-1:]
        for word in last:
            singular = {word, word.removesuffix("s"), word.removesuffix("es")}
            for kind, nouns in _NOUNS.items():
                if singular & nouns:
                    return kind
    return "object"
