# syntax=docker/dockerfile:1
FROM base
WORKDIR /made/by/workdir
COPY --link files/a /linked/
COPY --parents files/deep/er/c /parents/
COPY --exclude=**/c --exclude=a files /without/
