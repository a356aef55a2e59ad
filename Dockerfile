# docker build -t athena-session-operator:0.1.0 .
# Both images must be of the same Debian release, for the C library.
ARG DEBIAN=trixie

FROM rust:1.95.0-${DEBIAN} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package athena-session-operator

FROM debian:${DEBIAN}-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/target/release/athena-session-operator /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["athena-session-operator"]
CMD ["run"]
