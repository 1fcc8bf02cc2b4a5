/* What happens between lanes and between warps: shfl, vote, match, redux, barriers. */
#include <string.h>

#include "tests/cuda/parser.h"
#include "tests/cuda/warpwise.h"

static void need_sync(Parser *p, Statement *s) {
    if (!part_take(s, "sync")) parse_fail(p, "only with .sync");
}

void decode_shfl(Parser *p, Statement *s) {
    static const char *const modes[] = {"up", "down", "bfly", "idx"};
    need_sync(p, s);
    int mode = part_choice(s, modes, 4);
    if (mode < 0 || !part_take(s, "b32")) parse_fail(p, "the form is unknown");
    parts_done(p, s);
    need_operands(p, s, 5, 5);
    s32 arg[6];
    arg[0] = destination(p, &s->operand[0], 32);
    arg[1] = s->operand[0].second ? destination(p, s->operand[0].second, 1) : NO_ARG;
    for (int n = 1; n < 5; n++) arg[n + 1] = source(p, &s->operand[n], 32);
    if (arg[0] == NO_ARG) arg[0] = temporary(p, 32);
    Inst *i = emit(p, s, run_shfl);
    memcpy(i->arg, arg, sizeof arg);
    i->from = (u8)mode;
}

void decode_vote(Parser *p, Statement *s) {
    static const char *const modes[] = {"all", "any", "uni", "ballot"};
    need_sync(p, s);
    int mode = part_choice(s, modes, 4);
    if (mode < 0 || !part_take(s, mode == VOTE_BALLOT ? "b32" : "pred")) parse_fail(p, "the form is unknown");
    parts_done(p, s);
    need_operands(p, s, 3, 3);
    s32 a = source(p, &s->operand[1], 1), members = source(p, &s->operand[2], 32);
    s32 d = destination(p, &s->operand[0], mode == VOTE_BALLOT ? 32 : 1);
    Inst *i = emit(p, s, run_vote);
    i->arg[0] = d;
    i->arg[1] = a;
    i->arg[2] = members;
    i->from = (u8)mode;
    i->flags = s->operand[1].negated;
}

void decode_match(Parser *p, Statement *s) {
    static const char *const modes[] = {"all", "any"}, *const types[] = {"b32", "b64"};
    need_sync(p, s);
    int mode = part_choice(s, modes, 2), type = part_choice(s, types, 2);
    parts_done(p, s);
    need_operands(p, s, 3, 3);
    if (mode < 0 || type < 0) parse_fail(p, "the form is unknown");
    s32 a = source(p, &s->operand[1], type ? 64 : 32), members = source(p, &s->operand[2], 32);
    s32 d = destination(p, &s->operand[0], 32),
        all = s->operand[0].second ? destination(p, s->operand[0].second, 1) : NO_ARG;
    Inst *i = emit(p, s, run_match);
    i->arg[0] = d;
    i->arg[1] = all;
    i->arg[2] = a;
    i->arg[3] = members;
    i->from = (u8)mode;
    i->bytes = type ? 8 : 4;
}

void decode_redux(Parser *p, Statement *s) {
    static const char *const forms[] = {"add.s32", "add.u32", "min.u32", "max.u32", "min.s32",
                                        "max.s32", "and.b32", "or.b32",  "xor.b32"};
    static const u8 ops[] = {REDUCE_ADD,   REDUCE_ADD, REDUCE_MIN_U, REDUCE_MAX_U, REDUCE_MIN_S,
                             REDUCE_MAX_S, REDUCE_AND, REDUCE_OR,    REDUCE_XOR};
    need_sm(p, 80);
    need_sync(p, s);
    need_operands(p, s, 3, 3);
    char form[32];
    const char *type = part_last(s), *op = part_last(s);
    snprintf(form, sizeof form, "%s.%s", op, type);
    parts_done(p, s);
    for (int n = 0; n < 9; n++) {
        if (strcmp(forms[n], form)) continue;
        s32 a = source(p, &s->operand[1], 32), members = source(p, &s->operand[2], 32),
            d = destination(p, &s->operand[0], 32);
        Inst *i = emit(p, s, run_redux);
        i->arg[0] = d;
        i->arg[1] = a;
        i->arg[2] = members;
        i->from = ops[n];
        return;
    }
    parse_fail(p, "the form is unknown");
}

void decode_activemask(Parser *p, Statement *s) {
    if (!part_take(s, "b32")) parse_fail(p, "the form is unknown");
    need_operands(p, s, 1, 1);
    s32 d = destination(p, &s->operand[0], 32);
    emit(p, s, run_activemask)->arg[0] = d;
}

static void decode_warp_barrier(Parser *p, Statement *s) {
    need_sync(p, s);
    need_operands(p, s, 1, 1);
    s32 members = source(p, &s->operand[0], 32);
    emit(p, s, run_warp_barrier)->arg[0] = members;
}

void decode_bar(Parser *p, Statement *s) {
    static const char *const kinds[] = {"sync", "arrive", "red"}, *const forms[] = {"popc", "and", "or"};
    if (part_take(s, "warp")) {
        decode_warp_barrier(p, s);
        return;
    }
    part_take(s, "cta");
    int kind = part_choice(s, kinds, 3), form = kind == 2 ? part_choice(s, forms, 3) : -1;
    part_take(s, "aligned");
    if (kind == 2) part_take(s, form ? "pred" : "u32");
    parts_done(p, s);
    if (kind < 0 || (kind == 2 && form < 0)) parse_fail(p, "the form is unknown");
    bool reduces = kind == 2;
    need_operands(p, s, kind == 1 ? 2 : reduces ? 3 : 1, reduces ? 4 : 2);
    s32 d = reduces ? destination(p, &s->operand[0], form ? 1 : 32) : NO_ARG;
    s32 number = source(p, &s->operand[reduces], 32);
    bool counted = s->n == 2u + 2u * reduces;
    s32 threads = counted ? source(p, &s->operand[reduces + 1], 32) : NO_ARG;
    s32 with = reduces ? source(p, &s->operand[s->n - 1], 1) : NO_ARG;
    Inst *i = emit(p, s, run_barrier);
    i->arg[0] = d;
    i->arg[1] = number;
    i->arg[2] = threads;
    i->arg[3] = with;
    i->from = (u8)(kind == 0 ? BARRIER_SYNC : kind == 1 ? BARRIER_ARRIVE : BARRIER_POPC + form);
    i->flags = reduces && s->operand[s->n - 1].negated;
}

/* fence, membar, nanosleep: all is in order here. */
void decode_fence(Parser *p, Statement *s) {
    (void)p;
    (void)s;
}
