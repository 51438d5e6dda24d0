# Overread without a model runtime: listen, web, deliver, housekeep, db upgrade and every command that only looks.
#
#   docker build --file docker/service.Dockerfile --tag overread-service:0.1.0 .
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY docker/locks ./docker/locks
RUN ["python", "-m", "venv", "/opt/build"]
RUN ["python", "-m", "venv", "--without-pip", "/opt/overread"]
RUN ["/opt/build/bin/pip", "install", "--require-hashes", "--only-binary=:all:", "--requirement=docker/locks/build.txt"]
RUN ["/opt/build/bin/pip", "--python=/opt/overread/bin/python", "install", "--require-hashes", "--only-binary=:all:", "--requirement=docker/locks/service.txt"]
COPY LICENSE README.md pyproject.toml ./
COPY inference ./inference
COPY listener ./listener
COPY migrations ./migrations
COPY overread ./overread
COPY storage ./storage
COPY training ./training
RUN ["/opt/build/bin/pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir=dist", "."]
RUN ["/opt/build/bin/pip", "--python=/opt/overread/bin/python", "install", "--no-deps", "--no-index", "--find-links=dist", "overread"]

FROM node:22-bookworm-slim AS viewer
WORKDIR /viewer
COPY docker/locks/viewer.sha256 ./
RUN ["npm", "pack", "@ohif/app@3.13.2", "--silent", "--ignore-scripts"]
RUN ["sha256sum", "--check", "viewer.sha256"]
RUN ["tar", "--extract", "--file=ohif-app-3.13.2.tgz", "--strip-components=1", "--no-same-owner", "--exclude=package/dist/ort", "--exclude=package/dist/dicom-microscopy-viewer", "package/dist", "package/LICENSE"]

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Overread service" \
      org.opencontainers.image.description="Receives studies, serves the web door, delivers results. Research use only." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN ["groupadd", "--gid=10001", "overread"]
RUN ["useradd", "--uid=10001", "--gid=10001", "--home-dir=/srv/overread", "--no-create-home", "--shell=/usr/sbin/nologin", "overread"]
RUN ["install", "--directory", "--mode=0555", "/srv/overread"]
RUN ["install", "--directory", "--mode=0700", "--owner=10001", "--group=10001", "/var/lib/overread", "/run/overread"]
COPY --from=build /opt/overread /opt/overread
COPY --from=viewer /viewer/dist /opt/ohif/dist
COPY --from=viewer /viewer/LICENSE /opt/ohif/LICENSE
ENV PATH=/opt/overread/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OVERREAD_DATA_DIR=/var/lib/overread \
    OVERREAD_RUN_DIR=/run/overread
WORKDIR /srv/overread
USER 10001:10001
VOLUME ["/var/lib/overread"]
EXPOSE 8080 11112
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["overread", "health"]
ENTRYPOINT ["overread"]
CMD ["--help"]
