"""The scoring worker against the bare forward pass and against a plain loop, in one run.

    python -m benchmarks.bench_scoring [--images 128] [--rounds 3]
        [--models embedded,ViT-B-32,MobileCLIP2-S0]

Three rates in images per second, on the same pictures of 1024 px (PNG) and the same captions, four
pictures each, for each model:
  worker   from files on disk to committed rows, by the job that the worker runs (SQLite)
  forward  the two towers alone on tensors that are ready, each picture and each different text
           once, at the best batch of 8, 16 and 32
  loop     the loop of open_clip's README: open, preprocess, encode one image and its texts

They take turns, and the median over the rounds counts. Beside the ratio by the clock stands the one
by processor time, which other work on the machine changes less; on a busy machine only with
`--threads 1`, because torch's threads burn time while they wait for each other.

Models but the embedded one get random weights in a folder of their own: the rate does not depend
on what a weight is. `--flat N` scores N small images of the embedded model instead and prints how
the worker's memory grows; bar: at most 1.1 times what it held after the first tenth. Needs no
network.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

SIDE = 1024
BATCHES = (8, 16, 32)
EMBEDDED = "embedded"
PER_CAPTION = 4
CLASSES = ("car", "umbrella")
COLOURS = ("red", "blue", "green", "yellow", "white", "black")
PLACES = ("on the beach", "in the city", "in the forest", "in the snow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default=f"{EMBEDDED},ViT-B-32,MobileCLIP2-S0")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 = one per processor")
    parser.add_argument("--flat", type=int, default=0, help="images for the look at memory")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {
            "SYNTHREVIEW_DATA": str(folder / "data"),
            "SYNTHREVIEW_LOG_LEVEL": "ERROR",
            "DATABASE_URL": f"sqlite:///{folder / 'bench.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "synthreview.settings",
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        if asked.flat:
            look_at_memory(asked.flat)
            return
        if asked.threads:
            import torch

            torch.set_num_threads(asked.threads)
        for model in asked.models.split(","):
            compare(model, asked.images, asked.rounds, folder)


def compare(model: str, count: int, rounds: int, folder: Path) -> None:
    """Print the three rates of one model."""
    spec = "" if model == EMBEDDED else str(random_weights(model, folder / model))
    files = [picture(number) for number in range(count)]
    parts = loaded(spec)
    forward, batch = best_forward(*parts, count)
    turns: dict[str, Callable[[], None]] = {
        "worker": worker(spec, files),
        "forward": forward,
        "loop": lambda: plain_loop(*parts, files),
    }
    clock: dict[str, list[float]] = {name: [] for name in turns}
    cpu: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, work in turns.items():
            seconds, busy = timed(work)
            clock[name].append(seconds)
            cpu[name].append(busy)
    rates = "   ".join(
        f"{name} {count / statistics.median(clock[name]):7.1f}/s "
        f"({1000 * statistics.median(cpu[name]) / count:.1f} CPU-ms)"
        for name in turns
    )
    print(f"{model:14} {rates}   best batch {batch}", flush=True)
    for other in ("forward", "loop"):
        print(
            f"{'':14} worker/{other}: {ratio(clock, other):.2f} by the clock, "
            f"{ratio(cpu, other):.2f} by processor time",
            flush=True,
        )


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return seconds by the clock and of all processors."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def ratio(times: dict[str, list[float]], other: str) -> float:
    """Return how much faster than the other the worker is, the median over the rounds."""
    return statistics.median(
        theirs / ours for theirs, ours in zip(times[other], times["worker"], strict=True)
    )


def picture(number: int) -> bytes:
    """Return a PNG file that compresses about as badly as a photograph."""
    from PIL import Image

    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    grain = rng.integers(-6, 7, (SIDE, SIDE, 3))
    image = Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def slots_of(number: int) -> tuple[str, str]:
    """Return colour and place of a picture."""
    caption = number // PER_CAPTION
    return COLOURS[caption % len(COLOURS)], PLACES[caption // len(COLOURS) % len(PLACES)]


def texts_of(number: int) -> list[str]:
    """Return what the product compares a picture with, besides the classes: caption and parts."""
    colour, place = slots_of(number)
    caption = f"A {colour} car {place}, take {number // PER_CAPTION}"
    return [caption, "a car", colour, place]


def random_weights(name: str, folder: Path) -> Path:
    """Write a model folder with random weights, as open_clip would."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    model = open_clip.create_model(name, pretrained=None)
    visual: Any = model.visual
    preprocess = {
        key: value for key, value in visual.preprocess_cfg.items() if key in ("mean", "std")
    }
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    tensors = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
    save_file(tensors, str(folder / "open_clip_model.safetensors"))
    return folder


