FROM base
RUN --mount=type=secret,id=clock,target=/etc/faketimerc mkdir -p /d/e && echo 1 >/d/e/f && echo 2 >/gone
RUN --mount=type=secret,id=clock,target=/etc/faketimerc rm /gone /etc/issue && rm -r /d/e && mkdir /d/e && echo 3 >/d/e/g
RUN --mount=type=secret,id=clock,target=/etc/faketimerc chmod 600 /etc/motd 2>/dev/null || chmod 600 /etc/debian_version
