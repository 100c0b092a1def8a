FROM base AS other
COPY files /files
FROM base
RUN --mount=type=secret,id=clock,target=/etc/faketimerc --mount=type=cache,target=/cache --mount=type=tmpfs,target=/tmp/t \
    --mount=type=bind,from=other,source=/files,target=/bound date >>/cache/log && date >/tmp/t/now && cp -r /bound /copied
