FROM python:3.13-slim AS build

# What runs in it, as locks/ pins it: "web" has the HTTP side; "observability" has the SDKs of OpenTelemetry and Sentry
# too; "flower" has Flower instead, for the compose profile of that name.
ARG LOCK="web"

WORKDIR /src
COPY locks locks
RUN pip install --no-cache-dir --root-user-action ignore --require-hashes --requirement locks/build.txt \
    && python -m venv --without-pip /opt/eraser \
    && pip --python /opt/eraser/bin/python install --no-cache-dir --require-hashes --requirement "locks/${LOCK}.txt"

COPY pyproject.toml README.md LICENSE ./
COPY worker worker
COPY tasks tasks
# Then the list of all that is in it (SBOM): CycloneDX, with licences.
RUN pip wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir /wheel . \
    && pip --python /opt/eraser/bin/python install --no-cache-dir --no-deps --no-index /wheel/*.whl \
    && cyclonedx-py environment --output-reproducible \
       --output-file /opt/eraser/sbom.cdx.json /opt/eraser/bin/python


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
