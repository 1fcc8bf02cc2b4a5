/* Instructions that touch memory. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/memory.h"
#include "tests/cuda/parser.h"

/* What says how an access is cached and ordered: all are in order here. */
static void skip_ordering(Statement *s) {
    static const char *const words[] = {"volatile", "weak",    "relaxed", "acquire", "release", "acq_rel", "seq_cst",
                                        "cta",      "cluster", "gpu",     "sys",     "ca",      "cg",      "cs",
                                        "lu",       "cv",      "wb",      "wt",      "nc",      "mmio",    "noftz"};
    for (size_t n = 0; n < sizeof words / sizeof *words; n++) part_take(s, words[n]);
    for (u32 n = 1; n < s->n_parts; n++)
        if (strstr(s->part[n], "::") && (s->part[n][0] == 'L')) s->used[n] = true;
}

static Space take_space(Statement *s) {
    static const char *const names[] = {"global", "const", "shared",       "shared::cta",
                                        "local",  "param", "param::entry", "param::func"};
    static const Space spaces[] = {IN_GLOBAL, IN_GLOBAL, IN_SHARED, IN_SHARED, IN_LOCAL, IN_PARAM, IN_PARAM, IN_PARAM};
    int n = part_choice(s, names, 8);
    return n < 0 ? IN_GENERIC : spaces[n];
}

void decode_address(Parser *p, const Operand *o, Inst *i, int arg, Space space) {
    if (o->kind != OPERAND_ADDRESS) parse_fail(p, "an address in brackets expected");
    const Symbol *s = o->symbol;
    i->offset = o->offset;
    i->space = (u8)(space == IN_PARAM && !p->f->entry ? IN_LOCAL : space);
    if (!s) return;
    if (s->kind == SYMBOL_REGISTER) {
        if (s->bits != 32 && s->bits != 64) parse_fail(p, "'%s' is no address", s->name);
        if (s->bits == 32 && space != IN_SHARED && space != IN_LOCAL)
            parse_fail(p, "the address '%s' has 32 bits", s->name);
        if (s->bits == 32) i->flags |= SHORT_ADDRESS;
        i->arg[arg] = s->reg;
        return;
    }
    if (s->kind != SYMBOL_VARIABLE) parse_fail(p, "'%s' is no address", s->name);
    bool same = space == s->space || space == IN_GENERIC || (space == IN_PARAM && s->space == IN_LOCAL);
    if (!same) parse_fail(p, "'%s' is in another space", s->name);
    i->space = (u8)s->space;
    i->offset += (s64)s->address;
    if (s->space == IN_LOCAL) i->flags |= IN_FRAME;
    if (s->space == IN_SHARED) use_shared(p, s);
}

static int register_width(Parser *p, const Operand *o, int least) {
    if (o->kind == OPERAND_SYMBOL && o->symbol->kind == SYMBOL_REGISTER) return o->symbol->bits;
    if (o->kind == OPERAND_SINK || o->kind == OPERAND_INTEGER || o->kind == OPERAND_F32 || o->kind == OPERAND_F64)
        return least;
    if (o->kind == OPERAND_SYMBOL && o->symbol->kind == SYMBOL_VARIABLE) return 64;
    parse_fail(p, "'%s' is no register", o->name ? o->name : "operand");
}

static void decode_access(Parser *p, Statement *s, bool store) {
    static const char *const vectors[] = {"v2", "v4"};
    Space space = take_space(s);
    skip_ordering(s);
    int vector = part_choice(s, vectors, 2);
    const char *type = part_last(s);
    int bits = parse_type_bytes(type) * 8;
    parts_done(p, s);
    need_operands(p, s, 2, 2);
    if (!bits) parse_fail(p, "the type '%s' is unknown", type);
    const Operand *data = &s->operand[store], *address = &s->operand[!store];
    const Operand *parts = vector < 0 ? data : data->parts;
    u32 count = vector < 0 ? 1 : vector ? 4 : 2;
    if (vector >= 0 && (data->kind != OPERAND_LIST || data->n_parts != count))
        parse_fail(p, "%u registers in braces expected", count);
    int width = 0;
    for (u32 n = 0; n < count; n++) {
        int each = register_width(p, &parts[n], bits < 16 ? 16 : bits);
        if (parts[n].kind != OPERAND_SINK) width = each;
    }
    if (!width) width = bits < 16 ? 16 : bits;
    Handler *run = memory_handler(store, *type == 's', bits, width);
    if (!run) parse_fail(p, "%d bits of memory and registers of %d", bits, width);
    s32 regs[4];
    for (u32 n = 0; n < count; n++) regs[n] = store ? source(p, &parts[n], width) : destination(p, &parts[n], width);
    Inst *i = emit(p, s, run);
    memcpy(i->arg, regs, count * sizeof *regs);
    i->count = (u8)count;
    decode_address(p, address, i, (int)count, space);
}

