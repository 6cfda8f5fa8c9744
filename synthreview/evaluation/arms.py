"""What is compared: each arm is a choice of training images. No Django here."""

from __future__ import annotations

from dataclasses import dataclass

from synthreview.evaluation.frozen import Frozen, Part, kept_by_lot

REAL, SYNTHETIC, BOTH, UNREVIEWED = "real", "synthetic", "both", "unreviewed"
WITHOUT = "without:"


@dataclass(frozen=True, slots=True)
class Arm:
    """A choice of training images: the real ones or not, and which of ours.

    `pool` is "approved", "drawn" or empty; `without` names a technique that stays out of it.
    """

    name: str
    title: str
    with_real: bool
    pool: str = ""
    without: str = ""


def arms_of(frozen: Frozen, *, with_unreviewed: bool) -> list[Arm]:
    """Return the arms that the images allow, in the order in which a report shows them.

    Without real training images the synthetic ones stand alone, in every arm.
    """
    has_real, has_ours = bool(len(frozen.real)), bool(len(frozen.approved))
    arms = []
    if has_real:
        arms.append(Arm(REAL, "real only", True))
    if has_ours:
        arms.append(Arm(SYNTHETIC, "synthetic only", False, "approved"))
    if has_real and has_ours:
        arms.append(Arm(BOTH, "real and synthetic", True, "approved"))
    used = sorted(set(frozen.approved.techniques))
    if len(used) > 1:  # of one technique nothing would be left
        arms += [
            Arm(
                WITHOUT + frozen.techniques[number],
                f"without {frozen.techniques[number]}",
                has_real,
                "approved",
                frozen.techniques[number],
            )
            for number in used
        ]
    if with_unreviewed and len(frozen.drawn):
        words = "real and all drawn, unreviewed" if has_real else "all drawn, unreviewed"
        arms.append(Arm(UNREVIEWED, words, has_real, "drawn"))
    return arms


def base_and_main(arms: list[Arm]) -> tuple[Arm | None, Arm | None]:
    """Return what the verdict compares: real only, and real with the synthetic ones."""
    by_name = {arm.name: arm for arm in arms}
    return by_name.get(REAL), by_name.get(BOTH)


def full_arm(arms: list[Arm]) -> Arm:
    """Return the arm that holds everything approved: the others are compared with it."""
    by_name = {arm.name: arm for arm in arms}
    return by_name.get(BOTH) or by_name.get(SYNTHETIC) or arms[0]


def training_part(frozen: Frozen, arm: Arm, seed: int) -> Part:
    """Return what an arm trains on with a seed: nine in ten of its images."""
    parts = [frozen.real] if arm.with_real else []
    if arm.pool:
        pool = frozen.approved if arm.pool == "approved" else frozen.drawn
        parts.append(pool)
    kept = [part.of(kept_by_lot(part, seed)) for part in parts]
    if arm.without:
        out = list(frozen.techniques).index(arm.without)
        last = kept[-1]
        kept[-1] = last.of(at for at, number in enumerate(last.techniques) if number != out)
    return Part(
        [pk for part in kept for pk in part.ids],
        [sha256 for part in kept for sha256 in part.sha256],
        [label for part in kept for label in part.labels],
    )
