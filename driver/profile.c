/* mcc bench --profile: what NAME_profile of the code in this process says, slowest node first. Ticks become
 * milliseconds by the time that the calls took altogether. */
#include "driver/call.h"
#include <stdlib.h>

typedef int (*Handle)(void *workspace);
typedef int (*Read)(const void *workspace, int32_t node, mcc_node_profile *out);

/* ISO C has no way from an object's address to a function's. */
static Handle function_of(const Pipeline *p, const char *name) {
    union {
        void *object;
        Handle function;
    } at = {loaded_symbol(p->loaded, name)};
    return at.function;
}

int model_open(const Pipeline *p, void *workspace) {
    Handle open = function_of(p, "model_open");
    return open ? open(workspace) : MCC_OK;
}

void model_close(const Pipeline *p, void *workspace) {
    Handle close = function_of(p, "model_close");
    if (close) close(workspace);
}

static Read read_of(const Pipeline *p) {
    union {
        void *object;
        Read function;
    } at = {loaded_symbol(p->loaded, "model_profile")};
    return at.function;
}

bool profile_start(const Pipeline *p, void *workspace) { return model_open(p, workspace) == MCC_OK; }

static int by_ticks(const void *a, const void *b) {
    const mcc_node_profile *x = a, *y = b;
    return (x->ticks < y->ticks) - (x->ticks > y->ticks);
}

static const char *shown(Ctx *ctx, const char *text) {
    return arena_printf(ctx->arena, "%s", *text ? diag_name(ctx, str_of(text)) : "-");
}

static void print_line(Ctx *ctx, const mcc_node_profile *n, double share, double ms, bool json, bool first) {
    const char *name = shown(ctx, n->node), *op = shown(ctx, n->op);
    if (json)
        printf("%s{\"node\": \"%s\", \"op\": \"%s\", \"form\": \"%s\", \"calls\": %llu, \"ticks\": %llu, \"ms\": %.6f}",
               first ? "" : ", ", name, op, n->form, (unsigned long long)n->calls, (unsigned long long)n->ticks, ms);
    else printf("%5.1f %% %10.4f ms  %s  %s (%s)\n", 100 * share, ms, name, op, n->form);
}

void profile_print(const Pipeline *p, const void *workspace, double seconds, bool json) {
    enum { SOME = 64 };
    Ctx *ctx = p->ctx;
    Read read = read_of(p);
    mcc_node_profile *all = NULL, one;
    size_t n = 0, room = 0;
    double ticks = 0;
    while (read && read(workspace, (int32_t)n, &one) == MCC_OK) {
        if (n == room) all = arena_grow(ctx->arena, all, n, room += SOME, sizeof *all);
        all[n++] = one;
        ticks += (double)one.ticks;
    }
    if (n) qsort(all, n, sizeof *all, by_ticks);
    for (size_t i = 0; i < n; i++) {
        double share = ticks > 0 ? (double)all[i].ticks / ticks : 0, calls = all[i].calls ? (double)all[i].calls : 1;
        print_line(ctx, &all[i], share, 1e3 * share * seconds / calls, json, i == 0);
    }
}
