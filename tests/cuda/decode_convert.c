/* cvt */
#include <string.h>

#include "tests/cuda/convert.h"
#include "tests/cuda/parser.h"

static NumberType number_type(const char *name) {
    static const char *const names[] = {"f16", "bf16", "tf32", "f32", "f64", "e4m3", "e5m2", "u8",
                                        "u16", "u32",  "u64",  "s8",  "s16", "s32",  "s64"};
    for (int n = 0; n < NUMBER_NONE; n++)
        if (!strcmp(names[n], name)) return (NumberType)n;
    return NUMBER_NONE;
}

static NumberType pair_type(const char *name) {
    size_t length = strlen(name);
    char one[8];
    if (length < 3 || length > 8 || strcmp(name + length - 2, "x2")) return NUMBER_NONE;
    snprintf(one, sizeof one, "%.*s", (int)length - 2, name);
    return number_type(one);
}

static u8 take_modifiers(Statement *s) {
    int m = 0;
    if (part_take(s, "ftz")) m |= FLUSH;
    if (part_take(s, "sat")) m |= SATURATE;
    if (part_take(s, "satfinite")) m |= SATURATE_FINITE;
    if (part_take(s, "relu")) m |= RELU;
    return (u8)m;
}

/* A register of the type, or a wider one. */
static int operand_bits(Parser *p, const Operand *o, NumberType t) {
    int least = number_bits(t) < 16 ? 16 : number_bits(t);
    if (o->kind != OPERAND_SYMBOL || o->symbol->kind != SYMBOL_REGISTER) return least;
    if (o->symbol->bits < least || (number_floats(t) && o->symbol->bits != least))
        parse_fail(p, "'%s' has %d bits", o->name, o->symbol->bits);
    return o->symbol->bits;
}

static void decode_one(Parser *p, Statement *s, NumberType to, NumberType from, u8 modifiers, int rounding,
                       bool integral, const char *usual) {
    need_operands(p, s, 2, 2);
    int to_bits = operand_bits(p, &s->operand[0], to), from_bits = operand_bits(p, &s->operand[1], from);
    s32 a = source(p, &s->operand[1], from_bits), d = destination(p, &s->operand[0], to_bits);
    Handler *run = convert_usual(usual);
    bool plain = run && !modifiers && to_bits == number_bits(to) && from_bits == number_bits(from);
    if (from == NUMBER_BF16) need_sm(p, 90);
    if (to == NUMBER_BF16 || to == NUMBER_TF32) need_sm(p, 80);
    Inst *i = emit(p, s, plain ? run : run_convert);
    i->arg[0] = d;
    i->arg[1] = a;
    i->type = (u8)to;
    i->from = (u8)from;
    i->modifiers = modifiers;
    i->rounding = (u8)rounding;
    i->flags = integral;
    i->count = (u8)to_bits;
    i->bytes = (u8)from_bits;
}

static void decode_pack(Parser *p, Statement *s, NumberType part, u8 modifiers, int rounding, const char *usual) {
    bool small = part == NUMBER_E4M3 || part == NUMBER_E5M2;
    need_operands(p, s, 3, 3);
    need_sm(p, small ? 89 : 80);
    s32 a = source(p, &s->operand[1], 32), b = source(p, &s->operand[2], 32),
        d = destination(p, &s->operand[0], small ? 16 : 32);
    Handler *run = modifiers ? NULL : convert_usual(usual);
    Inst *i = emit(p, s, run ? run : run_convert_pack);
    i->arg[0] = d;
    i->arg[1] = a;
    i->arg[2] = b;
    i->type = (u8)part;
    i->from = NUMBER_F32;
    i->modifiers = modifiers;
    i->rounding = (u8)rounding;
    i->count = small ? 16 : 32;
}

static void decode_pair(Parser *p, Statement *s, NumberType to, NumberType from, u8 modifiers) {
    need_operands(p, s, 2, 2);
    need_sm(p, 89);
    if ((to == NUMBER_F16) == (from == NUMBER_F16)) parse_fail(p, "only between pairs of f16 and of 8 bits");
    s32 a = source(p, &s->operand[1], from == NUMBER_F16 ? 32 : 16),
        d = destination(p, &s->operand[0], to == NUMBER_F16 ? 32 : 16);
    Inst *i = emit(p, s, run_convert_pair);
    i->arg[0] = d;
    i->arg[1] = a;
    i->type = (u8)to;
    i->from = (u8)from;
    i->modifiers = modifiers;
}

void decode_cvt(Parser *p, Statement *s) {
    static const char *const roundings[] = {"rn", "rz", "rm", "rp", "rna"}, *const integral[] = {"rni", "rzi", "rmi",
                                                                                                 "rpi"};
    static const char *const shown[] = {"rn.", "rz.", "rm.", "rp.", "rna.", "rni.", "rzi.", "rmi.", "rpi."};
    char usual[48];
    u8 modifiers = take_modifiers(s);
    int rounding = part_choice(s, roundings, 5), whole = part_choice(s, integral, 4);
    const char *from = part_last(s), *to = part_last(s);
    parts_done(p, s);
    const char *prefix = rounding >= 0 ? shown[rounding] : whole >= 0 ? shown[5 + whole] : "";
    snprintf(usual, sizeof usual, "%s%s.%s", prefix, to, from);
    int used = rounding >= 0 ? rounding : whole >= 0 ? whole : TO_NEAREST;
    NumberType a = number_type(from), d = number_type(to), a2 = pair_type(from), d2 = pair_type(to);
    if (a != NUMBER_NONE && d != NUMBER_NONE) {
        bool narrows = number_floats(a) ? number_floats(d) && number_bits(d) < number_bits(a) : number_floats(d);
        bool needs_whole = number_floats(a) && !number_floats(d);
        if ((narrows && rounding < 0) || (needs_whole && whole < 0)) parse_fail(p, "needs a rounding");
        decode_one(p, s, d, a, modifiers, used, whole >= 0, usual);
    } else if (a == NUMBER_F32 && d2 != NUMBER_NONE) decode_pack(p, s, d2, modifiers, used, usual);
    else if (a2 != NUMBER_NONE && d2 != NUMBER_NONE) decode_pair(p, s, d2, a2, modifiers);
    else parse_fail(p, "from '%s' to '%s' is unknown", from, to);
}
