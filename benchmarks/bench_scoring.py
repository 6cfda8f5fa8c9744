"""The scoring worker against the bare forward pass and against a plain loop, in one run.

    python -m benchmarks.bench_scoring [--images 64] [--models embedded,ViT-B-32,MobileCLIP-S0]

Three rates in images per second, on the same pictures of 1024 px, for each model:
  worker   from files on disk to committed rows, by the job that the worker runs (SQLite)
  forward  the image tower alone on tensors that are ready, at its best batch of 1, 8, 16 and 32
  loop     the loop of open_clip's README: open, preprocess, encode one image and its caption

Models but the embedded one get random weights in a folder of their own: the rate does not depend
on what a weight is. `--flat N` scores N images of the embedded model and prints how the worker's
memory grows. Needs no network.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 1024
BATCHES = (1, 8, 16, 32)
EMBEDDED = "embedded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--models", default=f"{EMBEDDED},ViT-B-32,MobileCLIP-S0")
    parser.add_argument("--flat", type=int, default=0, help="images for the look at memory")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {
            "SYNTHREVIEW_DATA": str(folder / "data"),
            "DATABASE_URL": f"sqlite:///{folder / 'bench.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "synthreview.settings",
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        for model in asked.models.split(","):
            compare(model, asked.images, folder)
        if asked.flat:
            look_at_memory(asked.flat, folder)


def compare(model: str, count: int, folder: Path) -> None:
    """Print the three rates of one model."""
    spec = "" if model == EMBEDDED else str(random_weights(model, folder / model))
    files = pictures(count)
    worker = rate(lambda: run_worker(spec, files), count)
    forward, batch = bare_forward(spec, count)
    loop = rate(lambda: plain_loop(spec, files), count)
    print(
        f"{model:16} worker {worker:7.1f}/s   forward {forward:7.1f}/s (batch {batch})   "
        f"loop {loop:7.1f}/s   worker/forward {worker / forward:5.2f}   "
        f"worker/loop {worker / loop:5.2f}",
        flush=True,
    )


def rate(work: Callable[[], float], count: int) -> float:
    """Return images per second by the seconds that `work` says it took."""
    return count / work()


def pictures(count: int) -> list[bytes]:
    """Return PNG files that compress about as badly as photographs."""
    import io

    from PIL import Image

    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        grain = rng.integers(-6, 7, (SIDE, SIDE, 3))
        image = Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        files.append(buffer.getvalue())
    return files


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


def run_worker(spec: str, files: list[bytes]) -> float:
    """Put the files into the store as images, have the job score them; return its seconds."""
    from synthreview.scoring.jobs import score
    from synthreview.scoring.models import Score, ScoringPass
    from synthreview.scoring.services import register, scorer

    use(spec)
    dataset = fill(files)
    version = register()
    scorer().card()
    row = ScoringPass.objects.create(dataset=dataset, version=version)
    began = time.perf_counter()
    score(row.pk)
    seconds = time.perf_counter() - began
    done = Score.objects.filter(version=version, image__dataset=dataset, similarity__isnull=False)
    if done.count() != len(files):
        row.refresh_from_db()
        sys.exit(f"{done.count()} of {len(files)} were scored. {row.error}")
    return seconds


def use(spec: str) -> None:
    """Let the worker load this model anew."""
    from django.conf import settings

    from synthreview.scoring.services import register, scorer

    options = {**settings.SCORERS["clip"]["OPTIONS"], "model_spec": spec}
    settings.SCORERS = {"clip": {**settings.SCORERS["clip"], "OPTIONS": options}}
    scorer.cache_clear()
    register.cache_clear()


def fill(files: list[bytes]) -> Any:
    """Return a dataset of images with these bytes, by the embedded generator's name."""
    from synthreview.catalog.models import Dataset, LabelClass
    from synthreview.catalog.storage import blobs
    from synthreview.generation.models import GeneratedImage, Run

    number = Dataset.objects.count()
    dataset = Dataset.objects.create(name=f"Bench {number}", slug=f"bench-{number}")
    car, _ = [
        LabelClass.objects.create(dataset=dataset, name=name, slug=name, position=place)
        for place, name in enumerate(("car", "umbrella"))
    ]
    run = Run.objects.create(dataset=dataset, number=1, generator="sketch", image_count=len(files))
    store = blobs()
    rows = []
    for place, data in enumerate(files):
        sha256 = store.put(data)
        rows.append(
            GeneratedImage(
                dataset=dataset, run=run, label_class=car, position=place,
                caption=f"a red car, number {place}", generator="sketch", sha256=sha256,
                media_type="image/png", byte_count=len(data), width=SIDE, height=SIDE,
            )
        )  # fmt: skip
    GeneratedImage.objects.bulk_create(rows)
    return dataset


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


def bare_forward(spec: str, count: int) -> tuple[float, int]:
    """Return the image tower's best rate, and the batch at which it has it."""
    import torch

    model, preprocess, _ = loaded(spec)
    from PIL import Image

    one = preprocess(Image.new("RGB", (SIDE, SIDE), (90, 120, 60)))
    best = (0.0, 0)
    with torch.inference_mode():
        for batch in BATCHES:
            pixels = torch.stack([one] * batch)
            model.encode_image(pixels)
            began, done = time.perf_counter(), 0
            while done < count:
                model.encode_image(pixels, normalize=True)
                done += batch
            best = max(best, (done / (time.perf_counter() - began), batch))
    return best


def plain_loop(spec: str, files: list[bytes]) -> float:
    """Return the seconds of the README's loop over the files."""
    import io

    import torch
    from PIL import Image

    model, preprocess, tokenizer = loaded(spec)
    began = time.perf_counter()
    with torch.no_grad():
        for place, data in enumerate(files):
            image = preprocess(Image.open(io.BytesIO(data))).unsqueeze(0)
            text = tokenizer([f"a red car, number {place}", "a car", "an umbrella"])
            image_features = model.encode_image(image)
            text_features = model.encode_text(text)
            image_features /= image_features.norm(dim=-1, keepdim=True)
            text_features /= text_features.norm(dim=-1, keepdim=True)
            (100.0 * image_features @ text_features.T).softmax(dim=-1)
    return time.perf_counter() - began


def look_at_memory(count: int, folder: Path) -> None:
    """Print the worker's largest memory after a tenth of the images and after all of them."""
    from PIL import Image

    from synthreview.scoring.jobs import score
    from synthreview.scoring.models import ScoringPass
    from synthreview.scoring.services import register

    use("")
    sizes = []
    for part in (count // 10, count - count // 10):
        files = []
        for number in range(part):
            import io

            buffer = io.BytesIO()
            colour = (number % 251, number // 251 % 251, len(sizes))
            Image.new("RGB", (64, 64), colour).save(buffer, "PNG")
            files.append(buffer.getvalue())
        row = ScoringPass.objects.create(dataset=fill(files), version=register())
        del files
        score(row.pk)
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(f"memory: {sizes[0]:.0f} MB after {count // 10:,} images, {sizes[1]:.0f} MB after all")


if __name__ == "__main__":
    main()
