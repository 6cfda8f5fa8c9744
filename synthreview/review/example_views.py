"""Choosing the examples of a guideline, from the page of an image."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from synthreview.catalog.pages import dataset_context, signed_in
from synthreview.catalog.permissions import Action
from synthreview.generation.models import GeneratedImage
from synthreview.review.examples import ExampleError, make_example, remove_example
from synthreview.review.forms import ExampleForm, first_error


@require_POST
def example(request: HttpRequest, pk: int) -> HttpResponse:
    """Put an image beside its guideline with a note, or take it away."""
    person = signed_in(request)
    visible = GeneratedImage.objects.visible_to(person).select_related("dataset", "label_class")
    image = get_object_or_404(visible, pk=pk)
    dataset_context(request, image.dataset, Action.CURATE)
    form = ExampleForm(request.POST)
    if "remove" in request.POST:
        remove_example(image=image, user=person)
        messages.success(request, "It stands beside the guideline no more.")
    elif not form.is_valid():
        messages.error(request, first_error(form))
    else:
        try:
            made = make_example(image=image, user=person, note=form.cleaned_data["note"])
        except ExampleError as error:
            messages.error(request, str(error))
        else:
            kind = "good" if made.is_good else "bad"
            where = f"the guideline of {image.label_class.name}"
            messages.success(request, f"It stands beside {where} now, as a {kind} example.")
    return redirect("image", image.pk)
