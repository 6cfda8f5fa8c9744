"""Sketch beyond text: variation, fusion and inpainting, of its own pictures and of photographs."""

from __future__ import annotations

import io
import json
import math
import random
from collections import Counter
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageOps, PngImagePlugin

from synthreview.generation.generators.base import (
    FUSION,
    INPAINT,
    INPUTS,
    VARIATION,
    DrawnImage,
    DrawRequest,
)
from synthreview.generation.generators.sketch import SketchGenerator
from synthreview.generation.generators.sketch.deriving import told
from synthreview.generation.generators.sketch.recipe import CHUNK, Recipe, read_recipe, write_recipe
from synthreview.generation.generators.sketch.render import render_cutout, render_scene
from synthreview.generation.generators.sketch.scene import FAULTS, Scene
from synthreview.generation.generators.sketch.understanding import Understood
from synthreview.generation.masks import Box, keep_middle
from synthreview.lib.images import decode, rendition
from synthreview.lib.outcomes import PermanentError
from synthreview.prompting.shipped import shipped_axes
from tests.generation.pictures import (
    DAHLIA,
    ESPRESSO,
    changed_box,
    mask_png,
    opened,
    plain_png,
)

SIDE = 256
DOG = "a red dog running on the beach"
HOUSE = "a watercolour of a blue house in the forest"


def draw(
    prompt: str, capability: str = "text", *images: bytes, fault_rate: float = 0, **fields: Any
) -> tuple[DrawnImage, ...]:
    request = DrawRequest(
        prompt=prompt,
        capability=capability,
        images=images,
        options={"fault_rate": fault_rate},
        **{"size_px": SIDE, "seed": 7, **fields},
    )
    return SketchGenerator().draw(request, idempotency_key="key").images


def picture(prompt: str = DOG, **fields: Any) -> bytes:
    return draw(prompt, **fields)[0].data


def shown(image: DrawnImage) -> dict[str, Any]:
    """What the truth says was drawn, without what is left open."""
    return {name: value for name, value in image.private["drawn"].items() if value}


# --- Variation


def test_a_variation_shows_the_same_thing_in_the_same_place_with_another_seed_and_pose() -> None:
    images = draw("A dog like this one, in another pose", VARIATION, picture(), count=12)
    scenes = [shown(image) for image in images]
    for kept in ("object", "environment", "style", "colour"):
        assert {each[kept] for each in scenes} == {
            {"object": "dog", "environment": "beach", "style": "photo-like", "colour": "red"}[kept]
        }
    assert len({each["seed"] for each in scenes}) == 12
    assert len({each["action"] for each in scenes}) > 1
    assert len({image.data for image in images}) == 12


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("in another place", "environment"),
        ("in front of another background", "environment"),
        ("in another colour", "colour"),
        ("in a different style", "style"),
    ],
)
def test_a_variation_changes_what_the_instruction_wants_to_be_another(
    change: str, name: str
) -> None:
    images = draw(f"A dog like this one, {change}", VARIATION, picture(), count=8)
    was = {"environment": "beach", "colour": "red", "style": "photo-like"}[name]
    assert was not in {shown(image)[name] for image in images}
    assert len({shown(image)[name] for image in images}) > 1


def test_a_variation_takes_what_the_instruction_states() -> None:
    (image,) = draw("A blue dog like this one, at night", VARIATION, picture())
    assert (shown(image)["colour"], shown(image)["environment"]) == ("blue", "night")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("seen from another angle", None),
        ("another one of its kind", None),
        ("closer to the camera", None),
        ("older and rusty", "dog (not understood: older, rusty)"),
    ],
)
def test_what_a_variation_cannot_follow_is_told(change: str, told: str | None) -> None:
    (image,) = draw(f"A dog like this one, {change}", VARIATION, picture())
    assert image.revised_prompt == told


def test_the_subject_of_a_variation_is_what_the_picture_shows_not_what_the_caption_says() -> None:
    (image,) = draw("A cup like this one", VARIATION, picture())
    assert shown(image)["object"] == "dog"


# --- Fusion