# --- The worker -------------------------------------------------------------------


def worker(spec: str, files: list[bytes]) -> Callable[[], None]:
    """Put the files into the store as images; return the job that scores them all anew."""
    from synthreview.scoring.jobs import score
    from synthreview.scoring.models import Embedding, Score, ScoringPass
    from synthreview.scoring.services import register, scorer

    use(spec)
    dataset = fill(files)
    version = register()

    def work() -> None:
        clip: Any = scorer()
        clip._texts._kept.clear()  # each turn embeds every text anew, as the other turns do
        clip._classes._kept.clear()
        row = ScoringPass.objects.create(dataset=dataset, version=version)
        score(row.pk)
        done = Score.objects.filter(version=version, image__dataset=dataset, value__isnull=False)
        if done.count() != len(files):
            row.refresh_from_db()
            sys.exit(f"{done.count()} of {len(files)} were scored. {row.error}")
        Score.objects.all().delete()
        Embedding.objects.all().delete()

    return work


def use(spec: str) -> None:
    """Let the worker load this model anew."""
    from django.conf import settings

    from synthreview.scoring.services import register, scorer

    options = {**settings.SCORERS["clip"]["OPTIONS"], "model_spec": spec}
    settings.SCORERS = {"clip": {**settings.SCORERS["clip"], "OPTIONS": options}}
    scorer.cache_clear()
    register.cache_clear()


