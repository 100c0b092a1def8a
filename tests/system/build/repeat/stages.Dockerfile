FROM base AS left
RUN --mount=type=secret,id=clock,target=/etc/faketimerc echo left >/l && mkdir -p /t/u && touch /t/u/v
FROM base AS right
RUN --mount=type=secret,id=clock,target=/etc/faketimerc echo right >/r
FROM scratch
COPY --from=left /l /t /both/
COPY --from=right /r /both/
