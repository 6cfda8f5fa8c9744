"""The embedded generator: what it understands, that it repeats itself, and how it errs."""

from __future__ import annotations

import io
import json
import math
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from synthreview.generation.generators.base import (
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
)
from synthreview.generation.generators.sketch import SketchGenerator, scene, vocabulary
from synthreview.generation.generators.sketch.render import (
    RENDERER_VERSION,
    render_background,
    render_scene,
)
from synthreview.generation.generators.sketch.understanding import Understood, understand
from synthreview.lib.outcomes import PermanentError

EVERYTHING = "a watercolour of a red car parked on the beach"


def draw(prompt: str = EVERYTHING, **fields: Any) -> DrawResult:
    request = DrawRequest(prompt=prompt, **{"size_px": 256, "seed": 7, **fields})
    return SketchGenerator().draw(request, idempotency_key="key")


def decoded(image: DrawnImage) -> Image.Image:
    return Image.open(io.BytesIO(image.data))


def difference(first: Image.Image, second: Image.Image) -> float:
    """The mean absolute difference of two pictures, 0..255."""
    return float(sum(ImageStat.Stat(ImageChops.difference(first, second)).mean)) / 3


# --- the vocabulary


def test_the_world_is_as_large_as_promised() -> None:
    assert len(vocabulary.OBJECTS) >= 12
    assert len(vocabulary.ENVIRONMENTS) == 10
    assert len(vocabulary.STYLES) == 6
    assert len(vocabulary.COLOURS) >= 10
    assert all(len(vocabulary.ACTIONS_OF[name]) >= 2 for name in vocabulary.OBJECT_NAMES)


def test_the_tables_name_only_words_that_exist() -> None:
    actions = vocabulary.names(vocabulary.ACTIONS)
    for name in vocabulary.OBJECT_NAMES:
        assert set(vocabulary.ACTIONS_OF[name]) <= set(actions)
        assert set(vocabulary.NATURAL_COLOURS[name]) <= set(vocabulary.COLOUR_NAMES)
        assert set(vocabulary.PLAUSIBLE_PLACES[name]) <= set(vocabulary.ENVIRONMENT_NAMES)
    looks = {*vocabulary.LOOK_OF.values(), *vocabulary.LOOK_WORDS.values()}
    assert looks == set(vocabulary.LOOKS)


def test_every_caption_phrase_is_understood_as_its_word() -> None:
    rng = random.Random(1)
    for word in vocabulary.OBJECTS:
        for phrase in word.phrases:
            assert understand(phrase) == Understood(object=word.name), phrase
    for field, table in (("environment", vocabulary.ENVIRONMENTS), ("style", vocabulary.STYLES)):
        for word in table:
            for phrase in word.phrases:
                noun = rng.choice(rng.choice(vocabulary.OBJECTS).phrases)
                parts = (phrase, noun) if phrase.endswith(" of") else (noun, phrase)
                understood = understand(" ".join(parts))
                assert getattr(understood, field) == word.name, phrase
                assert not understood.unknown_words, phrase


def test_every_colour_and_action_is_understood_before_and_after_the_object() -> None:
    for word in vocabulary.COLOURS:
        for phrase in word.phrases:
            assert understand(f"a {phrase} car").colour == word.name
            assert understand(f"a car, {phrase}, at night").colour == word.name
    phrases = {word.name: word.phrases for word in vocabulary.ACTIONS}
    for name, actions in vocabulary.ACTIONS_OF.items():
        for action in actions:
            for phrase in phrases[action]:
                for prompt in (f"a {phrase} {name} on the beach", f"a {name} {phrase} at night"):
                    understood = understand(prompt)
                    assert (understood.object, understood.action) == (name, action), prompt
                    assert not understood.unknown_words, prompt


# --- understanding prompts


