"""What review is worth: an evaluation in the drawn world, where what was really drawn is known.

    make bench-evaluation                            both worlds, the linear probe
    make bench-evaluation ARGS="--learner network"   the small network; repeat it for both
    python -m benchmarks.evaluation_gain --help

Everything goes through the product: captions, a run of the embedded generator, the embedded CLIP,
the review queue, and an evaluation. The "real" images are drawn by the same generator with other
seeds, in places that no caption names, and then photographed: turned, cut, lit, tinted, blurred,
with grain and as JPEG. Those for testing come from everywhere. The few of each class that are for
training were all taken in one place, as such pictures often are; in the second world, where the
gain is smaller, they too come from everywhere.

Half of the captions name two things, "A dog beside a car" for the class car. The generator draws
the first alone, each time: the kind of mistake that real generators make, and that no majority
evens out (it is another class, and always the same one). Besides it errs at random as it always
does. The reviewer knows what was drawn, is wrong on one image in fifty, and approves what shows
the class.

Prints for each world the tables of docs/evaluation.md, then the differences that it was made for.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

if TYPE_CHECKING:
    from synthreview.accounts.models import User
    from synthreview.catalog.models import Dataset, LabelClass
    from synthreview.evaluation.models import Evaluation

CLASSES = ("car", "boat", "house", "dog", "bird", "fish")
REAL_PLACES = ("on the beach", "in the desert", "in the snowy mountains", "at night")
DRAWN_PLACES = (
    "in a meadow",
    "in the city",
    "in the forest",
    "in the kitchen",
    "in the library",
    "under water",
)
STYLES = ("as a pencil sketch", "as a watercolour", "as pixel art", "as an oil painting")
SLIPS = 0.02  # of the reviewer's decisions are wrong
SIZE_PX = 256
TURN_DEGREES = 10.0


@dataclass(frozen=True, slots=True)
class World:
    """How large it is: images of each class; `misread` is the share of captions of two things.

    `styles` is empty where every caption shall be of one technique; `is_spread` where the few real
    training images come from everywhere, as the test images do.
    """

    classes: tuple[str, ...] = CLASSES
    real: int = 4
    test: int = 36
    drawn: int = 60
    misread: float = 0.5
    styles: tuple[str, ...] = STYLES
    is_spread: bool = False
    seed: int = 1

    @property
    def title(self) -> str:
        return "Real images from " + ("everywhere" if self.is_spread else "one place")


# --- Real images ----------------------------------------------------------------------


def photographed(picture: Image.Image, rng: random.Random) -> bytes:
    """Return the picture as a cheap camera would have it, as JPEG."""
    size = picture.width
    turned = picture.rotate(rng.uniform(-TURN_DEGREES, TURN_DEGREES), Image.Resampling.BICUBIC)
    side = rng.uniform(0.72, 0.92) * size
    left, top = (rng.uniform(0.04 * size, 0.96 * size - side) for _ in range(2))
    cut = turned.resize(
        (size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side)
    )
    lit = ImageEnhance.Brightness(cut).enhance(rng.uniform(0.55, 1.25))
    lit = ImageEnhance.Contrast(lit).enhance(rng.uniform(0.6, 1.2))
    tint = np.array([rng.uniform(0.8, 1.2) for _ in range(3)])
    grain = np.random.default_rng(rng.randrange(2**31)).normal(0, 10, (size, size, 3))
    pixels = np.clip(np.asarray(lit) * tint + grain, 0, 255).astype(np.uint8)
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0, 2)))
    buffer = io.BytesIO()
    blurred.save(buffer, "JPEG", quality=rng.randint(40, 80))
    return buffer.getvalue()


def bring_in_real(dataset: Dataset, world: World) -> None:
    """Draw, photograph and bring in the training and the test images of every class."""
    from synthreview.catalog.models import ReferenceUse
    from synthreview.catalog.references import add_reference
    from synthreview.generation.generators.base import DrawRequest
    from synthreview.generation.generators.sketch import SketchGenerator

    rng = random.Random(f"real/{world.seed}")
    generator = SketchGenerator(fault_rate=0)
    for position, label_class in enumerate(dataset.classes.all()):
        for number in range(world.real + world.test):
            ending = rng.choice(("", " in black and white"))
            place = rng.choice(REAL_PLACES)
            if number < world.real and not world.is_spread:
                place = REAL_PLACES[position % len(REAL_PLACES)]
            request = DrawRequest(
                prompt=f"a {label_class.name} {place}{ending}",
                size_px=SIZE_PX,
                count=1,
                seed=rng.randrange(2**30),
            )
            (drawn,) = generator.draw(request, idempotency_key="").images
            assert drawn.pixels is not None
            add_reference(
                dataset=dataset,
                label_class=label_class,
                use=ReferenceUse.TRAIN if number < world.real else ReferenceUse.TEST,
                data=photographed(drawn.pixels, rng),
                name="",
            )


# --- Drawn images ---------------------------------------------------------------------


def write_captions(dataset: Dataset, world: World) -> None:
    """Write the captions, one for each image; those of two things name the same other class."""
    from synthreview.prompting.models import Prompt, PromptState

    rng = random.Random(f"captions/{world.seed}")
    classes = list(dataset.classes.all())
    for number, label_class in enumerate(classes):
        other = classes[(number + 1) % len(classes)]
        for technique, text in captions(label_class, other, world, rng):
            Prompt.objects.create(
                dataset=dataset,
                label_class=label_class,
                technique=technique,
                text=text,
                state=PromptState.APPROVED,
            )


def captions(
    label_class: LabelClass, other: LabelClass, world: World, rng: random.Random
) -> Iterator[tuple[str, str]]:
    """Yield technique and caption of each image of a class."""
    misread = round(world.misread * world.drawn)
    seen: set[str] = set()
    while len(seen) < world.drawn:
        style = rng.choice(("", *world.styles))
        colour = rng.choice(("", "red ", "blue ", "yellow ", "green ", "white "))
        subject = f"{colour}{label_class.name}"
        if len(seen) < misread:
            subject = f"{colour}{other.name} beside a {label_class.name}"
        text = f"A {subject} {rng.choice(DRAWN_PLACES)} {style}".strip()
        if text not in seen:
            seen.add(text)
            yield ("style" if style else "environment"), text


def draw(dataset: Dataset, world: World) -> None:
    """Have every caption drawn once, by a run as a worker does it."""
    from django.db import transaction

    from synthreview.generation.jobs import draw_call
    from synthreview.generation.services import approved_prompts, orders_of, start_run

    prompts = approved_prompts(dataset)
    with transaction.atomic():
        run = start_run(
            dataset=dataset,
            orders=orders_of(prompts),
            count=len(prompts),
            generator_alias="sketch",
            size_px=SIZE_PX,
            seed=1_000 * world.seed,
        )
    for pk in run.calls.order_by("pk").values_list("pk", flat=True):
        draw_call(pk)


def judge(dataset: Dataset, reviewer: User, world: World) -> None:
    """Decide on every card of the queue, as somebody who sees what was drawn and rarely slips."""
    from synthreview.generation.models import ImageTruth
    from synthreview.review.queue import next_card
    from synthreview.review.services import record_decision

    rows = ImageTruth.objects.filter(image__dataset=dataset)
    truth = dict(rows.values_list("image", "facts"))
    while card := next_card(dataset=dataset, reviewer=reviewer):
        shown = truth[card.slot.image.pk]["drawn"]
        is_right = shown["object"] == card.slot.image.label_class.name and not shown["unreadable"]
        # By the image, not by its turn: what the queue draws by lot changes no figure.
        if random.Random(f"review/{world.seed}/{card.slot.image.sha256}").random() < SLIPS:
            is_right = not is_right
        record_decision(
            dataset=dataset,
            reviewer=reviewer,
            token=card.token,
            verdict="approve" if is_right else "reject",
        )


# --- The evaluation -------------------------------------------------------------------


def make_dataset(world: World) -> tuple[Dataset, User]:
    """Return an empty dataset of the world's classes, and its reviewer."""
    from synthreview.accounts.models import User
    from synthreview.catalog.services import add_class, create_dataset

    reviewer, _ = User.objects.get_or_create(username="reviewer")
    dataset = create_dataset(name=world.title, created_by=reviewer)
    for name in world.classes:
        add_class(dataset=dataset, name=name)
    return dataset, reviewer