void decode_ld(Parser *p, Statement *s) { decode_access(p, s, false); }
void decode_st(Parser *p, Statement *s) { decode_access(p, s, true); }

void decode_cvta(Parser *p, Statement *s) {
    bool to = part_take(s, "to");
    Space space = take_space(s);
    if (!part_take(s, "u64")) parse_fail(p, "only .u64");
    parts_done(p, s);
    need_operands(p, s, 2, 2);
    s32 a = source(p, &s->operand[1], 64), d = destination(p, &s->operand[0], 64);
    u64 window = space == IN_SHARED  ? SHARED_WINDOW
                 : space == IN_LOCAL ? LOCAL_WINDOW
                 : space == IN_PARAM ? PARAM_WINDOW
                                     : 0;
    if (space == IN_PARAM && !p->f->entry) window = LOCAL_WINDOW;
    Inst *i = emit(p, s, run_add_window);
    i->arg[0] = d;
    i->arg[1] = a;
    i->offset = (s64)(to ? 0 - window : window);
}

void decode_isspacep(Parser *p, Statement *s) {
    Space space = take_space(s);
    parts_done(p, s);
    need_operands(p, s, 2, 2);
    s32 a = source(p, &s->operand[1], 64), d = destination(p, &s->operand[0], 1);
    Inst *i = emit(p, s, run_isspacep);
    i->arg[0] = d;
    i->arg[1] = a;
    i->space = (u8)space;
}

static void decode_atomic(Parser *p, Statement *s, bool result) {
    static const char *const ops[] = {"add", "and", "or", "xor", "exch", "cas", "min", "max", "inc", "dec"};
    Space space = take_space(s);
    skip_ordering(s);
    int op = part_choice(s, ops, 10);
    const char *type = part_last(s);
    parts_done(p, s);
    if (op < 0) parse_fail(p, "the operation is unknown");
    bool compare = op == 5;
    need_operands(p, s, 2u + result + compare, 2u + result + compare);
    Handler *run = atomic_handler(ops[op], type);
    if (!run) parse_fail(p, "%s of %s is unknown", ops[op], type);
    int bits = parse_type_bytes(type) * 8;
    s32 d = result ? destination(p, &s->operand[0], bits) : NO_ARG;
    s32 b = source(p, &s->operand[result + 1], bits), c = compare ? source(p, &s->operand[result + 2], bits) : NO_ARG;
    Inst *i = emit(p, s, run);
    i->arg[0] = d;
    i->arg[1] = b;
    i->arg[2] = c;
    decode_address(p, &s->operand[result], i, 3, space);
}

void decode_atom(Parser *p, Statement *s) { decode_atomic(p, s, true); }
void decode_red(Parser *p, Statement *s) { decode_atomic(p, s, false); }

static void decode_copy(Parser *p, Statement *s) {
    bool global_only = part_take(s, "cg");
    part_take(s, "ca");
    if ((!part_take(s, "shared") && !part_take(s, "shared::cta")) || !part_take(s, "global"))
        parse_fail(p, "only .shared.global");
    skip_ordering(s);
    parts_done(p, s);
    need_operands(p, s, 3, 4);
    u64 bytes = s->operand[2].value;
    if (s->operand[2].kind != OPERAND_INTEGER || !(bytes == 16 || (!global_only && (bytes == 4 || bytes == 8))))
        parse_fail(p, "copies of %llu bytes", (unsigned long long)bytes);
    s32 valid = s->n == 4 ? source(p, &s->operand[3], 32) : NO_ARG;
    Inst *i = emit(p, s, run_copy_async);
    decode_address(p, &s->operand[0], i, 0, IN_SHARED);
    i->target = (u32)i->offset;
    u8 flags = i->flags;
    i->flags = 0;
    decode_address(p, &s->operand[1], i, 1, IN_GLOBAL);
    i->from = i->flags;
    i->flags = flags;
    i->arg[2] = valid;
    i->bytes = (u8)bytes;
}

void decode_cp(Parser *p, Statement *s) {
    if (!part_take(s, "async")) parse_fail(p, "the instruction is unknown");
    need_sm(p, 80);
    if (part_take(s, "commit_group")) emit(p, s, run_copy_commit);
    else if (part_take(s, "wait_all")) emit(p, s, run_copy_wait_all);
    else if (part_take(s, "wait_group")) {
        need_operands(p, s, 1, 1);
        emit(p, s, run_copy_wait)->offset = (s64)s->operand[0].value;
    } else decode_copy(p, s);
    parts_done(p, s);
}

void decode_prefetch(Parser *p, Statement *s) { need_operands(p, s, 1, 1); }
