# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep the dependencies between builds; they are not part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin insula \
    && cp target/release/insula /usr/local/bin/insula

FROM debian:bookworm-slim
# The certificate authorities serve sslmode=verify-full towards a managed PostgreSQL.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin insula
COPY --from=build /usr/local/bin/insula /usr/local/bin/insula

# A number, so that Kubernetes can check runAsNonRoot.
USER 10001:10001
ENV INSULA_HTTP_LISTEN=0.0.0.0:8080 \
    INSULA_HTTP_OPS_LISTEN=0.0.0.0:9090 \
    INSULA_LOG_FORMAT=json
EXPOSE 8080 9090
# Requests in flight get http.shutdown_grace_seconds (20): stop with `docker stop --time 30`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["insula", "health"]
ENTRYPOINT ["insula"]
CMD ["serve"]
