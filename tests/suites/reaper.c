/* A stand-in for Testcontainers' reaper that speaks its protocol: lines of filters (label=key=value&label=…) over TCP
 * 8080, each answered ACK; when the last client has gone and none comes back in time, the containers that a filter
 * names are removed through the daemon's socket, and it ends. One filter's containers at a time, nothing else. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <unistd.h>

#define MAX_FILTERS 64
#define MAX_CLIENTS 64
#define ANSWER (1 << 20)
#define LINE 1024

static char filters[MAX_FILTERS][LINE];
static int filter_count;
static char answer[ANSWER];

static void ask(const char *method, const char *path) {
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/var/run/docker.sock"};
    char head[4096];
    size_t used = 0;
    ssize_t got;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    answer[0] = 0;
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) { perror("docker.sock"); close(fd); return; }
    int size = snprintf(head, sizeof head, "%s %s HTTP/1.0\r\nHost: docker\r\n\r\n", method, path);
    if (write(fd, head, size) != size) perror("write");
    while (used < ANSWER - 1 && (got = read(fd, answer + used, ANSWER - 1 - used)) > 0) used += got;
    answer[used] = 0;
    close(fd);
}

/* label=a=b -> {"label":["a=b"]}, percent-encoded where a URL wants it */
static void reap(const char *filter) {
    char path[4096] = "/containers/json?all=1&filters=%7B%22label%22%3A%5B", copy[LINE], *word, *save = NULL;
    int first = 1;
    snprintf(copy, sizeof copy, "%.*s", LINE - 1, filter);
    for (word = strtok_r(copy, "&", &save); word; word = strtok_r(NULL, "&", &save)) {
        if (strncmp(word, "label=", 6)) continue;
        snprintf(path + strlen(path), sizeof path - strlen(path), "%s%%22%s%%22", first ? "" : "%2C", word + 6);
        first = 0;
    }
    if (first) return;
    strncat(path, "%5D%7D", sizeof path - strlen(path) - 1);
    ask("GET", path);
    char *kept = strdup(answer), *at = kept;
    while ((at = strstr(at, "\"Id\":\""))) {
        char id[65] = {0}, target[160];
        memcpy(id, at + 6, 64);
        at += 6;
        snprintf(target, sizeof target, "/containers/%s?force=1&v=1", id);
        ask("DELETE", target);
        printf("removed %s\n", id);
    }
    free(kept);
}

static void heard(char *text, int fd) {
    char *line, *save = NULL;
    for (line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        if (filter_count < MAX_FILTERS) snprintf(filters[filter_count++], sizeof filters[0], "%s", line);
        if (write(fd, "ACK\n", 4) != 4) perror("ack");
    }
}

int main(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(8080)};
    struct pollfd polled[MAX_CLIENTS + 1];
    const char *text = getenv("RYUK_RECONNECTION_TIMEOUT");
    double wait = text ? atof(text) : 10;
    int count = 1, one = 1, seen = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    polled[0].fd = socket(AF_INET, SOCK_STREAM, 0);
    polled[0].events = POLLIN;
    setsockopt(polled[0].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(polled[0].fd, (struct sockaddr *)&here, sizeof here) || listen(polled[0].fd, 16)) { perror("listen"); return 1; }
    printf("Pinging Docker... Started!\n");
    for (;;) {
        int limit = count > 1 ? -1 : seen ? (int)(wait * 1000) : 60000;
        if (poll(polled, count, limit) == 0) break;
        if (polled[0].revents && count <= MAX_CLIENTS) {
            polled[count].fd = accept(polled[0].fd, NULL, NULL);
            polled[count].events = POLLIN;
            polled[count++].revents = 0;
            seen = 1;
        }
        for (int i = 1; i < count; i++) {
            char buffer[4096];
            if (!polled[i].revents) continue;
            ssize_t got = read(polled[i].fd, buffer, sizeof buffer - 1);
            if (got > 0) { buffer[got] = 0; heard(buffer, polled[i].fd); continue; }
            close(polled[i].fd);
            polled[i--] = polled[--count];
        }
    }
    for (int i = 0; i < filter_count; i++) reap(filters[i]);
    return 0;
}
