FROM base
RUN --mount=type=secret,id=clock,target=/etc/faketimerc mkdir /x && touch -d 2001-02-03 /x/old && touch -d 2099-01-01 /x/new && touch /x/now
