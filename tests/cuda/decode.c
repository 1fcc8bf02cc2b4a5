/* Statements to instructions: the table of plain ones, and what all decoders share. Modifiers of floating-point
 * arithmetic become instructions of their own around it (.ftz, .sat, .relu) or a rounding that it runs under. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/convert.h"
#include "tests/cuda/memory.h"
#include "tests/cuda/parser.h"

static const struct {
    const char *base;
    Decoder *decode;
} decoders[] = {
    {"ld", decode_ld},
    {"ldu", decode_ld},
    {"st", decode_st},
    {"cvta", decode_cvta},
    {"isspacep", decode_isspacep},
    {"atom", decode_atom},
    {"red", decode_red},
    {"cp", decode_cp},
    {"prefetch", decode_prefetch},
    {"cvt", decode_cvt},
    {"setp", decode_setp},
    {"set", decode_set},
    {"mov", decode_mov},
    {"shfl", decode_shfl},
    {"vote", decode_vote},
    {"match", decode_match},
    {"redux", decode_redux},
    {"activemask", decode_activemask},
    {"bar", decode_bar},
    {"barrier", decode_bar},
    {"membar", decode_fence},
    {"fence", decode_fence},
    {"mma", decode_mma},
    {"ldmatrix", decode_ldmatrix},
    {"stmatrix", decode_stmatrix},
    {"bra", decode_bra},
    {"brx", decode_brx},
    {"call", decode_call},
    {"ret", decode_ret},
    {"exit", decode_exit},
    {"trap", decode_trap},
    {"brkpt", decode_trap},
    {"nanosleep", decode_fence},
};

bool names_hold(const char *names, const char *name) {
    size_t length = strlen(name);
    for (const char *at = names; (at = strstr(at, name)); at += length)
        if ((at == names || at[-1] == ' ') && (at[length] == ' ' || !at[length])) return true;
    return false;
}

/* ---- the tables of rows, found by name ---- */

enum { ROW_BUCKETS = 2048 };
typedef struct Named {
    char name[40];
    const Row *row;
    struct Named *next;
} Named;
static Named *named[ROW_BUCKETS];

static u32 hash_name(const char *s) {
    u32 h = 5381;
    for (; *s; s++) h = h * 33 ^ (u8)*s;
    return h % ROW_BUCKETS;
}

static void name_rows(const Row *rows) {
    for (const Row *row = rows; row->names; row++)
        for (const char *at = row->names; *at;) {
            size_t length = strcspn(at, " ");
            Named *n = calloc(1, sizeof *n);
            if (!n) abort();
            memcpy(n->name, at, length);
            n->row = row;
            u32 b = hash_name(n->name);
            n->next = named[b];
            named[b] = n;
            at += length + (at[length] == ' ');
        }
}

const Row *row_find(const char *name) {
    static bool ready; /* under the lock of the driver's functions */
    if (!ready) {
        name_rows(integer_rows);
        name_rows(float_rows);
        name_rows(half_rows);
        ready = true;
    }
    for (const Named *n = named[hash_name(name)]; n; n = n->next)
        if (!strcmp(n->name, name)) return n->row;
    return NULL;
}

Comparison *comparison_find(const char *name) {
    for (const CompareRow *row = compare_rows; row->names; row++)
        if (!strcmp(row->names, name)) return row->compare;
    return NULL;
}

/* ---- pieces ---- */

Inst *emit(Parser *p, const Statement *s, Handler *run) {
    Function *f = p->f;
    f->code = arena_grow(p->arena, f->code, f->n_code, &f->cap_code, sizeof *f->code);
    Inst *i = &f->code[f->n_code++];
    *i = (Inst){.run = run, .guard = s->guard, .guard_flip = s->guard_flip ? ALL_LANES : 0, .line = s->line};
    for (int n = 0; n < MAX_ARGS; n++) i->arg[n] = NO_ARG;
    return i;
}

bool part_take(Statement *s, const char *modifier) {
    for (u32 n = 1; n < s->n_parts; n++)
        if (!s->used[n] && !strcmp(s->part[n], modifier)) return s->used[n] = true;
    return false;
}

int part_choice(Statement *s, const char *const *names, int n) {
    for (int k = 0; k < n; k++)
        if (part_take(s, names[k])) return k;
    return -1;
}

const char *part_last(Statement *s) {
    for (u32 n = s->n_parts; n-- > 1;)
        if (!s->used[n]) {
            s->used[n] = true;
            return s->part[n];
        }
    return "";
}

void parts_done(Parser *p, const Statement *s) {
    for (u32 n = 1; n < s->n_parts; n++)
        if (!s->used[n]) parse_fail(p, "the modifier .%s is unknown here", s->part[n]);
}

void need_sm(Parser *p, u32 sm) {
    if (p->module->sm < sm) parse_fail(p, "needs .target sm_%u, not sm_%u", sm, p->module->sm);
}

