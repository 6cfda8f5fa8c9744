"""What every form asks that has images drawn: by which generator, how large, with what options.

Who can do what is asked is told by name, and so is who cannot.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.http import QueryDict

from synthreview.catalog.forms import PercentField
from synthreview.generation.generators.base import INPUTS, KEEPS_SIZE, TEXT, Option
from synthreview.generation.models import service_of
from synthreview.generation.services import generator
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.spending.gates import gate_of
from synthreview.spending.models import ServiceGate

PREFIX = "option_"
USUAL_PX = 512


@dataclass(frozen=True, slots=True)
class Offer:
    """One generator for one capability: able by itself, by emulation, or not at all.

    `does` are the capabilities that it has instead, by their titles, where it is not able.
    """

    alias: str
    title: str
    is_able: bool
    emulation: str = ""
    does: str = ""


def offers_of(capability: str) -> list[Offer]:
    """Return every generator of the settings with what it says of a capability."""
    offers = []
    for alias in settings.GENERATORS:
        chosen = generator(alias)
        can = chosen.capabilities()
        does = ", ".join(title_of(name) for name in INPUTS if name in can.able)
        how = can.emulated.get(capability, "")
        offers.append(Offer(alias, chosen.title, capability in can.able, how, does))
    return offers


def title_of(capability: str) -> str:
    """Return what pages call a capability."""
    if capability == TEXT:
        return "images from captions"
    return TECHNIQUES[capability].title.lower()


def initial_of(given: QueryDict, *, multiple: Collection[str]) -> dict[str, Any]:
    """Return what an address fills into a form: a technique, an image, a generator."""
    return {key: given.getlist(key) if key in multiple else given[key] for key in given}


class DrawForm(forms.Form):
    """A form with fields for the generator, the size and the generator's own options."""

    generator = forms.ChoiceField()
    size_px = forms.TypedChoiceField(label="Size", coerce=int)
    capability: str = TEXT
    offered: tuple[Option, ...] = ()

    def add_generators(self, capability: str) -> None:
        """Offer the generators that can do it; call it last, for what is chosen adds fields."""
        self.capability = capability
        self.offers = offers_of(capability)
        able = [offer for offer in self.offers if offer.is_able]
        nobody = f"No generator here can do {title_of(capability)}."
        self.fields["generator"] = forms.ChoiceField(
            choices=[(offer.alias, offer.title) for offer in able],
            error_messages={"required": nobody, "invalid_choice": self._cannot()},
        )
        self.initial = {"generator": able[0].alias if able else "", **self.initial}
        self._add_size()
        self._add_options()

    @property
    def given_generator(self) -> str:
        """What the address or the form names, whether it is known or not."""
        return str((self.data or {}).get("generator") or self.initial.get("generator") or "")

    @property
    def chosen_generator(self) -> str:
        """The alias that is chosen now, or the first that is able; empty where none is."""
        able = [offer.alias for offer in self.offers if offer.is_able]
        given = self.given_generator
        return given if given in able else next(iter(able), "")

    def _cannot(self) -> str:
        """Say of a generator that was named and is not able what it lacks, and who has it."""
        given = self.given_generator
        named = next((offer for offer in self.offers if offer.alias == given), None)
        if named is None or named.is_able:
            return "Choose one of these generators."
        return f"{named.title} cannot do {title_of(self.capability)}: choose another generator."

    @property
    def unable_choice(self) -> str:
        """A sentence where the address names a generator that cannot do this; else empty."""
        is_unable = any(
            offer.alias == self.given_generator and not offer.is_able for offer in self.offers
        )
        return self._cannot() if is_unable else ""

    @property
    def emulation(self) -> str:
        """How the chosen generator does what its model lacks; empty where it is its own."""
        chosen = self.chosen_generator
        return next((offer.emulation for offer in self.offers if offer.alias == chosen), "")

    @property
    def notice(self) -> str:
        """What must be known of the chosen generator."""
        return generator(self.chosen_generator).notice if self.chosen_generator else ""

    @property
    def pause(self) -> ServiceGate | None:
        """The gate of the chosen generator while it is shut: a run would wait before it."""
        return gate_of(service_of(self.chosen_generator)) if self.chosen_generator else None

    @property
    def draw_order(self) -> dict[str, Any]:
        """The arguments of `plan_run` and `start_run` that this form decides."""
        size = {"size_px": self.cleaned_data["size_px"]} if "size_px" in self.fields else {}
        return {
            "generator_alias": self.cleaned_data["generator"],
            "options": self.options,
            **size,
        }

    def _add_size(self) -> None:
        """Offer the sizes of the chosen generator, where it is asked for one."""
        if self.capability in KEEPS_SIZE:
            del self.fields["size_px"]
            return
        chosen = self.chosen_generator
        sizes = sorted(generator(chosen).capabilities().sizes_px) if chosen else []
        self.fields["size_px"] = forms.TypedChoiceField(
            label="Size",
            coerce=int,
            choices=[(size, f"{size} px") for size in sizes],
            error_messages={"invalid_choice": "Choose one of the sizes that this generator draws."},
        )
        usual = USUAL_PX if USUAL_PX in sizes else next(iter(sizes), "")
        self.initial.setdefault("size_px", usual)

    def _add_options(self) -> None:
        chosen = self.chosen_generator
        self.offered = generator(chosen).capabilities().options if chosen else ()
        for option in self.offered:
            self.fields[PREFIX + option.name] = _field(option)
            self.initial.setdefault(PREFIX + option.name, option.default)

    @property
    def option_fields(self) -> list[forms.BoundField]:
        return [self[PREFIX + option.name] for option in self.offered]

    @property
    def options(self) -> dict[str, Any]:
        """What was set, by the option's name; what was left empty is left out."""
        given = {o.name: self.cleaned_data.get(PREFIX + o.name) for o in self.offered}
        return {name: value for name, value in given.items() if value not in (None, "")}


def _field(option: Option) -> forms.Field:
    common: dict[str, Any] = {"label": option.title, "required": False, "help_text": option.help}
    if option.kind == "choice":
        return forms.ChoiceField(
            choices=[("", "its own"), *((c, c) for c in option.choices)], **common
        )
    if option.kind == "text":
        return forms.CharField(max_length=1000, **common)
    if (option.least, option.most) == (0, 1):
        common["label"] += " (%)"
        return PercentField(least=0, most=100, **common)
    return forms.FloatField(min_value=option.least, max_value=option.most, **common)
