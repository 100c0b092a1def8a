#include <stdio.h>

int main(void) {
    puts("Hello from a program that is alone in its image.");
    return 0;
}
