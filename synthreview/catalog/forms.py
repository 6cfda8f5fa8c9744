"""Forms of the catalog: what people may type, checked at the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator

from synthreview.accounts.models import User
from synthreview.catalog.models import Axis, AxisValue, Dataset, LabelClass, QualityPolicy
from synthreview.catalog.permissions import Role
from synthreview.lib.licences import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_VALUES = 500
LONGEST_KEY = 18  # digits
LONGEST_NAME = AxisValue._meta.get_field("name").max_length or 0
LONGEST_PHRASE = AxisValue._meta.get_field("phrase").max_length or 0


class InvitationForm(forms.Form):
    """Whom to invite, as what, and for how long."""

    invited_role = forms.ChoiceField(label="Role", choices=Role.choices, initial=Role.REVIEWER)
    note = forms.CharField(
        label="For whom",
        required=False,
        max_length=120,
        help_text="Only admins see it, to tell links apart.",
    )
    days = forms.IntegerField(label="Days until it expires", min_value=1, max_value=60, initial=7)


class PercentField(forms.FloatField):
    """A share of one, shown and typed as a percentage."""

    def __init__(self, *, least: float, most: float, **kwargs: Any) -> None:
        self.least, self.most = least, most
        super().__init__(**kwargs)
        self.validators += [
            MinValueValidator(least / 100, f"Choose {least:g} %% or more."),
            MaxValueValidator(most / 100, f"Choose {most:g} %% or less."),
        ]
        self.widget.attrs |= {"min": f"{least:g}", "max": f"{most:g}", "step": "any"}

    def prepare_value(self, value: Any) -> Any:
        # What was typed comes back as text, and a stored share as a number.
        return f"{round(value * 100, 6):g}" if isinstance(value, float) else value

    def to_python(self, value: Any) -> float | None:  # type: ignore[override]
        percent = super().to_python(value)
        return None if percent is None else percent / 100


class ClassesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Some of a dataset's classes, as checkboxes."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(LabelClass.objects.none(), **kwargs)
        self.error_messages["required"] = "Choose one class or more."

    def clean(self, value: Any) -> Any:
        if any(len(str(pk)) > LONGEST_KEY for pk in value or ()):
            # Django asks the database, and SQLite breaks off at such a number.
            raise forms.ValidationError("This is no class of the dataset.")
        return super().clean(value)


class DatasetForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Dataset
        fields = ("name", "description", "licence")
        widgets = {
            "description": forms.Textarea(attrs={"rows": 3}),
            "licence": forms.TextInput(attrs={"list": "licences"}),
        }
        help_texts = {
            "description": "What the images are for. It goes into every export.",
            "licence": "Under which terms the images leave: one of the list, such as cc-by-4.0, or "
            "your own words. It goes into every export; terms of the generators may set limits.",
        }
        error_messages = {"name": {"unique": "There is a dataset of this name already."}}

    licences = tuple(KNOWN.values())


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    target_error = PercentField(
        label="Label errors at most (%)", least=0.01, most=50, help_text="What the dataset aims at."
    )
    confidence = PercentField(
        label="Confidence (%)", least=50, most=99.99, help_text="How sure you want to be of that."
    )
    audit_share = PercentField(
        label="Audits (%)",
        least=0,
        most=100,
        help_text="While a certificate runs: so many of the cards are drawn by lot.",
    )
    gold_share = PercentField(
        label="Known answers (%)",
        least=0,
        most=50,
        help_text="So many of the cards have a known answer, chosen on the page of reviewers.",
    )

    asked_share = PercentField(
        label="Ask a vision model (%)",
        least=0,
        most=100,
        help_text="About so many of the images, paid from the budget. Needs SYNTHREVIEW_VQA_MODEL.",
    )

    class Meta:
        model = QualityPolicy
        fields = (
            "target_error",
            "confidence",
            "reviews_per_image",
            "lease_minutes",
            "audit_share",
            "adapts_audit_share",
            "gold_share",
            "asked_share",
            "asks_doubtful",
            "blind_scores",
            "accepts_unseen",
            "is_high_risk",
        )
        labels = {
            "reviews_per_image": "Reviews per image",
            "lease_minutes": "Minutes per image",
            "adapts_audit_share": "Adapt the audits",
            "asks_doubtful": "Ask about doubtful ones",
            "blind_scores": "Hide scores from reviewers",
            "accepts_unseen": "Accept what nobody looked at",
            "is_high_risk": "High risk",
        }
        help_texts = {
            "reviews_per_image": "By different people. Holds for images that come from now on.",
            "lease_minutes": "Then an unanswered image goes back to the queue.",
            "adapts_audit_share": (
                "Shift the share by itself, so that the target is reached with the fewest looks."
            ),
            "asks_doubtful": "Those of the lowest score; else a sample of all.",
            "blind_scores": "A score seen before deciding pulls the decision towards it.",
            "accepts_unseen": (
                "Export unreviewed images too, once the certificate meets the target."
            ),
            "is_high_risk": (
                "Two people or more and an adjudicator approve each image, those here already too."
            ),
        }


class ClassForm(forms.ModelForm):  # type: ignore[type-arg]
    """One class of `dataset`, new or known."""

    synonyms = forms.CharField(
        required=False, max_length=500, help_text="Other words for it, with commas between."
    )

    class Meta:
        model = LabelClass
        fields = (
            "name",
            "synonyms",
            "definition",
            "guideline",
            "target_count",
            "is_none_of_these",
        )
        labels = {"target_count": "Images wanted", "is_none_of_these": "“None of these”"}
        help_texts = {
            "name": "As it stands in a caption: “car”, “Dalmatian”.",
            "definition": "One sentence that says what counts.",
            "guideline": "What reviewers look at: what is right, what is wrong, borderline cases. "
            "Example images are chosen on the page of an image, once it is decided.",
            "is_none_of_these": "For images that show none of the other classes. One at most.",
        }
        widgets = {
            "definition": forms.Textarea(attrs={"rows": 2}),
            "guideline": forms.Textarea(attrs={"rows": 4}),
        }

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.others = dataset.classes.exclude(pk=self.instance.pk)
        self.initial["synonyms"] = ", ".join(self.instance.synonyms)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self.others.filter(name__iexact=name).exists():
            raise forms.ValidationError("There is a class of this name already.")
        return name

    def clean_synonyms(self) -> list[str]:
        words = (word.strip() for word in self.cleaned_data["synonyms"].split(","))
        return list(dict.fromkeys(word for word in words if word))

    def clean_is_none_of_these(self) -> bool:
        is_none: bool = self.cleaned_data["is_none_of_these"]
        taken = self.others.filter(is_none_of_these=True).first() if is_none else None
        if taken:
            raise forms.ValidationError(f"{taken.name} is this already.")
        return is_none


class MemberForm(forms.Form):
    """A person to take into `dataset`, by user name."""

    username = forms.CharField(label="User name", max_length=150)
    role = forms.ChoiceField(choices=Role, initial=Role.REVIEWER)

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset = dataset

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        self.user = User.objects.filter(username=username, is_active=True).first()
        if self.user is None:
            raise forms.ValidationError(
                "There is no user of this name. The site's administrator can add one."
            )
        if self.dataset.memberships.filter(user=self.user).exists():
            raise forms.ValidationError(f"{username} is a member already: change the role below.")
        return username


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role)


class AxisForm(forms.Form):
    """One axis of `dataset`; each line of `values` is `name | phrase | class, class`."""

    name = forms.CharField(
        max_length=40,
        help_text="As it stands in a template: {environment}.",
        validators=[
            RegexValidator(
                r"^[a-z][a-z0-9_-]*$", "Use small letters, digits, - and _, a letter first."
            )
        ],
    )
    values = forms.CharField(
        required=False,
        max_length=60_000,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "class": "mono"}),
    )

    def __init__(
        self, *args: Any, dataset: Dataset, axis: Axis | None = None, **kwargs: Any
    ) -> None:
        prefix = f"axis-{axis.pk}" if axis else "new"
        super().__init__(*args, **kwargs | {"prefix": prefix})
        self.dataset, self.axis = dataset, axis
        self.fields["values"].label = f"Values of {axis.name}" if axis else "Values"
        if axis:
            del self.fields["name"]
            self.initial["values"] = "\n".join(map(_as_line, axis.values.all()))

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name == "class":
            raise forms.ValidationError("“class” stands for the class itself in every template.")
        if self.dataset.axes.filter(name=name).exists():
            raise forms.ValidationError("There is an axis of this name already.")
        return name

    def clean_values(self) -> list[dict[str, Any]]:
        class_names = list(self.dataset.classes.values_list("name", flat=True))
        return parse_values(self.cleaned_data["values"], class_names)


def _as_line(value: AxisValue) -> str:
    classes = ", ".join(label_class.name for label_class in value.classes.all())
    return " | ".join([value.name, value.phrase, classes]).replace("|  |", "| |").rstrip(" |")


def parse_values(text: str, class_names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the axis values of lines `name | phrase | class, class`.

    Raises ValidationError with one message for each line that is wrong.
    """
    names = sorted(class_names, key=len, reverse=True)
    values: list[dict[str, Any]] = []
    errors = []
    seen: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, phrase, classes = ([part.strip() for part in line.split("|", 2)] + ["", ""])[:3]
        try:
            _check_value(name, phrase, seen)
            values.append({"name": name, "phrase": phrase, "classes": _named(classes, names)})
        except ValueError as error:
            errors.append(f"Line {number}: {error}")
        seen.add(name)
    if len(values) > MAX_VALUES:
        errors.append(f"At most {MAX_VALUES} values; these are {len(values)}.")
    if errors:
        raise forms.ValidationError(errors[:10])
    return values


def _check_value(name: str, phrase: str, seen: set[str]) -> None:
    if not name:
        raise ValueError("the name is missing.")
    if name in seen:
        raise ValueError(f"{name} stands there twice.")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the name is longer than {LONGEST_NAME} characters.")
    if len(phrase) > LONGEST_PHRASE:
        raise ValueError(f"the phrase is longer than {LONGEST_PHRASE} characters.")


def _named(text: str, names: list[str]) -> list[str]:
    """Return the classes that `text` lists; a name may itself contain commas."""
    found: list[str] = []
    rest = text.strip()
    while rest:
        name = next((name for name in names if f"{rest},".startswith(f"{name},")), None)
        if name is None:
            raise ValueError(f"there is no class {rest.split(',')[0]!r}.")
        found.append(name)
        rest = rest[len(name) :].lstrip(" ,")
    return found
