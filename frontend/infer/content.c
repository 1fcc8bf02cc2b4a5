/* Small integer tensors as lists of dims, so that shapes computed by nodes (Shape, Gather, Concat, Mul, …) need no run.
 * An element that cannot be told is NULL, and so is whatever is computed from it. */
#include "frontend/infer/infer.h"

static bool fits(Dtype t, Dim d) {
    if (!d) return false;
    if (d->kind == DIM_CONST && t == DT_I64) return true;
    if (!dim_is_bounded(d)) return false;
    switch (t) {
    case DT_I64: return true;
    case DT_I32: return d->lo >= INT32_MIN && d->hi <= INT32_MAX;
    case DT_BOOL: return d->lo >= 0 && d->hi <= 1;
    default: return false;
    }
}

void content_set(Ctx *ctx, Node *n, int out, const Dim *v, int count) {
    Value *y = n->out[out];
    int64_t dims[MCC_MAX_RANK], size;
    if (!y || count > VALUE_CONTENT_MAX || !value_static_dims(y, dims) ||
        !product_i64(dims, y->type.rank, &size) || size != count)
        return;
    Dim *content = ARENA_ARRAY(ctx->arena, count + 1, Dim);
    bool any = count == 0;
    for (int i = 0; i < count; i++)
        if (fits(y->type.dtype, v[i])) {
            content[i] = v[i];
            any = true;
        }
    if (any) y->content = content;
}

void content_copy(Ctx *ctx, Node *n, int out, int in) {
    int have = value_content(n->in[in]);
    if (have >= 0) content_set(ctx, n, out, n->in[in]->content, have);
}

/* ---- one element ---- */

static Dim truth(Ctx *ctx, bool v) { return dim_const(ctx, v); }

/* -1: a < b always, 1: a > b always, 0: a = b always; else false */
static bool order(Ctx *ctx, Dim a, Dim b, int *out) {
    Dim gap = dim_sub(ctx, a, b);
    *out = a == b ? 0 : -1;
    if (a == b || a->hi < b->lo || (gap && gap->hi < 0)) return true;
    *out = 1;
    return a->lo > b->hi || (gap && gap->lo > 0);
}

static Dim compare(Ctx *ctx, Op op, Dim a, Dim b) {
    int c;
    if (order(ctx, a, b, &c)) switch (op) {
        case OP_Equal: return truth(ctx, c == 0);
        case OP_Less: return truth(ctx, c < 0);
        case OP_LessOrEqual: return truth(ctx, c <= 0);
        case OP_Greater: return truth(ctx, c > 0);
        default: return truth(ctx, c >= 0);
        }
    Dim gap = dim_sub(ctx, a, b); /* one side of an inequality may hold though equality is open */
    if (!gap) return NULL;
    if (gap->hi <= 0 && op == OP_LessOrEqual) return truth(ctx, true);
    if (gap->lo >= 0 && op == OP_Less) return truth(ctx, false);
    if (gap->lo >= 0 && op == OP_GreaterOrEqual) return truth(ctx, true);
    if (gap->hi <= 0 && op == OP_Greater) return truth(ctx, false);
    return NULL;
}

/* Division rounds to zero, Mod takes the divisor's sign: both are floor arithmetic where nothing is negative */
static Dim divide(Ctx *ctx, Op op, Dim a, Dim b) {
    int64_t x, y;
    if (a->lo >= 0 && b->lo > 0) return op == OP_Div ? dim_floordiv(ctx, a, b) : dim_mod(ctx, a, b);
    if (op != OP_Div || !dim_is_const(a, &x) || !dim_is_const(b, &y) || y == 0 || (x == INT64_MIN && y == -1))
        return NULL;
    return dim_const(ctx, x / y);
}

static Dim binary(Ctx *ctx, const Node *n, Dim a, Dim b) {
    if (!a || !b) return NULL;
    switch (n->op) {
    case OP_Add: return dim_add(ctx, a, b);
    case OP_Sub: return dim_sub(ctx, a, b);
    case OP_Mul: return dim_mul(ctx, a, b);
    case OP_Div: return divide(ctx, OP_Div, a, b);
    case OP_Mod: return divide(ctx, OP_Mod, a, b);
    case OP_Min:
    case OP_And: return dim_min(ctx, a, b);
    case OP_Max:
    case OP_Or: return dim_max(ctx, a, b);
    case OP_Xor: return dim_mod(ctx, dim_add(ctx, a, b), dim_const(ctx, 2));
    case OP_Equal:
    case OP_Less:
    case OP_LessOrEqual:
    case OP_Greater:
    case OP_GreaterOrEqual: return compare(ctx, n->op, a, b);
    default: return NULL;
    }
}

static Dim select_one(Dim condition, Dim x, Dim y) {
    if (dim_is(condition, 1)) return x;
    return dim_is(condition, 0) || x == y ? y : NULL;
}

