"""Pages of what people approve: rankings, more like these, and retiring with a preview."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset
from synthreview.catalog.permissions import Action
from synthreview.prompting import services
from synthreview.prompting.learning import LEVEL, rate_of
from synthreview.prompting.models import PromptQuerySet, PromptState
from synthreview.prompting.ranking import (
    Kind,
    Pick,
    PickError,
    overall,
    prompts_of,
    rankings,
    studio_query,
    titles_of,
)

EXAMPLES = 10
MAX_PICKS = 200


@require_GET
def ranking(request: HttpRequest, slug: str) -> HttpResponse:
    """Rank templates, values, authors and captions by what became of their images."""
    dataset, context = open_dataset(request, slug)
    tally = overall(dataset)
    context |= {
        "rankings": rankings(dataset),
        "tally": tally,
        "rate": rate_of(tally),
        "level_percent": round(LEVEL * 100),
    }
    return render(request, "prompting/ranking.html", context)


@require_POST
def pick(request: HttpRequest, slug: str) -> HttpResponse:
    """Lead to the studio with what was ticked, or show what retiring it would mean, and do it."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    tokens = request.POST.getlist("pick")
    try:
        picks = [Pick.of(token) for token in dict.fromkeys(tokens[:MAX_PICKS])]
    except PickError as error:
        messages.error(request, str(error))
        return redirect("prompts-ranking", dataset.slug)
    if not picks:
        messages.warning(request, "Tick something first.")
        return redirect("prompts-ranking", dataset.slug)
    if request.POST.get("do") == "more":
        if all(one.kind is Kind.AUTHOR for one in picks):
            messages.info(request, "An author is chosen in the studio; tick templates or captions.")
        query = urlencode(studio_query(dataset, picks))
        return redirect(f"{reverse('prompts-write', args=[dataset.slug])}?{query}")
    found = prompts_of(dataset, picks)
    if request.POST.get("do") == "retire" and request.POST.get("sure"):
        return _retire(request, dataset, found)
    context |= {
        "picks": titles_of(dataset, picks),
        "tokens": [one.token() for one in picks],
        "counts": found.counts(),
        "examples": found.select_related("label_class")[:EXAMPLES],
    }
    return render(request, "prompting/retire.html", context)


def _retire(request: HttpRequest, dataset: Dataset, found: PromptQuerySet) -> HttpResponse:
    chosen = found.values_list("pk", flat=True)
    changed = services.set_prompt_state(chosen, dataset=dataset, state=PromptState.RETIRED)
    number = "1 prompt is" if changed == 1 else f"{changed:,} prompts are"
    messages.success(request, f"{number} retired. Their images stay.")
    return redirect("prompts-ranking", dataset.slug)