def test_a_fusion_takes_the_subject_of_the_first_and_setting_and_style_of_the_second() -> None:
    images = draw("A blend of a dog and a house", FUSION, picture(), picture(HOUSE), count=4)
    for image in images:
        scene = shown(image)
        assert (scene["object"], scene["colour"]) == ("dog", "red")
        assert (scene["environment"], scene["style"]) == ("forest", "watercolour")
    assert len({image.data for image in images}) == 4
    (other,) = draw("A blend", FUSION, picture(HOUSE), picture())
    assert (shown(other)["object"], shown(other)["environment"]) == ("house", "beach")


# --- Inpainting


def left_half(size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    return mask_png(size, (0, 0, size[0] // 2 - 1, size[1]))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ("The same dog with the background replaced by a desert", {"environment": "desert"}),
        ("The same dog with everything behind it removed", {"environment": None}),
        ("Remove the dog", {"object": None}),
        ("The same dog with its colour changed to green", {"colour": "green"}),
        ("The same dog with a ball added beside it", {"intruder": "ball"}),
        ("Replace it by a yellow umbrella", {"object": "umbrella", "colour": "yellow"}),
        ("The same dog with the daylight replaced by night", {"environment": "night"}),
    ],
)
@pytest.mark.parametrize("style", ["photo-like", "watercolour", "pixel art", "oil"])
def test_an_edit_redraws_the_masked_region_and_not_one_pixel_beside_it(
    edit: str, expected: dict[str, str | None], style: str
) -> None:
    source = picture(f"a red dog running on the beach, {style}")
    (image,) = draw(edit, INPAINT, source, mask=left_half())
    for name, value in expected.items():
        assert image.private["drawn"][name] == value
    box = changed_box(opened(source), opened(image.data))
    assert box is not None
    assert box[2] <= SIDE // 2


EVERYWHERE = mask_png((SIDE, SIDE), (0, 0, SIDE, SIDE))


def test_a_removed_subject_leaves_the_very_place_that_was_behind_it() -> None:
    (image,) = draw("Remove the dog", INPAINT, picture(), mask=EVERYWHERE)
    scene = Scene(**image.private["drawn"])
    assert changed_box(opened(image.data), render_scene(scene, SIDE)) is None


@pytest.mark.parametrize("prompt", [DOG, "a red boat sailing on the beach", "a red ball"])
def test_a_recoloured_subject_does_not_move(prompt: str) -> None:
    before = draw(prompt)[0]
    (image,) = draw(
        "The same but its colour changed to green", INPAINT, before.data, mask=EVERYWHERE
    )
    outline = render_cutout(Scene(**before.private["drawn"]), SIDE).getchannel("A").getbbox()
    changed = changed_box(opened(before.data), opened(image.data))
    assert outline is not None
    assert changed is not None
    # The paint's light and its glow reach a little beyond the outline.
    assert all(abs(p - q) <= SIDE * 0.05 for p, q in zip(changed, outline, strict=True))


def test_the_slot_is_read_before_the_caption() -> None:
    (image,) = draw(
        "The same dog", INPAINT, picture(), mask=left_half(), slots={"edit": "remove the dog"}
    )
    assert image.private["drawn"]["object"] is None


def test_an_edit_that_is_not_understood_is_refused_with_what_is() -> None:
    with pytest.raises(PermanentError, match=r"not understand: rainbow\. Sketch can remove"):
        draw("The same dog with a rainbow added", INPAINT, picture(), mask=left_half())


SHIPPED = [value.phrase for value in shipped_axes()["edit"].values]


@pytest.mark.parametrize("edit", SHIPPED)
@pytest.mark.parametrize("style", ["photo-like", "watercolour", "pixel art"])
@pytest.mark.parametrize("seed", [7, 8])
def test_every_shipped_edit_is_drawn_and_the_rest_stays_to_the_pixel(
    edit: str, style: str, seed: int
) -> None:
    source = picture(f"a red car parked in the city, {style}", seed=seed)
    masks = {
        "middle": keep_middle((SIDE, SIDE), Box(0.2, 0.15, 0.8, 0.9)),
        "half": left_half(),
        "all": EVERYWHERE,
    }
    for name, mask in masks.items():
        (image,) = draw(f"The same car {edit}", INPAINT, source, mask=mask, slots={"edit": edit})
        changed = ImageChops.difference(opened(source), opened(image.data))
        kept = ImageOps.invert(opened(mask).convert("L"))
        assert ImageChops.multiply(changed, kept.convert("RGB")).getbbox() is None
        # Nothing stands beside a lone car; and a mask may leave out what an edit changes.
        if name == "all":
            assert (changed.getbbox() is not None) == ("beside it removed" not in edit)
        assert not image.revised_prompt or "street" in image.revised_prompt


@pytest.mark.parametrize(
    ("edit", "touch"),
    [
        ("with a green box added beside it", "green box"),
        ("with a long shadow added", "shadow"),
        ("with a sticker added to the car", "sticker"),
        ("with the sky replaced by a stormy one", "sky"),
    ],
)
def test_a_small_edit_is_told_and_handed_on_to_siblings(edit: str, touch: str) -> None:
    (edited,) = draw(f"The same dog {edit}", INPAINT, picture(), mask=EVERYWHERE)
    assert edited.private["drawn"]["touches"] == (touch,)
    (sibling,) = draw("in another pose", VARIATION, edited.data)
    assert sibling.private["drawn"]["touches"] == (touch,)
    assert sibling.private["drawn"]["object"] == "dog"


def test_a_small_edit_is_drawn_on_a_photograph_too() -> None:
    photo = ESPRESSO.read_bytes()
    size = opened(photo).size
    (image,) = draw("with a sticker added to it", INPAINT, photo, mask=left_half(size))
    box = changed_box(opened(photo), opened(image.data))
    assert box is not None
    assert box[2] <= size[0] // 2


@pytest.mark.parametrize("edit", ["with the shadow removed", "without a person"])
def test_what_sketch_cannot_take_away_is_refused(edit: str) -> None:
    with pytest.raises(PermanentError, match="Sketch can remove"):
        draw(f"The same dog {edit}", INPAINT, picture(), mask=left_half())


# --- Faults on purpose


@pytest.mark.parametrize(
    ("act", "turns", "faults"),
    [
        (VARIATION, (), {"mere copy", *FAULTS} - {"wrong colour"}),
        (FUSION, (), {"mere copy", *FAULTS} - {"wrong colour"}),
        (INPAINT, ("place",), {"ignored edit", "wrong environment"}),
        (INPAINT, ("remove",), {"ignored edit"}),
    ],
)
@pytest.mark.parametrize("rate", [0.0, 0.15, 1.0])
def test_derivations_go_wrong_at_the_asked_rate(
    act: str, turns: tuple[str, ...], faults: set[str], rate: float
) -> None:
    asks = Understood(environment="desert") if "place" in turns else Understood()
    parent = Recipe("text", 7, 0.0, Understood(object="dog", environment="beach"))
    parents = (parent,) * INPUTS[act]
    count = 3000
    found = Counter(
        told(Recipe(act, seed, rate, asks, turns, parents)).fault for seed in range(count)
    )
    spread = 4 * math.sqrt(count * rate * (1 - rate))  # 1 in 15,000 by chance
    assert abs(count - found.pop(None, 0) - count * rate) <= spread
    assert set(found) == (faults if rate else set())


def test_a_mere_copy_shows_the_source_again_and_an_ignored_edit_changes_nothing() -> None:
    source = picture()
    seen = Counter[str]()
    for image in draw("another one", VARIATION, source, count=16, fault_rate=1):
        seen[image.private["fault"]] += 1
        is_same = changed_box(opened(source), opened(image.data)) is None
        assert is_same == (image.private["fault"] == "mere copy")
    assert seen["mere copy"]
    edits = draw(
        "with a desert behind it", INPAINT, source, count=16, fault_rate=1, mask=left_half()
    )
    ignored = [image for image in edits if image.private["fault"] == "ignored edit"]
    assert ignored
    assert all(changed_box(opened(source), opened(image.data)) is None for image in ignored)


# --- Repeating


@pytest.mark.parametrize("capability", [VARIATION, FUSION, INPAINT])
@pytest.mark.parametrize("own", [True, False])
def test_the_same_derivation_gives_the_same_bytes(capability: str, own: bool) -> None:
    sources = [picture(), picture(HOUSE)] if own else [ESPRESSO.read_bytes(), DAHLIA.read_bytes()]
    images = sources[: 2 if capability == FUSION else 1]
    mask = left_half(opened(images[0]).size) if capability == INPAINT else None
    asked = ("with a ball added", capability, *images)
    first, again = (draw(*asked, count=3, mask=mask) for _ in range(2))
    assert [image.data for image in first] == [image.data for image in again]
    (alone,) = draw(*asked, seed=9, mask=mask)
    assert (first[2].seed, first[2].data) == (9, alone.data)


def test_children_of_children_are_understood_too() -> None:
    first = draw("another one", VARIATION, picture())[0].data
    fused = draw("a blend", FUSION, first, picture(HOUSE))[0].data
    edited = draw("Remove the dog", INPAINT, fused, mask=left_half())[0].data
    (image,) = draw("in another place", VARIATION, edited)
    assert image.facts["made"] == "redrawn from what the source shows"
    assert image.private["drawn"]["object"] is None
    assert image.private["drawn"]["style"] == "watercolour"


# --- The recipe in the file


def test_a_file_never_says_what_was_drawn_nor_that_it_is_wrong() -> None:
    images = draw("another one", VARIATION, picture(fault_rate=1), count=16, fault_rate=1)
    for image in images:
        text = Image.open(io.BytesIO(image.data)).info[CHUNK]
        assert set(json.loads(text)) == {"version", "act", "seed", "faults", "of"}
        for word in ('fault"', "drawn", "asked", "bad", "missing", "intruder", "unreadable"):
            assert word not in text


def test_renditions_drop_the_recipe() -> None:
    data = picture()
    assert CHUNK.encode() in data
    small = rendition(decode(data).pixels, 128)
    assert CHUNK.encode() not in small
    assert b"red" not in small


def test_a_picture_saved_by_another_program_is_a_foreign_one() -> None:
    buffer = io.BytesIO()
    opened(picture()).save(buffer, "JPEG")
    (image,) = draw("another one", VARIATION, buffer.getvalue())
    assert "cropped anew" in image.facts["made"]
    assert image.private == {}


BASE = {"version": 1, "act": "text", "seed": 7, "faults": 0.0, "asks": {"object": "dog"}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no json",
        "[]",
        "3",
        json.dumps({**BASE, "version": 2}),
        json.dumps({**BASE, "act": "typographic"}),
        json.dumps({**BASE, "seed": -1}),
        json.dumps({**BASE, "seed": 2**70}),
        json.dumps({**BASE, "seed": True}),
        json.dumps({**BASE, "faults": 2}),
        json.dumps({**BASE, "asks": {}}),
        json.dumps({**BASE, "asks": {"object": "dragon"}}),
        json.dumps({**BASE, "asks": {"object": "dog", "action": "parked"}}),
        json.dumps({**BASE, "asks": {"object": "dog", "__class__": "x"}}),
        json.dumps({**BASE, "asks": ["dog"]}),
        json.dumps({**BASE, "of": [BASE]}),
        json.dumps({**BASE, "act": "variation"}),
        json.dumps({**BASE, "act": "inpaint", "asks": {}, "turns": ["add"], "of": [BASE]}),
        json.dumps({**BASE, "act": "inpaint", "turns": ["explode"], "of": [BASE]}),
        json.dumps({**BASE, "turns": ["colour"]}),
        '{"version":1,"act":"variation","seed":1,"faults":0,"of":[' * 3000,
        json.dumps(BASE) + " " * 20_000,
    ],
)
def test_a_forged_recipe_makes_it_a_foreign_picture(content: str) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text(CHUNK, content)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(buffer, "PNG", pnginfo=notes)
    assert read_recipe(buffer.getvalue()) is None
    (image,) = draw("another one", VARIATION, buffer.getvalue())
    assert "cropped anew" in image.facts["made"]


