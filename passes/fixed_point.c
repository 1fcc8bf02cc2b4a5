/* Sums of bytes that are scaled and rounded to bytes again, on NEON: the body's Cast, Mul and QuantizeLinear become
 * mcc.Requantize, clamp(((sum · factor >> 31) + 2^(shift - 1) >> shift) + zero), two instructions where floats take
 * four. Both ways to the result never fall as the sum grows, so that they agree if every result begins at the same sum;
 * a factor for which that is so is looked for a channel. Where a channel has none, floats stay. */
#include <math.h>
#include "passes/lower.h"
#include "passes/quant.h"

enum { MOST_SHIFT = 16, LOW_BITS = 31 };

/* the result of a sum before the zero point is added, as the operators define it */
static float in_floats(int64_t sum, float m) { return rintf((float)sum * m); }

/* the least sum whose result is `whole` or more; they are exact in f32 about there */
static int64_t first_sum(float m, int64_t whole) {
    int64_t sum = (int64_t)floor(((double)whole - 0.5) / (double)m);
    while (in_floats(sum, m) >= (float)whole) sum--;
    while (in_floats(sum, m) < (float)whole) sum++;
    return sum;
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
static int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

typedef struct Factors { /* that may be taken */
    int64_t lo, hi;
} Factors;

/* sum · f >= bound */
static void at_least(Factors *f, int64_t sum, int64_t bound) {
    if (sum > 0) {
        int64_t lo = ceil_div(bound, sum);
        if (lo > f->lo) f->lo = lo;
    } else if (sum < 0) {
        int64_t hi = floor_div(bound, sum);
        if (hi < f->hi) f->hi = hi;
    } else if (bound > 0) {
        f->hi = -1;
    }
}

int fixed_shift(float m) {
    int shift = 0;
    while (shift < MOST_SHIFT && ldexpf(m, shift + 1) < 1) shift++;
    return shift;
}

bool fixed_factor(float m, int shift, int64_t lowest, int64_t highest, int32_t *out) {
    const float least = 1.0f / (1 << 15); /* sums that matter stay below 2^23 */
    Factors f = {0, INT32_MAX};
    if (m == 0) return *out = 0, true;
    if (!(m >= least) || shift < 1 || !(ldexpf(m, shift) < 1)) return false;
    for (int64_t whole = lowest + 1; whole <= highest; whole++) {
        int64_t sum = first_sum(m, whole),
                bound = (whole * 2 - 1) * ((int64_t)1 << (shift - 1)) * ((int64_t)1 << LOW_BITS);
        at_least(&f, sum, bound);
        at_least(&f, 1 - sum, 1 - bound); /* (sum - 1) · f < bound */
    }
    if (f.lo > f.hi) return false;
    int64_t near = (int64_t)llrint(ldexp((double)m, shift + LOW_BITS));
    *out = (int32_t)(near < f.lo ? f.lo : near > f.hi ? f.hi : near);
    return true;
}

typedef struct Requantize { /* a body that begins so */
    Node *cast, *mul, *quantize;
    Value *factor; /* of the body, or a constant */
    int operand;   /* the body's input that it is; -1: a constant */
    int64_t zero;
} Requantize;

static bool is_one(const Value *v) {
    double scale;
    return v && v->constant && const_splat(v, &scale) && scale == 1;
}

static Node *only_user(const Graph *body, const Value *v) {
    Node *user = NULL;
    for (Node *n = body->first; n; n = n->next)
        for (int i = 0; i < n->n_in; i++) {
            if (n->in[i] != v) continue;
            if (user) return NULL;
            user = n;
        }
    return v == body->outputs[0] ? NULL : user;
}

static bool is_byte(const Value *v) { return v->type.dtype == DT_I8 || v->type.dtype == DT_U8; }

static bool read_body(const Graph *body, Requantize *r) {
    if (body->inputs[0]->type.dtype != DT_I32) return false;
    r->cast = only_user(body, body->inputs[0]);
    if (!r->cast || r->cast->op != OP_Cast || r->cast->out[0]->type.dtype != DT_F32) return false;
    r->mul = only_user(body, r->cast->out[0]);
    if (!r->mul || r->mul->op != OP_Mul) return false;
    r->factor = r->mul->in[r->mul->in[0] == r->cast->out[0]];
    r->operand = -1;
    for (int i = 1; i < body->n_inputs; i++)
        if (body->inputs[i] == r->factor) r->operand = i;
    if ((r->operand < 0 && !r->factor->constant) || (r->operand > 0 && only_user(body, r->factor) != r->mul))
        return false;
    r->quantize = only_user(body, r->mul->out[0]);
    if (!r->quantize || r->quantize->op != OP_QuantizeLinear || r->quantize->in[0] != r->mul->out[0]) return false;
    const Value *zero = node_in(r->quantize, 2);
    if (!is_byte(r->quantize->out[0]) || !is_one(r->quantize->in[1]) || (zero && !zero->constant)) return false;
    r->zero = zero ? tensor_int(zero->constant, 0) : 0;
    return true;
}

/* NULL: not all channels have one */
static Tensor *factors_of(Graph *g, const Requantize *r, const Tensor *m, int *shift) {
    Dtype t = r->quantize->out[0]->type.dtype;
    int64_t n;
    float most = 0;
    if (m->dtype != DT_F32 || !product_i64(m->dims, m->rank, &n) || !fold_fits(g->ctx, DT_I32, n)) return NULL;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, (float)tensor_float(m, i));
    *shift = fixed_shift(most);
    Tensor *made = tensor_new(g, DT_I32, m->rank, m->dims);
    for (int64_t i = 0; made && i < n; i++)
        if (!fixed_factor((float)tensor_float(m, i), *shift, quant_lowest(t) - r->zero, quant_highest(t) - r->zero,
                          (int32_t *)(uintptr_t)made->data + i))
            return NULL;
    return made;
}

