"""What a reviewer sends: verdicts on cards by their tokens, and how they like to work."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, Self

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from synthreview.accounts.models import Preferences
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review.keys import (
    KEYS,
    KEYS_PER_ACTION,
    PRESETS,
    KeyAction,
    Preset,
    UnknownKeyError,
    clashes,
    key_named,
    shown,
)
from synthreview.review.models import FINAL_VERDICTS, SAYABLE, Verdict
from synthreview.review.reasons import NOT_THE_BEST, REASONS
from synthreview.review.services import Answer

MAX_DECISION = 2**62
MOST_TOKENS = 200
MOST_AHEAD = 12
MOST_SLOTS = 20
SIZES = (6, 12, 24, 36, 48)
SIZE = 24


class Shared:
    """Mixed into a field that all forms share: copying it took longer than all that it checks."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class SharedChoiceField(Shared, forms.ChoiceField):
    pass


class SharedUUIDField(Shared, forms.UUIDField):
    pass


class ReasonsField(Shared, forms.MultipleChoiceField):
    """Codes of reasons."""

    def __init__(self) -> None:
        super().__init__(choices=list(REASONS.items()), required=False)


class TokenListField(forms.MultipleChoiceField):
    """The tokens of cards that lie open on one page; each once."""

    def clean(self, value: Any) -> list[uuid.UUID]:
        tokens = list(dict.fromkeys(value or []))
        if len(tokens) > MOST_TOKENS:
            raise forms.ValidationError(f"A page holds {MOST_TOKENS} cards at most.")
        if self.required and not tokens:
            raise forms.ValidationError("Name at least one card.")
        try:
            return [uuid.UUID(token) for token in tokens]
        except (ValueError, AttributeError, TypeError) as error:
            raise forms.ValidationError("A token of a card is no UUID.") from error


class NoteField(Shared, forms.CharField):
    """What a reviewer writes beside their answer."""

    def __init__(self) -> None:
        super().__init__(
            max_length=500, required=False, validators=[ProhibitNullCharactersValidator()]
        )


class SecondsField(Shared, forms.FloatField):
    """How long a card was in sight; 0 where the page did not say."""

    def __init__(self) -> None:
        super().__init__(min_value=0, required=False)

    def clean(self, value: Any) -> float:
        return super().clean(value) or 0.0


class SlotListField(Shared, forms.MultipleChoiceField):
    """Slots of a caption by name; each once."""

    def clean(self, value: Any) -> list[str]:
        slots = list(dict.fromkeys(value or []))
        if len(slots) > MOST_SLOTS or any(len(slot) > 40 or "\0" in slot for slot in slots):
            raise forms.ValidationError("The caption has no such slots.")
        return slots


class DecisionForm(forms.Form):
    """One decision. Fields that are not named here are ignored."""

    verdict = SharedChoiceField(choices=[(verdict, verdict) for verdict in SAYABLE])
    token = SharedUUIDField()
    reasons = ReasonsField()
    wrong = SlotListField(required=False)
    note = NoteField()
    seconds = SecondsField()

    def answer(self) -> Answer:
        """Return what was said, as the services take it."""
        said = self.cleaned_data
        return Answer(
            said["token"],
            said["verdict"],
            said["reasons"],
            said["note"],
            said["seconds"],
            said["wrong"],
        )


class ChangeForm(forms.Form):
    """Another verdict in the place of the decision that carries this token."""

    verdict = forms.ChoiceField(choices=[(verdict, verdict) for verdict in FINAL_VERDICTS])
    decision = forms.UUIDField()
    token = forms.UUIDField()


class ExampleForm(forms.Form):
    """What an example of the guideline shows, in a few words."""

    note = forms.CharField(
        max_length=120, required=False, validators=[ProhibitNullCharactersValidator()]
    )


class UndoForm(forms.Form):
    """The undo's own token, so that it is done once however often it is sent."""

    token = forms.UUIDField()


class RoundForm(forms.Form):
    """Which skipped images are offered again: those skipped up to this decision."""

    skipped_until = forms.IntegerField(min_value=0, max_value=MAX_DECISION, required=False)


