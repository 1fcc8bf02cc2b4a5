/* The mcc command. */
#include "driver/driver.h"
#include <string.h>

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

int main(int argc, char **argv) {
    Command c;
    crash_guard();
    int result = command_parse(&c, argc, argv);
    if (result == DONE) result = dispatch(&c);
    command_free(&c);
    if (fflush(stdout) || ferror(stdout)) {
        say_error("cannot write standard output");
        if (result == DONE) result = BAD_MODEL;
    }
    return result;
}
