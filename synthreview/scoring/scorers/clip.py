"""The open_clip scorer: any CLIP that open_clip can load, in fp32, on a CPU unless told otherwise.

One path for all models, the embedded one too: open_clip builds the model, the
preprocessing and the tokenizer, and always with weights (it would otherwise go on
with random ones and only log that). torch and open_clip are imported on first use,
never with this module. Knows nothing of Django; which model is meant is worked out
in `clip_source`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from .base import FloatArray, ScorerCard, ScoreRequest, ScorerError, ScoreResult
from .clip_source import EMBEDDED_FOLDER, ClipSource, find_source, one_line, sha256_of

if TYPE_CHECKING:
    import torch
    from PIL import Image

TEMPLATES = ("a photo of a {}.", "a picture of a {}.", "an image of a {}.", "a {}.")
TEXT_BATCH = 64
SMALL_WORDS = ("a", "an", "the", "in", "on", "at", "of", "as", "by", "style", "painting", "photo")
HANDS = 2

Key = TypeVar("Key")
Item = TypeVar("Item")


class ClipScorer:
    """Scores images with one CLIP model.

    Args:
        model_spec: SYNTHREVIEW_CLIP. Empty: the embedded model. Else `MODEL/TAG`,
            `MODEL/file.safetensors`, a model folder, or `hf-hub:OWNER/NAME`.
        threads: CPU threads of torch, for the whole process; None leaves them alone.
        batch_size: images per forward pass.
        cached_texts: text vectors kept, the least recently used dropped first.
        device: where torch computes: "cpu", "cuda", "cuda:1", "mps".
        embedded_dir: folder of the embedded model.
    """

    def __init__(
        self,
        model_spec: str | None = None,
        *,
        threads: int | None = None,
        batch_size: int = 16,
        cached_texts: int = 4096,
        device: str = "cpu",
        embedded_dir: str | Path = EMBEDDED_FOLDER,
    ) -> None:
        self._spec = model_spec
        self._threads = threads
        self._batch_size = batch_size
        self._device = device
        self._embedded_dir = Path(embedded_dir)
        self._texts: LastUsed[str] = LastUsed(cached_texts)
        self._classes: LastUsed[tuple[str, ...]] = LastUsed(32)
        self._model: LoadedClip | None = None

    def card(self) -> ScorerCard:
        """Return the identity; loads the model on first use. Raises ScorerError."""
        return self._loaded().card

    def health(self) -> list[str]:
        """Return why the model cannot be loaded, in one sentence; empty when it can."""
        try:
            self._loaded()
        except ScorerError as error:
            return [str(error)]
        return []

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Resize and normalise one picture, as the model wants it."""
        return self._loaded().prepare(image)

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """Score images in order, `batch_size` at a time. Raises ScorerError."""
        model = self._loaded()
        texts = self.embed_texts(
            text
            for request in requests
            for text in (request.caption, *self._parts_of(request).values())
        )
        results: list[ScoreResult] = []
        begun = ((batch, model.prepare_all(batch)) for batch in batches(requests, self._batch_size))
        for batch, pixels in one_ahead(begun):
            images = model.embed_images(list(pixels))
            results += [self._judge(*pair, texts) for pair in zip(batch, images, strict=True)]
        return results

    def embed_texts(self, texts: Iterable[str]) -> dict[str, FloatArray]:
        """Return one (D,) unit vector per different text, from the cache where it holds it."""
        vectors = {text: self._texts.get(text) for text in texts}
        missing = [text for text, vector in vectors.items() if vector is None]
        for batch in batches(missing, TEXT_BATCH):
            for text, vector in zip(batch, self._loaded().embed_texts(batch), strict=True):
                self._texts.put(text, vector)
                vectors[text] = vector
        return {text: vector for text, vector in vectors.items() if vector is not None}

    def class_vectors(self, class_texts: Sequence[str]) -> FloatArray:
        """Return (C, D) unit vectors, each the mean over the model's templates.

        Source: CLIP (Radford et al. 2021), section 3.1.4.
        """
        key = tuple(class_texts)
        if (kept := self._classes.get(key)) is not None:
            return kept
        templates = self._loaded().templates
        vectors = self.embed_texts(t.format(name) for name in key for t in templates)
        means = [
            np.mean([vectors[template.format(name)] for template in templates], axis=0)
            for name in key
        ]
        classes = unit_rows(
            np.array(means, dtype=np.float32).reshape(len(key), self._loaded().width)
        )
        self._classes.put(key, classes)
        return classes

    def _parts_of(self, request: ScoreRequest) -> dict[str, str]:
        """Return the parts that this model can judge alone."""
        judged = self._loaded().card.parts or request.parts.keys()
        return {slot: words for slot, words in request.parts.items() if slot in judged and words}

    def _judge(
        self, request: ScoreRequest, image: FloatArray, texts: Mapping[str, FloatArray]
    ) -> ScoreResult:
        """Compare one image vector (D,) with the vectors of its request's texts."""
        model = self._loaded()
        parts = self._parts_of(request)
        similarity = float(image @ texts[request.caption])
        match = model.match(similarity)
        cosines = {slot: float(image @ texts[words]) for slot, words in parts.items()}
        part_values = {
            slot: _known(model.match(cosine), cosine) for slot, cosine in cosines.items()
        }
        chances = softmax(model.scale * (self.class_vectors(request.class_texts) @ image))
        return ScoreResult(
            similarity=similarity,
            match=match,
            parts=part_values,
            class_probabilities=chances,
            class_margin=class_margin(chances, request.class_index),
            value=similarity if match is None else min(part_values.values(), default=match),
            embedding=image.astype(np.float16),
        )

    def _loaded(self) -> LoadedClip:
        if self._model is None:
            source = find_source(self._spec, embedded=self._embedded_dir)
            self._model = load_clip(source, threads=self._threads, device=self._device)
        return self._model


