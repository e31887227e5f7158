# One image for API and worker. It installs by the same make target as everybody else, so that the two cannot drift.
FROM python:3.11-slim

# A CPU-only torch: --build-arg TORCH_INDEX=<index>
ARG TORCH_INDEX=
# With the executor ray: --build-arg EXTRAS=postgres,s3,ray
ARG EXTRAS=postgres,s3
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1

RUN apt-get update && apt-get install -y --no-install-recommends make

WORKDIR /srv/netadapt
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY netadapt netadapt
COPY adapt adapt
COPY app app
COPY workers workers
COPY migrations migrations
RUN make service
RUN make data-folder

USER 10001:10001
ENV PATH=/srv/netadapt/.venv/bin:$PATH NETADAPT_DATA_DIR=/data HOME=/data
# Not the folder of the sources: what runs is what was installed.
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["netadapt"]
# Listens beyond the container only once there is a token: `netadapt token create NAME`.
CMD ["serve", "--host", "0.0.0.0"]
