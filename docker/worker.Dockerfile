# Overread with a model runtime: work, algorithms, and all that the small image has.
#
#   docker build --file docker/worker.Dockerfile --tag overread-worker-gpu:0.1.0 .
#   docker build --file docker/worker.Dockerfile --build-arg DEVICE=cpu --tag overread-worker-cpu:0.1.0 .
#
# NVIDIA's CUDA 13 and cuDNN 9 libraries come from the lock, as packages whose digests are checked, onto the same base as the
# small image; so both run the Python that the tests run. The host brings the driver (R580 or later) and the NVIDIA
# Container Toolkit. An image of nvidia/cuda would bring the same libraries under another Python.
FROM python:3.11-slim-bookworm AS build
ARG DEVICE=gpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY docker/locks/build.txt ./docker/locks/build.txt
COPY docker/locks/worker-${DEVICE}.txt ./docker/locks/worker.txt
RUN ["python", "-m", "venv", "/opt/build"]
RUN ["python", "-m", "venv", "--without-pip", "/opt/overread"]
RUN ["/opt/build/bin/pip", "install", "--require-hashes", "--only-binary=:all:", "--requirement=docker/locks/build.txt"]
RUN ["/opt/build/bin/pip", "--python=/opt/overread/bin/python", "install", "--require-hashes", "--only-binary=:all:", "--requirement=docker/locks/worker.txt"]
COPY LICENSE README.md pyproject.toml ./
COPY inference ./inference
COPY listener ./listener
COPY migrations ./migrations
COPY overread ./overread
COPY storage ./storage
COPY training ./training
RUN ["/opt/build/bin/pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir=dist", "."]
RUN ["/opt/build/bin/pip", "--python=/opt/overread/bin/python", "install", "--no-deps", "--no-index", "--find-links=dist", "overread"]

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Overread worker" \
      org.opencontainers.image.description="Runs ONNX models on studies. Research use only." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN ["groupadd", "--gid=10001", "overread"]
RUN ["useradd", "--uid=10001", "--gid=10001", "--home-dir=/srv/overread", "--no-create-home", "--shell=/usr/sbin/nologin", "overread"]
RUN ["install", "--directory", "--mode=0555", "/srv/overread"]
RUN ["install", "--directory", "--mode=0700", "--owner=10001", "--group=10001", "/var/lib/overread", "/run/overread"]
COPY --from=build /opt/overread /opt/overread
ENV PATH=/opt/overread/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    OVERREAD_DATA_DIR=/var/lib/overread \
    OVERREAD_RUN_DIR=/run/overread \
    LD_LIBRARY_PATH=/opt/overread/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/overread/lib/python3.11/site-packages/nvidia/cudnn/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /srv/overread
USER 10001:10001
VOLUME ["/var/lib/overread"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["overread", "health"]
ENTRYPOINT ["overread"]
CMD ["--help"]