class LoadedClip:
    """A model in memory with its preprocessing, its tokenizer and its card."""

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[Image.Image], torch.Tensor],
        tokenizer: Callable[[list[str]], torch.Tensor],
        source: ClipSource,
        device: str,
    ) -> None:
        self._model = model
        self._device = device
        self._preprocess = preprocess
        self._hands = ThreadPoolExecutor(HANDS)  # resizing runs outside Python's lock
        self._tokenizer = tokenizer
        self.scale = float(model.logit_scale.detach().exp())
        bias = getattr(model, "logit_bias", None)
        self.bias = None if bias is None else float(bias.detach())
        self.templates = tuple(source.card.get("class_templates", TEMPLATES))
        self.card = _card_of(source, model.visual.preprocess_cfg, self.scale, self.bias)
        self.width = int(self.embed_texts([""]).shape[1])

    def match(self, cosine: float) -> float | None:
        """Return the chance of a match; None where the model was not trained to give one.

        Source: SigLIP (Zhai et al. 2023), section 3.2: sigmoid(scale * cosine + bias).
        """
        if self.bias is None:
            return None
        return float(1 / (1 + np.exp(-(self.scale * cosine + self.bias))))

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Return a picture as the model wants it."""
        return self._preprocess(image.convert("RGB"))

    def prepare_all(self, requests: Sequence[ScoreRequest]) -> Iterator[torch.Tensor]:
        """Yield what the model wants of each request; what was not prepared is begun at once."""

        def prepared(request: ScoreRequest) -> torch.Tensor:
            ready: torch.Tensor | None = request.prepared
            return self.prepare(request.image) if ready is None else ready

        return self._hands.map(prepared, requests)

    def embed_images(self, pixels: Sequence[torch.Tensor]) -> FloatArray:
        """Return (N, D) float32 unit vectors of N prepared images, in one forward pass."""
        import torch

        with torch.inference_mode():
            batch = torch.stack(list(pixels)).to(self._device)
            vectors = self._model.encode_image(batch, normalize=True)
            found: FloatArray = vectors.float().cpu().numpy()
        return found

    def embed_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return (N, D) float32 unit vectors of N texts, in one forward pass."""
        import torch

        with torch.inference_mode():
            tokens = self._tokenizer(list(texts)).to(self._device)
            found: FloatArray = (
                self._model.encode_text(tokens, normalize=True).float().cpu().numpy()
            )
        return found


