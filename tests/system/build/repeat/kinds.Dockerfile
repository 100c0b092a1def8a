FROM base
RUN --mount=type=secret,id=clock,target=/etc/faketimerc mkdir /k && cd /k && echo 1 >f && ln f hard && ln -s f soft \
    && mkfifo pipe && mkdir -m 1777 sticky && chmod 4711 f && chown 5:6 sticky && touch -h soft && truncate -s 1M sparse
