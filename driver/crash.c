/* Signals. A compile that is interrupted leaves no temporary file; a fault inside mcc says that it is ours. Handlers
 * call only what is async-signal-safe. */
#include "driver/driver.h"
#include <llvm-c/ErrorHandling.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static volatile sig_atomic_t held, pending;
static volatile int child;

static void end_with(int number) {
    output_unlink_temps();
    if (child > 0) kill(child, SIGTERM);
    signal(number, SIG_DFL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    raise(number);
}

static void on_end(int number) {
    if (held) pending = number;
    else end_with(number);
}

static void on_fault(int number) {
    static const char text[] = "mcc: error: mcc itself failed (a bug in mcc, not in the model): signal ";
    char digits[3] = {(char)('0' + number / 10), (char)('0' + number % 10), '\n'};
    output_unlink_temps();
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0 || write(STDERR_FILENO, digits, 3) < 0) _exit(OUR_BUG);
    _exit(OUR_BUG);
}

/* Where LLVM gives up. */
static void on_llvm_fault(const char *reason) {
    say_error("mcc itself failed (a bug in mcc, not in the model): LLVM: %s", reason);
    output_unlink_temps();
    _exit(OUR_BUG);
}

void crash_hold(bool hold) {
    held = hold;
    if (!hold && pending) end_with(pending);
}

void crash_watch(int pid) { child = pid; }

static bool sanitized(void) {
#ifdef __SANITIZE_ADDRESS__
    return true; /* its own report tells more */
#else
    return false;
#endif
}

void crash_guard(void) {
    static char stack[64 * 1024]; /* faults may come from an exhausted stack */
    if (!sanitized()) sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction end = {.sa_handler = on_end, .sa_flags = SA_RESTART};
    struct sigaction fault = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | (int)SA_RESETHAND};
    struct sigaction old;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN) sigaction(ends[i], &end, NULL);
    for (size_t i = 0; i < sizeof faults / sizeof *faults && !sanitized(); i++) sigaction(faults[i], &fault, NULL);
    LLVMInstallFatalErrorHandler(on_llvm_fault);
    signal(SIGXFSZ, SIG_IGN); /* a file that grows too long is a failed write */
}

void crash_default(void) {
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) signal(ends[i], SIG_DFL);
    for (size_t i = 0; i < sizeof faults / sizeof *faults && !sanitized(); i++) signal(faults[i], SIG_DFL);
}
