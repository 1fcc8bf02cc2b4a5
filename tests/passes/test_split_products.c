/* Products whose columns go separate ways, and those that have to stay whole. */
#include "tests/passes/passtest.h"

static Value *columns(Case *c, Value *x, int64_t from, int64_t to) {
    return DO(c, Slice, x, INTS_OF(c, from), INTS_OF(c, to), INTS_OF(c, -1));
}

static Value *product(Case *c, bool biased) {
    Value *y = DO(c, MatMul, input(c, "x", "2x3x4"), weights(c, "4x9"));
    return biased ? DO(c, Add, y, weights(c, "9")) : y;
}

int main(void) {
    Case c;
    golden_begin();

    case_begin(&c);
    Value *y = product(&c, true);
    output(&c, "a", columns(&c, y, 0, 3));
    output(&c, "b", columns(&c, y, 3, 6));
    output(&c, "c", columns(&c, y, 6, 9));
    CHECK(&c, "queries, keys and values", 1e-6, pass_split_products, pass_fold_const, pass_dead_code);

    case_begin(&c);
    y = product(&c, false);
    output(&c, "a", columns(&c, y, 0, -4));
    output(&c, "b", columns(&c, y, 5, 100));
    CHECK(&c, "without a bias", 1e-6, pass_split_products, pass_fold_const, pass_dead_code);

    case_begin(&c);
    y = product(&c, false);
    output(&c, "a", columns(&c, y, 0, 5));
    output(&c, "b", columns(&c, y, 4, 9));
    CHECK(&c, "a shared column", 1e-6, pass_split_products, pass_fold_const, pass_dead_code);

    case_begin(&c);
    y = product(&c, false);
    output(&c, "a", columns(&c, y, 0, 4));
    output(&c, "b", columns(&c, y, 4, 9));
    output(&c, "c", DO(&c, Relu, y));
    CHECK(&c, "another use", 1e-6, pass_split_products, pass_fold_const, pass_dead_code);

    return golden_end("split_products");
}
