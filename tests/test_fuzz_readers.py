"""The readers of files that people bring, fuzzed: each file is read or refused in one line.

Captions' files, word lists and the template language have theirs beside their other tests, the
decoder of images in tests/lib/test_decoding.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from synthreview.catalog.dataset_file import DatasetFileError, read_dataset_file
from synthreview.catalog.image_folders import CannotImportError, Report, read_csv
from synthreview.prompting.axis_files import AxisFileError, parse_axes

DEEP = b"a = " + b"[" * 20_000
WORDS = st.sampled_from(
    [b"name", b"slug", b"=", b"[[classes]]", b"[policy]", b'"x"', b"\n", b"{", b"[", b"1e999",
     b"nan", b"-1", b"2026-01-01", b"\0", b"\xff", b"axes", b"values", b".", b"[[axes]]"]
)  # fmt: skip
TOML = st.one_of(st.binary(max_size=200), st.lists(WORDS, max_size=30).map(b"".join))
CSV = st.lists(
    st.sampled_from(
        [b"file", b"class", b",", b";", b"\t", b"\n", b'"', b"../x.png", b"/etc/passwd",
         b"C:\\x.png", b"car", b"a.png", b"\0", b"\xff", b"caption"]
    ), max_size=40,
).map(b"".join)  # fmt: skip

fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def one_line(error: Exception) -> bool:
    return bool(str(error)) and "\n" not in str(error)


@fuzz
@given(TOML)
@example(DEEP)
def test_a_dataset_file(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "dataset.toml"
    file.write_bytes(data)
    try:
        read_dataset_file(file)
    except DatasetFileError as error:
        assert str(file) in str(error)  # noqa: PT017 - the other outcome is right as well


@fuzz
@given(TOML, st.sampled_from(["toml", "csv"]))
@example(DEEP, "toml")
@example(b"a = " + b"{a=" * 20_000, "toml")
def test_a_file_of_word_lists(data: bytes, kind: str) -> None:
    try:
        parse_axes(data, kind=kind)
    except AxisFileError as error:
        assert one_line(error)  # noqa: PT017


@fuzz
@given(CSV)
@example(b'file,class\n"' + b"x" * 200_000)
def test_a_table_of_images_names_nothing_outside_of_its_folder(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "images.csv"
    file.write_bytes(b"file,class\n" + data)
    try:
        found = list(read_csv(file, tmp_path, Report(), techniques=("plain",)))
    except CannotImportError as error:
        assert str(file) in str(error)  # noqa: PT017
    else:
        assert all(one.path.resolve().is_relative_to(tmp_path) for one in found)