@pytest.mark.parametrize(
    "prompt",
    [
        "a watercolour of a red car parked on the beach",
        "A RED CAR, parked at the seaside, in the style of a watercolor",
        "by the sea: one parked crimson automobile (aquarelle)",
        "beach, watercolor painting, cars, red, parked",
        "on the beach a car stands parked, scarlet, as an aquarelle",
    ],
)
def test_word_order_synonyms_and_plurals_do_not_matter(prompt: str) -> None:
    understood = understand(prompt.replace("stands ", ""))
    asked = ("car", "beach", "watercolour", "red", "parked")
    assert (
        understood.object,
        understood.environment,
        understood.style,
        understood.colour,
        understood.action,
    ) == asked
    assert understood.unknown_words == ()


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("a gray bird", Understood("bird", colour="grey")),
        ("a grey-scale photo of a dog", Understood("dog", style="black and white")),
        ("puppies in the woods", Understood("dog", environment="forest")),
        ("beach ball", Understood("ball")),
        ("a black and white picture of a black bike",
         Understood("bicycle", style="black and white", colour="black")),
        ("a black and white pencil sketch of a cup", Understood("cup", style="pencil sketch")),
        ("a sailing boat", Understood("boat", action="sailing")),
        ("a dog lying in the grass", Understood("dog", environment="meadow", action="sleeping")),
        ("a chair lying in the grass",
         Understood("chair", environment="meadow", action="toppled")),
        ("a ball in a green meadow", Understood("ball", environment="meadow")),
        ("the fish's photograph, underwater",
         Understood("fish", environment="under water", style="photo-like")),
        ("a house with an open door", Understood("house", action="open")),
    ],
)  # fmt: skip
def test_prompts_are_read_as_people_mean_them(prompt: str, asked: Understood) -> None:
    assert understand(prompt) == asked


@pytest.mark.parametrize(
    ("prompt", "carrier", "look"),
    [
        ("a dalmatian-style car", "car", "spots"),
        ("a dog-shaped cup", "cup", "spots"),
        ("a cup shaped like a dog", "cup", "spots"),
        ("a car that looks like a fish", "car", "scales"),
        ("a bird made to look like a fish", "bird", "scales"),
        ("a zebra-striped boat", "boat", "stripes"),
        ("an umbrella with giraffe spots", "umbrella", "spots"),
        ("a house in the style of a flower", "house", "petals"),
        ("a striped ball", "ball", "stripes"),
    ],
)
def test_the_carrier_is_drawn_and_the_other_thing_lends_its_look(
    prompt: str, carrier: str, look: str
) -> None:
    understood = understand(prompt)
    assert (understood.object, understood.look, understood.unknown_words) == (carrier, look, ())


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("a car on Mars", ("mars",)),
        ("a cubist car with glitter", ("cubist", "glitter")),
        ("two dogs", ("two",)),
        ("a dog next to a house", ("next", "house")),
        ("a bird under a blue sky", ("blue", "sky")),
        ("a sleeping car", ("sleeping",)),
        ("a car without wheels", ("without", "wheels")),
        ("a red and blue ball", ("blue",)),
        ("a car in the city at night", ("at night",)),
        ("an oil painting of a cup, as pixel art", ("as pixel art",)),
        ("a car by the sea, on the beach", ()),
    ],
)
def test_what_is_not_known_is_reported(prompt: str, unknown: tuple[str, ...]) -> None:
    understood = understand(prompt)
    assert understood.object is not None
    assert understood.unknown_words == unknown


def test_an_unknown_place_is_drawn_without_and_told_in_the_revised_prompt() -> None:
    image = draw("a red car on Mars").images[0]
    assert image.revised_prompt == "red, car (not understood: mars)"
    assert draw("a red car").images[0].revised_prompt is None


@pytest.mark.parametrize("prompt", ["a giraffe in space", "Hund am Strand"])
def test_an_unknown_object_is_refused_in_one_readable_line(prompt: str) -> None:
    with pytest.raises(PermanentError) as caught:
        draw(prompt)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in understand(prompt).unknown_words)
    assert all(name in message for name in vocabulary.OBJECT_NAMES)


@pytest.mark.parametrize("prompt", ["", "on the beach", "a watercolour, red"])
def test_a_prompt_without_object_is_refused(prompt: str) -> None:
    with pytest.raises(PermanentError, match="names no object"):
        draw(prompt)


# --- the adapter


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again = draw(count=3), draw(count=3)
    assert [image.data for image in first.images] == [image.data for image in again.images]
    assert [image.private for image in first.images] == [image.private for image in again.images]


def test_each_image_tells_its_seed_and_can_be_drawn_alone() -> None:
    images = draw(count=3, seed=40).images
    assert [image.seed for image in images] == [40, 41, 42]
    assert draw(seed=42).images[0].data == images[2].data
    assert len({image.data for image in images}) == 3


def test_without_a_seed_one_is_chosen_and_told() -> None:
    image = draw(seed=None).images[0]
    assert image.seed is not None
    assert draw(seed=image.seed).images[0].data == image.data


def test_the_answer_is_what_was_asked_and_costs_nothing() -> None:
    generator = SketchGenerator()
    request = DrawRequest(prompt="a cup", count=2, size_px=256)
    result = generator.draw(request, idempotency_key="key")
    assert (result.model, result.model_version) == ("sketch", RENDERER_VERSION)
    assert result.cost_micro_usd == generator.estimate_micro_usd(request) == 0
    assert len(result.images) == 2
    for image in result.images:
        assert image.media_type == "image/png"
        assert decoded(image).size == (256, 256)
        assert decoded(image).mode == "RGB"
    assert generator.health() == Health()