void need_operands(Parser *p, const Statement *s, u32 least, u32 most) {
    if (s->n < least || s->n > most) parse_fail(p, "has %u operands", s->n);
}

s32 constant(Parser *p, int bits, u64 value) {
    Function *f = p->f;
    u8 bytes = (u8)(bits == 1 ? 0 : bits / 8);
    if (bits < 64) value &= (1ull << bits) - 1;
    u32 least = f->n_constants > 512 ? f->n_constants - 512 : 0; /* the nearest ones will do */
    for (u32 n = f->n_constants; n-- > least;)
        if (f->constants[n].value == value && f->constants[n].bytes == bytes) return f->constants[n].reg;
    f->constants = arena_grow(p->arena, f->constants, f->n_constants, &f->cap_constants, sizeof *f->constants);
    s32 reg = register_take(p, bits);
    f->constants[f->n_constants++] = (Constant){reg, bytes, value};
    return reg;
}

s32 temporary(Parser *p, int bits) {
    int class = bits == 1 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
    u32 n = p->temporaries[class]++;
    if (n == 24) parse_fail(p, "needs too many registers in between");
    if (p->temporary[class][n] == NO_ARG) p->temporary[class][n] = register_take(p, bits);
    return p->temporary[class][n];
}

/* The address of a variable as a value. */
static s32 variable_source(Parser *p, const Operand *o, int bits) {
    const Symbol *v = o->symbol;
    if (bits != 64 && !(bits == 32 && v->space != IN_GLOBAL))
        parse_fail(p, "the address of '%s' has not %d bits", v->name, bits);
    if (v->space == IN_LOCAL) {
        Statement always = *p->statement;
        always.guard = NO_ARG;
        Inst *i = emit(p, &always, run_local_address);
        i->bytes = (u8)(bits / 8);
        i->offset = (s64)v->address + o->offset;
        return i->arg[0] = temporary(p, bits);
    }
    if (v->space == IN_SHARED) use_shared(p, v);
    return constant(p, bits, v->address + (u64)o->offset);
}

void use_shared(Parser *p, const Symbol *v) {
    Function *f = p->f;
    for (u32 n = 0; n < f->n_shared; n++)
        if (f->uses_shared[n] == v->index) return;
    f->uses_shared = arena_grow(p->arena, f->uses_shared, f->n_shared, &f->cap_shared, sizeof *f->uses_shared);
    f->uses_shared[f->n_shared++] = v->index;
}

s32 source(Parser *p, const Operand *o, int bits) {
    switch (o->kind) {
    case OPERAND_SYMBOL:
        if (o->symbol->kind == SYMBOL_VARIABLE) return variable_source(p, o, bits);
        if (o->symbol->kind != SYMBOL_REGISTER) parse_fail(p, "'%s' is no value", o->name);
        if (o->symbol->bits != bits) parse_fail(p, "'%s' has %d bits, not %d", o->name, o->symbol->bits, bits);
        return o->symbol->reg;
    case OPERAND_SPECIAL: {
        s32 reg = temporary(p, bits);
        if (!decode_special(p, o->name, bits, reg)) parse_fail(p, "'%s' is not declared", o->name);
        return reg;
    }
    case OPERAND_INTEGER: return constant(p, bits, o->value);
    case OPERAND_F32:
        if (bits != 32) parse_fail(p, "a float of 32 bits for %d", bits);
        return constant(p, bits, o->value);
    case OPERAND_F64: {
        f64 wide;
        memcpy(&wide, &o->value, sizeof wide);
        f32 narrow = (f32)wide;
        u32 word;
        memcpy(&word, &narrow, sizeof word);
        if (bits != 32 && bits != 64) parse_fail(p, "a float for %d bits", bits);
        return constant(p, bits, bits == 64 ? o->value : word);
    }
    default: parse_fail(p, "'%s' is no value", o->name ? o->name : "operand");
    }
}

s32 destination(Parser *p, const Operand *o, int bits) {
    if (o->kind == OPERAND_SINK) return NO_ARG;
    if (o->kind != OPERAND_SYMBOL || o->symbol->kind != SYMBOL_REGISTER)
        parse_fail(p, "'%s' is no register", o->name ? o->name : "destination");
    if (o->symbol->bits != bits) parse_fail(p, "'%s' has %d bits, not %d", o->name, o->symbol->bits, bits);
    return o->symbol->reg;
}

/* ---- plain instructions ---- */

typedef struct Modifiers {
    bool flush, saturate, relu;
    int rounding;
} Modifiers;

static bool float_type(const char *t) {
    return !strcmp(t, "f32") || !strcmp(t, "f64") || !strcmp(t, "f16") || !strcmp(t, "bf16") || !strcmp(t, "f16x2") ||
           !strcmp(t, "bf16x2");
}

