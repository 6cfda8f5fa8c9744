"""The product's addresses and the bare view's."""

from django.urls import path

from benchmarks.review_server.bare import decide
from synthreview.urls import urlpatterns as product

urlpatterns = [path("bare/decide", decide), *product]