static void replace(Graph *body, const Requantize *r, Value *factor, int shift) {
    Value *from = r->quantize->out[0];
    Node *n = node_new(body, OP_Requantize, r->quantize, (Value *[]){body->inputs[0], factor}, 2, 1);
    n->name = r->quantize->name;
    n->index = r->quantize->index;
    n->out[0]->type = from->type;
    n->out[0]->name = from->name;
    node_set_int(n, "shift", shift);
    node_set_int(n, "zero", r->zero);
    for (Node *user = r->quantize->next; user; user = user->next)
        for (int i = 0; i < user->n_in; i++)
            if (user->in[i] == from) user->in[i] = n->out[0];
    if (body->outputs[0] == from) body->outputs[0] = n->out[0];
    node_remove(r->quantize);
    node_remove(r->mul);
    node_remove(r->cast);
}

static bool requantize(Graph *g, Node *n) {
    Requantize r;
    int shift;
    if (!n->body || n->body->n_outputs != 1 || !read_body(n->body, &r)) return false;
    int at = n->n_in - n->body->n_inputs + r.operand;
    const Value *m = r.operand > 0 ? n->in[at] : r.factor;
    Tensor *factors = m->constant ? factors_of(g, &r, m->constant, &shift) : NULL;
    if (!factors) return false;
    Value *made = value_of_tensor(r.operand > 0 ? g : n->body, factors);
    if (r.operand > 0) {
        n->in[at] = made;
        r.factor->type = made->type;
        made = r.factor;
    }
    replace(n->body, &r, made, shift);
    return true;
}

bool target_has_fixed_point(const Target *t) { return t && t->lookup == LOOKUP_QUARTERS && t->vector_bits == 128; }

static bool is_tile(const Node *n) {
    return n->op == OP_BlockConv || n->op == OP_BlockDepthwise || n->op == OP_PackedMatMul;
}

bool pass_fixed_point(Graph *g, PassCtx *p) {
    bool changed = false;
    if (!target_has_fixed_point(p->target)) return false;
    for (Node *n = g->first; n; n = n->next)
        if (is_tile(n)) changed |= requantize(g, n);
    return changed;
}
