"""Settings, driven by the environment. Every variable is documented in docs/configuration.md.

One machine with SQLite and a local Redis-protocol server is the default; a team sets
DATABASE_URL and REDIS_URL and runs the same code.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import django_stubs_ext
from csp.constants import NONE, SELF

from synthreview.lib.environment import Environment
from synthreview.lib.logs import secrets_in
from synthreview.lib.s3 import EXAMPLE, Bucket
from synthreview.lib.secrets import load_or_create_secret

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()
# Each may come from a file instead, named by the same variable with _FILE at its end.
SECRETS = (
    "DATABASE_URL",
    "REDIS_URL",
    "OPENAI_API_KEY",
    "HF_TOKEN",
    "SYNTHREVIEW_OIDC_CLIENT_SECRET",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "SYNTHREVIEW_METRICS_TOKEN",
)
env.read_secret_files(SECRETS)

# --- Where things lie -------------------------------------------------------
DATA_DIR = Path(env.str("SYNTHREVIEW_DATA", default=str(BASE_DIR / "var"))).expanduser().resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)
BLOBS_DIR = DATA_DIR / "blobs"
SPOOL_DIR = DATA_DIR / "spool"
EXPORTS_DIR = DATA_DIR / "exports"
# None: images lie in BLOBS_DIR. A bucket: they, and what hosts share beside them, lie there.
STORAGE: Bucket | None = env.parsed(
    "SYNTHREVIEW_STORAGE",
    partial(
        Bucket.parse,
        endpoint_url=env.web("SYNTHREVIEW_STORAGE_ENDPOINT"),
        region=env.str("SYNTHREVIEW_STORAGE_REGION", default=""),
    ),
    default=None,
    example=EXAMPLE,
)
# Who sends stored pictures to browsers once a view has allowed it.
SERVE_MEDIA = env.choice(
    "SYNTHREVIEW_SERVE_MEDIA", default="stream", among=("stream", "x-accel", "presigned")
)

# --- Secrets and hosts ------------------------------------------------------
DEBUG = env.bool("SYNTHREVIEW_DEBUG", default=False)
# No default secret exists: it is made at install and kept in the data folder.
SECRET_KEY = env.str("SYNTHREVIEW_SECRET_KEY", default="") or load_or_create_secret(
    Path(env.str("SYNTHREVIEW_SECRET_KEY_FILE", default=str(DATA_DIR / "secret_key")))
)
ALLOWED_HOSTS = env.list("SYNTHREVIEW_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("SYNTHREVIEW_TRUSTED_ORIGINS", default=[])
# Prometheus shows it as a bearer token; empty: only staff see /metrics.
METRICS_TOKEN = env.str("SYNTHREVIEW_METRICS_TOKEN", default="")
# Set behind a TLS proxy; plain http on localhost stays possible without it.
HTTPS = env.bool("SYNTHREVIEW_HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
# Probes and Prometheus call inside the network, past the proxy.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Where a bucket's own addresses lead that browsers are sent to.
MEDIA_ORIGINS = STORAGE.origins if STORAGE and SERVE_MEDIA == "presigned" else []
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", *MEDIA_ORIGINS],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- Application ------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "django_rq",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "synthreview.trail",
    "synthreview.work",
    "synthreview.accounts",
    "synthreview.catalog",
    "synthreview.spending",
    "synthreview.prompting",
    "synthreview.generation",
    "synthreview.scoring",
    "synthreview.review",
    "synthreview.export",
    "synthreview.evaluation",
    "synthreview.overview",
]
MIDDLEWARE = [
    "synthreview.overview.requests.RequestNames",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "synthreview.trail.middleware.TrailMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "synthreview.accounts.limits.LimitsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "synthreview.urls"
WSGI_APPLICATION = "synthreview.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
AUTH_USER_MODEL = "accounts.User"
# --- Sign-in: django-allauth --------------------------------------------------
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
# How often one person may: kind -> times, in so many seconds.
RATE_LIMITS: dict[str, tuple[int, int]] = {
    "review": (600, 60),
    "export": (60, 3600),
    "paid": (120, 3600),
    **env.json("SYNTHREVIEW_RATE_LIMITS", default={}),
}
# Kind -> the names of its routes; where GET and POST share an address, the API names it by GET.
LIMITED_ROUTES = {
    name: kind
    for kind, names in {
        "review": "review-decide review-change review-undo review-grid-decide "
        "review-compare-decide adjudicate adjudicate-undo "
        "api:claim api:decide api:change api:undo",
        "export": "exports package-new package-retry package-deliver export-retry "
        "api:list_exports api:order_package api:order_delivery",
        "paid": "run-new run-retry run-unknown derive repaint coverage-plan prompts-write "
        "writing-retry writing-settle tunings tuning-retry tuning-settle tuning-compare "
        "evaluations api:write_prompts api:write_set api:retry_one api:list_evaluations",
    }.items()
    for name in names.split()
}
ACCOUNT_ADAPTER = "synthreview.catalog.invitations.InvitedAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS else "http"
ACCOUNT_EMAIL_VERIFICATION = "none"  # there may be no mail server
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False  # the others' sessions end, one's own goes on
# Wrong passwords: per address and name, and per address. Nobody is locked out from elsewhere.
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "30/h/ip,5/5m/key"}
# How many proxies stand before us and add to X-Forwarded-For; with none it is not believed.
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("SYNTHREVIEW_PROXIES", default=0)
MFA_ADAPTER = "synthreview.accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "SynthReview"
MFA_TOTP_TOLERANCE = 1  # a clock may be half a minute off
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS  # browsers allow http on localhost alone
SOCIALACCOUNT_ADAPTER = "synthreview.accounts.adapters.SocialAdapter"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_QUERY_EMAIL = False
SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = ""
# Whether whoever the single sign-on knows may come in uninvited; datasets stay closed to them.
SSO_SIGN_UP = env.bool("SYNTHREVIEW_OIDC_SIGN_UP", default=False)
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {}
if OIDC_URL := env.str("SYNTHREVIEW_OIDC_URL", default=""):
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": env.str("SYNTHREVIEW_OIDC_NAME", default="single sign-on"),
                "client_id": env.str("SYNTHREVIEW_OIDC_CLIENT_ID", default=""),
                "secret": env.str("SYNTHREVIEW_OIDC_CLIENT_SECRET", default=""),
                "settings": {"server_url": OIDC_URL},
            }
        ],
    }
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)  # WhiteNoise warns of a folder that is not there
WHITENOISE_USE_FINDERS = True  # no collectstatic step on one machine
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000
SESSION_COOKIE_AGE = 14 * 24 * 3600

# --- Database ---------------------------------------------------------------
DATABASES = {
    "default": env.database("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")
}
# Django's default of 0 costs 2.2-2.6 x the latency of a review (shared measurements).
DATABASES["default"]["CONN_MAX_AGE"] = 600
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Defaults gave "database is locked" in a quarter of concurrent transactions; these gave none.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000;"
        ),
    }
else:
    DATABASES["default"]["OPTIONS"] = {
        # Planning took 2.6 of 7 ms that a review spends in PostgreSQL: what catalog/prepared.py
        # asks for the third time on a connection is planned there once.
        "prepare_threshold": 2,
        **DATABASES["default"].get("OPTIONS", {}),
        # A host that vanished must not hold its clients for the quarter of an hour that TCP would.
        "connect_timeout": 10,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }

# --- Redis and RQ -----------------------------------------------------------
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
QUEUE_NAMES = ("prompting", "generation", "scoring", "ranking", "export", "evaluation")
RQ_QUEUES = {
    name: {
        # django-rq passes no client options beside a URL, so they stand in it.
        "URL": f"{REDIS_URL}{'&' if '?' in REDIS_URL else '?'}"
        "socket_connect_timeout=2&health_check_interval=30",
        "SERIALIZER": "rq.serializers.JSONSerializer",  # never pickle
        "DEFAULT_TIMEOUT": 6 * 3600,  # the row's lease is the real limit
        "DEFAULT_RESULT_TTL": 0,
    }
    for name in QUEUE_NAMES
}
RQ = {"COMMIT_MODE": "auto", "DEFAULT_RESULT_TTL": 0}

DEVICE = env.str("SYNTHREVIEW_DEVICE", default="cpu", shape=r"cpu|mps|cuda(:\d+)?", example="cuda")

# --- Adapters: alias -> dotted path and options ------------------------------
GENERATORS: dict[str, dict[str, Any]] = {
    "sketch": {
        "BACKEND": "synthreview.generation.generators.sketch.SketchGenerator",
        "OPTIONS": {},
    },
    "typographic": {
        "BACKEND": "synthreview.generation.generators.typographic.TypographicGenerator",
        "OPTIONS": {"font_path": env.str("SYNTHREVIEW_FONT", default="")},
    },
}
# Local models draw only where somebody named one; their worker keeps them in memory.
KEEPS_MODELS = {"scoring"}
if LOCAL_DIFFUSERS := env.str("SYNTHREVIEW_DIFFUSERS", default=""):
    KEEPS_MODELS.add("generation")
    GENERATORS["diffusers"] = {
        "BACKEND": "synthreview.generation.generators.diffusers.DiffusersGenerator",
        "OPTIONS": {
            "model": LOCAL_DIFFUSERS,
            "device": DEVICE,
            **env.json("SYNTHREVIEW_DIFFUSERS_OPTIONS", default={}),
        },
    }
if LOCAL_DALLE := env.str("SYNTHREVIEW_DALLE_MINI", default=""):
    KEEPS_MODELS.add("generation")
    GENERATORS["dalle_mini"] = {
        "BACKEND": "synthreview.generation.generators.dalle_mini.DalleMiniGenerator",
        "OPTIONS": {
            "root": LOCAL_DALLE,
            "device": DEVICE,
            **env.json("SYNTHREVIEW_DALLE_MINI_OPTIONS", default={}),
        },
    }
# Generators behind a server are there only where somebody named one.
IMAGES_MODEL = env.str("SYNTHREVIEW_IMAGES_MODEL", default="")
IMAGES_URL = env.web("SYNTHREVIEW_IMAGES_BASE_URL")
if IMAGES_MODEL or IMAGES_URL:
    GENERATORS["openai"] = {
        "BACKEND": "synthreview.generation.generators.openai.OpenAIGenerator",
        "OPTIONS": {
            "model": IMAGES_MODEL,
            "profile": env.str("SYNTHREVIEW_IMAGES_PROFILE", default="openai"),
            "base_url": IMAGES_URL,
            # Its name only: the key is read when it is used.
            "api_key_env": env.str("SYNTHREVIEW_IMAGES_KEY_ENV", default="OPENAI_API_KEY"),
            "timeout_s": env.float("SYNTHREVIEW_IMAGES_TIMEOUT", default=240, least=1),
            "prices": env.json("SYNTHREVIEW_IMAGES_PRICES", default={}),
            "url_hosts": env.list("SYNTHREVIEW_IMAGES_URL_HOSTS", default=[]),
        },
    }
if HTTP_GENERATOR_URL := env.web("SYNTHREVIEW_HTTP_GENERATOR_URL"):
    GENERATORS["http"] = {
        "BACKEND": "synthreview.generation.generators.http.HttpGenerator",
        "OPTIONS": {
            "url": HTTP_GENERATOR_URL,
            "api_key_env": env.str("SYNTHREVIEW_HTTP_GENERATOR_KEY_ENV", default=""),
            **env.json("SYNTHREVIEW_HTTP_GENERATOR_OPTIONS", default={}),
        },
    }
# What makes masks of the subject of a picture, where somebody named one; {} is none.
SEGMENTER: dict[str, Any] = {}
if SEGMENTER_MODEL := env.str("SYNTHREVIEW_SEGMENTER", default=""):
    KEEPS_MODELS.add("generation")
    SEGMENTER = {
        "BACKEND": "synthreview.generation.segmenters.clipseg.ClipSegSegmenter",
        "OPTIONS": {
            "model": SEGMENTER_MODEL,
            "device": DEVICE,
        },
    }
AUTHORS: dict[str, dict[str, Any]] = {
    "wordlists": {
        "BACKEND": "synthreview.prompting.authors.wordlists.WordlistAuthor",
        "OPTIONS": {},
    },
}
# Language models are authors only where somebody named one.
if OPENAI_MODEL := env.str("SYNTHREVIEW_OPENAI_MODEL", default=""):
    AUTHORS["openai"] = {
        "BACKEND": "synthreview.prompting.authors.openai.OpenAIAuthor",
        "OPTIONS": {
            "model": OPENAI_MODEL,
            "base_url": env.web("SYNTHREVIEW_OPENAI_BASE_URL"),
            "api_key_env": "OPENAI_API_KEY",  # its name only: the key is read when it is used
            "timeout_s": env.float("SYNTHREVIEW_OPENAI_TIMEOUT", default=120, least=1),
            "prices": env.json("SYNTHREVIEW_OPENAI_PRICES", default={}),
        },
    }
if LOCAL_LLM := env.str("SYNTHREVIEW_LLM", default=""):
    KEEPS_MODELS.add("prompting")
    AUTHORS["transformers"] = {
        "BACKEND": "synthreview.prompting.authors.transformers.TransformersAuthor",
        "OPTIONS": {
            "model": LOCAL_LLM,
            "adapter": env.str("SYNTHREVIEW_LLM_ADAPTER", default=""),
            "device": DEVICE,
        },
    }
# SYNTHREVIEW_CLIP: empty = the embedded model; else MODEL/TAG, a folder, a checkpoint, hf-hub:NAME.
SCORERS: dict[str, dict[str, Any]] = {
    "clip": {
        "BACKEND": "synthreview.scoring.scorers.clip.ClipScorer",
        "OPTIONS": {
            "model_spec": env.str("SYNTHREVIEW_CLIP", default=""),
            "embedded_dir": str(BASE_DIR / "fixtures" / "demo_clip"),
            "device": DEVICE,
        },
    },
    "quality": {"BACKEND": "synthreview.scoring.scorers.quality.QualityScorer"},
}
if env.bool("SYNTHREVIEW_TEXT", default=False):
    SCORERS["text"] = {"BACKEND": "synthreview.scoring.scorers.text.TextScorer"}
# More CLIP models as further judges, by the names that SYNTHREVIEW_CLIP takes.
for number, spec in enumerate(env.list("SYNTHREVIEW_MORE_CLIPS", default=[]), start=2):
    SCORERS[f"clip-{number}"] = {
        "BACKEND": "synthreview.scoring.scorers.clip.ClipScorer",
        "OPTIONS": {**SCORERS["clip"]["OPTIONS"], "model_spec": spec},
    }
# Where finished exports may be sent, and which hosts webhooks may reach besides the internet's.
EXPORT_DESTINATIONS: dict[str, dict[str, Any]] = {}
if EXPORT_FOLDER := env.str("SYNTHREVIEW_EXPORT_FOLDER", default=""):
    EXPORT_DESTINATIONS["folder"] = {
        "BACKEND": "synthreview.export.destinations.folder.FolderDestination",
        "OPTIONS": {"root": EXPORT_FOLDER, "title": "Folder"},
    }
if S3_BUCKET := env.str("SYNTHREVIEW_S3_BUCKET", default=""):
    EXPORT_DESTINATIONS["s3"] = {
        "BACKEND": "synthreview.export.destinations.s3.S3Destination",
        "OPTIONS": {
            "bucket": S3_BUCKET,
            "prefix": env.str("SYNTHREVIEW_S3_PREFIX", default=""),
            "endpoint_url": env.web("SYNTHREVIEW_S3_ENDPOINT"),
            "region": env.str("SYNTHREVIEW_S3_REGION", default=""),
            "title": f"S3: {S3_BUCKET}",
        },
    }
if HUB_NAMESPACE := env.str("SYNTHREVIEW_HUB_NAMESPACE", default=""):
    EXPORT_DESTINATIONS["hub"] = {
        "BACKEND": "synthreview.export.destinations.hub.HubDestination",
        "OPTIONS": {
            "namespace": HUB_NAMESPACE,
            "endpoint": env.web("SYNTHREVIEW_HUB_ENDPOINT"),
            "private": env.bool("SYNTHREVIEW_HUB_PRIVATE", default=True),
            "title": f"Hugging Face: {HUB_NAMESPACE}",
        },
    }
# A key of the user's for Content Credentials on images that are encoded anew; only its place.
C2PA: dict[str, str] = {}
if (C2PA_CERT := env.str("SYNTHREVIEW_C2PA_CERT", default="")) and (
    C2PA_KEY := env.str("SYNTHREVIEW_C2PA_KEY", default="")
):
    C2PA = {
        "certificate": C2PA_CERT,
        "key": C2PA_KEY,
        "algorithm": env.str("SYNTHREVIEW_C2PA_ALGORITHM", default="es256"),
        "time_authority": env.str("SYNTHREVIEW_C2PA_TIME_AUTHORITY", default=""),
    }
WEBHOOK_HOSTS = frozenset(env.list("SYNTHREVIEW_WEBHOOK_HOSTS", default=[]))
# Captions whose CLIP text vectors have this cosine or more mean nearly the same.
NEAR_MEANING = env.float("SYNTHREVIEW_NEAR_MEANING", default=0.97, least=0, most=1)
# Images whose CLIP vectors have this cosine or more show the same composition.
SAME_COMPOSITION = env.float("SYNTHREVIEW_SAME_COMPOSITION", default=0.95, least=0, most=1)
# A vision model is a judge only where somebody named one; the policy says how much it is asked.
if VQA_MODEL := env.str("SYNTHREVIEW_VQA_MODEL", default=""):
    SCORERS["vqa"] = {
        "BACKEND": "synthreview.scoring.scorers.vqa.VqaScorer",
        "OPTIONS": {
            "model": VQA_MODEL,
            "base_url": env.web("SYNTHREVIEW_VQA_BASE_URL"),
            "api_key_env": env.str("SYNTHREVIEW_VQA_KEY_ENV", default="OPENAI_API_KEY"),
            "timeout_s": env.float("SYNTHREVIEW_VQA_TIMEOUT", default=60, least=1),
            "prices": env.json("SYNTHREVIEW_VQA_PRICES", default={}),
            "asks_logprobs": env.bool("SYNTHREVIEW_VQA_LOGPROBS", default=True),
        },
    }
# What evaluations train. SYNTHREVIEW_TIMM: empty = random weights; else a folder in timm's form.
LEARNERS: dict[str, dict[str, Any]] = {
    "probe": {"BACKEND": "synthreview.evaluation.learners.probe.LinearProbe"},
    "network": {
        "BACKEND": "synthreview.evaluation.learners.network.SmallNetwork",
        "OPTIONS": {
            "weights": env.str("SYNTHREVIEW_TIMM", default=""),
            "device": DEVICE,
            **env.json("SYNTHREVIEW_TIMM_OPTIONS", default={}),
        },
    },
}
# Keys that adapters read when they use them, each under the name that somebody gave it.
env.read_secret_files(
    entry["OPTIONS"]["api_key_env"]
    for adapters in (GENERATORS, AUTHORS, SCORERS)
    for entry in adapters.values()
    if entry.get("OPTIONS", {}).get("api_key_env")
)
os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")

ENVIRONMENT = env  # the checks ask it what was wrong

# --- Logging ----------------------------------------------------------------
LOG_LEVEL = env.choice(
    "SYNTHREVIEW_LOG_LEVEL", default="INFO", among=("DEBUG", "INFO", "WARNING", "ERROR")
)
LOG_FORMAT = env.choice("SYNTHREVIEW_LOG_FORMAT", default="line", among=("line", "json"))
# What must never be shown, wherever it turns up: in a message, in a traceback.
HIDDEN = secrets_in([SECRET_KEY, *env.secrets()])
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "synthreview.lib.logs.LineFormatter",
            "fmt": "{asctime} {levelname} {name}: {message}",
            "style": "{",
            "secrets": HIDDEN,
        },
        "json": {"()": "synthreview.lib.logs.JsonFormatter", "secrets": HIDDEN},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # A missing page or a forged host is no fault of ours: not worth a line each.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "rq.worker": {"level": "WARNING"},
        # A line for each request is for machines: people have the web server's.
        "synthreview.requests": {"level": "INFO" if LOG_FORMAT == "json" else "WARNING"},
    },
}

# How far a worker steps back where processors are short: people who review come first, and
# whatever is being made for them comes before what they take away.
WORKER_NICE = dict.fromkeys(QUEUE_NAMES, 5) | {"export": 10}
# What a worker loads before its first job: queue -> dotted path.
WORKER_PRELOAD = {
    "generation": "synthreview.generation.services.load_generators",
    "scoring": "synthreview.scoring.services.load_scorers",
    "ranking": "synthreview.review.ranking_jobs.load",
}
