"""The web server's entry point."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "synthreview.settings")
application = get_wsgi_application()

# Commands run the system checks by themselves; a web server must not start past a wrong setting.
from synthreview.overview.checks import refuse_faults  # noqa: E402 - once the apps are there

refuse_faults()
