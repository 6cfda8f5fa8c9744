# SynthReview: one image for web, workers and sweeper. CPU by default; for CUDA:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 -t synthreview:cuda .
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Optional parts: s3, diffusers, local-llm, c2pa, dalle-mini, text, with commas between.
ARG EXTRAS=s3
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
# torch and torchvision of one build, at the tested versions; PyPI's own brings CUDA along.
RUN pip install --index-url "$TORCH_INDEX" \
      $(grep -E '^(torch|torchvision)==' constraints.txt)
COPY synthreview synthreview
RUN pip install --constraint constraints.txt ".[$EXTRAS]" && pip uninstall --yes synthreview

FROM python:${PYTHON_VERSION}-slim
# pg_dump and pg_restore, for `manage.py backup` and `restore`.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends postgresql-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home synthreview \
 && install --directory --owner synthreview --group synthreview /var/lib/synthreview
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY manage.py ./
COPY fixtures fixtures
COPY static static
COPY templates templates
COPY synthreview synthreview
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=synthreview.settings \
    SYNTHREVIEW_DATA=/var/lib/synthreview \
    SYNTHREVIEW_LOG_FORMAT=json
USER synthreview
VOLUME /var/lib/synthreview
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["gunicorn", "synthreview.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "4", "--worker-tmp-dir", "/dev/shm"]