class TokensForm(forms.Form):
    """Which cards are still open."""

    tokens = TokenListField()


class MoreForm(forms.Form):
    """Which cards the page has, and how many more it wants."""

    tokens = TokenListField(required=False)
    count = forms.IntegerField(min_value=1, max_value=MOST_AHEAD, required=False)


class SheetForm(forms.Form):
    """Which grid is wished for. What is not given or not offered, the page chooses."""

    size = forms.TypedChoiceField(
        label="Images",
        choices=[(size, str(size)) for size in SIZES],
        coerce=int,
        required=False,
    )
    of = forms.ChoiceField(label="Of", required=False)
    marks = forms.ChoiceField(
        label="I mark",
        choices=[("wrong", "the wrong ones"), ("good", "the good ones")],
        required=False,
    )

    def __init__(self, data: Any, *, dataset: Dataset) -> None:
        self._classes = {label.slug: label for label in dataset.classes.all()}
        super().__init__({"size": SIZE, "marks": "wrong", **data.dict()})
        of: Any = self.fields["of"]
        of.choices = [
            (f"{slug}:{key}", f"{label.name}, {technique.title.lower()}")
            for slug, label in self._classes.items()
            for key, technique in TECHNIQUES.items()
        ]
        self.is_valid()

    def offer(self, kinds: Collection[tuple[str, str]]) -> None:
        """Offer of all classes and techniques only `kinds`, and what was chosen."""
        of: Any = self.fields["of"]
        offered = {f"{slug}:{technique}" for slug, technique in kinds} | {self["of"].value()}
        of.choices = [("", "whatever comes next")] + [
            (value, title) for value, title in of.choices if value in offered
        ]

    @property
    def wished_size(self) -> int:
        return self.cleaned_data.get("size") or SIZE

    @property
    def marks_good(self) -> bool:
        return self.cleaned_data.get("marks") == "good"

    def kind(self) -> tuple[LabelClass | None, str | None]:
        """Return the class and technique wished for; none of both: whatever comes next."""
        slug, _, technique = self.cleaned_data.get("of", "").partition(":")
        return (self._classes[slug], technique) if technique else (None, None)


class GridForm(forms.Form):
    """What was said of a grid: which images are marked, which unsure, and what a mark means."""

    tokens = TokenListField()
    marked = TokenListField(required=False)
    unsure = TokenListField(required=False)
    marks = forms.ChoiceField(choices=[("wrong", "wrong"), ("good", "good")])
    reason = forms.ChoiceField(choices=[("", ""), *REASONS.items()], required=False)
    seconds = SecondsField()

    def clean(self) -> dict[str, Any]:
        """Read each image's own reason, which stands in `reason-TOKEN`."""
        cleaned: dict[str, Any] = self.cleaned_data
        own = {}
        for token in cleaned.get("tokens", []):
            if code := self.data.get(f"reason-{token}", ""):
                if code not in REASONS:
                    raise forms.ValidationError(f"{code[:40]!r} is no reason.")
                own[token] = code
        cleaned["own_reasons"] = own
        return cleaned

    def answers(self) -> list[Answer]:
        """Return what was said of each image; the time is shared out evenly."""
        said = self.cleaned_data
        marked, unsure = set(said["marked"]), set(said["unsure"])
        answers = []
        for token in said["tokens"]:
            is_good = (token in marked) == (said["marks"] == "good")
            verdict = Verdict.APPROVE if is_good else Verdict.REJECT
            if token in unsure:
                verdict = Verdict.UNSURE
            reason = said["own_reasons"].get(token) or said["reason"]
            answers.append(
                Answer(
                    token=token,
                    verdict=verdict,
                    reasons=[reason] if reason and verdict == Verdict.REJECT else [],
                    seconds=said["seconds"] / len(said["tokens"]),
                )
            )
        return answers


