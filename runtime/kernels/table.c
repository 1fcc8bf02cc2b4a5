/* Table: out[i] = table[in[i]]; inputs: bytes, and the table, which mcc makes from the attribute. In place or not. */
#include "runtime/kernels/common.h"

int ref_Table(const mcc_arg *a, const mcc_attr *at) {
    (void)at;
    const uint8_t *x = a[0].data, *table = a[1].data;
    uint8_t *y = a[2].data;
    const idx n = elements(&a[0]);
    for (idx i = 0; i < n; i++) y[i] = table[x[i]];
    return MCC_OK;
}
