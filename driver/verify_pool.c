/* A pool of child processes, one a subject: what they find comes back over a pipe, and what happens to them (a signal,
 * no end in time) is a finding too. Verdicts are reported in the subjects' order, whichever child ends first. */
#include "driver/verify.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Child {
    pid_t pid; /* 0: the slot is free */
    int fd, subject;
    double deadline;
    size_t got;
    Verdict verdict; /* as far as it has arrived */
} Child;

typedef struct Pool {
    const Command *command;
    Subject *subjects;
    int n, next, reported;
    Verdict *verdicts;
    bool *ended;
    Child *children;
    struct pollfd *polls;
    int n_children;
} Pool;

typedef void Check(const Command *c, const Subject *s, Verdict *v);

_Noreturn static void be_child(const Pool *p, int subject, int fd, Check *check) {
    Verdict v = {.outcome = FAIL, .text = ": out of memory"};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    crash_default();
    for (int i = 0; i < p->n_children; i++)
        if (p->children[i].pid) close(p->children[i].fd);
    check(p->command, &p->subjects[subject], &v);
    const char *at = (const char *)&v;
    for (size_t left = sizeof v; left;) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno != EINTR) break;
        if (n > 0) at += n, left -= (size_t)n;
    }
    fflush(NULL);
    _exit(DONE);
}

static bool start(Pool *p, Child *child, Check *check) {
    int ends[2], subject = p->next;
    if (pipe(ends)) {
        say_error("cannot make a pipe: %s", strerror(errno));
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        be_child(p, subject, ends[1], check);
    }
    close(ends[1]);
    if (pid < 0) {
        say_error("cannot make a process: %s", strerror(errno));
        close(ends[0]);
        return false;
    }
    *child =
        (Child){.pid = pid, .fd = ends[0], .subject = subject, .deadline = seconds_now() + (double)p->command->timeout};
    p->next++;
    return true;
}

static void finish(Pool *p, Child *child, bool late) {
    int status = 0;
    Verdict *v = &p->verdicts[child->subject];
    if (late) kill(child->pid, SIGKILL);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) continue;
    close(child->fd);
    if (late) verdict_set(v, TIMEOUT, ": no end within %lld s", (long long)p->command->timeout);
    else if (WIFSIGNALED(status))
        verdict_set(v, CRASH, ": signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (child->got == sizeof *v && WEXITSTATUS(status) == DONE) *v = child->verdict;
    else verdict_set(v, CRASH, ": exit status %d", WEXITSTATUS(status));
    p->ended[child->subject] = true;
    child->pid = 0;
}

/* false: the pipe's end, and so the child's. */
static bool receive(Child *child) {
    char *at = (char *)&child->verdict + child->got;
    ssize_t n = read(child->fd, at, sizeof child->verdict - child->got);
    if (n > 0) child->got += (size_t)n;
    return n > 0 ? child->got < sizeof child->verdict : n < 0 && errno == EINTR;
}

static void wait_for_some(Pool *p) {
    double now = seconds_now(), first = now + 3600;
    for (int i = 0; i < p->n_children; i++) {
        const Child *child = &p->children[i];
        p->polls[i] = (struct pollfd){.fd = child->pid ? child->fd : -1, .events = POLLIN};
        if (child->pid && child->deadline < first) first = child->deadline;
    }
    int n = poll(p->polls, (nfds_t)p->n_children, first > now ? (int)(1e3 * (first - now)) + 1 : 0);
    now = seconds_now();
    for (int i = 0; i < p->n_children; i++) {
        Child *child = &p->children[i];
        if (!child->pid) continue;
        if (n > 0 && p->polls[i].revents && !receive(child)) finish(p, child, false);
        else if (now >= child->deadline) finish(p, child, true);
    }
}

static void stop(Pool *p) {
    for (int i = 0; i < p->n_children; i++)
        if (p->children[i].pid) finish(p, &p->children[i], true);
}

static int pool_size(const Command *c, int n) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t size = c->jobs ? c->jobs : cores > 0 ? cores : 1;
    return size < n ? (int)size : n;
}

bool pool_run(const Command *c, Subject *subjects, int n, Check *check,
              void (*on_verdict)(const Subject *s, const Verdict *v, void *arg), void *arg) {
    Pool p = {.command = c, .subjects = subjects, .n = n, .n_children = pool_size(c, n)};
    p.verdicts = calloc((size_t)n + 1, sizeof *p.verdicts);
    p.ended = calloc((size_t)n + 1, sizeof *p.ended);
    p.children = calloc((size_t)p.n_children + 1, sizeof *p.children);
    p.polls = calloc((size_t)p.n_children + 1, sizeof *p.polls);
    bool good = p.verdicts && p.ended && p.children && p.polls;
    if (!good) say_error("out of memory");
    while (good && p.reported < n) {
        for (int i = 0; i < p.n_children && p.next < n && good; i++)
            if (!p.children[i].pid) good = start(&p, &p.children[i], check);
        if (good) wait_for_some(&p);
        for (; p.reported < n && p.ended[p.reported]; p.reported++)
            on_verdict(&subjects[p.reported], &p.verdicts[p.reported], arg);
    }
    if (p.children) stop(&p);
    free(p.verdicts);
    free(p.ended);
    free(p.children);
    free(p.polls);
    return good;
}