def test_too_long_a_line_of_ancestors_is_left_out_of_the_file() -> None:
    recipe = Recipe("text", 7, 0.0, Understood(object="dog"))
    for seed in range(400):
        recipe = Recipe("variation", seed, 0.0, of=(recipe,))
    data = write_recipe(Image.new("RGB", (8, 8)), recipe)
    assert CHUNK.encode() not in data
    assert read_recipe(data) is None


# --- Photographs


@pytest.mark.parametrize("photo", [ESPRESSO, DAHLIA, *sorted(ESPRESSO.parent.glob("*.png"))])
def test_a_photograph_can_be_varied_and_says_how(photo: Any) -> None:
    images = draw("A cup like this one", VARIATION, photo.read_bytes(), count=3)
    assert len({image.data for image in images}) == 3
    for image in images:
        assert opened(image.data).size == (SIDE, SIDE)
        assert "not understood" in image.facts["made"]


@pytest.mark.parametrize(
    "edit", ["with a red ball added", "Remove it", "with a beach behind it", "replace it by a cup"]
)
def test_an_edit_of_a_photograph_keeps_its_size_and_the_pixels_outside(edit: str) -> None:
    source = opened(ESPRESSO.read_bytes())
    mask = mask_png(source.size, (40, 60, 199, 219))
    (image,) = draw(edit, INPAINT, ESPRESSO.read_bytes(), mask=mask)
    result = opened(image.data)
    assert result.size == source.size
    left, top, right, bottom = changed_box(source, result) or (0, 0, 0, 0)
    assert (left, top) >= (40, 60)
    assert (right, bottom) <= (200, 220)
    assert right - left > 100


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (17, 16)])
def test_odd_sizes_are_no_fault(size: tuple[int, int]) -> None:
    source = plain_png(size)
    whole = mask_png(size, (0, 0, *size))
    for edit in ("with a red ball added", "Remove it", "with a beach behind it"):
        (image,) = draw(edit, INPAINT, source, mask=whole)
        assert opened(image.data).size == size
    assert opened(draw("another", VARIATION, source)[0].data).size == (SIDE, SIDE)
    assert opened(draw("a blend", FUSION, source, picture())[0].data).size == (SIDE, SIDE)
    assert opened(draw("a blend", FUSION, picture(), source)[0].data).size == (SIDE, SIDE)


