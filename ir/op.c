/* ops.def as a table: names, arity, properties, attributes. */
#include "ir/ir.h"
#include <string.h>

#define OP(name, domain, since, min_in, max_in, min_out, max_out, dtypes, flags, infer, attrs) \
    bool infer_##infer(Ctx *ctx, Node *n);
#include "ir/ops.def"

#define INT(name, value) {#name, ATTR_INT, (value), 0, NULL},
#define FLOAT(name, value) {#name, ATTR_FLOAT, 0, (double)(value), NULL},
#define INTS(name) {#name, ATTR_INTS, 0, 0, NULL},
#define FLOATS(name) {#name, ATTR_FLOATS, 0, 0, NULL},
#define ENUM(name, words) {#name, ATTR_STRING, 0, 0, words},
#define WORDS(name, words) {#name, ATTR_STRINGS, 0, 0, words},
#define OTHER(name) {#name, ATTR_OTHER, 0, 0, NULL},
#define NO_ATTRS
#define ATTRS(...) __VA_ARGS__
#define OP(name, domain, since, min_in, max_in, min_out, max_out, dtypes, flags, infer, attrs) \
    static const AttrSchema schema_##name[] = {attrs{NULL, ATTR_NONE, 0, 0, NULL}};
#include "ir/ops.def"
#undef INT
#undef FLOAT
#undef INTS
#undef FLOATS
#undef ENUM
#undef WORDS
#undef OTHER
#undef NO_ATTRS
#undef ATTRS

static const OpInfo table[OP_COUNT] = {
#define OP(name, domain, since, min_in, max_in, min_out, max_out, dtypes, flags, infer, attrs)             \
    [OP_##name] = {#name, domain, since, min_in, max_in, min_out, max_out, dtypes, flags, infer_##infer, \
                   schema_##name, (int)(sizeof schema_##name / sizeof *schema_##name) - 1},
#include "ir/ops.def"
};

const OpInfo *op_info(Op op) { return &table[op]; }
bool op_has(Op op, unsigned flags) { return (table[op].flags & flags) == flags; }

static bool is_one_number(const Value *v) {
    if (!v) return true;
    for (int i = 0; i < v->type.rank; i++)
        if (!dim_is(v->type.dims[i], 1)) return false;
    return v->type.kind == TYPE_TENSOR;
}

bool node_is_elementwise(const Node *n) {
    if (op_has(n->op, OP_ELEMENTWISE)) return true;
    if (n->op != OP_QuantizeLinear && n->op != OP_DequantizeLinear) return false;
    const Value *number = n->op == OP_QuantizeLinear ? n->in[0] : n->out[0];
    const Value *code = n->op == OP_QuantizeLinear ? n->out[0] : n->in[0];
    int64_t precision = n->op == OP_QuantizeLinear ? node_int(n, "precision") : 0;
    bool plain = number->type.dtype == DT_F32 || (n->op == OP_QuantizeLinear && number->type.dtype == DT_I32);
    return plain && dtype_computes(code->type.dtype) && n->in[1]->type.dtype == DT_F32 && (precision == 0 || precision == DT_F32) &&
           is_one_number(n->in[1]) && is_one_number(node_in(n, 2));
}

Op op_find(Str domain, Str name) {
    OpDomain d;
    if (domain.n == 0 || str_is(domain, "ai.onnx")) d = ONNX;
    else if (str_is(domain, "mcc")) d = MCC;
    else return OP_NONE;
    for (int op = OP_NONE + 1; op < OP_COUNT; op++)
        if (table[op].domain == d && str_is(name, table[op].name)) return (Op)op;
    return OP_NONE;
}

const AttrSchema *op_attr(Op op, const char *name) {
    for (const AttrSchema *s = table[op].attrs; s->name; s++)
        if (!strcmp(s->name, name)) return s;
    return NULL;
}
