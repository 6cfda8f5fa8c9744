"""`manage.py probe DATASET`: which groups the images show; writes probes too."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_classes, find_dataset, listed
from synthreview.catalog.models import Dataset
from synthreview.overview.probe_forms import AXIS, choices_of, start_from
from synthreview.overview.probes import ProbeReport, probes_of, report_of
from synthreview.scoring.probe_jobs import read
from synthreview.scoring.probe_models import Probe
from synthreview.scoring.probe_shares import UNDER
from synthreview.scoring.probing import GroupWish, ProbeError, delete_probe, plan_probes, save_probe


class Command(DatasetCommand):
    help = "Estimate which groups the images show: asked, generated, approved; write a probe."
    expected = (ProbeError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", nargs="?", default="", help="this probe alone, or a new one")
        parser.add_argument(
            "--group",
            action="append",
            default=[],
            metavar="NAME=WORDS",
            help="a group and the words to look for, ; between wordings; repeat; writes the probe",
        )
        parser.add_argument(
            "--asked-by",
            action="append",
            default=[],
            metavar="NAME=WORDS",
            help="words of captions that ask for the group, ; between",
        )
        parser.add_argument(
            "--floor",
            action="append",
            default=[],
            metavar="NAME=PERCENT",
            help="the least share of the approved images that the group shall have",
        )
        parser.add_argument("--class", action="append", dest="classes", help="these classes alone")
        parser.add_argument(
            "--from", default="", dest="start", help="write the probe from a list or from axis:NAME"
        )
        parser.add_argument("--delete", action="store_true", help="delete the probe")

    def answer_to(
        self,
        *,
        dataset: str,
        name: str,
        group: list[str],
        asked_by: list[str],
        floor: list[str],
        classes: list[str] | None,
        start: str,
        delete: bool,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        groups = self.wishes(found, group, asked_by, floor, start)
        if (groups or delete) and not (name := name or start.removeprefix(AXIS)):
            raise CommandError("Name the probe.")
        if delete:
            delete_probe(self.find(found, name)[0])
            self.answer({"deleted": name}, f"{name} is deleted.", options)
            return
        if groups:
            save_probe(
                dataset=found,
                name=name,
                groups=groups,
                classes=find_classes(found, classes) if classes else (),
                probe=Probe.objects.filter(dataset=found, name=name).first(),
            )
        reports = [self.read(probe) for probe in self.find(found, name)]
        facts = {"dataset": found.slug, "probes": [report.as_json() for report in reports]}
        self.answer(facts, "\n".join(map(in_words, reports)) or "There is no probe yet.", options)

    def find(self, dataset: Dataset, name: str) -> list[Probe]:
        """Return the probe of that name, or all of them. Raises CommandError."""
        probes = probes_of(dataset)
        chosen = [probe for probe in probes if name in ("", probe.name)]
        if name and not chosen:
            there = listed(probe.name for probe in probes) or "none yet"
            raise CommandError(f"{dataset.name} has no probe {name!r}; it has: {there}.")
        return chosen

    def wishes(
        self, dataset: Dataset, group: list[str], asked_by: list[str], floor: list[str], start: str
    ) -> list[GroupWish]:
        """Return the groups as they were asked for; none to leave the probe alone."""
        asks, floors = _pairs(asked_by, "--asked-by"), _pairs(floor, "--floor")
        wishes = [
            GroupWish(name, _parts(words), _parts(asks.pop(name, "")), _share(floors.pop(name, "")))
            for name, words in _pairs(group, "--group").items()
        ]
        if start:
            if wishes:
                raise CommandError("--from brings its own groups: leave out --group.")
            _, groups = start_from(dataset, start)
            if not groups:
                known = listed(value for value, _ in choices_of(dataset))
                raise CommandError(f"There is no {start!r} to start from; there are: {known}.")
            wishes = [
                GroupWish(
                    one.name,
                    one.words,
                    _parts(asks.pop(one.name, "")) or one.asked_by,
                    _share(floors.pop(one.name, "")),
                )
                for one in groups
            ]
        if unknown := [*asks, *floors]:
            raise CommandError(f"{unknown[0]!r} is none of the groups that you name.")
        return wishes

    def read(self, probe: Probe) -> ProbeReport:
        """Read what is not read yet, here and now, and return what there is."""
        for work in plan_probes(probe=probe):
            read(work.pk)
        return report_of(probe)


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, sign, words = text.partition("=")
        if not sign or not name.strip():
            raise CommandError(f"{option} takes NAME=…, not {text!r}.")
        found[name.strip()] = words.strip()
    return found


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for piece in text.split(";") if (part := " ".join(piece.split())))


def _share(text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text) / 100
    except ValueError:
        raise CommandError(f"--floor takes NAME=PERCENT, not {text!r}.") from None


def in_words(report: ProbeReport) -> str:
    """Return a probe as a table for a terminal."""
    if report.unknown_words:
        words = ", ".join(f"“{text}”" for text in report.unknown_words)
        return f"{report.probe.name}: does not apply, {report.version} does not know {words}."
    head = f"{report.probe.name}: {report.read} of {report.images} images read"
    lines = [f"{head}, {report.approved} approved, {report.confusion.labelled} labelled"]
    for line in report.lines:
        approved = f"{line.approved.share:.1%}"
        if line.approved.interval:
            approved += " ({:.1%} to {:.1%})".format(*line.approved.interval)
        mark = {UNDER: "  under its floor"}.get(line.standing, "")
        lines.append(
            f"  {line.group.name:<24} asked {line.asked_share:>6.1%}  "
            f"generated {line.generated.share:>6.1%}  approved {approved}{mark}"
        )
    return "\n".join(lines)
