FROM base
RUN --mount=type=bind,source=shared,target=/shared --mount=type=secret,id=clock,target=/etc/faketimerc \
    mkdir /usr/local/lib/x && cp /lib/*/libz.so.1 /usr/local/lib/x/ && echo /usr/local/lib/x >/etc/ld.so.conf.d/x.conf \
    && ldconfig && /shared/tidy
