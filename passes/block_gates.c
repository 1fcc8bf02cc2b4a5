/* What is multiplied by one number for each channel between DequantizeLinear and QuantizeLinear, as squeeze and
 * excitation does, in blocks: mcc.BlockGate on the bytes, (x - zero) · g / 255 + zero. That a division by 255 is all
 * that the three scales come to, and gives the bits of the float form, is tried for all 65536 pairs. */
#include <math.h>
#include "passes/lower.h"
#include "passes/quant.h"

enum { CODES = 256, MOST = 255, LARGEST_BLOCK = 16 };

typedef struct Gate {
    Quant x, g, y;
} Gate;

static bool is_single_byte(const Quant *q) { return q->n == 1 && dtype_bits(q->codes->type.dtype) == 8; }

/* [N, blocks, …, b], and the gate with nothing but ones in between */
static bool in_blocks_alike(const Value *x, const Value *g) {
    int rank = x->type.rank;
    if (rank < 4 || g->type.rank != rank || !value_in_blocks(x) || !value_in_blocks(g)) return false;
    if (x->type.dims[rank - 1]->hi > LARGEST_BLOCK) return false;
    for (int i = 0; i < rank; i++) {
        bool between = i >= 2 && i + 1 < rank;
        if (between ? !dim_is(g->type.dims[i], 1) : g->type.dims[i] != x->type.dims[i]) return false;
    }
    return true;
}

static float number_of(const Quant *q, int code) {
    return (float)(quant_lowest(q->codes->type.dtype) + code - quant_zero(q, 0)) * quant_scale(q, 0);
}

/* The product of two codes, counted from the lowest, as the float form rounds it, and in integers */
static bool divides_by_255(const Gate *a) {
    int zero = (int)(quant_zero(&a->x, 0) - quant_lowest(a->x.codes->type.dtype));
    for (int g = 0; g < CODES; g++) {
        float by = number_of(&a->g, g);
        for (int x = 0; x < CODES; x++) {
            int whole = (2 * (x * g + zero * (MOST - g)) + MOST) / (2 * MOST);
            if (quant_code(&a->y, number_of(&a->x, x) * by) - quant_lowest(a->y.codes->type.dtype) != whole)
                return false;
        }
    }
    return true;
}

static bool read_operands(const Node *mul, Gate *a) {
    const char *why;
    for (int i = 0; i < 2; i++)
        if (quant_of(mul->in[i], OP_DequantizeLinear, &a->x, &why) && is_single_byte(&a->x) &&
            quant_of(mul->in[1 - i], OP_DequantizeLinear, &a->g, &why) && is_single_byte(&a->g) &&
            in_blocks_alike(a->x.codes, a->g.codes))
            return true;
    return false;
}

static void gate(Rewrite *r, Node *n) {
    Gate a;
    const char *why;
    const Node *mul = n->op == OP_QuantizeLinear ? value_def(n->in[0], OP_Mul) : NULL;
    if (!mul || mul->out[0]->n_uses != 1 || !quant_read(n, &a.y, &why) || !is_single_byte(&a.y)) return;
    if (!read_operands(mul, &a) || a.x.codes->type.dtype != a.y.codes->type.dtype ||
        !value_same_dims(a.x.codes, a.y.codes))
        return;
    if (quant_zero(&a.x, 0) != quant_zero(&a.y, 0) || quant_zero(&a.g, 0) != quant_lowest(a.g.codes->type.dtype))
        return;
    if (!divides_by_255(&a)) return;
    int64_t zero = quant_zero(&a.x, 0);
    rewrite_become(r, n, OP_BlockGate, (Value *[]){a.x.codes, a.g.codes}, 2);
    node_set_int(n, "zero", zero);
}

bool pass_block_gates(Graph *g, PassCtx *p) {
    Rewrite r;
    (void)p;
    rewrite_begin(&r, g);
    for (Node *n; (n = rewrite_next(&r));) gate(&r, n);
    return rewrite_end(&r);
}
