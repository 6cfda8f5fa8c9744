"""The key map is one table: for the pages, their help, each person's settings and the docs."""

from __future__ import annotations

import re
from pathlib import Path

import django_htmx
import pytest
from django.conf import settings
from django.test import Client

from synthreview.accounts.models import Preferences
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review.key_views import bindings_of
from synthreview.review.keys import (
    KEYS,
    Mode,
    Preset,
    UnknownKeyError,
    bindings,
    clashes,
    key_map,
    key_named,
    shown,
)
from synthreview.review.reasons import ALL, REASON_OF_PART, REASONS, reasons_for
from tests.factories import make_user

BASE = Path(settings.BASE_DIR)
DOCUMENT = BASE / "docs" / "reviewing.md"
SCRIPTS = BASE / "static" / "js"
MAX_SCRIPT_BYTES = 100_000
PAGE = "/account/review-keys/"


# --- The table --------------------------------------------------------------------


@pytest.mark.parametrize("preset", [Preset.LETTERS, Preset.CULLING])
@pytest.mark.parametrize("mode", Mode)
def test_every_action_of_a_mode_has_a_key_of_its_own(mode: Mode, preset: Preset) -> None:
    bound = bindings(mode, preset)
    assert {one.action.action for one in bound if one.keys} == {
        action.action for action in KEYS if mode in action.modes
    }
    keys = [key for one in bound for key in one.keys if one.action.action != "pan"]
    assert len(keys) == len(set(keys))


def test_the_presets_are_those_of_the_programs_they_name() -> None:
    letters = key_map(bindings(Mode.FOCUS, Preset.LETTERS))
    culling = key_map(bindings(Mode.FOCUS, Preset.CULLING))
    wanted = {"a": "approve", "x": "reject", " ": "skip", "backspace": "undo", "f": "unsure"}
    assert wanted.items() <= letters.items()
    assert {letters[digit] for digit in "0123456789"} == {"reason"}
    wanted = {"p": "approve", "x": "reject", "u": "unsure", "z": "zoom", "c": "compare"}
    wanted |= {"arrowleft": "undo", "arrowright": "skip"}
    assert wanted.items() <= culling.items()


def test_without_keys_only_help_and_close_remain() -> None:
    for mode in Mode:
        assert set(key_map(bindings(mode, Preset.NONE)).values()) == {"help", "close"}


def test_a_change_replaces_the_keys_of_its_action_and_none_switches_it_off() -> None:
    changes = {"approve": ["j"], "reject": [], "help": ["j"]}
    keys = key_map(bindings(Mode.FOCUS, Preset.LETTERS, changes))
    assert keys["j"] == "approve"
    assert "a" not in keys
    assert "x" not in keys
    assert keys["?"] == "help", "nobody is caught without help"


def test_keys_go_by_the_names_that_people_write() -> None:
    named = {"Space": " ", "←": "arrowleft", "Left": "arrowleft", "A": "a", "enter": "enter"}
    assert {word: key_named(word) for word in named} == named
    for wrong in ("", "ab", "F13", "<b>", "\x07"):
        with pytest.raises(UnknownKeyError, match="is no key"):
            key_named(wrong)


def test_a_clash_is_said_in_words() -> None:
    assert clashes({"approve": ["x"]}, Preset.LETTERS) == ["x would be both Approve and Reject."]
    assert clashes({"approve": ["j"]}, Preset.LETTERS) == []
    assert clashes({"undo": ["arrowleft"]}, Preset.LETTERS) == [], "in a grid the arrow moves"
    assert clashes({}, Preset.CULLING) == []


# --- One's own keys -----------------------------------------------------------------


@pytest.fixture
def rita(db: None, client: Client) -> Client:
    client.force_login(make_user("rita"))
    return client


def fields(client: Client, **changes: str) -> dict[str, str]:
    """Return what the form sends as it stands, with some fields changed."""
    form = client.get(PAGE).context["form"]
    values = {bound.name: bound.value() for bound in form}
    data = {name: "on" if value is True else value for name, value in values.items() if value}
    return {**data, **changes}


def test_a_person_chooses_a_preset_and_single_keys(rita: Client) -> None:
    response = rita.post(PAGE, fields(rita, preset="culling", approve="j Space", skip=""))
    assert response.status_code == 302
    chosen = Preferences.objects.get()
    assert chosen.key_preset == "culling"
    assert chosen.key_changes == {"approve": ["j", " "], "skip": []}, "only what differs is kept"
    keys = key_map(bindings_of(chosen.user, Mode.FOCUS))
    assert (keys["j"], keys["u"], "arrowright" in keys) == ("approve", "unsure", False)
    rita.post(PAGE, fields(rita, approve="p", skip="Right Space"))
    assert Preferences.objects.get().key_changes == {}


