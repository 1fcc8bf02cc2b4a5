/* The functions of mcc/mcc.h: the command as a function, and models that stay loaded. The compiler keeps some state of
 * the process (stages shown, temporary files), so one compilation runs at a time. */
#include "driver/driver.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC visibility push(default)
#include "mcc/mcc.h"
#pragma GCC visibility pop

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

struct mcc_loaded {
    Command command;
    Pipeline p;
    int argc;
    char **argv; /* what the command points into: copies */
};

static int check_warnings(const Command *c) {
    Ctx *ctx = ctx_new("");
    int result = ctx ? DONE : BAD_MODEL;
    if (!ctx) say_error("out of memory");
    for (int i = 0; i < c->n_warnings && result == DONE; i++)
        if (!diag_set_flag(ctx, c->warnings[i])) {
            say_error("unknown warning -W%s", c->warnings[i]);
            result = BAD_USAGE;
        }
    ctx_free(ctx);
    return result;
}

static int dispatch(const Command *c) {
    if (c->help) return help_print(c->verb, stdout), DONE;
    if (c->version) return printf("mcc %s\n", MCC_VERSION) < 0 ? BAD_MODEL : DONE;
    if (c->print_targets) return target_print_all(stdout), DONE;
    if (c->print_operators) return operators_print(stdout), DONE;
    int result = check_warnings(c);
    if (result != DONE) return result;
    switch (c->verb) {
    case VERB_COMPILE: return compile_main(c);
    case VERB_RUN: return run_main(c);
    case VERB_VERIFY: return verify_main(c);
    case VERB_BENCH: return bench_main(c);
    case VERB_TUNE: return tune_main(c);
    case VERB_SEARCH: return search_main(c);
    default: return inspect_main(c);
    }
}

int mcc_main(int argc, char **argv) {
    Command c;
    pthread_mutex_lock(&one_at_a_time);
    int result = command_parse(&c, argc, argv);
    if (result == DONE) result = dispatch(&c);
    command_free(&c);
    if (fflush(stdout) || ferror(stdout)) {
        say_error("cannot write standard output");
        if (result == DONE) result = BAD_MODEL;
    }
    pthread_mutex_unlock(&one_at_a_time);
    return result;
}

/* mcc run OPTION… -- PATH */
static bool copy_arguments(mcc_loaded *l, const char *path, const char *const *options, int n) {
    enum { AROUND = 4 };
    if (!(l->argv = calloc((size_t)n + AROUND + 1, sizeof *l->argv))) return false;
    l->argc = n + AROUND;
    for (int i = 0; i < l->argc; i++) {
        const char *arg = i == 0 ? "mcc" : i == 1 ? "run" : i < n + 2 ? options[i - 2] : i == n + 2 ? "--" : path;
        if (!(l->argv[i] = strdup(arg))) return false;
    }
    return true;
}

static int to_code(void *p) { return pipeline_to_code(p); }

static int load(mcc_loaded *l) {
    int result = command_parse(&l->command, l->argc, l->argv);
    l->p.command = &l->command;
    if (result == DONE && (l->command.help || l->command.version || l->command.n_files != 1)) {
        say_error("options of a model that is to be loaded, each with its value in it");
        result = BAD_USAGE;
    }
    if (result == DONE) result = check_warnings(&l->command);
    if (result != DONE) return result;
    if (!(l->p.target = pipeline_target(&l->command)) || !pipeline_find_host(&l->p)) return BAD_USAGE;
    if (!(l->p.ctx = pipeline_ctx(&l->command, l->command.files[0]))) return BAD_MODEL;
    return with_memory(l->p.ctx, to_code, &l->p);
}

int mcc_load(const char *path, const char *const *options, int n, mcc_loaded **out) {
    *out = NULL;
    mcc_loaded *l = calloc(1, sizeof *l);
    if (!l || !copy_arguments(l, path, options, n)) {
        say_error("out of memory");
        mcc_unload(l);
        return BAD_MODEL;
    }
    pthread_mutex_lock(&one_at_a_time);
    progress_hold(true); /* it takes SIGALRM, which is the program's */
    int result = load(l);
    progress_hold(false);
    pthread_mutex_unlock(&one_at_a_time);
    if (result == DONE) *out = l;
    else mcc_unload(l);
    return result;
}

const mcc_model *mcc_loaded_model(const mcc_loaded *loaded) { return loaded_model(loaded->p.loaded); }

void mcc_unload(mcc_loaded *loaded) {
    if (!loaded) return;
    pthread_mutex_lock(&one_at_a_time);
    if (loaded->p.ctx) {
        pipeline_free(&loaded->p);
        ctx_free(loaded->p.ctx);
    }
    command_free(&loaded->command);
    pthread_mutex_unlock(&one_at_a_time);
    for (int i = 0; i < loaded->argc; i++) free(loaded->argv[i]);
    free(loaded->argv);
    free(loaded);
}
