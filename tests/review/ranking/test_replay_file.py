"""A file with known truth is read whole, or refused with the numbers of its bad lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthreview.review.ranking.replay_file import ReplayFileError, read_known_images

HEADER = "image,group,label_class,technique,generator,score,score_vqa,axis_place,bad,note\n"
GOOD = HEADER + "a,A car,car,plain,sketch,0.3,,beach,1,x\nb,A car,car,plain,sketch,,0.5,,0,\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "known.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_becomes_columns(tmp_path: Path) -> None:
    known = read_known_images(write(tmp_path, GOOD))
    assert known.names == ["a", "b"]
    assert known.is_bad.tolist() == [True, False]
    assert list(known.table.scores) == ["score", "score_vqa"]
    assert np.isnan(known.table.scores["score"]).tolist() == [False, True]
    assert known.table.kind("caption").tolist() == [0, 0]
    assert known.table.kind("axis_place").tolist() == [0, -1]
    assert "note" not in {*known.table.scores, *known.table.kinds}


def test_only_image_score_and_bad_are_needed(tmp_path: Path) -> None:
    known = read_known_images(write(tmp_path, "\ufeffbad,score,image\n1,0.1,a\n0,0.2,b\n"))
    assert known.table.kinds == {}
    assert len(known.table) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,score\na,1\n", "line 1: the column bad is missing"),
        ("image,score,bad,bad\n", "line 1: the column bad is there twice"),
        ("image,score,bad\na,1\n", "line 2: 2 fields where the header has 3"),
        ("image,score,bad\na,1,1\n,1,0\n", "line 3: image is empty"),
        ("image,score,bad\na,1,1\na,1,0\n", "line 3: image 'a' is in line 2 already"),
        ("image,score,bad\na,1,1\nb,1,yes\n", "line 3: bad is 'yes', not 0 or 1"),
        ("image,score,bad\na,one,1\n", "line 2: score is 'one', not a number"),
        ("image,score,bad\na,inf,1\n", "line 2: score is 'inf', not a number"),
        ("image,score,bad\na,1,1\nb,nan,0\n", "line 3: score is 'nan', not a number"),
        ("image,score,bad\n", "holds no image"),
        ("image,score,bad\na,1,1\nb,1,1\n", "all its images are bad"),
        ("image,score,bad\na,1,0\n", "all its images are good"),
        ('image,score,bad\n"a,1,1\n', "cannot be read as CSV"),
        (b"image,score,bad\n\xff\xfe,1,1\n", "cannot be read as CSV"),
        ("", "line 1: the column image, score, bad is missing"),
    ],
)
def test_a_bad_file_is_refused_with_its_lines(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ReplayFileError, match=r"known\.csv") as refused:
        read_known_images(write(tmp_path, text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_first_twenty_bad_lines_are_named(tmp_path: Path) -> None:
    text = "image,score,bad\n" + "".join(f"i{n},x,1\n" for n in range(30))
    with pytest.raises(ReplayFileError) as refused:
        read_known_images(write(tmp_path, text))
    assert "line 21: " in str(refused.value)
    assert "line 22: " not in str(refused.value)
    assert "maybe more" in str(refused.value)


def test_embeddings_go_row_for_row(tmp_path: Path) -> None:
    path = tmp_path / "known.npy"
    np.save(path, np.ones((2, 4), dtype=np.float16))
    known = read_known_images(write(tmp_path, GOOD), path)
    assert known.table.embedding is not None
    assert known.table.embedding.shape == (2, 4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.ones((3, 4)), "holds 3 vectors of 4 numbers, and there are 2 images"),
        (np.ones(2), "no table of floating-point vectors"),
        (np.array([[1, 2], [3, 4]]), "no table of floating-point vectors"),
        (np.array([[1.0, np.nan], [1.0, 1.0]]), "not finite"),
        (np.array([["a", "b"], ["c", "d"]]), "no table of floating-point vectors"),
        (np.array([[{}, {}], [{}, {}]], dtype=object), "cannot be read as .npy"),
        (b"no numpy file", "cannot be read as .npy"),
        (b"", "cannot be read as .npy"),
    ],
)
def test_wrong_embeddings_are_refused(
    tmp_path: Path, content: np.ndarray | bytes, said: str
) -> None:
    path = tmp_path / "known.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(ReplayFileError) as refused:
        read_known_images(write(tmp_path, GOOD), path)
    assert said in str(refused.value)