def evaluate(dataset: Dataset, learners: list[str], seeds: int) -> Evaluation:
    """Return a finished evaluation. Raises SystemExit where it failed."""
    from synthreview.evaluation import jobs
    from synthreview.evaluation.services import start_evaluation

    found = start_evaluation(dataset=dataset, learners=learners, seeds=seeds)
    jobs.evaluate(found.pk)
    found.refresh_from_db()
    if not found.result:
        raise SystemExit(f"the evaluation failed: {found.error}")
    return found


def differences(found: dict[str, Any]) -> list[str]:
    """Return the differences that the world was made for, of one learner's figures."""
    arms = {arm["name"]: arm for arm in found["arms"]}
    shown = {
        "real and approved against real only": found["gain"],
        "real and unreviewed against real only": arms["unreviewed"]["against_real"],
        "approved against unreviewed": found["review"]["difference"],
    }
    return [f"  {words:<40}{in_points(value)} points" for words, value in shown.items()]


def table(found: dict[str, Any]) -> list[str]:
    """Return one learner's arms as the rows of a table in Markdown."""
    lines = [
        "| trained on | images | right (95 % interval) | against real only, in points |",
        "|---|---:|---:|---:|",
    ]
    for arm in found["arms"]:
        value, low, high = (100 * number for number in arm["accuracy"])
        gain = in_points(arm["against_real"]) if arm["against_real"] else ""
        right = f"{value:.1f} % ({low:.1f} to {high:.1f})"
        lines.append(f"| {arm['title']} | {arm['train']} | {right} | {gain} |")
    return lines


