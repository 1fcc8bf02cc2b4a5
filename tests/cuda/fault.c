/* What ends a launch: the message names the kernel, the line of the PTX and its text, the block, the thread. */
#include <string.h>

#include "tests/cuda/emulator.h"

static int line_length(const char *text, u32 line, const char **start) {
    while (--line && text) {
        text = strchr(text, '\n');
        if (text) text++;
    }
    if (!text) return 0;
    text += strspn(text, " \t");
    *start = text;
    return (int)strcspn(text, "\n");
}

void fault(Warp *w, const Inst *i, int lane, CUresult code, const char *format, ...) {
    Block *b = w->block;
    Launch *l = b->launch;
    char what[256], who[64] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (lane >= 0) snprintf(who, sizeof who, ", thread %u,%u,%u", w->tid[0][lane], w->tid[1][lane], w->tid[2][lane]);
    const char *text = "";
    int length = line_length(l->f->module->text, i->line, &text);
#pragma omp critical(launch_fails)
    if (l->result == CUDA_SUCCESS) {
        l->result = code;
        snprintf(l->message, sizeof l->message, "kernel '%s', line %u '%.*s', block %u,%u,%u, warp %u%s: %s",
                 l->f->name, i->line, length, text, b->id[0], b->id[1], b->id[2], w->index, who, what);
    }
    longjmp(b->failed, 1);
}
