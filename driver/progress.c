/* Tells a person at a terminal which stage a long compile is in: nothing in the first second, then a line a stage. */
#include "driver/driver.h"
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *volatile current;
static volatile sig_atomic_t late;
static bool held;

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* From a signal handler too: write and strlen only. */
static void show(void) {
    const char *stage = current;
    if (!stage) return;
    if (write(STDERR_FILENO, "mcc: ", 5) < 0 || write(STDERR_FILENO, stage, strlen(stage)) < 0) return;
    if (write(STDERR_FILENO, " …\n", strlen(" …\n")) < 0) return;
}

static void on_second(int signal) {
    (void)signal;
    late = 1;
    show();
}

void progress_hold(bool hold) { held = hold; }

void progress_stage(const char *stage) {
    static bool started;
    if (held || !isatty(STDERR_FILENO)) return;
    bool starts = stage && !started;
    current = stage;
    started = stage != NULL;
    if (starts) {
        late = 0;
        struct sigaction action = {.sa_handler = on_second, .sa_flags = SA_RESTART};
        sigaction(SIGALRM, &action, NULL);
    } else if (late) {
        show();
    }
    if (starts || !stage) setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_sec = stage ? 1 : 0}}, NULL);
}

/* One bar that grows in place; behind the last part, a line of its own. */
void progress_part(int done, int all) {
    enum { WIDTH = 30 };
    static int shown = -1;
    int cells = all > 0 ? (int)((int64_t)done * WIDTH / all) : 0;
    if (!late || !current || !isatty(STDERR_FILENO) || (cells == shown && done != all)) return;
    shown = cells;
    char bar[WIDTH + 1] = "";
    memset(bar, '#', (size_t)cells);
    fprintf(stderr, "\rmcc: %s [%-*s] %d of %d%s", current, WIDTH, bar, done, all, done == all ? "\n" : "");
    fflush(stderr);
}
