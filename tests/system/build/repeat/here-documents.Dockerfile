FROM base
COPY <<one <<two /here/
first
one
second
two
RUN --mount=type=secret,id=clock,target=/etc/faketimerc <<end
mkdir -p /run-here/d
echo text >/run-here/d/f
end
