FROM python:3.14.10-slim-trixie

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVICE_HOST=0.0.0.0 \
    SERVICE_METRICS_HOST=0.0.0.0

WORKDIR /app
COPY requirements/runtime.txt requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes \
    --requirement requirements/runtime.txt
COPY alembic.ini ./
COPY migrations/ migrations/
COPY service/ service/

# A number lets an orchestrator verify that the user is not root.
USER 10001:10001
EXPOSE 8000 9464

# Follows SERVICE_HOST and SERVICE_PORT; ignores proxy settings of the container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-m", "service.bootstrap.health_check"]

ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
