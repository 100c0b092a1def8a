FROM base
RUN --mount=type=secret,id=clock,target=/etc/faketimerc mkdir /o && for n in $(seq 400 | sort -R); do echo $n >/o/$n; done