/* The opcode without what Modifiers hold. */
static void plain_name(const Statement *s, char out[64], Modifiers *m) {
    size_t used = 0;
    out[0] = 0;
    for (u32 n = 0; n < s->n_parts; n++) {
        const char *part = s->part[n];
        if (!strcmp(part, "rn")) continue;
        if (!strcmp(part, "ftz")) m->flush = true;
        else if (!strcmp(part, "sat")) m->saturate = true;
        else if (!strcmp(part, "relu")) m->relu = true;
        else if (!strcmp(part, "rz")) m->rounding = TO_ZERO;
        else if (!strcmp(part, "rm")) m->rounding = TO_MINUS;
        else if (!strcmp(part, "rp")) m->rounding = TO_PLUS;
        else {
            int length = snprintf(out + used, 64 - used, "%s%s", n ? "." : "", part);
            used += (size_t)length;
            if (used >= 64) used = 63;
        }
    }
}

static u32 least_sm(const char *name) {
    const char *type = strrchr(name, '.') + 1;
    bool arithmetic = !strncmp(name, "add", 3) || !strncmp(name, "sub", 3) || !strncmp(name, "mul", 3);
    if (!strncmp(type, "bf16", 4)) return arithmetic || !strncmp(name, "ex2", 3) || !strncmp(name, "tanh", 4) ? 90 : 80;
    if (strstr(name, ".NaN") || !strcmp(name, "min.f16") || !strcmp(name, "max.f16") || !strcmp(name, "min.f16x2") ||
        !strcmp(name, "max.f16x2"))
        return 80;
    return 0;
}

/* d becomes `name` of d */
static void emit_after(Parser *p, const Statement *s, const char *name, const char *type, s32 d) {
    char full[32];
    snprintf(full, sizeof full, "%s.%s", name, type);
    const Row *row = row_find(full);
    if (!row) parse_fail(p, ".%s of %s is unknown", name, type);
    Inst *i = emit(p, s, row->run);
    i->arg[0] = i->arg[1] = d;
    i->count = 2;
}

static int code_bits(char code) { return code == 'p' ? 1 : code == 'h' ? 16 : code == 'w' ? 32 : 64; }

static void decode_row(Parser *p, Statement *s, const Row *row, const char *name, const Modifiers *m) {
    const char *type = s->part[s->n_parts - 1];
    u32 n = (u32)strlen(row->args);
    if (s->n != n) parse_fail(p, "has %u operands, not %u", s->n, n);
    need_sm(p, m->relu ? 80 : least_sm(name));
    s32 arg[8];
    for (u32 k = 1; k < n; k++) {
        int bits = code_bits(row->args[k]);
        arg[k] = source(p, &s->operand[k], bits);
        if (m->flush && !strcmp(type, "f32") && bits == 32) {
            Inst *flush = emit(p, s, row_find("flush.f32")->run);
            flush->arg[0] = temporary(p, bits);
            flush->arg[1] = arg[k];
            arg[k] = flush->arg[0];
        }
        if (s->operand[k].negated) {
            if (bits != 1) parse_fail(p, "only predicates can be negated");
            Inst *invert = emit(p, s, row_find("not.pred")->run);
            invert->count = 2;
            invert->arg[0] = temporary(p, 1);
            invert->arg[1] = arg[k];
            arg[k] = invert->arg[0];
        }
    }
    arg[0] = destination(p, &s->operand[0], code_bits(row->args[0]));
    if (arg[0] == NO_ARG) return; /* without effect */
    Inst *i = emit(p, s, row->run);
    i->count = (u8)n;
    memcpy(i->arg, arg, n * sizeof *arg);
    if (m->rounding) {
        if (strcmp(type, "f32") && strcmp(type, "f64")) parse_fail(p, "only .rn for %s", type);
        i->core = row->run;
        i->run = run_rounded;
        i->rounding = (u8)m->rounding;
    }
    if (m->flush && !strcmp(type, "f32") && row->args[0] == 'w') emit_after(p, s, "flush", type, arg[0]);
    if (m->saturate) emit_after(p, s, "sat", type, arg[0]);
    if (m->relu) emit_after(p, s, "relu", type, arg[0]);
}

void decode(Parser *p, Statement *s) {
    for (size_t n = 0; n < sizeof decoders / sizeof *decoders; n++)
        if (!strcmp(decoders[n].base, s->part[0])) {
            decoders[n].decode(p, s);
            return;
        }
    const Row *row = row_find(s->opcode);
    const char *name = s->opcode;
    char plain[64];
    Modifiers m = {0};
    if (!row && float_type(s->part[s->n_parts - 1])) {
        plain_name(s, plain, &m);
        row = row_find(plain);
        name = plain;
    }
    if (!row || !strchr(name, '.')) parse_fail(p, "the instruction is unknown");
    decode_row(p, s, row, name, &m);
}