class BestForm(forms.Form):
    """Which of some siblings is the best; none of them, or all left to somebody else."""

    tokens = TokenListField()
    best = forms.UUIDField(required=False)
    verdict = forms.ChoiceField(
        choices=[("best", "best"), (Verdict.REJECT, "none"), (Verdict.SKIP, "skip")]
    )
    seconds = SecondsField()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        wants_best = cleaned.get("verdict") == "best"
        if wants_best and cleaned.get("best") not in cleaned.get("tokens", []):
            raise forms.ValidationError("Choose the best one, or say that none will do.")
        return cleaned

    def answers(self) -> list[Answer]:
        """Return what was said of each image; the time is shared out evenly."""
        said = self.cleaned_data
        seconds = said["seconds"] / len(said["tokens"])
        if said["verdict"] != "best":
            return [Answer(token, said["verdict"], seconds=seconds) for token in said["tokens"]]
        return [
            Answer(token, Verdict.APPROVE, seconds=seconds)
            if token == said["best"]
            else Answer(token, Verdict.REJECT, [NOT_THE_BEST], seconds=seconds)
            for token in said["tokens"]
        ]


class KeysForm(forms.Form):
    """A preset, and for each action its keys where a person wants others; none: switched off.

    What equals the preset is not stored, so that a later preset still reaches it.
    """

    preset = forms.ChoiceField(
        label="Begin with",
        choices=[(key.value, title) for key, title in PRESETS.items()],
        widget=forms.RadioSelect,
    )

    def __init__(self, data: Any = None, *, preferences: Preferences) -> None:
        self.preferences = preferences
        preset = preferences.key_preset if preferences.key_preset in PRESETS else Preset.LETTERS
        super().__init__(data, initial={"preset": preset})
        for action in KEYS:
            if action.is_fixed:
                continue
            keys = preferences.key_changes.get(action.action, action.keys_in(preset))
            self.fields[action.action] = _key_field(action, keys)

    def action_fields(self) -> list[tuple[KeyAction, forms.BoundField]]:
        """Return each action that can be changed with its field, in the order of the table."""
        return [(action, self[action.action]) for action in KEYS if not action.is_fixed]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        preset = cleaned.get("preset", "")
        if self.errors:
            return cleaned
        was = self.preferences.key_preset
        changes = {}
        for action in KEYS:
            if action.is_fixed:
                continue
            keys = _keys_of(action, cleaned[action.action])
            # A field that was left as the old preset had it follows the new one.
            untouched = keys == action.keys_in(was) and action.action not in (
                self.preferences.key_changes
            )
            if not untouched and keys != action.keys_in(preset):
                changes[action.action] = list(keys)
        for clash in clashes(changes, preset):
            self.add_error(None, clash)
        cleaned["changes"] = changes
        return cleaned

    def save(self) -> Preferences:
        self.preferences.key_preset = self.cleaned_data["preset"]
        self.preferences.key_changes = self.cleaned_data["changes"]
        self.preferences.save()
        return self.preferences


class KeyListField(forms.CharField):
    """Up to three keys, written as they are shown, parted by spaces."""

    def clean(self, value: Any) -> tuple[str, ...]:
        words = super().clean(value).split()
        try:
            keys = tuple(dict.fromkeys(key_named(word) for word in words))
        except UnknownKeyError as error:
            raise forms.ValidationError(str(error)) from error
        if len(keys) > KEYS_PER_ACTION:
            raise forms.ValidationError(f"Give {KEYS_PER_ACTION} keys at most.")
        if "escape" in keys:
            raise forms.ValidationError("Escape always closes what is open; take another key.")
        return keys


def _key_field(action: KeyAction, keys: Any) -> forms.Field:
    if action.group:
        return forms.BooleanField(label=action.label, required=False, initial=bool(keys))
    field = KeyListField(
        label=action.label,
        required=False,
        max_length=60,
        validators=[ProhibitNullCharactersValidator()],
    )
    field.initial = " ".join(shown(key) for key in keys)
    field.widget.attrs |= {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}
    return field


def _keys_of(action: KeyAction, value: Any) -> tuple[str, ...]:
    if action.group:
        return action.letters if value else ()
    keys: tuple[str, ...] = value
    return keys


def first_error(form: forms.Form) -> str:
    """Return what is wrong with the form, in one sentence that names the field."""
    field, errors = next(iter(form.errors.items()))
    detail: Any = errors[0]
    return f"The decision was not taken ({field}: {detail})"
