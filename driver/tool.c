/* Runs the host's cc and ar, without a shell, and waits for them. */
#include "driver/driver.h"
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

bool tool_run(const char *const *argv) {
    pid_t pid;
    int status, e = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ);
    if (e) {
        say_error("cannot run %s: %s", argv[0], strerror(e));
        return false;
    }
    crash_watch(pid);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    crash_watch(0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    say_error("%s failed", argv[0]);
    return false;
}