def fill(files: list[bytes], *, side: int = SIDE) -> Any:
    """Return a dataset of images with these bytes, by the embedded generator's name."""
    from synthreview.catalog.models import Dataset, LabelClass
    from synthreview.catalog.storage import store_image
    from synthreview.generation.models import GeneratedImage, Run
    from synthreview.prompting.models import Prompt

    number = Dataset.objects.count()
    dataset = Dataset.objects.create(name=f"Bench {number}", slug=f"bench-{number}")
    car, _ = [
        LabelClass.objects.create(dataset=dataset, name=name, slug=name, position=place)
        for place, name in enumerate(CLASSES)
    ]
    run = Run.objects.create(dataset=dataset, number=1, generator="sketch", image_count=len(files))
    prompts = Prompt.objects.bulk_create(
        Prompt(
            dataset=dataset, label_class=car, technique="environment",
            text=texts_of(first)[0], text_key=str(first),
            slots=dict(zip(("colour", "environment"), slots_of(first), strict=True)),
        )
        for first in range(0, len(files), PER_CAPTION)
    )  # fmt: skip
    rows = []
    for place, data in enumerate(files):
        with patch.object(os, "fsync"):  # a hundred thousand flushes take longer than the rest
            sha256, _ = store_image(data)
        prompt = prompts[place // PER_CAPTION]
        rows.append(
            GeneratedImage(
                dataset=dataset, run=run, label_class=car, position=place, prompt=prompt,
                caption=prompt.text, generator="sketch", sha256=sha256,
                media_type="image/png", byte_count=len(data), width=side, height=side,
            )
        )  # fmt: skip
    GeneratedImage.objects.bulk_create(rows)
    return dataset


# --- What it is held against --------------------------------------------------------


def loaded(spec: str) -> tuple[Any, Any, Any]:
    """Return model, preprocessing and tokenizer as the product loads them."""
    import open_clip

    from synthreview.scoring.scorers.clip_source import EMBEDDED_FOLDER, find_source

    source = find_source(spec or None, embedded=EMBEDDED_FOLDER)
    model, _, preprocess = open_clip.create_model_and_transforms(
        source.architecture,
        pretrained=source.pretrained,
        require_pretrained=True,
        **source.preprocess,
    )
    return model.eval(), preprocess, open_clip.get_tokenizer(source.architecture)


def best_forward(
    model: Any, preprocess: Any, tokenizer: Any, count: int
) -> tuple[Callable[[], None], int]:
    """Return the bare forward pass at the batch that is quickest, and that batch."""
    import torch
    from PIL import Image

    from synthreview.scoring.scorers.clip import TEMPLATES

    one = preprocess(Image.new("RGB", (SIDE, SIDE), (90, 120, 60)))
    texts = {text for number in range(count) for text in texts_of(number)}
    texts |= {template.format(name) for name in CLASSES for template in TEMPLATES}
    tokens = tokenizer(sorted(texts))

    def forward(batch: int, images: int = count) -> None:
        with torch.inference_mode():
            for start in range(0, images, batch):
                model.encode_image(torch.stack([one] * min(batch, images - start)), normalize=True)
            for part in tokens.split(64):
                model.encode_text(part, normalize=True)

    forward(BATCHES[0], BATCHES[0])
    took = {batch: timed(lambda batch=batch: forward(batch, 32))[1] for batch in BATCHES}  # type: ignore[misc]
    best = min(took, key=took.__getitem__)
    return lambda: forward(best), best


def plain_loop(model: Any, preprocess: Any, tokenizer: Any, files: list[bytes]) -> None:
    """Do what the README does with each file."""
    import torch
    from PIL import Image

    with torch.no_grad():
        for number, data in enumerate(files):
            image = preprocess(Image.open(io.BytesIO(data))).unsqueeze(0)
            text = tokenizer([*texts_of(number), *(f"a {name}" for name in CLASSES)])
            image_features = model.encode_image(image)
            text_features = model.encode_text(text)
            image_features /= image_features.norm(dim=-1, keepdim=True)
            text_features /= text_features.norm(dim=-1, keepdim=True)
            (100.0 * image_features @ text_features.T).softmax(dim=-1)


# --- Memory -------------------------------------------------------------------------


def look_at_memory(count: int) -> None:
    """Score `count` images as one pass; print the memory at each tenth and its trend."""
    from synthreview.scoring.jobs import score
    from synthreview.scoring.models import ScoringPass
    from synthreview.scoring.services import register

    use("")
    dataset = fill(list(small_pictures(count)), side=64)
    row = ScoringPass.objects.create(dataset=dataset, version=register())
    sizes: list[tuple[int, float]] = []
    done = 0

    def note(images: int) -> None:
        nonlocal done
        done += images
        if done * 10 // count > len(sizes):
            sizes.append((done, resident_mb()))
            print(f"{done:9,} images: {sizes[-1][1]:.0f} MB", flush=True)

    score(row.pk, on_batch=note)
    first, *later = [mb for _, mb in sizes]  # the first tenth fills the caches
    print(f"highest after the first tenth: {max(later) / first:.2f} times of what it was then")


def small_pictures(count: int) -> Iterator[bytes]:
    """Yield PNG files of 64 px, each another."""
    from PIL import Image

    for number in range(count):
        buffer = io.BytesIO()
        colour = (number % 251, number // 251 % 251, number // 63_001)
        Image.new("RGB", (64, 64), colour).save(buffer, "PNG")
        yield buffer.getvalue()


def resident_mb() -> float:
    """Return the process's memory now."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmRSS"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
