"""Settings, driven by the environment. Every variable is documented in docs/configuration.md.

One machine with SQLite and a local Redis-protocol server is the default; a team sets
DATABASE_URL and REDIS_URL and runs the same code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django_stubs_ext
import environ
from csp.constants import NONE, SELF

from synthreview.lib.secrets import load_or_create_secret

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- Where things lie -------------------------------------------------------
DATA_DIR = Path(env.str("SYNTHREVIEW_DATA", default=str(BASE_DIR / "var"))).expanduser().resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)
BLOBS_DIR = DATA_DIR / "blobs"
SPOOL_DIR = DATA_DIR / "spool"
EXPORTS_DIR = DATA_DIR / "exports"

# --- Secrets and hosts ------------------------------------------------------
DEBUG = env.bool("SYNTHREVIEW_DEBUG", default=False)
# No default secret exists: it is made at install and kept in the data folder.
SECRET_KEY = env.str("SYNTHREVIEW_SECRET_KEY", default="") or load_or_create_secret(
    Path(env.str("SYNTHREVIEW_SECRET_KEY_FILE", default=str(DATA_DIR / "secret_key")))
)
ALLOWED_HOSTS = env.list("SYNTHREVIEW_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("SYNTHREVIEW_TRUSTED_ORIGINS", default=[])
# Set behind a TLS proxy; plain http on localhost stays possible without it.
HTTPS = env.bool("SYNTHREVIEW_HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
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
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "synthreview.trail.middleware.TrailMiddleware",
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
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
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
DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}
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
            "device": env.str("SYNTHREVIEW_DEVICE", default="cpu"),
            **env.json("SYNTHREVIEW_DIFFUSERS_OPTIONS", default={}),
        },
    }
if LOCAL_DALLE := env.str("SYNTHREVIEW_DALLE_MINI", default=""):
    KEEPS_MODELS.add("generation")
    GENERATORS["dalle_mini"] = {
        "BACKEND": "synthreview.generation.generators.dalle_mini.DalleMiniGenerator",
        "OPTIONS": {
            "root": LOCAL_DALLE,
            "device": env.str("SYNTHREVIEW_DEVICE", default="cpu"),
            **env.json("SYNTHREVIEW_DALLE_MINI_OPTIONS", default={}),
        },
    }
# Generators behind a server are there only where somebody named one.
IMAGES_MODEL = env.str("SYNTHREVIEW_IMAGES_MODEL", default="")
IMAGES_URL = env.str("SYNTHREVIEW_IMAGES_BASE_URL", default="")
if IMAGES_MODEL or IMAGES_URL:
    GENERATORS["openai"] = {
        "BACKEND": "synthreview.generation.generators.openai.OpenAIGenerator",
        "OPTIONS": {
            "model": IMAGES_MODEL,
            "profile": env.str("SYNTHREVIEW_IMAGES_PROFILE", default="openai"),
            "base_url": IMAGES_URL,
            # Its name only: the key is read when it is used.
            "api_key_env": env.str("SYNTHREVIEW_IMAGES_KEY_ENV", default="OPENAI_API_KEY"),
            "timeout_s": env.float("SYNTHREVIEW_IMAGES_TIMEOUT", default=240),
            "prices": env.json("SYNTHREVIEW_IMAGES_PRICES", default={}),
            "url_hosts": env.list("SYNTHREVIEW_IMAGES_URL_HOSTS", default=[]),
        },
    }
if HTTP_GENERATOR_URL := env.str("SYNTHREVIEW_HTTP_GENERATOR_URL", default=""):
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
            "device": env.str("SYNTHREVIEW_DEVICE", default="cpu"),
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
            "base_url": env.str("SYNTHREVIEW_OPENAI_BASE_URL", default=""),
            "api_key_env": "OPENAI_API_KEY",  # its name only: the key is read when it is used
            "timeout_s": env.float("SYNTHREVIEW_OPENAI_TIMEOUT", default=120),
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
            "device": env.str("SYNTHREVIEW_DEVICE", default="cpu"),
        },
    }
# SYNTHREVIEW_CLIP: empty = the embedded model; else MODEL/TAG, a folder, a checkpoint, hf-hub:NAME.
SCORERS: dict[str, dict[str, Any]] = {
    "clip": {
        "BACKEND": "synthreview.scoring.scorers.clip.ClipScorer",
        "OPTIONS": {
            "model_spec": env.str("SYNTHREVIEW_CLIP", default=""),
            "embedded_dir": str(BASE_DIR / "fixtures" / "demo_clip"),
            "device": env.str("SYNTHREVIEW_DEVICE", default="cpu"),
        },
    },
    "quality": {"BACKEND": "synthreview.scoring.scorers.quality.QualityScorer"},
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
            "endpoint_url": env.str("SYNTHREVIEW_S3_ENDPOINT", default=""),
            "region": env.str("SYNTHREVIEW_S3_REGION", default=""),
            "title": f"S3: {S3_BUCKET}",
        },
    }
if HUB_NAMESPACE := env.str("SYNTHREVIEW_HUB_NAMESPACE", default=""):
    EXPORT_DESTINATIONS["hub"] = {
        "BACKEND": "synthreview.export.destinations.hub.HubDestination",
        "OPTIONS": {
            "namespace": HUB_NAMESPACE,
            "endpoint": env.str("SYNTHREVIEW_HUB_ENDPOINT", default=""),
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
NEAR_MEANING = env.float("SYNTHREVIEW_NEAR_MEANING", default=0.97)
# Images whose CLIP vectors have this cosine or more show the same composition.
SAME_COMPOSITION = env.float("SYNTHREVIEW_SAME_COMPOSITION", default=0.95)
# A vision model is a judge only where somebody named one; the policy says how much it is asked.
if VQA_MODEL := env.str("SYNTHREVIEW_VQA_MODEL", default=""):
    SCORERS["vqa"] = {
        "BACKEND": "synthreview.scoring.scorers.vqa.VqaScorer",
        "OPTIONS": {
            "model": VQA_MODEL,
            "base_url": env.str("SYNTHREVIEW_VQA_BASE_URL", default=""),
            "api_key_env": env.str("SYNTHREVIEW_VQA_KEY_ENV", default="OPENAI_API_KEY"),
            "timeout_s": env.float("SYNTHREVIEW_VQA_TIMEOUT", default=60),
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
            "device": env.str("SYNTHREVIEW_DEVICE", default="cpu"),
            **env.json("SYNTHREVIEW_TIMM_OPTIONS", default={}),
        },
    },
}
os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")

# --- Logging ----------------------------------------------------------------
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("SYNTHREVIEW_LOG_LEVEL", default="INFO")},
    "loggers": {
        # A missing page or a forged host is no fault of ours: not worth a line each.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "rq.worker": {"level": "WARNING"},
    },
}

# How far a worker steps back where processors are short: people who review come first.
WORKER_NICE = {"export": 10}
# What a worker loads before its first job: queue -> dotted path.
WORKER_PRELOAD = {
    "generation": "synthreview.generation.services.load_generators",
    "scoring": "synthreview.scoring.services.load_scorers",
    "ranking": "synthreview.review.ranking_jobs.load",
}
