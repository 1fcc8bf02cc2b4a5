/* What a reference kernel gets beside tensors: a node's attributes as words, a header, then what the operator's row
 * lists; and memory to work in. */
#include "ir/ir.h"
#include <assert.h>
#include <string.h>

enum { INTS_MAX = MCC_MAX_RANK * 2, FLOATS_MAX = MCC_MAX_RANK };

static int64_t float_word(double f) {
    int64_t w;
    memcpy(&w, &f, sizeof w);
    return w;
}

static int list_words(const Node *n, const AttrSchema *s, int64_t *w) {
    const Attr *a = node_attr(n, s->name);
    int max = s->kind == ATTR_INTS ? INTS_MAX : FLOATS_MAX, count = a ? a->n : 0;
    assert(count <= max); /* the checker's business */
    memset(w, 0, sizeof *w * (size_t)(1 + max));
    w[0] = count;
    for (int i = 0; i < count; i++) w[1 + i] = s->kind == ATTR_INTS ? a->ints[i] : float_word(a->floats[i]);
    return 1 + max;
}

static int word_list(const Node *n, const AttrSchema *s, int64_t *w) {
    memset(w, 0, sizeof *w * (1 + INTS_MAX));
    int count = node_words(n, s->name, w + 1);
    assert(count >= 0); /* the checker's business */
    w[0] = count;
    return 1 + INTS_MAX;
}

int node_attr_words(const Node *n, int64_t words[MAX_ATTR_WORDS]) {
    int used = 0;
    words[used++] = (int64_t)((uint64_t)(uint32_t)n->n_out << 32 | (uint32_t)n->n_in);
    for (const AttrSchema *s = op_info(n->op)->attrs; s->name; s++) {
        assert(used + 1 + INTS_MAX <= MAX_ATTR_WORDS);
        switch (s->kind) {
        case ATTR_INT: words[used++] = node_int(n, s->name); break;
        case ATTR_FLOAT: words[used++] = float_word(node_float(n, s->name)); break;
        case ATTR_STRING: words[used++] = node_enum(n, s->name); break;
        case ATTR_INTS:
        case ATTR_FLOATS: used += list_words(n, s, words + used); break;
        case ATTR_STRINGS: used += word_list(n, s, words + used); break;
        default: break;
        }
    }
    return used;
}

/* a matrix of doubles */
static bool det_scratch(const Node *n, int64_t *size) {
    const Type *x = &n->in[0]->type;
    int64_t side = x->dims[x->rank - 1]->hi;
    return mul_i64(side, side, size) && mul_i64(*size, 8, size);
}

/* a state of a head, and a row of it */
static bool linear_scratch(const Node *n, int64_t *size) {
    const Type *k = &n->in[1]->type, *v = &n->in[2]->type;
    int64_t heads = node_int(n, "kv_num_heads"), depth = k->dims[2]->hi / heads, wide = v->dims[2]->hi / heads;
    return add_i64(depth, 1, &depth) && mul_i64(depth, wide, size) && mul_i64(*size, 8, size);
}

/* the sums of all gates, the state, and up to three rows more, of one hidden state, as they are computed */
static bool recurrent_scratch(const Node *n, int64_t *size) {
    enum { MORE = 5 };
    const Type *r = &n->in[2]->type;
    int64_t rows;
    return mul_i64(r->dims[2]->hi, MORE, &rows) && add_i64(rows, r->dims[1]->hi, &rows) &&
           mul_i64(rows, r->dtype == DT_F64 ? 8 : 4, size);
}

/* Elements of an input, one axis of it (axis < 0: the largest), or all */
static int64_t longest(const Value *v, int axis) {
    int64_t most = 0;
    for (int i = 0; i < v->type.rank; i++)
        if ((axis < 0 || axis == i) && v->type.dims[i]->hi > most) most = v->type.dims[i]->hi;
    return most;
}

static bool is_empty(const Value *v) {
    for (int i = 0; i < v->type.rank; i++)
        if (v->type.dims[i]->hi == 0) return true;
    return false;
}

static bool count_all(const Value *v, int64_t *n) {
    *n = 1;
    for (int i = 0; i < v->type.rank; i++)
        if (!mul_i64(*n, v->type.dims[i]->hi, n)) return false;
    return true;
}

/* room for `each` bytes for each of n, and `more` */
static bool list_scratch(int64_t n, int64_t each, int64_t more, int64_t *size) {
    return mul_i64(n, each, size) && add_i64(*size, more, size);
}

/* 3n complex numbers, for the most points that the output's dims allow; half of them may be left out of it */
static bool transform_scratch(const Node *n, int axis, int64_t *size) {
    int64_t points;
    return mul_i64(longest(n->out[0], axis), 2, &points) &&
           list_scratch(points, 48, 0, size);
}

static bool taps_scratch(const Node *n, int64_t *size) {
    const Type *w = &n->in[1]->type;
    int64_t taps = n->in[0]->type.dims[1]->hi;
    for (int i = 2; i < w->rank; i++)
        if (!mul_i64(taps, w->dims[i]->hi, &taps)) return false;
    return list_scratch(taps, n->in[0]->type.dtype == DT_F64 ? 8 : 4, 0, size);
}

/* Three lists of the slices that are compared, which may be empty ones. */
static bool unique_scratch(const Node *n, int64_t *size) {
    const Type *x = &n->in[0]->type;
    int64_t axis = node_int(n, "axis"), many;
    if (!node_attr(n, "axis")) return count_all(n->in[0], &many) && list_scratch(many, 24, 0, size);
    return list_scratch(x->dims[axis < 0 ? axis + x->rank : axis]->hi, 24, 0, size);
}

/* What the kernels in runtime/kernels say they need. */
static bool scratch_size(const Node *n, int64_t *size) {
    const Value *x = n->n_in ? n->in[0] : NULL, *y = n->out[0] ? n->out[0] : n->n_out > 1 ? n->out[1] : NULL;
    *size = 0;
    switch (n->op) {
    case OP_Det: return det_scratch(n, size);
    case OP_LinearAttention: return linear_scratch(n, size);
    case OP_TopK: return !y || is_empty(y) || list_scratch(longest(y, -1), 16, 0, size);
    case OP_Unique: return unique_scratch(n, size);
    case OP_NonMaxSuppression: return is_empty(x) || list_scratch(longest(x, 1), 24, 5 * 16 * 4, size);
    case OP_DFT: return is_empty(y) || transform_scratch(n, -1, size);
    case OP_STFT: return is_empty(y) || transform_scratch(n, 2, size);
    case OP_DeformConv: return is_empty(y) || taps_scratch(n, size);
    default: return !op_has(n->op, OP_RECURRENT) || recurrent_scratch(n, size);
    }
}

bool node_scratch(const Node *n, size_t *bytes) {
    int64_t size;
    if (!scratch_size(n, &size) || (uint64_t)size > SIZE_MAX) return false;
    *bytes = (size_t)size;
    return true;
}
