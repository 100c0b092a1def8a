FROM base AS packages
RUN --mount=type=bind,source=shared,target=/shared --mount=type=secret,id=clock,target=/etc/faketimerc \
    --mount=type=bind,source=archive,target=/archive dpkg -i /archive/repeat-tool.deb && /shared/tidy
FROM scratch
COPY --from=packages /usr/bin/repeat-tool /usr/share/repeat-tool /
COPY --from=packages /var/lib/dpkg/status /status
