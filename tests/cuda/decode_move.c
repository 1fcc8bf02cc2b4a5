/* setp, set, mov and the special registers. */
#include <string.h>

#include "tests/cuda/moves.h"
#include "tests/cuda/parser.h"
#include "tests/cuda/warpwise.h"

static Comparison *take_comparison(Parser *p, Statement *s, const char *type, int *join) {
    static const char *const joins[] = {"and", "or", "xor"};
    static const char *const orders[] = {"eq", "ne",  "lt",  "le",  "gt",  "ge",  "lo",  "ls",  "hi",
                                         "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
    char name[24];
    int order = part_choice(s, orders, 18);
    *join = 1 + part_choice(s, joins, 3);
    bool pair = strlen(type) > 2 && !strcmp(type + strlen(type) - 2, "x2");
    snprintf(name, sizeof name, "%s.%.*s", order < 0 ? "" : orders[order], (int)(strlen(type) - (pair ? 2 : 0)), type);
    Comparison *c = comparison_find(name);
    if (!c) parse_fail(p, "the comparison is unknown");
    return c;
}

static bool is_pair(const char *type) { return strchr(type, 'x') != NULL; }

/* Sources and the third predicate, behind two destinations */
static void compare_operands(Parser *p, Statement *s, const char *type, int join, Inst *out) {
    int bits = parse_type_bytes(type) * 8;
    need_operands(p, s, join ? 4u : 3u, join ? 4 : 3);
    out->arg[2] = source(p, &s->operand[1], bits);
    out->arg[3] = source(p, &s->operand[2], bits);
    out->arg[4] = join ? source(p, &s->operand[3], 1) : NO_ARG;
    out->flags = join && s->operand[3].negated;
    out->type = (u8)join;
}

void decode_setp(Parser *p, Statement *s) {
    Inst made = {0};
    int join;
    bool flush = part_take(s, "ftz");
    const char *type = part_last(s);
    Comparison *compare = take_comparison(p, s, type, &join);
    parts_done(p, s);
    compare_operands(p, s, type, join, &made);
    const Operand *d = &s->operand[0];
    s32 first = destination(p, d, 1), second = d->second ? destination(p, d->second, 1) : NO_ARG;
    if (flush && !strcmp(type, "f32"))
        for (int n = 2; n < 4; n++) {
            Inst *i = emit(p, s, row_find("flush.f32")->run);
            i->arg[1] = made.arg[n];
            i->arg[0] = made.arg[n] = temporary(p, 32);
        }
    Inst *i = emit(p, s, is_pair(type) ? run_setp_pair : run_setp);
    i->compare = compare;
    memcpy(i->arg, made.arg, 5 * sizeof *i->arg);
    i->arg[0] = first;
    i->arg[1] = second;
    i->flags = made.flags;
    i->type = made.type;
}

void decode_set(Parser *p, Statement *s) {
    Inst made = {0};
    int join;
    part_take(s, "ftz");
    const char *type = part_last(s), *to = part_last(s);
    Comparison *compare = take_comparison(p, s, type, &join);
    parts_done(p, s);
    if (strcmp(to, "u32") && strcmp(to, "s32") && strcmp(to, "f32")) parse_fail(p, "only to 32 bits");
    compare_operands(p, s, type, join, &made);
    s32 d = destination(p, &s->operand[0], 32);
    Inst *i = emit(p, s, run_set);
    i->compare = compare;
    memcpy(i->arg, made.arg, 5 * sizeof *i->arg);
    i->arg[0] = d;
    i->offset = *to == 'f' ? 0x3f800000 : 0xffffffff;
    i->flags = made.flags;
    i->type = made.type;
}

static void decode_pack(Parser *p, Statement *s, int bits, bool unpack) {
    const Operand *list = &s->operand[!unpack], *whole = &s->operand[unpack];
    u32 n = list->n_parts;
    int part = n ? bits / (int)n : 0;
    if ((n != 2 && n != 4) || part < 16) parse_fail(p, "%d bits in %u parts", bits, n);
    s32 arg[5];
    for (u32 k = 0; k < n; k++)
        arg[k] = unpack ? destination(p, &list->parts[k], part) : source(p, &list->parts[k], part);
    arg[n] = unpack ? source(p, whole, bits) : destination(p, whole, bits);
    Inst *i = emit(p, s, unpack ? run_unpack : run_pack);
    memcpy(i->arg, arg, (n + 1) * sizeof *arg);
    i->count = (u8)n;
    i->bytes = (u8)(part / 8);
}

void decode_mov(Parser *p, Statement *s) {
    need_operands(p, s, 2, 2);
    if (s->n_parts != 2) parse_fail(p, "one type expected");
    int bits = strcmp(s->part[1], "pred") ? parse_type_bytes(s->part[1]) * 8 : 1;
    if (s->operand[0].kind == OPERAND_LIST || s->operand[1].kind == OPERAND_LIST) {
        decode_pack(p, s, bits, s->operand[0].kind == OPERAND_LIST);
        return;
    }
    const Row *row = row_find(s->opcode);
    if (!row) parse_fail(p, "the instruction is unknown");
    s32 d = destination(p, &s->operand[0], bits);
    if (s->operand[1].kind == OPERAND_SPECIAL && decode_special(p, s->operand[1].name, bits, d)) return;
    s32 a = source(p, &s->operand[1], bits);
    Inst *i = emit(p, s, row->run);
    i->arg[0] = d;
    i->arg[1] = a;
    i->count = 2;
}

bool decode_special(Parser *p, const char *name, int bits, s32 reg) {
    static const struct {
        const char *name;
        u8 which;
        bool axes;
    } specials[] = {{"%tid", SPECIAL_TID, true},
                    {"%ntid", SPECIAL_NTID, true},
                    {"%ctaid", SPECIAL_CTAID, true},
                    {"%nctaid", SPECIAL_NCTAID, true},
                    {"%laneid", SPECIAL_LANEID, false},
                    {"%warpid", SPECIAL_WARPID, false},
                    {"%nwarpid", SPECIAL_NWARPID, false},
                    {"%lanemask_eq", SPECIAL_LANES_EQ, false},
                    {"%lanemask_lt", SPECIAL_LANES_LT, false},
                    {"%lanemask_le", SPECIAL_LANES_LE, false},
                    {"%lanemask_gt", SPECIAL_LANES_GT, false},
                    {"%lanemask_ge", SPECIAL_LANES_GE, false},
                    {"%dynamic_smem_size", SPECIAL_DYNAMIC_SMEM, false},
                    {"%total_smem_size", SPECIAL_TOTAL_SMEM, false},
                    {"%clock", SPECIAL_CLOCK, false},
                    {"%clock64", SPECIAL_CLOCK, false},
                    {"%globaltimer", SPECIAL_CLOCK, false},
                    {"%smid", SPECIAL_ZERO, false},
                    {"%gridid", SPECIAL_ZERO, false}};
    size_t length = strcspn(name, ".");
    for (size_t n = 0; n < sizeof specials / sizeof *specials; n++) {
        if (strlen(specials[n].name) != length || strncmp(specials[n].name, name, length)) continue;
        if (specials[n].axes && (!name[length] || !strchr("xyz", name[length + 1]))) return false;
        if (bits != 32 && !(bits == 64 && specials[n].which == SPECIAL_CLOCK))
            parse_fail(p, "'%s' for %d bits", name, bits);
        if (reg == NO_ARG) return true;
        Inst *i = emit(p, p->statement, run_special);
        i->arg[0] = reg;
        i->from = specials[n].which;
        i->count = specials[n].axes ? (u8)(name[length + 1] - 'x') : 0;
        i->bytes = (u8)(bits / 8);
        return true;
    }
    return false;
}