static Dim unary(Ctx *ctx, const Node *n, Dim a) {
    if (!a) return NULL;
    switch (n->op) {
    case OP_Identity: return a;
    case OP_Cast:
    case OP_CastLike:
        if (n->out[0]->type.dtype != DT_BOOL) return a;
        return a->lo > 0 || a->hi < 0 ? truth(ctx, true) : dim_is(a, 0) ? a : NULL;
    case OP_Neg: return dim_sub(ctx, dim_const(ctx, 0), a);
    case OP_Abs:
    case OP_Relu: return a->lo >= 0 ? a : n->op == OP_Relu ? dim_max(ctx, a, dim_const(ctx, 0)) : NULL;
    case OP_Not: return dim_sub(ctx, dim_const(ctx, 1), a);
    default: return NULL;
    }
}

/* ---- whole tensors ---- */

/* Element i of output 0, of an input that is broadcast to it; NULL: absent or not known */
static Dim element(const Node *n, int in, int64_t i) {
    const Value *v = node_in(n, in);
    const Type *y = &n->out[0]->type;
    int have = value_content(v);
    if (have < 0) return NULL;
    if (have == 1) return v->content[0];
    int64_t at = 0, pitch = 1;
    for (int k = 1; k <= v->type.rank && k <= y->rank; k++) { /* from the last axis */
        int64_t size = v->type.dims[v->type.rank - k]->value, place = i % y->dims[y->rank - k]->value;
        i /= y->dims[y->rank - k]->value;
        at += size == 1 ? 0 : place * pitch;
        pitch *= size;
    }
    return at < have ? v->content[at] : NULL;
}

static Dim clip_one(Ctx *ctx, const Node *n, int i) {
    Dim d = element(n, 0, i);
    if (node_in(n, 1)) d = dim_max(ctx, d, element(n, 1, i));
    if (node_in(n, 2)) d = dim_min(ctx, d, element(n, 2, i));
    return d;
}

static Dim compute(Ctx *ctx, const Node *n, int i) {
    if (n->op == OP_Where) return select_one(element(n, 0, i), element(n, 1, i), element(n, 2, i));
    if (n->op == OP_Clip) return clip_one(ctx, n, i);
    bool cast = n->op == OP_Cast || n->op == OP_CastLike;
    if (cast && dtype_class(n->in[0]->type.dtype) == DTC_F && n->out[0]->type.dtype != DT_BOOL)
        return ratio_cast(ctx, n->in[0], i);
    if (cast || op_info(n->op)->max_in == 1) return unary(ctx, n, element(n, 0, i));
    Dim d = element(n, 0, i);
    for (int k = 1; k < n->n_in; k++) d = binary(ctx, n, d, element(n, k, i));
    return d;
}

void content_elementwise(Ctx *ctx, Node *n) {
    Dim out[VALUE_CONTENT_MAX];
    int64_t dims[MCC_MAX_RANK], count;
    const Value *y = n->out[0];
    if (!y || !value_static_dims(y, dims) || !product_i64(dims, y->type.rank, &count) || count > VALUE_CONTENT_MAX)
        return;
    if (y->type.dtype != DT_I64 && y->type.dtype != DT_I32 && y->type.dtype != DT_BOOL) return;
    for (int i = 0; i < count; i++) out[i] = compute(ctx, n, i);
    content_set(ctx, n, 0, out, (int)count);
}

void content_move(Ctx *ctx, Node *n, int out, int64_t first, const int64_t *pitch) {
    Dim all[VALUE_CONTENT_MAX];
    int64_t dims[MCC_MAX_RANK], count;
    const Value *y = n->out[out];
    int have = value_content(n->in[0]);
    if (have < 0 || !y || !value_static_dims(y, dims) || !product_i64(dims, y->type.rank, &count) ||
        count > VALUE_CONTENT_MAX)
        return;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = first, rest = i;
        for (int k = y->type.rank; k-- > 0; rest /= dims[k]) at += rest % dims[k] * pitch[k];
        all[i] = at >= 0 && at < have ? n->in[0]->content[at] : NULL;
    }
    content_set(ctx, n, out, all, (int)count);
}

bool content_pitches(const Value *v, int64_t *pitch) {
    int64_t each = 1;
    if (value_content(v) < 0) return false;
    for (int k = v->type.rank; k-- > 0; each *= v->type.dims[k]->value) pitch[k] = each;
    return true;
}

void content_reduce(Ctx *ctx, Node *n) {
    int have = value_content(n->in[0]);
    if (have < 1) return;
    const Dim *v = n->in[0]->content;
    Dim d = v[0];
    for (int i = 1; i < have; i++) switch (n->op) {
        case OP_ReduceProd: d = dim_mul(ctx, d, v[i]); break;
        case OP_ReduceSum: d = dim_add(ctx, d, v[i]); break;
        case OP_ReduceMax: d = dim_max(ctx, d, v[i]); break;
        case OP_ReduceMin: d = dim_min(ctx, d, v[i]); break;
        default: return;
        }
    bool plain = n->op == OP_ReduceProd || n->op == OP_ReduceSum || n->op == OP_ReduceMax || n->op == OP_ReduceMin;
    if (plain) content_set(ctx, n, 0, &d, 1);
}
