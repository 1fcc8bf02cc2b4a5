/* Messages that belong to no model, and the distance between two names. */
#include "driver/driver.h"
#include <stdlib.h>
#include <string.h>

static void say(const char *kind, const char *fmt, va_list ap) {
    fprintf(stderr, "mcc: %s: ", kind);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

void say_error(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say("error", fmt, ap);
    va_end(ap);
}

void say_note(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say("note", fmt, ap);
    va_end(ap);
}

/* Levenshtein's distance, one row of the table at a time. */
bool near_name(const char *given, const char *known, int *best) {
    enum { LONGEST = 64 };
    size_t n = strlen(known);
    int row[LONGEST + 1];
    if (n > LONGEST) return false;
    for (size_t j = 0; j <= n; j++) row[j] = (int)j;
    for (size_t i = 0; given[i]; i++) {
        int corner = row[0];
        row[0] = (int)i + 1;
        for (size_t j = 0; j < n; j++) {
            int change = corner + (given[i] != known[j]);
            corner = row[j + 1];
            int other = 1 + (row[j] < corner ? row[j] : corner);
            row[j + 1] = change < other ? change : other;
        }
    }
    if (row[n] >= *best) return false;
    *best = row[n];
    return true;
}
