"""Pages of the catalog: a new dataset, its settings, classes, axes and members."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog import services
from synthreview.catalog.forms import (
    AxisForm,
    ClassForm,
    DatasetForm,
    MemberForm,
    PolicyForm,
    RoleForm,
)
from synthreview.catalog.models import Axis, Dataset
from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action, Role, require


@require_http_methods(["GET", "POST"])
def new_dataset(request: HttpRequest) -> HttpResponse:
    """Make a dataset; who makes it becomes its admin."""
    form = DatasetForm(request.POST or None)
    if form.is_valid():
        dataset = services.create_dataset(**form.cleaned_data, created_by=signed_in(request))
        messages.success(request, "The dataset is there. Now say which classes it has.")
        return redirect("class-new", dataset.slug)
    return render(request, "catalog/dataset_new.html", {"form": form})


@require_http_methods(["GET", "POST"])
def dataset_settings(request: HttpRequest, slug: str) -> HttpResponse:
    """Name, description and policy; curators see them, admins change them."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    posted = request.POST or None
    if posted:
        require(signed_in(request), dataset, Action.ADMINISTER)
    about = posted if posted and "name" in posted else None
    policy = posted if posted and not about else None
    form = DatasetForm(about, instance=dataset)
    policy_form = PolicyForm(policy, instance=dataset.policy)
    for filled, save in ((form, services.save_dataset), (policy_form, services.save_policy)):
        if filled.is_valid():
            save(filled.instance)
            messages.success(request, "Saved.")
            return redirect("dataset-settings", dataset.slug)
    if form.is_bound:
        dataset.refresh_from_db(fields=list(form.Meta.fields))  # the page shows what holds
    context |= {"form": form, "policy_form": policy_form}
    return render(request, "catalog/settings.html", context)


# --- Classes --------------------------------------------------------------------


@require_GET
def classes(request: HttpRequest, slug: str) -> HttpResponse:
    """List the classes with their targets."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    return render(request, "catalog/classes.html", context | {"classes": dataset.classes.all()})


@require_http_methods(["GET", "POST"])
def new_class(request: HttpRequest, slug: str) -> HttpResponse:
    """Add a class."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = ClassForm(request.POST or None, dataset=dataset)
    if form.is_valid():
        label_class = services.add_class(dataset=dataset, **form.cleaned_data)
        messages.success(request, f"{label_class.name} is added.")
        return redirect("class-new" if "another" in request.POST else "classes", dataset.slug)
    return render(request, "catalog/class_form.html", context | {"form": form})


@require_http_methods(["GET", "POST"])
def edit_class(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Change a class; new words for reviewers make a new guideline version."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    label_class = get_object_or_404(dataset.classes, pk=pk)
    # The service compares with what is stored, so the form gets a row of its own.
    form = ClassForm(
        request.POST or None, dataset=dataset, instance=get_object_or_404(dataset.classes, pk=pk)
    )
    if form.is_valid():
        services.update_class(label_class, form.cleaned_data)
        messages.success(request, f"{label_class.name} is saved.")
        return redirect("classes", dataset.slug)
    context |= {"form": form, "label_class": label_class}
    return render(request, "catalog/class_form.html", context)


@require_POST
def delete_class(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Delete a class that was never drawn."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    label_class = get_object_or_404(dataset.classes, pk=pk)
    try:
        services.delete_class(label_class)
    except services.ClassInUseError as error:
        messages.error(request, str(error))
        return redirect("class-edit", dataset.slug, pk)
    messages.success(request, f"{label_class.name} is deleted.")
    return redirect("classes", dataset.slug)


# --- Axes -----------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def axes(request: HttpRequest, slug: str) -> HttpResponse:
    """Show every axis as a list of lines; save the one that was posted, or add one."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    rows = list(dataset.axes.prefetch_related("values__classes"))
    posted_axis = request.POST.get("axis", "")
    if request.POST and posted_axis and posted_axis not in {str(axis.pk) for axis in rows}:
        get_object_or_404(Axis.objects.none())
    forms = []
    for axis in [*rows, None]:
        is_posted = bool(request.POST) and posted_axis == (str(axis.pk) if axis else "")
        form = AxisForm(request.POST if is_posted else None, dataset=dataset, axis=axis)
        if form.is_valid():
            return _save_axis(request, dataset, form)
        forms.append(form)
    context |= {"forms": forms[:-1], "new_form": forms[-1]}
    return render(request, "catalog/axes.html", context)


def _save_axis(request: HttpRequest, dataset: Dataset, form: AxisForm) -> HttpResponse:
    name = form.axis.name if form.axis else form.cleaned_data["name"]
    values: list[dict[str, Any]] = form.cleaned_data["values"]
    services.set_axis_values(dataset=dataset, axis_name=name, values=values)
    number = "one value" if len(values) == 1 else f"{len(values)} values"
    messages.success(request, f"{name} is saved with {number}.")
    return redirect("axes", dataset.slug)


@require_POST
def delete_axis(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Delete an axis; the captions that were written with it stay."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    axis = get_object_or_404(dataset.axes, pk=pk)
    services.delete_axis(axis)
    messages.success(request, f"{axis.name} is deleted. Captions written with it stay.")
    return redirect("axes", dataset.slug)


# --- Members --------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def members(request: HttpRequest, slug: str) -> HttpResponse:
    """List the members; add one by user name."""
    dataset, context = open_dataset(request, slug, Action.ADMINISTER)
    form = MemberForm(request.POST or None, dataset=dataset)
    if form.is_valid() and form.user:
        services.set_role(dataset=dataset, user=form.user, role=form.cleaned_data["role"])
        messages.success(request, f"{form.user.username} is a member now.")
        return redirect("members", dataset.slug)
    rows = dataset.memberships.select_related("user")
    roles = [(role.value, role.name.capitalize()) for role in Role]
    context |= {"form": form, "members": rows, "roles": roles}
    return render(request, "catalog/members.html", context)


@require_POST
def change_member(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Give a member another role."""
    dataset, _ = open_dataset(request, slug, Action.ADMINISTER)
    membership = get_object_or_404(dataset.memberships.select_related("user"), pk=pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose one of the roles.")
        return redirect("members", dataset.slug)
    try:
        services.change_role(membership, form.cleaned_data["role"])
    except services.LastAdminError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"The role of {membership.user.username} is changed.")
    return _members_or_home(request, dataset)


@require_POST
def remove_member(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """End a membership."""
    dataset, _ = open_dataset(request, slug, Action.ADMINISTER)
    membership = get_object_or_404(dataset.memberships.select_related("user"), pk=pk)
    try:
        services.remove_member(membership)
    except services.LastAdminError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{membership.user.username} is no longer a member.")
    return _members_or_home(request, dataset)


def _members_or_home(request: HttpRequest, dataset: Dataset) -> HttpResponse:
    """Go back to the list, or home where one has just given up one's own right to see it."""
    user = signed_in(request)
    own = dataset.memberships.filter(user=user, role=Role.ADMIN)
    if user.is_superuser or own.exists():
        return redirect("members", dataset.slug)
    return redirect("home")
