"""Sign-in, sign-out and one's own password."""

from django.contrib.auth import views
from django.urls import path, reverse_lazy

urlpatterns = [
    path(
        "sign-in/",
        views.LoginView.as_view(
            template_name="accounts/sign_in.html", redirect_authenticated_user=True
        ),
        name="sign-in",
    ),
    path("sign-out/", views.LogoutView.as_view(), name="sign-out"),
    path(
        "password/",
        views.PasswordChangeView.as_view(
            template_name="accounts/password.html", success_url=reverse_lazy("home")
        ),
        name="password",
    ),
]
