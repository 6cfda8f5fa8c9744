"""Sign-in and what belongs to one's own account, by django-allauth under its own names.

Its pages of e-mail addresses and of resetting a password by e-mail are left out: there may be no
mail server. An admin sets a new password (`manage.py changepassword NAME`, or the administration).
"""

from allauth.account import views as allauth
from allauth.socialaccount.providers.openid_connect.urls import urlpatterns as single_sign_on
from django.urls import include, path

from synthreview.accounts import views

urlpatterns = [
    path("", views.account, name="account"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<int:pk>/revoke", views.revoke, name="token-revoke"),
    path("sign-in/", views.SignInView.as_view(), name="account_login"),
    path("sign-out/", allauth.logout, name="account_logout"),
    path("sign-up/", allauth.signup, name="account_signup"),
    path("inactive/", allauth.account_inactive, name="account_inactive"),
    path("again/", allauth.reauthenticate, name="account_reauthenticate"),
    path("password/", allauth.password_change, name="account_change_password"),
    path("password/first/", allauth.password_set, name="account_set_password"),
    path("second-factor/", include("allauth.mfa.urls")),
    path("sessions/", include("allauth.usersessions.urls")),
    path("sso/", include("allauth.socialaccount.urls")),
    path("sso/", include(single_sign_on)),
]
