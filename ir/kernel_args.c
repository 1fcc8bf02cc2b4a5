/* A node's attributes as the words that its reference kernel reads: a header, then what the operator's row lists. */
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
        default: break;
        }
    }
    return used;
}