# --- What cannot be asked


@pytest.mark.parametrize(
    ("capability", "images", "mask", "message"),
    [
        (VARIATION, [], None, "starts from 1 images; 0"),
        (FUSION, [plain_png()], None, "starts from 2 images; 1"),
        ("text", [plain_png()], None, "starts from 0 images; 1"),
        (INPAINT, [plain_png()], None, "needs one"),
        (VARIATION, [plain_png()], plain_png(), "a mask belongs to inpainting"),
        (INPAINT, [plain_png()], plain_png((32, 32), "white"), "32 × 32 px and its image 64 × 64"),
        (INPAINT, [plain_png()], plain_png(colour="black"), "black all over"),
        (INPAINT, [plain_png()], b"no image", "mask cannot be used"),
        (VARIATION, [b"<svg/>"], None, "input image 1 cannot be used: not a PNG"),
        (FUSION, [plain_png(), plain_png()[:-30]], None, "input image 2 cannot be used: damaged"),
    ],
)
def test_wrong_inputs_are_refused_in_plain_words(
    capability: str, images: list[bytes], mask: bytes | None, message: str
) -> None:
    with pytest.raises(PermanentError, match=message):
        draw("Remove it", capability, *images, mask=mask)


def test_any_bytes_behind_a_png_head_end_in_an_error_of_ours() -> None:
    rng = random.Random(4)
    sound = picture()
    refusals = []
    for _ in range(60):
        at = rng.randrange(8, len(sound))
        broken = sound[:at] + rng.randbytes(rng.randrange(1, 40)) + sound[at + 5 :]
        try:
            draw("another one", VARIATION, broken)
        except PermanentError as error:
            refusals.append(str(error))
    assert refusals
    assert all("input image 1 cannot be used" in said for said in refusals)
