# The application: worker, API, codec server and migrations are one image, told apart by their command.
FROM python:3.12-slim AS build
WORKDIR /app
COPY scripts/uv.requirements.lock scripts/
RUN pip install --no-cache-dir --require-hashes -r scripts/uv.requirements.lock
COPY pyproject.toml requirements.lock ./
# The lock is the constraint: what the group `server` needs, at the locked versions, each file checked against its hash.
RUN uv venv /opt/backhaul \
    && uv pip install --no-cache --python /opt/backhaul/bin/python --group server --require-hashes -c requirements.lock

FROM python:3.12-slim
ENV PATH=/opt/backhaul/bin:$PATH PYTHONUNBUFFERED=1 PYTHONPATH=/app
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin backhaul
COPY --from=build /opt/backhaul /opt/backhaul
WORKDIR /app
COPY . .
RUN python -m compileall -q backhaul workflows activities gateways store worker api
USER backhaul
EXPOSE 8000 8081 9090
# The API's; the worker and the codec server name their own in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=6 \
    CMD ["python", "deploy/healthcheck.py", "http://127.0.0.1:8000/readyz"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "api"]
