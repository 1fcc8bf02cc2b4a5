/* Sparse products as data: rows are cut into blocks, and whatever source one of a block's rows needs has an entry, the
 * weights of all its rows and the source's place. Passes pack them so, code generation reads them so. One constant
 * holds int32 where the entries of each block begin, class by class; their places, in units; their weights. */
#include <assert.h>
#include "ir/ir.h"

static int64_t lines(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t packed_blocks(const PackedForm *p) { return (p->rows + p->block - 1) / p->block; }
static int64_t starts(const PackedForm *p) { return packed_blocks(p) * p->classes + 1; }
int64_t packed_places_at(const PackedForm *p) { return lines(starts(p) * (int64_t)sizeof(int32_t)); }

int64_t packed_weights_at(const PackedForm *p) {
    return packed_places_at(p) + lines(p->entries * (int64_t)(p->wide ? sizeof(int32_t) : sizeof(uint16_t)));
}

int64_t packed_bytes(const PackedForm *p) {
    return packed_weights_at(p) + p->entries * p->block * (int64_t)sizeof(float);
}

enum { NUMBERS = 9 };

void node_set_packed(Node *n, const PackedForm *p) {
    node_set_ints(
        n, "packed",
        (int64_t[NUMBERS]){p->rows, p->sources, p->block, p->vecs, p->classes, p->entries, p->wide, p->unit, p->base},
        NUMBERS);
}

bool node_is_packed(const Node *n) {
    const int64_t *v;
    return node_ints(n, "packed", &v) > 0;
}

PackedForm node_packed(const Node *n) {
    const int64_t *v = NULL;
    int count = node_ints(n, "packed", &v);
    assert(count == NUMBERS);
    if (count != NUMBERS) return (PackedForm){0};
    return (PackedForm){v[0], v[1], (int)v[2], (int)v[3], (int)v[4], v[5], v[6] != 0, v[7], v[8]};
}
