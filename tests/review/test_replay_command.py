"""`manage.py replay`: figures for people and for scripts, and one line for every bad file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

# Lowest first the bad are the 1st, 2nd, 4th, 7th and 10th image.
LINES = [
    f"i{n},{'ab'[n > 4]},{0.1 * n:.1f},{0.5 - 0.1 * n:.1f},{bad}"
    for n, bad in enumerate([1, 1, 0, 1, 0, 0, 1, 0, 0, 1])
]


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "ten.csv"
    path.write_text("\n".join(["image,group,score,score_other,bad", *LINES]) + "\n")
    return path


def answer(*arguments: object, **options: object) -> str:
    out = io.StringIO()
    call_command("replay", *map(str, arguments), stdout=out, **options)
    return out.getvalue()


def test_json_has_every_figure(known: Path) -> None:
    found = json.loads(answer(known, "--seeds", 3, "--json"))
    assert (found["file"], found["images"], found["bad"], found["seeds"]) == ("ten.csv", 10, 5, 3)
    assert list(found["policies"]) == ["random", "lowest", "rank", "learned", "perfect"]
    lowest = found["policies"]["lowest"]
    assert lowest["share_to_find"]["0.8"] == {"mean": 0.7, "low": 0.7, "high": 0.7}
    assert list(lowest["found_after"]) == ["0.1", "0.2", "0.5"]
    assert list(lowest["reviews_to_certify"]) == ["0.05", "0.02", "0.01"]
    assert lowest["reviews_to_certify"]["0.01"]["mean"] <= 10
    # Of 25 pairs, 15 have the bad below the good: 5 + 5 + 4 + ... by the places 1, 2, 4, 7, 10.
    assert found["auroc"]["score"]["value"] == (5 + 5 + 4 + 2 + 0) / 25
    assert found["auroc"]["score_other"]["value"] == 1 - 16 / 25


def test_policies_and_scores_are_chosen(known: Path) -> None:
    found = json.loads(
        answer(
            known,
            *("--policy", "lowest", "--leave-out", "score_other", "--no-certificate", "--json"),
        )
    )
    assert list(found["policies"]) == ["lowest", "perfect"]
    assert list(found["auroc"]) == ["score"]
    assert found["policies"]["lowest"]["reviews_to_certify"] == {}


def test_people_get_a_table(known: Path) -> None:
    said = answer(known, "--seeds", 1)
    assert "10 images, 5 of them bad (50.0%)" in said
    assert "perfect       0.400    0.500" in said
    assert "score_other" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0"], "--seeds 0: choose 1 to 1,000"),
        (["--leave-out", "score"], "--leave-out score: beside the main score there are"),
        (["--embeddings", "nowhere.npy"], "nowhere.npy cannot be read"),
    ],
)
def test_wrong_wishes_are_one_line(known: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        answer(known, *arguments)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.csv cannot be read"):
        answer(tmp_path / "none.csv")
