FROM base
COPY --chown=daemon:7 --chmod=0640 files/b files/deep /owned/
COPY --chown=12:34 files /numbers/