def in_points(difference: Sequence[float]) -> str:
    value, low, high = (100 * number for number in difference)
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def measured(
    world: World, learners: list[str], seeds: int, say: Callable[[str], object] = print
) -> Evaluation:
    """Make the world, have it drawn, scored, reviewed and evaluated; return what was found."""
    from django.core.management import call_command

    from synthreview.review.intake import admit

    dataset, reviewer = make_dataset(world)
    bring_in_real(dataset, world)
    write_captions(dataset, world)
    draw(dataset, world)
    say("the images are there")
    call_command("score", dataset.slug, wait=True, verbosity=0, stdout=io.StringIO())
    admit()
    judge(dataset, reviewer, world)
    say("scored and reviewed")
    return evaluate(dataset, learners, seeds)


def run(world: World, asked: argparse.Namespace) -> dict[str, Any]:
    """Do all of it, print what was found, and return the whole report."""
    from synthreview.evaluation.services import report_of

    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    report = report_of(measured(world, asked.learner or ["probe"], asked.seeds, say))
    say("evaluated")
    counts = report["counts"]
    print(
        f"{world.title}: {counts['drawn']} drawn, {counts['approved']} approved, "
        f"{counts['test']} test images, {asked.seeds} seeds"
    )
    for one in report["result"]["learners"].values():
        lines = [f"{one['title']}. {one['sentence']}", "", *table(one), "", *differences(one)]
        print("\n" + "\n".join(lines) + "\n", flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    usual = World()
    for name in ("real", "test", "drawn", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    parser.add_argument("--misread", type=float, default=usual.misread)
    parser.add_argument("--classes", type=int, default=len(CLASSES))
    parser.add_argument(
        "--worlds",
        choices=("narrow", "spread", "both"),
        default="both",
        help="real training images from one place, from everywhere, or one after the other",
    )
    parser.add_argument("--learner", action="append", help="repeatable: probe (usual), network")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="the whole reports, as JSON")
    parser.add_argument("--data", help="an empty folder for the data, which then stays")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = asked.data or folder
        os.environ |= {
            "SYNTHREVIEW_DATA": data,
            "DATABASE_URL": f"sqlite:///{data}/db.sqlite3",
            "DJANGO_SETTINGS_MODULE": "synthreview.settings",
            "SYNTHREVIEW_LOG_LEVEL": "ERROR",
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        world = World(
            classes=CLASSES[: asked.classes],
            real=asked.real,
            test=asked.test,
            drawn=asked.drawn,
            misread=asked.misread,
            seed=asked.seed,
        )
        worlds = {"narrow": world, "spread": replace(world, is_spread=True)}
        wanted = [worlds[asked.worlds]] if asked.worlds in worlds else list(worlds.values())
        reports = {one.title: run(one, asked) for one in wanted}
        if asked.out:
            asked.out.write_text(json.dumps(reports, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
