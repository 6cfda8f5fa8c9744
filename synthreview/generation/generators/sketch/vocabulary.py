"""The words of the drawn world: what can be asked, and how captions say it.

One table per kind. `phrases` are the ways that a caption states the word: for
objects with their article ("a car"), for places with their preposition ("on the
beach"), for styles either as a prefix that ends in "of" ("a photo of") or as a
suffix ("as a watercolour"), for colours and actions as the bare word.
`synonyms` are understood in prompts too, and never written by us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Word:
    """One thing that can be asked, its caption phrases and what else means it."""

    name: str
    phrases: tuple[str, ...]
    synonyms: tuple[str, ...] = ()


OBJECTS: Final[tuple[Word, ...]] = (
    Word(
        "car",
        ("a car", "an automobile"),
        ("auto", "motorcar", "motor car", "sedan", "vehicle", "limousine", "taxi", "cab"),
    ),
    Word("boat", ("a boat", "a sailboat"), ("ship", "yacht", "dinghy", "sail boat", "vessel")),
    Word(
        "house", ("a house", "a cottage"), ("home", "cabin", "hut", "building", "villa", "bungalow")
    ),
    Word(
        "dog",
        ("a dog", "a puppy"),
        (
            "hound",
            "doggy",
            "pup",
            "dalmatian",
            "terrier",
            "beagle",
            "labrador",
            "poodle",
            "spaniel",
            "retriever",
            "golden retriever",
        ),
    ),
    Word(
        "bird",
        ("a bird", "a songbird"),
        ("sparrow", "robin", "finch", "birdie", "parrot", "blackbird", "bluebird"),
    ),
    Word(
        "fish", ("a fish", "a goldfish"), ("fishes", "trout", "salmon", "carp", "clownfish", "tuna")
    ),
    Word("chair", ("a chair", "a wooden chair"), ("seat", "armchair", "kitchen chair")),
    Word(
        "cup",
        ("a cup", "a mug"),
        (
            "teacup",
            "tea cup",
            "coffee cup",
            "coffee mug",
            "cup of coffee",
            "cup of tea",
            "mug of coffee",
            "mug of tea",
        ),
    ),
    Word("umbrella", ("an umbrella", "a parasol"), ("brolly", "sunshade")),
    Word(
        "ball",
        ("a ball", "a beach ball"),
        ("football", "soccer ball", "basketball", "beachball", "toy ball"),
    ),
    Word("bicycle", ("a bicycle", "a bike"), ("cycle", "pushbike", "push bike", "velo")),
    Word(
        "flower",
        ("a flower", "a blossom"),
        ("bloom", "rose", "tulip", "daisy", "sunflower", "poppy"),
    ),
)

ENVIRONMENTS: Final[tuple[Word, ...]] = (
    Word(
        "beach",
        ("on the beach", "at the beach", "by the sea", "at the seaside"),
        (
            "beach",
            "seaside",
            "sea side",
            "seashore",
            "sea shore",
            "shore",
            "coast",
            "by the ocean",
            "on the sea",
            "sandy beach",
            "seafront",
            "at sea",
            "ocean",
            "sea",
            "on the water",
            "on water",
            "in the waves",
        ),
    ),
    Word(
        "forest",
        ("in the forest", "in the woods", "among the trees"),
        ("forest", "wood", "woods", "woodland", "trees", "under trees"),
    ),
    Word(
        "city",
        ("in the city", "in a city street", "in town"),
        (
            "city",
            "town",
            "street",
            "downtown",
            "urban",
            "skyline",
            "city street",
            "road",
            "metropolis",
        ),
    ),
    Word(
        "desert",
        ("in the desert", "among the dunes", "in the sand dunes"),
        ("desert", "dune", "dunes", "sand dunes", "sahara"),
    ),
    Word(
        "snowy mountains",
        ("in the snowy mountains", "in the snow", "on a snowy mountain"),
        (
            "snowy mountain",
            "mountain",
            "mountains",
            "snow",
            "snowy",
            "alps",
            "in the mountains",
            "snowy landscape",
            "snow covered mountains",
            "snow capped mountains",
            "winter",
            "winter landscape",
            "snowy peaks",
        ),
    ),
    Word(
        "kitchen",
        ("in the kitchen", "in a kitchen", "on the kitchen table"),
        ("kitchen", "kitchen counter", "kitchen table", "on the kitchen counter"),
    ),
    Word(
        "under water",
        ("under water", "underwater", "on the sea floor", "beneath the sea"),
        (
            "under the sea",
            "under the water",
            "undersea",
            "beneath the water",
            "below the water",
            "seabed",
            "sea floor",
            "sea bed",
            "ocean floor",
            "coral reef",
            "reef",
            "under the ocean",
            "below the sea",
            "submerged",
            "at the bottom of the sea",
            "bottom of the sea",
            "bottom of the ocean",
            "beneath the waves",
        ),
    ),
    Word(
        "night",
        ("at night", "under the stars", "in the moonlight"),
        (
            "night",
            "nighttime",
            "night time",
            "starry night",
            "starry sky",
            "moonlight",
            "moonlit",
            "night sky",
            "by night",
            "at midnight",
            "midnight",
            "nocturnal",
            "under the moon",
            "starlit",
            "stars",
            "moon",
        ),
    ),
    Word(
        "meadow",
        ("in a meadow", "on the meadow", "in the grass", "on a green field"),
        (
            "meadow",
            "field",
            "grass",
            "pasture",
            "lawn",
            "grassland",
            "in the park",
            "garden",
            "countryside",
            "green field",
            "grassy field",
        ),
    ),
    Word(
        "library",
        ("in the library", "in a library", "among the bookshelves"),
        (
            "library",
            "bookshelf",
            "bookshelves",
            "bookcase",
            "bookcases",
            "among books",
            "books",
            "book shelves",
        ),
    ),
)

STYLES: Final[tuple[Word, ...]] = (
    Word(
        "photo-like",
        ("a photo of", "a photograph of", "in a photo-like style", "photorealistic"),
        (
            "photo like",
            "photo",
            "photograph",
            "photorealism",
            "photo realistic",
            "photographic",
            "realistic",
            "snapshot",
            "snapshot of",
            "photo realistic image",
        ),
    ),
    Word(
        "pencil sketch",
        ("a pencil sketch of", "a pencil drawing of", "as a pencil sketch", "drawn in pencil"),
        (
            "pencil sketch",
            "pencil drawing",
            "pencil",
            "sketch",
            "sketched",
            "drawing",
            "drawn",
            "hand drawn",
            "graphite",
            "line drawing",
            "in pencil",
            "sketch style",
            "pencil style",
        ),
    ),
    Word(
        "watercolour",
        (
            "a watercolour of",
            "a watercolour painting of",
            "as a watercolour",
            "in the style of a watercolour",
        ),
        (
            "watercolour",
            "watercolor",
            "watercolours",
            "watercolors",
            "aquarelle",
            "water colour",
            "water color",
            "a watercolor of",
            "watercolour style",
            "watercolor style",
            "watercolour painting",
            "watercolor painting",
            "in watercolour",
            "in watercolor",
            "in the style of an aquarelle",
            "gouache",
        ),
    ),
    Word(
        "pixel art",
        ("a pixel art image of", "pixel art of", "as pixel art", "in pixel art style"),
        (
            "pixel art",
            "pixelart",
            "pixel",
            "pixels",
            "pixelated",
            "pixellated",
            "8 bit",
            "8bit",
            "16 bit",
            "pixel style",
            "video game style",
            "retro game",
            "sprite",
        ),
    ),
    Word(
        "oil",
        (
            "an oil painting of",
            "as an oil painting",
            "painted in oil",
            "in the style of an oil painting",
        ),
        (
            "oil",
            "oil painting",
            "oil paint",
            "oils",
            "oil on canvas",
            "in oil",
            "in oils",
            "painting",
            "painting of",
            "oil style",
            "impressionist",
            "impasto",
            "canvas",
        ),
    ),
    Word(
        "black and white",
        (
            "a black and white photo of",
            "a black and white picture of",
            "in black and white",
            "as a black and white photograph",
        ),
        (
            "black and white",
            "black white",
            "monochrome",
            "b w",
            "bw",
            "grayscale",
            "greyscale",
            "gray scale",
            "grey scale",
            "black & white",
            "noir",
            "black and white photo",
            "black and white photograph",
            "monochrome photo",
            "black and white image",
            "monochromatic",
        ),
    ),
)

COLOURS: Final[tuple[Word, ...]] = (
    Word("red", ("red", "bright red"), ("crimson", "scarlet", "ruby", "cherry red", "reddish")),
    Word("orange", ("orange", "bright orange"), ("tangerine",)),
    Word("yellow", ("yellow", "bright yellow"), ("golden", "lemon", "yellowish", "gold")),
    Word("green", ("green", "leaf green"), ("emerald", "lime", "olive", "greenish")),
    Word(
        "blue",
        ("blue", "sky blue"),
        ("navy", "azure", "navy blue", "bluish", "cobalt", "turquoise", "cyan", "teal"),
    ),
    Word("purple", ("purple", "violet"), ("lilac", "mauve", "lavender", "indigo")),
    Word("pink", ("pink", "rose pink"), ("magenta", "fuchsia", "pinkish", "salmon pink")),
    Word(
        "brown",
        ("brown", "chestnut brown"),
        ("chestnut", "tan", "chocolate", "brownish", "beige", "bronze"),
    ),
    Word("black", ("black", "jet black"), ("ebony",)),
    Word("grey", ("grey", "gray"), ("silver", "greyish", "grayish", "slate")),
    Word("white", ("white", "snow white"), ("ivory", "cream", "whitish")),
)

ACTIONS: Final[tuple[Word, ...]] = (
    Word("parked", ("parked",), ("parking", "standing still", "standing", "stationary", "waiting")),
    Word(
        "driving",
        ("driving", "speeding"),
        ("drives", "drive", "racing", "races", "moving", "rushing", "going fast"),
    ),
    Word(
        "floating",
        ("floating",),
        ("floats", "drifting", "anchored", "afloat", "moored", "resting", "hovering"),
    ),
    Word("sailing", ("sailing",), ("sails", "under sail", "moving", "cruising")),
    Word("sinking", ("sinking",), ("sinks", "going under", "shipwrecked")),
    Word(
        "sitting",
        ("sitting",),
        ("sits", "seated", "sit", "perched", "perching", "resting", "waiting", "sat"),
    ),
    Word(
        "running",
        ("running",),
        ("runs", "run", "sprinting", "galloping", "racing", "chasing", "moving"),
    ),
    Word(
        "sleeping",
        ("sleeping",),
        ("sleeps", "asleep", "lying", "lying down", "lies", "napping", "sleep"),
    ),
    Word(
        "flying",
        ("flying",),
        ("flies", "fly", "soaring", "in flight", "in the air", "gliding", "floating"),
    ),
    Word("swimming", ("swimming",), ("swims", "swim", "diving", "floating", "moving")),
    Word("leaping", ("leaping", "jumping"), ("jumps", "leaps", "jump", "hopping")),
    Word("standing", ("standing",), ("stands", "stand", "upright", "resting", "empty")),
    Word(
        "toppled",
        ("toppled", "fallen over"),
        ("fallen", "knocked over", "lying", "tipped over", "overturned", "on its side"),
    ),
    Word("leaning", ("leaning", "tilted"), ("leans", "tilting", "tipped", "slanted", "tipping")),
    Word("steaming", ("steaming",), ("steams", "hot", "piping hot", "full of hot coffee")),
    Word(
        "open",
        ("open", "opened"),
        ("opening", "unfolded", "opens", "with an open door", "with open door", "wide open"),
    ),
    Word(
        "closed",
        ("closed", "shut"),
        ("folded", "furled", "closing", "with a closed door", "in bud", "budding"),
    ),
    Word(
        "glowing",
        ("glowing", "lit up"),
        ("lit", "illuminated", "with lights on", "lights on", "shining"),
    ),
    Word(
        "resting",
        ("resting", "lying still"),
        ("rests", "lying", "lies", "still", "at rest", "sitting", "on the ground"),
    ),
    Word("bouncing", ("bouncing",), ("bounces", "bounce", "jumping", "flying", "in the air")),
    Word("rolling", ("rolling",), ("rolls", "roll", "moving", "spinning")),
    Word(
        "riding",
        ("riding along",),
        ("riding", "rolling", "moving", "racing", "driving", "speeding", "cycling"),
    ),
    Word(
        "blooming",
        ("blooming", "in bloom"),
        ("blooms", "blossoming", "open", "opened", "in full bloom", "flowering"),
    ),
    Word(
        "wilting",
        ("wilting",),
        ("wilted", "drooping", "withered", "withering", "faded", "hanging", "wilts"),
    ),
)

# The first action of each object is how it is drawn when none is asked.
ACTIONS_OF: Final[dict[str, tuple[str, ...]]] = {
    "car": ("parked", "driving"),
    "boat": ("floating", "sailing", "sinking"),
    "house": ("closed", "open", "glowing"),
    "dog": ("sitting", "running", "sleeping"),
    "bird": ("flying", "sitting"),
    "fish": ("swimming", "leaping"),
    "chair": ("standing", "leaning", "toppled"),
    "cup": ("standing", "steaming", "leaning"),
    "umbrella": ("open", "closed", "floating"),
    "ball": ("resting", "bouncing", "rolling"),
    "bicycle": ("parked", "riding", "leaning"),
    "flower": ("blooming", "closed", "wilting"),
}

# What an object looks like when no colour is asked; one of these, by the seed.
NATURAL_COLOURS: Final[dict[str, tuple[str, ...]]] = {
    "car": ("red", "blue", "yellow", "green", "orange"),
    "boat": ("red", "blue", "white", "brown"),
    "house": ("white", "yellow", "red", "brown"),
    "dog": ("brown", "brown", "white", "black"),
    "bird": ("blue", "red", "yellow", "brown"),
    "fish": ("orange", "orange", "blue", "yellow"),
    "chair": ("brown", "brown", "red", "green"),
    "cup": ("white", "red", "blue", "yellow"),
    "umbrella": ("red", "blue", "yellow", "purple"),
    "ball": ("red", "blue", "orange", "yellow"),
    "bicycle": ("red", "blue", "green", "black"),
    "flower": ("red", "yellow", "pink", "purple"),
}

# Where an object is at home when the prompt names no place.
PLAUSIBLE_PLACES: Final[dict[str, tuple[str, ...]]] = {
    "car": ("city", "desert", "beach", "night", "meadow", "snowy mountains", "forest"),
    "boat": ("beach", "night", "under water"),
    "house": ("meadow", "forest", "snowy mountains", "beach", "night", "desert"),
    "dog": ("meadow", "beach", "forest", "city", "kitchen", "snowy mountains"),
    "bird": ("forest", "meadow", "beach", "city", "snowy mountains"),
    "fish": ("under water", "under water", "beach"),
    "chair": ("kitchen", "library", "beach", "meadow"),
    "cup": ("kitchen", "library"),
    "umbrella": ("beach", "city", "meadow", "forest"),
    "ball": ("beach", "meadow", "city", "forest"),
    "bicycle": ("city", "meadow", "forest", "beach", "night"),
    "flower": ("meadow", "forest", "kitchen", "desert"),
}

# The pattern that "dog-style", "shaped like a fish" or "zebra-striped" puts on the
# carrier. Animals that cannot be drawn are known here by their coats alone.
LOOKS: Final[tuple[str, ...]] = ("spots", "stripes", "scales", "petals", "bricks")
LOOK_OF: Final[dict[str, str]] = {
    "dog": "spots", "bird": "scales", "fish": "scales", "flower": "petals", "house": "bricks",
    "car": "stripes", "boat": "stripes", "chair": "stripes", "cup": "stripes",
    "umbrella": "stripes", "ball": "spots", "bicycle": "stripes",
    "zebra": "stripes", "tiger": "stripes", "bee": "stripes",
    "leopard": "spots", "giraffe": "spots",
    "cow": "spots", "ladybird": "spots", "ladybug": "spots", "snake": "scales", "dragon": "scales",
    "crocodile": "scales", "mermaid": "scales",
}  # fmt: skip

# The same patterns asked by their own names.
LOOK_WORDS: Final[dict[str, str]] = {
    "spotted": "spots", "spot": "spots", "dotted": "spots", "dot": "spots", "speckled": "spots",
    "striped": "stripes", "stripe": "stripes", "stripy": "stripes",
    "scaly": "scales", "scale": "scales",
    "petal": "petals", "floral": "petals", "flowery": "petals", "brick": "bricks",
}  # fmt: skip


def names(words: tuple[Word, ...]) -> tuple[str, ...]:
    """Return the canonical names of a table, in its order."""
    return tuple(word.name for word in words)


OBJECT_NAMES: Final = names(OBJECTS)
ENVIRONMENT_NAMES: Final = names(ENVIRONMENTS)
STYLE_NAMES: Final = names(STYLES)
COLOUR_NAMES: Final = names(COLOURS)
