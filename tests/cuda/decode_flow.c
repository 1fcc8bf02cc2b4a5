/* Branches, calls, ends. */
#include <string.h>

#include "tests/cuda/parser.h"

static void jump_to(Parser *p, const Statement *s, const Operand *o) {
    if (!o->name) parse_fail(p, "a label expected");
    Inst *i = emit(p, s, run_bra);
    if (o->symbol && o->symbol->kind == SYMBOL_LABEL) {
        i->target = (u32)o->symbol->address;
        return;
    }
    p->patches = arena_grow(p->arena, p->patches, p->n_patches, &p->cap_patches, sizeof *p->patches);
    p->patches[p->n_patches++] = (Patch){p->f->n_code - 1, o->name, s->line};
}

void decode_bra(Parser *p, Statement *s) {
    part_take(s, "uni");
    parts_done(p, s);
    need_operands(p, s, 1, 1);
    jump_to(p, s, &s->operand[0]);
}

void decode_brx(Parser *p, Statement *s) {
    if (!part_take(s, "idx")) parse_fail(p, "only .idx");
    part_take(s, "uni");
    parts_done(p, s);
    need_operands(p, s, 2, 2);
    const Symbol *table = s->operand[1].symbol;
    if (!table || table->kind != SYMBOL_TABLE) parse_fail(p, "branch targets expected");
    s32 index = source(p, &s->operand[0], 32);
    Inst *i = emit(p, s, run_brx);
    i->arg[0] = index;
    i->target = (u32)table->address;
    i->offset = table->count;
}

static u32 take_places(Parser *p, const Operand *list, const Parameter *wanted, u32 n, s32 *out) {
    u32 given = list ? list->n_parts : 0;
    if (given != n) parse_fail(p, "%u values for %u parameters", given, n);
    for (u32 k = 0; k < n; k++) {
        const Symbol *v = list->parts[k].symbol;
        if (!v || v->kind != SYMBOL_VARIABLE || v->space != IN_LOCAL)
            parse_fail(p, "'%s' is no .param of this function", list->parts[k].name);
        if (v->bytes != wanted[k].bytes)
            parse_fail(p, "'%s' has %u bytes, the parameter %u", v->name, v->bytes, wanted[k].bytes);
        out[k] = (s32)v->address;
    }
    return n;
}

void decode_call(Parser *p, Statement *s) {
    part_take(s, "uni");
    parts_done(p, s);
    u32 at = s->n && s->operand[0].kind == OPERAND_LIST;
    const Operand *results = at ? &s->operand[0] : NULL, *values = s->n > at + 1 ? &s->operand[at + 1] : NULL;
    need_operands(p, s, at + 1, at + 2);
    const Symbol *callee = s->operand[at].symbol;
    if (!callee || callee->kind != SYMBOL_FUNCTION || callee->function->entry)
        parse_fail(p, "'%s' is no function", s->operand[at].name ? s->operand[at].name : "operand");
    Function *f = p->f, *g = callee->function;
    if (g->n_results + g->n_params > MAX_ARGS) parse_fail(p, "more than %d parameters and results", MAX_ARGS);
    s32 arg[MAX_ARGS];
    u32 n = take_places(p, results, g->results, g->n_results, arg);
    take_places(p, values, g->params, g->n_params, arg + n);
    f->calls = arena_grow(p->arena, f->calls, f->n_calls, &f->cap_calls, sizeof *f->calls);
    f->calls[f->n_calls++] = g;
    Inst *i = emit(p, s, run_call);
    memcpy(i->arg, arg, (g->n_results + g->n_params) * sizeof *arg);
    i->callee = g;
    i->count = (u8)n;
}

static void decode_end(Parser *p, Statement *s, Handler *run) {
    part_take(s, "uni");
    parts_done(p, s);
    need_operands(p, s, 0, 0);
    emit(p, s, run);
}

void decode_ret(Parser *p, Statement *s) { decode_end(p, s, run_ret); }
void decode_exit(Parser *p, Statement *s) { decode_end(p, s, run_exit); }
void decode_trap(Parser *p, Statement *s) { decode_end(p, s, run_trap); }
