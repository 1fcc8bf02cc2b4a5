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

bool node_scratch(const Node *n, size_t *bytes) {
    int64_t size = 0;
    if (n->op == OP_Det || n->op == OP_LinearAttention) {
        bool fits = n->op == OP_Det ? det_scratch(n, &size) : linear_scratch(n, &size);
        *bytes = (size_t)size;
        return fits;
    }
    if (!op_has(n->op, OP_RECURRENT)) {
        *bytes = 0;
        return true;
    }
    /* the sums of all gates, the state, and up to three rows more, of one hidden state, as they are computed */
    enum { MORE = 5 };
    const Type *r = &n->in[2]->type;
    int64_t rows, wide = r->dtype == DT_F64 ? 8 : 4;
    if (!mul_i64(r->dims[2]->hi, MORE, &rows) || !add_i64(rows, r->dims[1]->hi, &rows) || !mul_i64(rows, wide, &size))
        return false;
    *bytes = (size_t)size;
    return true;
}