class LastUsed(Generic[Key]):
    """Vectors by key; past `size` of them the least recently used goes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Key, FloatArray] = OrderedDict()

    def get(self, key: Key) -> FloatArray | None:
        """Return the vector, if kept, and count this as a use."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Key, vector: FloatArray) -> None:
        """Keep a vector."""
        self._kept[key] = vector
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)


def load_clip(source: ClipSource, *, threads: int | None = None, device: str = "cpu") -> LoadedClip:
    """Build a model with its weights in fp32. Raises ScorerError."""
    try:
        import open_clip
        import torch
    except ImportError as error:
        raise ScorerError(f"open_clip cannot be imported: {one_line(error)}") from error
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            source.architecture,
            pretrained=source.pretrained,
            precision="fp32",
            device=device,
            require_pretrained=True,
            **source.preprocess,
        )
        tokenizer = open_clip.get_tokenizer(source.architecture)
        return LoadedClip(model.eval(), preprocess, tokenizer, source, device)
    except Exception as error:  # open_clip passes on whatever its parts raise
        raise ScorerError(
            f"{source.model}/{source.tag} ({source.weights}) cannot be loaded: {one_line(error)}"
        ) from error


def _card_of(
    source: ClipSource, preprocess: Mapping[str, Any], scale: float, bias: float | None
) -> ScorerCard:
    import open_clip

    facts = dict(source.card.get("facts", {}))
    facts |= {"open_clip": open_clip.__version__, "logit_scale": scale, "logit_bias": bias}
    return ScorerCard(
        name=str(source.card.get("name", f"CLIP {source.model}")),
        model=source.model,
        tag=source.tag,
        weights_sha256=sha256_of(source.weights),
        preprocessing=describe_preprocessing(preprocess),
        applies_to=frozenset(source.card.get("applies_to", ())),
        parts=frozenset(source.card.get("parts", ())),
        words=_words_of(source.card.get("vocabulary", {})),
        side_px=side_of(preprocess),
        facts=facts,
    )


def _words_of(vocabulary: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return the single words of a card's vocabulary, small ones that stand between them too."""
    if not vocabulary:
        return frozenset()
    phrases = " ".join(phrase for phrases in vocabulary.values() for phrase in phrases)
    return frozenset([*re.findall(r"\w+", phrases.casefold()), *SMALL_WORDS])


def size_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of the model's input."""
    size = config["size"]
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def side_of(config: Mapping[str, Any]) -> int:
    """Return the shorter side from which on a picture is only ever made smaller for the model."""
    return max(size_of(config))


def describe_preprocessing(config: Mapping[str, Any]) -> str:
    """Say how an image becomes the model's input: size, resizing, mean and deviation."""
    height, width = size_of(config)
    mean, std = (",".join(f"{value:g}" for value in config[key]) for key in ("mean", "std"))
    return (
        f"{width}x{height} px {config['mode']}, resize {config['resize_mode']} "
        f"{config['interpolation']}, mean {mean}, std {std}"
    )


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield each item when the one after it is there: so that the work in it has begun."""
    for held in items:
        for following in items:
            yield held
            held = following
        yield held


def unit_rows(rows: FloatArray) -> FloatArray:
    """Return the rows at length 1; a zero row stays zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)


def softmax(logits: FloatArray) -> FloatArray:
    """Return (C,) chances of C logits; empty for none."""
    if not logits.size:
        return np.zeros(0, dtype=np.float32)
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), dtype=np.float32)


def class_margin(chances: FloatArray, own: int | None) -> float | None:
    """Return the own class's chance less the best other's; None without an own class.

    A dataset with one class has no other: then the margin is the own chance.
    """
    if own is None:
        return None
    others = np.delete(chances, own)
    return float(chances[own] - (others.max() if others.size else 0.0))


def _known(chance: float | None, cosine: float) -> float:
    return cosine if chance is None else chance
