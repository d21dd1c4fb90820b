FROM python:3.13-slim AS build

# The HTTP side is in the image; "[flower]" has Flower instead, for the compose profile of that name.
ARG EXTRAS="[web]"

WORKDIR /src
RUN python -m venv --without-pip /opt/eraser

# The dependencies first, around empty packages: a change of our own code does not install them again.
COPY pyproject.toml README.md LICENSE ./
# The versions are bounded in pyproject.toml.
# hadolint ignore=DL3013
RUN mkdir worker tasks \
    && echo '__version__ = "0"' > worker/__init__.py \
    && touch tasks/__init__.py \
    && pip --python /opt/eraser/bin/python install --no-cache-dir ".${EXTRAS}"

COPY worker worker
COPY tasks tasks
RUN pip --python /opt/eraser/bin/python install --no-cache-dir --no-deps --force-reinstall .


FROM python:3.13-slim

RUN groupadd --gid 10001 eraser \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin eraser \
    && install --directory --mode=700 --owner=10001 --group=10001 /receipts \
    && pip uninstall --yes --root-user-action ignore pip

COPY --from=build /opt/eraser /opt/eraser
ENV PATH="/opt/eraser/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# Not the work tree, not writable: Celery puts the current directory in front of the import path.
WORKDIR /opt/eraser
USER 10001:10001

HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["eraser", "health"]
CMD ["celery", "-A", "worker", "worker", "--loglevel", "INFO"]
