FROM busybox AS unwanted
RUN echo unwanted > /stage
FROM first AS wanted
ARG GIVEN
ARG FROM_SHELL
ARG FROM_DOTENV
ARG UNSET=default
COPY file /from-context
COPY --from=side file /from-side
COPY --from=box /bin/busybox /from-box
RUN --mount=type=secret,id=from-file --mount=type=secret,id=renamed --mount=type=ssh,id=mine,required=true \
    echo wanted > /stage; echo "$GIVEN,$FROM_SHELL,$FROM_DOTENV,$UNSET" > /args; \
    cat /run/secrets/from-file /run/secrets/renamed > /told; test -S "$SSH_AUTH_SOCK" && echo agent > /agent
FROM wanted AS last
RUN echo last > /stage
