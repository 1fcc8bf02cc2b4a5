/* mma.sync, ldmatrix, stmatrix. */
#include <string.h>

#include "tests/cuda/matrix.h"
#include "tests/cuda/memory.h"
#include "tests/cuda/parser.h"

typedef struct Form {
    u32 m, k;
    const char *types;
    u32 sm;
} Form;
static const Form forms[] = {
    {16, 8, "f16", 75},  {16, 16, "f16", 80},  {16, 8, "bf16", 80},   {16, 16, "bf16", 80},  {16, 4, "tf32", 80},
    {16, 8, "tf32", 80}, {8, 16, "s8 u8", 75}, {16, 16, "s8 u8", 80}, {16, 32, "s8 u8", 80}, {16, 32, "e4m3 e5m2", 89},
};

static NumberType factor_type(const char *name) {
    static const struct {
        const char *name;
        NumberType type;
    } types[] = {{"f16", NUMBER_F16}, {"bf16", NUMBER_BF16}, {"tf32", NUMBER_TF32}, {"s8", NUMBER_S8},
                 {"u8", NUMBER_U8},   {"e4m3", NUMBER_E4M3}, {"e5m2", NUMBER_E5M2}};
    for (size_t n = 0; n < sizeof types / sizeof *types; n++)
        if (!strcmp(types[n].name, name)) return types[n].type;
    return NUMBER_NONE;
}

static void take_list(Parser *p, const Operand *o, u32 n, bool store, s32 *out) {
    const Operand *parts = o->kind == OPERAND_LIST ? o->parts : o;
    if ((o->kind == OPERAND_LIST ? o->n_parts : 1) != n) parse_fail(p, "%u registers expected", n);
    for (u32 k = 0; k < n; k++) out[k] = store ? destination(p, &parts[k], 32) : source(p, &parts[k], 32);
}

/* How many registers of a lane hold m × 8 sums. */
static u32 sum_registers(Parser *p, u32 m, bool integers, const char *type, bool *halves) {
    *halves = !integers && !strcmp(type, "f16");
    if (strcmp(type, integers ? "s32" : "f32") && !*halves) parse_fail(p, "sums of type %s are unknown", type);
    return *halves ? m / 8 : m / 4;
}

void decode_mma(Parser *p, Statement *s) {
    MatrixShape *shape = arena_take(p->arena, sizeof *shape);
    if (!part_take(s, "sync") || !part_take(s, "aligned")) parse_fail(p, "only with .sync.aligned");
    if (s->n_parts < 4 || sscanf(s->part[3], "m%un8k%u", &shape->m, &shape->k) != 2)
        parse_fail(p, "a shape m…n8k… expected");
    s->used[3] = true;
    if (!part_take(s, "row") || !part_take(s, "col")) parse_fail(p, "only .row.col");
    shape->saturate = part_take(s, "satfinite");
    const char *c_type = part_last(s), *b_type = part_last(s), *a_type = part_last(s), *d_type = part_last(s);
    parts_done(p, s);
    const Form *form = NULL;
    for (size_t n = 0; n < sizeof forms / sizeof *forms; n++)
        if (forms[n].m == shape->m && forms[n].k == shape->k && names_hold(forms[n].types, a_type) &&
            names_hold(forms[n].types, b_type))
            form = &forms[n];
    if (!form) parse_fail(p, "the form is unknown");
    need_sm(p, form->sm);
    need_operands(p, s, 4, 4);
    shape->a = factor_type(a_type);
    shape->b = factor_type(b_type);
    shape->integers = shape->a == NUMBER_S8 || shape->a == NUMBER_U8;
    u32 neighbours = 32 / (u32)number_bits(shape->a);
    shape->a_registers = shape->m / 8 * shape->k / (4 * neighbours);
    shape->b_registers = shape->k / (4 * neighbours);
    u32 d = sum_registers(p, shape->m, shape->integers, d_type, &shape->d_halves);
    u32 c = sum_registers(p, shape->m, shape->integers, c_type, &shape->c_halves);
    shape->a_at = (int)d;
    shape->b_at = shape->a_at + (int)shape->a_registers;
    shape->c_at = shape->b_at + (int)shape->b_registers;
    s32 arg[MAX_ARGS];
    take_list(p, &s->operand[0], d, true, arg);
    take_list(p, &s->operand[1], shape->a_registers, false, arg + shape->a_at);
    take_list(p, &s->operand[2], shape->b_registers, false, arg + shape->b_at);
    take_list(p, &s->operand[3], c, false, arg + shape->c_at);
    Inst *i = emit(p, s, run_mma);
    memcpy(i->arg, arg, ((size_t)shape->c_at + c) * sizeof *arg);
    i->any = shape;
}

static void decode_matrices(Parser *p, Statement *s, bool store) {
    static const char *const counts[] = {"x1", "x2", "x4"};
    if (!part_take(s, "sync") || !part_take(s, "aligned") || !part_take(s, "m8n8") || !part_take(s, "b16"))
        parse_fail(p, "only .sync.aligned.m8n8 of b16");
    int log = part_choice(s, counts, 3);
    bool transposed = part_take(s, "trans"), shared = part_take(s, "shared") || part_take(s, "shared::cta");
    parts_done(p, s);
    if (log < 0) parse_fail(p, "x1, x2 or x4 expected");
    need_sm(p, store ? 90 : 75);
    need_operands(p, s, 2, 2);
    s32 arg[4];
    take_list(p, &s->operand[store], 1u << log, !store, arg);
    Inst *i = emit(p, s, store ? run_store_matrix : run_load_matrix);
    memcpy(i->arg, arg, sizeof *arg << log);
    i->count = (u8)(1 << log);
    i->from = transposed;
    decode_address(p, &s->operand[!store], i, i->count, shared ? IN_SHARED : IN_GENERIC);
}

void decode_ldmatrix(Parser *p, Statement *s) { decode_matrices(p, s, false); }
void decode_stmatrix(Parser *p, Statement *s) { decode_matrices(p, s, true); }