@pytest.mark.parametrize("size_px", SketchGenerator().capabilities().sizes_px)
def test_every_offered_size_is_drawn(size_px: int) -> None:
    assert decoded(draw(size_px=size_px).images[0]).size == (size_px, size_px)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size_px": 300}, "256, 512, 768, 1024"),
        ({"count": 0}, "1 to 16"),
        ({"count": 17}, "1 to 16"),
        ({"seed": -1}, "seed"),
        ({"capability": "sculpture"}, "fusion, inpaint, text, variation"),
        ({"options": {"fault_rate": 1.5}}, "0 to 1"),
        ({"options": {"fault_rate": "often"}}, "0 to 1"),
        ({"options": {"fault_rate": True}}, "0 to 1"),
        ({"options": {"fault_rate": math.nan}}, "0 to 1"),
        ({"options": {"temperature": 1}}, "fault_rate"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(PermanentError, match=message):
        draw(**fields)


def test_a_wrong_fault_rate_in_the_settings_is_refused_at_once() -> None:
    with pytest.raises(PermanentError, match="fault_rate"):
        SketchGenerator(fault_rate=2)


def test_the_run_sets_the_fault_rate_over_the_settings() -> None:
    careless = SketchGenerator(fault_rate=1)
    request = DrawRequest(prompt=EVERYTHING, count=4, size_px=256, seed=1)
    always = careless.draw(request, idempotency_key="key")
    never = careless.draw(replace(request, options={"fault_rate": 0}), idempotency_key="key")
    assert all(image.private["bad"] for image in always.images)
    assert not any(image.private["bad"] for image in never.images)


# --- the truth, and the faults


def test_the_truth_is_told_in_private_and_nowhere_in_the_file() -> None:
    for image in draw(count=6, options={"fault_rate": 1}).images:
        truth = json.loads(json.dumps(dict(image.private)))
        assert truth["bad"] is True
        assert truth["fault"] in scene.FAULTS
        assert truth["asked"]["object"] == "car"
        assert image.revised_prompt is None
        # The file says how it was asked for, as caption, seed and options of its row do.
        (text,) = decoded(image).info.values()
        asks = {
            "object": "car",
            "environment": "beach",
            "style": "watercolour",
            "colour": "red",
            "action": "parked",
        }
        assert json.loads(text) == {
            "version": 1,
            "act": "text",
            "seed": image.seed,
            "faults": 1.0,
            "asks": asks,
        }
        chunks = (b"iTXt", b"zTXt", b"eXIf", b"tIME")
        assert not any(kind in image.data for kind in chunks)


@pytest.mark.parametrize("fault_rate", [0.0, 0.15, 0.5, 1.0])
def test_faults_come_at_the_asked_rate(fault_rate: float) -> None:
    understood = understand(EVERYTHING)
    count = 4000
    faults = [scene.sample_fault(understood, seed, fault_rate) for seed in range(count)]
    bad = sum(fault is not None for fault in faults)
    spread = 4 * math.sqrt(count * fault_rate * (1 - fault_rate))  # 1 in 15,000 by chance
    assert abs(bad - count * fault_rate) <= spread


def test_every_fault_happens_about_equally_often() -> None:
    understood = understand(EVERYTHING)
    seen = Counter(scene.sample_fault(understood, seed, 1.0) for seed in range(3600))
    assert set(seen) == set(scene.FAULTS)
    assert all(abs(times - 400) < 100 for times in seen.values())


@pytest.mark.parametrize(
    ("prompt", "impossible"),
    [
        ("a car", {"wrong colour", "wrong environment", "missing environment", "ignored style"}),
        ("a red car", {"wrong environment", "missing environment", "ignored style"}),
        ("a red car at night, black and white", {"wrong colour"}),
        (EVERYTHING, set()),
    ],
)
def test_only_what_was_asked_can_go_wrong(prompt: str, impossible: set[str]) -> None:
    assert set(scene.FAULTS) - set(scene.possible_faults(understand(prompt))) == impossible


CHANGED = {
    "wrong object": {"object"},
    "wrong environment": {"environment"},
    "missing environment": {"environment"},
    "wrong colour": {"colour"},
    "ignored style": {"style"},
    "missing part": {"missing_part"},
    "intruder": {"intruder"},
    "missing object": {"object"},
    "unreadable": {"unreadable"},
}


@pytest.mark.parametrize("fault", sorted(scene.FAULTS))
def test_a_fault_changes_what_it_names_and_shows(fault: str) -> None:
    asked = scene.scene_asked(understand(EVERYTHING), seed=5)
    drawn = scene.scene_drawn(asked, fault)
    before, after = asked.as_dict(), drawn.as_dict()
    changed = {name for name in before if before[name] != after[name]}
    assert changed - {"action", "colour", "look"} == CHANGED[fault] - {"colour"}
    assert CHANGED[fault] <= changed
    assert difference(render_scene(asked, 128), render_scene(drawn, 128)) > 0.2


def test_a_faultless_image_shows_exactly_what_was_asked() -> None:
    asked = scene.scene_asked(understand(EVERYTHING), seed=5)
    assert scene.scene_drawn(asked, None) == asked
    assert (asked.object, asked.environment, asked.style, asked.colour, asked.action) == (
        "car",
        "beach",
        "watercolour",
        "red",
        "parked",
    )


def test_what_is_not_asked_varies_with_the_seed_and_stays_plausible() -> None:
    scenes = [scene.scene_asked(understand("a fish"), seed) for seed in range(60)]
    assert {each.environment for each in scenes} == set(vocabulary.PLAUSIBLE_PLACES["fish"])
    assert {each.style for each in scenes} == {"photo-like"}
    assert {each.action for each in scenes} == set(vocabulary.ACTIONS_OF["fish"])


# --- the pictures


@pytest.mark.parametrize("name", vocabulary.OBJECT_NAMES)
def test_every_object_is_drawn_in_every_place_and_style(name: str) -> None:
    rng = random.Random(name)
    for environment in (*vocabulary.ENVIRONMENT_NAMES, None):
        for style in vocabulary.STYLE_NAMES:
            sampled = scene.sample_scene(rng, object=name, environment=environment, style=style)
            image = render_scene(sampled, 64)
            assert (image.size, image.mode) == ((64, 64), "RGB")


@pytest.mark.parametrize("name", vocabulary.OBJECT_NAMES)
def test_every_action_and_missing_part_and_look_shows(name: str) -> None:
    plain = scene.Scene(name, "meadow", colour="red", seed=3)
    actions = vocabulary.ACTIONS_OF[name]
    variants = [replace(plain, action=action) for action in actions]
    variants += [replace(plain, action=action, missing_part=True) for action in actions]
    variants += [replace(plain, look=look) for look in vocabulary.LOOKS]
    pictures = [render_scene(variant, 128) for variant in variants]
    for i, picture in enumerate(pictures):
        assert all(difference(picture, other) > 0.1 for other in pictures[:i]), variants[i]


def test_the_object_fills_enough_of_the_frame() -> None:
    for name in vocabulary.OBJECT_NAMES:
        shown = scene.Scene(name, None, seed=9)
        empty = render_background(None, "photo-like", 9, 128)
        changed = ImageChops.difference(render_scene(shown, 128), empty).convert("L")
        box = changed.point([0] * 40 + [255] * 216).getbbox()
        assert box is not None
        assert 0.25 <= (box[2] - box[0]) / 128 <= 0.85, name


def test_small_and_large_pictures_agree() -> None:
    rng = random.Random(4)
    for style in vocabulary.STYLE_NAMES:
        sampled = scene.sample_scene(rng, style=style)
        large = render_scene(sampled, 512).resize((64, 64), Image.Resampling.BOX)
        assert difference(render_scene(sampled, 64), large) < 16, style


def test_asked_colours_are_the_ones_to_see() -> None:
    red = scene.Scene("car", "beach", colour="red", seed=2)
    assert scene.shown_colour(red) == "red"
    assert scene.shown_colour(replace(red, style="black and white")) is None
    natural = replace(red, colour=None)
    assert scene.shown_colour(natural) in vocabulary.NATURAL_COLOURS["car"]
    assert scene.shown_colour(replace(natural, style="pencil sketch")) is None


def test_sampling_keeps_what_is_given_and_covers_the_rest() -> None:
    rng = random.Random(0)
    scenes = [scene.sample_scene(rng, object="dog", colour=None) for _ in range(300)]
    assert {each.object for each in scenes} == {"dog"}
    assert {each.colour for each in scenes} == {None}
    assert {each.environment for each in scenes} == set(vocabulary.ENVIRONMENT_NAMES)
    assert {each.style for each in scenes} == set(vocabulary.STYLE_NAMES)
    assert {each.action for each in scenes} == set(vocabulary.ACTIONS_OF["dog"])