def test_a_group_of_keys_can_be_switched_off(rita: Client) -> None:
    data = fields(rita)
    del data["reason"]
    rita.post(PAGE, data)
    assert Preferences.objects.get().key_changes == {"reason": []}
    assert "reason" not in rita.get(PAGE).context["form"].initial


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"approve": "x"}, "x would be both Approve and Reject"),
        ({"approve": "nonsense"}, "is no key"),
        ({"approve": "<script>"}, "is no key"),
        ({"approve": "a\0"}, "Null characters"),
        ({"approve": "b d j k"}, "3 keys at most"),
        ({"approve": "Escape"}, "Escape always closes"),
        ({"preset": "vim"}, "not one of the available choices"),
    ],
)
def test_a_bad_key_is_refused_in_words(rita: Client, given: dict[str, str], problem: str) -> None:
    page = rita.post(PAGE, fields(rita, **given))
    assert page.status_code == 200
    assert problem in page.content.decode()
    assert '<script>"' not in page.content.decode()
    assert not Preferences.objects.exists()


def test_what_another_version_of_the_program_stored_harms_nothing(rita: Client) -> None:
    user = rita.get(PAGE).wsgi_request.user
    Preferences.objects.create(user=user, key_preset="gone", key_changes={"gone": ["a"]})
    assert rita.get(PAGE).status_code == 200
    assert key_map(bindings_of(user, Mode.FOCUS))["?"] == "help"


# --- Reasons ---------------------------------------------------------------------------


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_each_reason_of_a_technique_has_a_digit_of_its_own(technique: str) -> None:
    digits = [reason.key for reason in reasons_for(technique)]
    assert len(digits) == len(set(digits))
    assert set(digits) <= set("0123456789")


def test_a_reason_keeps_its_digit_in_every_technique() -> None:
    codes = [reason.code for reason in ALL]
    assert len(codes) == len(set(codes))
    assert set(REASON_OF_PART.values()) <= set(codes)


def test_codes_on_record_keep_their_names() -> None:
    """Decisions carry these since the first version: no code is ever taken away."""
    known = "wrong_object wrong_place wrong_colour wrong_style missing_part extra_object"
    assert set(f"{known} unreadable not_as_captioned other".split()) <= set(REASONS)


# --- Documentation and scripts -------------------------------------------------------------


def test_the_documentation_lists_every_key() -> None:
    table = [
        f"| {action.label} | {written(action.letters, action.group)} "
        f"| {written(action.culling, action.group)} | {', '.join(action.modes)} | {action.help} |"
        for action in KEYS
    ]
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "\n".join(table) in text, "docs/reviewing.md should hold:\n" + "\n".join(table)


def written(keys: tuple[str, ...], group: str) -> str:
    return " ".join(f"`{key}`" for key in ([group] if group else map(shown, keys)))


def test_the_documentation_lists_every_reason() -> None:
    table = [
        f"| `{reason.key}` | {reason.label} | {', '.join(reason.techniques) or 'all'} "
        f"| `{reason.code}` |"
        for reason in ALL
        if reason.key
    ]
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "\n".join(table) in text, "docs/reviewing.md should hold:\n" + "\n".join(table)


@pytest.mark.parametrize(
    ("script", "modes"),
    [
        ("focus.js", {Mode.FOCUS}),
        ("sheets.js", {Mode.GRID, Mode.COMPARE}),
        ("adjudicate.js", {Mode.ADJUDICATE}),
    ],
)
def test_the_scripts_do_every_action(script: str, modes: set[Mode]) -> None:
    source = (SCRIPTS / "review" / script).read_text(encoding="utf-8")
    body = source[source.index("const actions = {") :]
    done = set(re.findall(r"^  (\w+)[:,]", body[: body.index("};")], re.MULTILINE))
    wanted = {action.action for action in KEYS if modes & set(action.modes)} - {"pan"}
    assert wanted <= done


@pytest.mark.parametrize("page", ["focus.js", "sheets.js"])
def test_the_scripts_of_a_review_page_stay_small(page: str) -> None:
    """All that the page loads, uncompressed, htmx with it."""
    shipped = Path(django_htmx.__file__).parent / "static" / "django_htmx"
    shared = ["app.js", "theme.js", "review/outbox.js", "review/table.js", "review/keys.js"]
    loaded = [SCRIPTS / name for name in [*shared, f"review/{page}"]]
    size = sum(path.stat().st_size for path in [shipped / "htmx-2.min.js", *loaded])
    assert size < MAX_SCRIPT_BYTES
