"""`manage.py train_demo_clip`: train the embedded CLIP on the embedded generator's world."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import ScriptCommand

if TYPE_CHECKING:
    from synthreview.scoring.demo_clip.training import Recipe, State

# torch is imported in the functions below: `manage.py help` imports every command.


class Command(ScriptCommand):
    help = (
        "Train the embedded CLIP on the drawn world and write the folder that the scorer "
        "loads. Takes about 40 CPU-minutes; can be stopped and resumed."
    )
    expected = (ValueError, OSError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        root = Path(settings.BASE_DIR)
        parser.add_argument("--out", type=Path, default=root / "fixtures" / "demo_clip")
        parser.add_argument(
            "--work",
            type=Path,
            default=root / "var" / "demo_clip",
            help="where pictures and the checkpoint are kept (about 700 MB)",
        )
        parser.add_argument(
            "--resume", action="store_true", help="go on from the checkpoint in --work"
        )
        parser.add_argument("--steps", type=int, help="training steps; the recipe's own by default")
        parser.add_argument(
            "--minutes", type=float, help="stop training after this long, to be resumed later"
        )
        parser.add_argument("--seed", type=int, help="decides pictures, captions and weights")
        parser.add_argument("--threads", type=int, default=1, help="threads of torch")
        parser.add_argument("--workers", type=int, default=2, help="processes that draw")
        parser.add_argument(
            "--shards", type=int, help="training pictures, in units of 500; for trials"
        )
        parser.add_argument(
            "--evaluation", type=int, default=1500, help="unseen pictures to measure on"
        )

    def answer_to(
        self,
        *,
        out: Path,
        work: Path,
        resume: bool,
        minutes: float | None,
        workers: int,
        evaluation: int,
        **options: Any,
    ) -> None:
        work.mkdir(parents=True, exist_ok=True)
        state = self._state(work, resume, options)
        self._train(state, work, workers, minutes)
        if state.step < state.recipe.steps:
            facts = {"finished": False, "step": state.step, "steps": state.recipe.steps}
            text = f"Stopped at step {state.step} of {state.recipe.steps}; go on with --resume."
            self.answer(facts, text, options)
            return
        figures = self._ship(state, work, out, evaluation, workers)
        unseen = figures["unseen_seeds"]
        text = f"Wrote {out}: object accuracy {unseen['accuracy']['object']:.3f} on unseen seeds."
        self.answer({"finished": True, "out": str(out), "figures": figures}, text, options)

    def interrupted(self) -> str:
        return "Stopped; go on from the last checkpoint with --resume."

    def _state(self, work: Path, resume: bool, options: dict[str, Any]) -> State:
        from synthreview.scoring.demo_clip import training

        checkpoint = work / "checkpoint.pt"
        if resume:
            if not checkpoint.is_file():
                raise CommandError(f"There is no checkpoint to resume: {checkpoint}")
            return training.resume(checkpoint)
        (work / "training_log.jsonl").unlink(missing_ok=True)
        chosen = {k: options[k] for k in ("steps", "seed", "threads", "shards") if options[k]}
        return training.start(replace(training.Recipe(bf16=training.bf16_is_fast()), **chosen))

    def _draw(self, work: Path, recipe: Recipe, workers: int) -> Path:
        """Draw the training pictures that are missing; note the CPU time in the log."""
        from synthreview.scoring.demo_clip import model, pictures, training

        folder = training.data_folder(work, recipe)
        began, drawn = training.cpu_seconds(), 0
        with self.bar(total=recipe.shards, unit="shards drawn") as bar:
            for _ in pictures.ensure_shards(
                folder, recipe.shards, seed=recipe.seed, kept_px=model.IMAGE_PX, workers=workers
            ):
                drawn += 1
                bar.update()
        if drawn:
            spent = round(training.cpu_seconds() - began, 1)
            line = {"drawn_pictures": drawn * pictures.SHARD_SIZE, "cpu_s": spent}
            with (work / "training_log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line | {"recipe": asdict(recipe)}) + "\n")
        return folder

    def _train(self, state: State, work: Path, workers: int, minutes: float | None) -> None:
        from synthreview.scoring.demo_clip import pictures, training

        recipe = state.recipe
        if state.step >= recipe.steps:
            return
        ends = time.monotonic() + 60 * minutes if minutes else float("inf")
        data = pictures.read_shards(self._draw(work, recipe, workers), recipe.shards)
        with self.bar(total=recipe.steps, unit="steps") as bar:
            bar.update(state.step)
            for figures in training.train(
                state,
                data,
                stop_when=lambda: time.monotonic() > ends,
                checkpoint=work / "checkpoint.pt",
                log=work / "training_log.jsonl",
            ):
                bar.set_postfix(parts=figures["parts"], captions=figures["captions"])
                bar.update()

    def _ship(
        self, state: State, work: Path, out: Path, count: int, workers: int
    ) -> dict[str, Any]:
        from synthreview.scoring.demo_clip import evaluation, shipping
        from synthreview.scoring.scorers.clip import ClipScorer

        shipping.write_model(state, out)
        scorer = ClipScorer(embedded_dir=out)
        figures, groups = evaluation.evaluate(scorer, count=count, seed=1, workers=workers)
        with self.bar(total=4, unit="groups measured") as bar:
            for _ in groups:
                bar.update()
        shipping.finish(state, figures, work / "training_log.jsonl", out)
        return figures
