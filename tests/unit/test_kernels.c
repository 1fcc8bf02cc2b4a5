/* Reference kernels that compute: contractions, pools, normalisations, reductions, Resize. Small cases by hand, and
 * wide ones against the plainest loops, across the kernels' blocks and lanes. */
#include "kernel_call.h"

static float ramp[4096]; /* 1, 2, 3, … */

static void test_conv(void) {
    float ones[64], y[64], w2[2] = {10, 1}, bias[2] = {100, 200};
    for (int i = 0; i < 64; i++) ones[i] = 1;
    mcc_arg a[] = {F32(ramp, 1, 1, 3, 3), F32(ones, 1, 1, 3, 3), NONE, F32(y, 1, 1, 3, 3)};
    CHECK(ref_Conv(a, ATTRS(Conv, 3, 1, .group = 1, .pads = LIST(1, 1, 1, 1))) == MCC_OK);
    CHECK(SAME_F32(y, 12, 21, 16, 27, 45, 33, 24, 39, 28));
    /* stride 2, one-sided pads */
    mcc_arg b[] = {F32(ramp, 1, 1, 3, 3), F32(ones, 1, 1, 2, 2), F32(y, 1, 1, 2, 2)};
    CHECK(ref_Conv(b, ATTRS(Conv, 2, 1, .group = 1, .pads = LIST(0, 0, 1, 1), .strides = LIST(2, 2))) == MCC_OK);
    CHECK(SAME_F32(y, 12, 9, 15, 9));
    /* an even kernel: SAME_UPPER pads at the end, SAME_LOWER at the beginning */
    mcc_arg c[] = {F32(ramp, 1, 1, 3), F32(w2, 1, 1, 2), F32(y, 1, 1, 3)};
    CHECK(ref_Conv(c, ATTRS(Conv, 2, 1, .group = 1, .auto_pad = 1)) == MCC_OK);
    CHECK(SAME_F32(y, 12, 23, 30));
    CHECK(ref_Conv(c, ATTRS(Conv, 2, 1, .group = 1, .auto_pad = 2)) == MCC_OK);
    CHECK(SAME_F32(y, 1, 12, 23));
    /* dilation 2, two groups, bias */
    mcc_arg d[] = {F32(ramp, 1, 2, 4), F32(ones, 2, 1, 2), F32(bias, 2), F32(y, 1, 2, 2)};
    CHECK(ref_Conv(d, ATTRS(Conv, 3, 1, .group = 2, .dilations = LIST(2))) == MCC_OK);
    CHECK(SAME_F32(y, 104, 106, 212, 214));
    /* f16 accumulates in f32: 2048 + 1 + 1 is 2050, in f16 steps it would stay 2048 */
    uint16_t x16[3] = {0x6800, 0x3c00, 0x3c00}, w16[3] = {0x3c00, 0x3c00, 0x3c00}, y16[1];
    mcc_arg h[] = {TENSOR(MCC_F16, x16, 1, 1, 3), TENSOR(MCC_F16, w16, 1, 1, 3), TENSOR(MCC_F16, y16, 1, 1, 1)};
    CHECK(ref_Conv(h, ATTRS(Conv, 2, 1, .group = 1)) == MCC_OK);
    CHECK(y16[0] == 0x6801);
}

/* Wide rows cross the kernel's blocks of outputs; the order of the taps is the plain one, so the bits are too. */
static void test_conv_blocks(void) {
    enum { C = 3, W = 150, K = 4, STRIDE = 2, PAD = 3, OUT = (W + 2 * PAD - K) / STRIDE + 1 };
    float x[C * W], w[C * K], y[OUT], want[OUT];
    for (int i = 0; i < C * W; i++) x[i] = sinf((float)i);
    for (int i = 0; i < C * K; i++) w[i] = cosf((float)i);
    for (int o = 0; o < OUT; o++) {
        want[o] = 0;
        for (int c = 0; c < C; c++)
            for (int k = 0; k < K; k++) {
                int at = o * STRIDE + k - PAD;
                if (at >= 0 && at < W) want[o] += x[c * W + at] * w[c * K + k];
            }
    }
    mcc_arg a[] = {F32(x, 1, C, W), F32(w, 1, C, K), F32(y, 1, 1, OUT)};
    CHECK(ref_Conv(a, ATTRS(Conv, 2, 1, .group = 1, .pads = LIST(PAD, PAD), .strides = LIST(STRIDE))) == MCC_OK);
    CHECK(memcmp(y, want, sizeof y) == 0);
}

static void test_conv_transpose(void) {
    float w[] = {1, 10, 100}, y[16];
    mcc_arg a[] = {F32(ramp, 1, 1, 2), F32(w, 1, 1, 3), F32(y, 1, 1, 5)};
    CHECK(ref_ConvTranspose(a, ATTRS(ConvTranspose, 2, 1, .group = 1, .strides = LIST(2))) == MCC_OK);
    CHECK(SAME_F32(y, 1, 10, 102, 20, 200));
    mcc_arg b[] = {F32(ramp, 1, 1, 2), F32(w, 1, 1, 3), F32(y, 1, 1, 4)};
    CHECK(ref_ConvTranspose(b, ATTRS(ConvTranspose, 2, 1, .group = 1, .strides = LIST(2), .output_padding = LIST(1),
                                     .pads = LIST(1, 1))) == MCC_OK);
    CHECK(SAME_F32(y, 10, 102, 20, 200));
    /* output_shape: the pad goes to the beginning, under SAME_UPPER to the end */
    CHECK(ref_ConvTranspose(b, ATTRS(ConvTranspose, 2, 1, .group = 1, .strides = LIST(2), .output_shape = LIST(4))) ==
          MCC_OK);
    CHECK(SAME_F32(y, 10, 102, 20, 200));
    CHECK(ref_ConvTranspose(b, ATTRS(ConvTranspose, 2, 1, .group = 1, .strides = LIST(2), .auto_pad = 1)) == MCC_OK);
    CHECK(SAME_F32(y, 1, 10, 102, 20));
}

static void test_products(void) {
    float y[300], c[] = {1000, 2000};
    mcc_arg a[] = {F32(ramp, 2, 1, 2), F32(ramp, 2, 2), F32(y, 2, 1, 2)}; /* the second broadcasts */
    CHECK(ref_MatMul(a, ATTRS(MatMul, 2, 1, )) == MCC_OK);
    CHECK(SAME_F32(y, 7, 10, 15, 22));
    mcc_arg v[] = {F32(ramp, 3), F32(ramp, 3), SCALAR(MCC_F32, y)};
    CHECK(ref_MatMul(v, ATTRS(MatMul, 2, 1, )) == MCC_OK);
    CHECK(SAME_F32(y, 14));
    int8_t x8[] = {100, 100}, y8[1];
    mcc_arg i[] = {TENSOR(MCC_I8, x8, 1, 2), TENSOR(MCC_I8, x8, 2, 1), TENSOR(MCC_I8, y8, 1, 1)};
    CHECK(ref_MatMul(i, ATTRS(MatMul, 2, 1, )) == MCC_OK);
    CHECK(y8[0] == 32); /* 20000 modulo 256 */
    mcc_arg e[] = {F32(NULL, 2, 0), F32(NULL, 0, 2), F32(y, 2, 2)};
    CHECK(ref_MatMul(e, ATTRS(MatMul, 2, 1, )) == MCC_OK);
    CHECK(SAME_F32(y, 0, 0, 0, 0));
    mcc_arg g[] = {F32(ramp, 2, 1), F32(ramp, 2, 2), F32(c, 1, 2), F32(y, 1, 2)};
    CHECK(ref_Gemm(g, ATTRS(Gemm, 3, 1, .alpha = 2, .beta = 0.5, .transA = 1, .transB = 1)) == MCC_OK);
    CHECK(SAME_F32(y, 510, 1022));
    int32_t x32[] = {3, 5}, c32[] = {1}, y32[1];
    mcc_arg h[] = {TENSOR(MCC_I32, x32, 1, 2), TENSOR(MCC_I32, x32, 2, 1), SCALAR(MCC_I32, c32),
                   TENSOR(MCC_I32, y32, 1, 1)};
    CHECK(ref_Gemm(h, ATTRS(Gemm, 3, 1, .alpha = 1, .beta = 1)) == MCC_OK && y32[0] == 35);
    CHECK(ref_Gemm(h, ATTRS(Gemm, 3, 1, .alpha = 0.25, .beta = -1)) == MCC_OK && y32[0] == 7); /* 7.5 truncates */
}

static void test_max_pool(void) {
    float y[16], odd[] = {1, NAN, 3, -INFINITY};
    int64_t at[16];
    mcc_arg a[] = {F32(ramp, 1, 1, 3, 3), F32(y, 1, 1, 2, 2), I64(at, 1, 1, 2, 2)};
    attrs_MaxPool p = {.header.args = {1, 2}, .kernel_shape = LIST(2, 2), .strides = LIST(2, 2), .ceil_mode = 1};
    CHECK(ref_MaxPool(a, (const mcc_attr *)&p) == MCC_OK);
    CHECK(SAME_F32(y, 5, 6, 8, 9) && SAME(at, (int64_t[]){4, 5, 7, 8}));
    p.storage_order = 1;
    CHECK(ref_MaxPool(a, (const mcc_attr *)&p) == MCC_OK);
    CHECK(SAME(at, (int64_t[]){4, 7, 5, 8}));
    mcc_arg n[] = {F32(odd, 1, 1, 4), F32(y, 1, 1, 4), NONE};
    CHECK(ref_MaxPool(n, ATTRS(MaxPool, 1, 2, .kernel_shape = LIST(1))) == MCC_OK);
    CHECK(SAME_F32(y, 1, NAN, 3, -INFINITY));
    n[1] = F32(y, 1, 1, 3);
    CHECK(ref_MaxPool(n, ATTRS(MaxPool, 1, 1, .kernel_shape = LIST(2))) == MCC_OK);
    CHECK(SAME_F32(y, NAN, NAN, 3));
    mcc_arg f[] = {F32(odd + 3, 1, 1, 1), F32(y, 1, 1, 1), I64(at, 1, 1, 1)};
    CHECK(ref_MaxPool(f, ATTRS(MaxPool, 1, 2, .kernel_shape = LIST(1))) == MCC_OK);
    CHECK(at[0] == 0); /* -inf is found, not "nothing" */
    int8_t x8[] = {-5, -128, -7}, y8[2];
    mcc_arg i[] = {TENSOR(MCC_I8, x8, 1, 1, 3), TENSOR(MCC_I8, y8, 1, 1, 2)};
    CHECK(ref_MaxPool(i, ATTRS(MaxPool, 1, 1, .kernel_shape = LIST(2))) == MCC_OK);
    CHECK(y8[0] == -5 && y8[1] == -7);
}

static void test_other_pools(void) {
    float y[16];
    mcc_arg a[] = {F32(ramp, 1, 1, 4), F32(y, 1, 1, 3)};
    attrs_AveragePool p = {.header.args = {1, 1}, .kernel_shape = LIST(3), .strides = LIST(2), .pads = LIST(1, 1)};
    p.ceil_mode =
        1; /* the last window starts at 3: elements 4, one pad, and one beyond the padding, which never counts */
    CHECK(ref_AveragePool(a, (const mcc_attr *)&p) == MCC_OK);
    CHECK(SAME_F32(y, 1.5f, 3, 4));
    p.count_include_pad = 1;
    CHECK(ref_AveragePool(a, (const mcc_attr *)&p) == MCC_OK);
    CHECK(SAME_F32(y, 1, 3, 2));
    mcc_arg l[] = {F32(ramp + 2, 1, 1, 2), F32(y, 1, 1, 1)};
    CHECK(ref_LpPool(l, ATTRS(LpPool, 1, 1, .kernel_shape = LIST(2), .p = 2)) == MCC_OK && SAME_F32(y, 5));
    mcc_arg g[] = {F32(ramp, 1, 2, 2, 2), F32(y, 1, 2, 1, 1)};
    CHECK(ref_GlobalAveragePool(g, ATTRS(GlobalAveragePool, 1, 1, )) == MCC_OK && SAME_F32(y, 2.5f, 6.5f));
    CHECK(ref_GlobalMaxPool(g, ATTRS(GlobalMaxPool, 1, 1, )) == MCC_OK && SAME_F32(y, 4, 8));
    CHECK(ref_GlobalLpPool(g, ATTRS(GlobalLpPool, 1, 1, .p = 1)) == MCC_OK && SAME_F32(y, 10, 26));
}

static void test_softmax(void) {
    float x[] = {1000, 1000, -INFINITY, 1000 + logf(2)}, y[300], big[300];
    mcc_arg a[] = {F32(x, 4), F32(y, 4)};
    CHECK(ref_Softmax(a, ATTRS(Softmax, 1, 1, .axis = -1)) == MCC_OK);
    CHECK(fabsf(y[0] - 0.25f) < 1e-4f && y[1] == y[0] && y[2] == 0 && fabsf(y[3] - 0.5f) < 1e-4f);
    CHECK(ref_LogSoftmax(a, ATTRS(LogSoftmax, 1, 1, .axis = 0)) == MCC_OK);
    CHECK(fabsf(y[0] - logf(0.25f)) < 1e-3f && y[2] == -INFINITY);
    for (int i = 0; i < 300; i++) big[i] = (float)(i * 7 % 13);
    mcc_arg b[] = {F32(big, 4, 75), F32(y, 4, 75)}; /* columns beyond one block, then rows beyond the lanes */
    for (int axis = 0; axis < 2; axis++) {
        CHECK(ref_Softmax(b, ATTRS(Softmax, 1, 1, .axis = axis)) == MCC_OK);
        for (int line = 0; line < (axis ? 4 : 75); line++) {
            float sum = 0;
            for (int i = 0; i < (axis ? 75 : 4); i++) sum += y[axis ? line * 75 + i : i * 75 + line];
            CHECK(fabsf(sum - 1) < 1e-5f);
        }
    }
}

static void test_normalisation(void) {
    float x[] = {1, 3, 5, 7}, y[4], mean[2], inverse[2], one[] = {1, 1}, two[] = {2, 2}, column[] = {1, 10}, run[4];
    mcc_arg l[] = {F32(x, 2, 2), F32(one, 2), F32(two, 2), F32(y, 2, 2), F32(mean, 2, 1), F32(inverse, 2, 1)};
    attrs_LayerNormalization p = {.header.args = {3, 3}, .axis = -1, .epsilon = 0};
    CHECK(ref_LayerNormalization(l, (const mcc_attr *)&p) == MCC_OK);
    CHECK(SAME_F32(y, 1, 3, 1, 3) && SAME_F32(mean, 2, 6) && SAME_F32(inverse, 1, 1));
    l[1] = F32(column, 2, 1); /* broadcast down the rows, though it has as many elements as one */
    l[2] = NONE;
    CHECK(ref_LayerNormalization(l, (const mcc_attr *)&p) == MCC_OK);
    CHECK(SAME_F32(y, -1, 1, -10, 10));
    float seven[] = {7, 1, 1, 1}; /* mean of the squares 25 and 1 */
    mcc_arg m[] = {F32(seven, 2, 2), F32(two, 2), F32(y, 2, 2)};
    CHECK(ref_RMSNormalization(m, ATTRS(RMSNormalization, 2, 1, .axis = 1, .epsilon = 0)) == MCC_OK);
    CHECK(SAME_F32(y, 14.f / 5, 2.f / 5, 2, 2));
    mcc_arg i[] = {F32(x, 1, 2, 2), F32(column, 2), F32(two, 2), F32(y, 1, 2, 2)};
    CHECK(ref_InstanceNormalization(i, ATTRS(InstanceNormalization, 3, 1, .epsilon = 0)) == MCC_OK);
    CHECK(SAME_F32(y, 1, 3, -8, 12));
    mcc_arg b[] = {F32(x, 2, 2), F32(one, 2),  F32(two, 2), F32(two, 2),
                   F32(one, 2),  F32(y, 2, 2), F32(run, 2), F32(run + 2, 2)};
    CHECK(ref_BatchNormalization(b, ATTRS(BatchNormalization, 5, 1, .epsilon = 0)) == MCC_OK);
    CHECK(SAME_F32(y, 1, 3, 5, 7));
    CHECK(ref_BatchNormalization(
              b, ATTRS(BatchNormalization, 5, 3, .epsilon = 0, .momentum = 0.5, .training_mode = 1)) == MCC_OK);
    CHECK(SAME_F32(y, 1, 1, 3, 3) && SAME_F32(run, 2.5f, 3.5f, 2.5f, 2.5f)); /* mean 3 5, variance 4 4 */
    mcc_arg r[] = {F32(x, 1, 4, 1, 1), F32(y, 1, 4, 1, 1)};                  /* size 2: the channel and the next */
    CHECK(ref_LRN(r, ATTRS(LRN, 1, 1, .alpha = 2, .beta = 1, .bias = 0, .size = 2)) == MCC_OK);
    CHECK(SAME_F32(y, 1.f / 10, 3.f / 34, 5.f / 74, 7.f / 49));
}

static void test_reductions(void) {
    float y[200], inf[] = {INFINITY, -INFINITY}, odd[] = {1, NAN};
    int64_t axes[] = {-1, 0}, all[] = {0};
    mcc_arg a[] = {F32(ramp, 2, 3, 2), I64(axes, 2), F32(y, 3)};
    CHECK(ref_ReduceSum(a, ATTRS(ReduceSum, 2, 1, .keepdims = 0)) == MCC_OK && SAME_F32(y, 18, 26, 34));
    CHECK(ref_ReduceMean(a, ATTRS(ReduceMean, 2, 1, .keepdims = 0)) == MCC_OK && SAME_F32(y, 4.5f, 6.5f, 8.5f));
    CHECK(ref_ReduceProd(a, ATTRS(ReduceProd, 2, 1, .keepdims = 0)) == MCC_OK && SAME_F32(y, 112, 1080, 3960));
    mcc_arg s[] = {F32(ramp, 3), NONE, SCALAR(MCC_F32, y)};
    CHECK(ref_ReduceL2(s, ATTRS(ReduceL2, 2, 1, .keepdims = 0)) == MCC_OK && SAME_F32(y, sqrtf(14)));
    CHECK(ref_ReduceLogSumExp(s, ATTRS(ReduceLogSumExp, 2, 1, .keepdims = 0)) == MCC_OK && SAME_F32(y, 3.4076059f));
    mcc_arg noop[] = {F32(ramp, 3), NONE, F32(y, 3)};
    CHECK(ref_ReduceSumSquare(noop, ATTRS(ReduceSumSquare, 2, 1, .keepdims = 1, .noop_with_empty_axes = 1)) == MCC_OK);
    CHECK(SAME_F32(y, 1, 4, 9));
    mcc_arg e[] = {F32(NULL, 0, 2), I64(all, 1), F32(y, 2)};
    CHECK(ref_ReduceMax(e, ATTRS(ReduceMax, 2, 1, .keepdims = 0)) == MCC_OK && SAME_F32(y, -INFINITY, -INFINITY));
    CHECK(ref_ReduceProd(e, ATTRS(ReduceProd, 2, 1, .keepdims = 0)) == MCC_OK && SAME_F32(y, 1, 1));
    CHECK(ref_ReduceMean(e, ATTRS(ReduceMean, 2, 1, .keepdims = 0)) == MCC_OK && isnan(y[0]));
    mcc_arg n[] = {F32(odd, 2), SCALAR(MCC_F32, y)};
    CHECK(ref_ReduceMax(n, ATTRS(ReduceMax, 1, 1, .keepdims = 0)) == MCC_OK && isnan(y[0]));
    mcc_arg f[] = {F32(inf, 2), SCALAR(MCC_F32, y)};
    CHECK(ref_ReduceLogSumExp(f, ATTRS(ReduceLogSumExp, 1, 1, .keepdims = 0)) == MCC_OK && y[0] == INFINITY);
    int32_t x32[] = {INT32_MAX, 2, -7, 0}, y32[1];
    mcc_arg i[] = {TENSOR(MCC_I32, x32, 2), SCALAR(MCC_I32, y32)};
    CHECK(ref_ReduceSum(i, ATTRS(ReduceSum, 1, 1, .keepdims = 0)) == MCC_OK && y32[0] == INT32_MIN + 1);
    i[0] = TENSOR(MCC_I32, x32 + 2, 2);
    CHECK(ref_ReduceMean(i, ATTRS(ReduceMean, 1, 1, .keepdims = 0)) == MCC_OK && y32[0] == -3);
    mcc_arg c[] = {F32(ramp, 2, 150), I64(all, 1), F32(y, 1, 150)}; /* columns beyond one block */
    CHECK(ref_ReduceL1(c, ATTRS(ReduceL1, 2, 1, .keepdims = 1)) == MCC_OK);
    for (int k = 0; k < 150; k++) CHECK(y[k] == (float)(2 * k + 152));
    axes[0] = 3;
    CHECK(ref_ReduceSum(a, ATTRS(ReduceSum, 2, 1, .keepdims = 0)) == MCC_E_INDEX);
    axes[0] = 0; /* twice */
    CHECK(ref_ReduceSum(a, ATTRS(ReduceSum, 2, 1, .keepdims = 0)) == MCC_E_INDEX);
}

static void test_scans(void) {
    float x[] = {3, 1, 3, NAN}, y[4];
    int64_t at[2];
    mcc_arg a[] = {F32(x, 3), SCALAR(MCC_I64, at)};
    CHECK(ref_ArgMax(a, ATTRS(ArgMax, 1, 1, .keepdims = 0)) == MCC_OK && at[0] == 0);
    CHECK(ref_ArgMax(a, ATTRS(ArgMax, 1, 1, .keepdims = 0, .select_last_index = 1)) == MCC_OK && at[0] == 2);
    CHECK(ref_ArgMin(a, ATTRS(ArgMin, 1, 1, .keepdims = 0)) == MCC_OK && at[0] == 1);
    a[0] = F32(x, 4);
    CHECK(ref_ArgMin(a, ATTRS(ArgMin, 1, 1, .keepdims = 0)) == MCC_OK && at[0] == 3);
    int32_t axis = -1;
    mcc_arg c[] = {F32(ramp, 4), SCALAR(MCC_I32, &axis), F32(y, 4)};
    CHECK(ref_CumSum(c, ATTRS(CumSum, 2, 1, )) == MCC_OK && SAME_F32(y, 1, 3, 6, 10));
    CHECK(ref_CumSum(c, ATTRS(CumSum, 2, 1, .exclusive = 1, .reverse = 1)) == MCC_OK && SAME_F32(y, 9, 7, 4, 0));
    CHECK(ref_CumProd(c, ATTRS(CumProd, 2, 1, )) == MCC_OK && SAME_F32(y, 1, 2, 6, 24));
    CHECK(ref_CumProd(c, ATTRS(CumProd, 2, 1, .exclusive = 1, .reverse = 1)) == MCC_OK && SAME_F32(y, 24, 12, 4, 1));
    axis = 1;
    CHECK(ref_CumSum(c, ATTRS(CumSum, 2, 1, )) == MCC_E_INDEX);
}

static void test_det(void) {
    float x[] = {0, 2, 3, 4, 1, 2, 2, 4}, y[2];
    double room[4];
    mcc_arg a[] = {TENSOR(MCC_F32, x, 2, 2, 2), TENSOR(MCC_F32, y, 2), TENSOR(MCC_F64, room, 4)};
    CHECK(ref_Det(a, ATTRS(Det, 1, 1, )) == MCC_OK && SAME_F32(y, -6, 0));
}

static void test_tensor_scatter(void) {
    float cache[] = {1, 2, 3, 4, 5, 6, 7, 8}, update[] = {10, 20, 30, 40}, y[8];
    int64_t at[] = {3, 2};
    mcc_arg a[] = {TENSOR(MCC_F32, cache, 2, 4), TENSOR(MCC_F32, update, 2, 2), TENSOR(MCC_I64, at, 2),
                   TENSOR(MCC_F32, y, 2, 4)};
    CHECK(ref_TensorScatter(a, ATTRS(TensorScatter, 3, 1, .axis = -1)) == MCC_E_INDEX);
    CHECK(ref_TensorScatter(a, ATTRS(TensorScatter, 3, 1, .axis = -1, .mode = 1)) == MCC_OK);
    CHECK(SAME_F32(y, 20, 2, 3, 10, 5, 6, 30, 40));
    at[0] = INT64_MAX;
    CHECK(ref_TensorScatter(a, ATTRS(TensorScatter, 3, 1, .axis = -1)) == MCC_E_INDEX);
    CHECK(ref_TensorScatter(a, ATTRS(TensorScatter, 3, 1, .axis = -1, .mode = 1)) == MCC_OK);
    at[0] = -1;
    CHECK(ref_TensorScatter(a, ATTRS(TensorScatter, 3, 1, .axis = -1, .mode = 1)) == MCC_E_INDEX);
}

static void test_resize(void) {
    float y[16], scales[] = {1, 1, 2}, roi[] = {0, 0, NAN, 1, 1, 1};
    int64_t sizes[] = {1, 1, 4};
    enum { HALF_PIXEL, ASYMMETRIC = 4, CROP, NEAREST = 0, LINEAR, CUBIC, FLOOR = 2 };
    mcc_arg a[] = {F32(ramp, 1, 1, 2), NONE, F32(scales, 3), NONE, F32(y, 1, 1, 4)};
    CHECK(ref_Resize(a, ATTRS(Resize, 4, 1, .mode = LINEAR)) == MCC_OK && SAME_F32(y, 1, 1.25f, 1.75f, 2));
    CHECK(ref_Resize(a, ATTRS(Resize, 4, 1, .mode = NEAREST, .nearest_mode = FLOOR,
                              .coordinate_transformation_mode = ASYMMETRIC)) == MCC_OK);
    CHECK(SAME_F32(y, 1, 1, 2, 2));
    mcc_arg s[] = {F32(ramp, 1, 1, 2), F32(roi, 6), NONE, I64(sizes, 3), F32(y, 1, 1, 4)};
    CHECK(ref_Resize(s, ATTRS(Resize, 4, 1, .mode = CUBIC, .cubic_coeff_a = -0.5)) == MCC_OK);
    CHECK(y[0] < 1 && y[3] > 2 && fabsf(y[0] + y[3] - 3) < 1e-5f);
    CHECK(ref_Resize(s, ATTRS(Resize, 4, 1, .mode = LINEAR, .coordinate_transformation_mode = CROP,
                              .extrapolation_value = 9)) == MCC_OK);
    CHECK(SAME_F32(y, 9, 9, 9, 9)); /* no coordinate that is no number lies inside */
    mcc_arg d[] = {F32(ramp, 1, 1, 4), NONE, NONE, I64(sizes, 3), F32(y, 1, 1, 2)};
    sizes[2] = 2; /* half, antialiased: triangles of twice the width, 1 3 3 1 over 8, edges repeated and weighed */
    CHECK(ref_Resize(d, ATTRS(Resize, 4, 1, .mode = LINEAR, .antialias = 1, .exclude_outside = 1)) == MCC_OK);
    CHECK(SAME_F32(y, (3 * 1 + 3 * 2 + 1 * 3) / 7.f, (1 * 2 + 3 * 3 + 3 * 4) / 7.f));
    const float hostile[] = {NAN, INFINITY, -1, 0, 1e30f, 1e19f};
    mcc_arg h[] = {F32(ramp, 1, 1, 2), NONE, F32(scales, 3), NONE, F32(y, 1, 1, UNKNOWN)};
    for (int i = 0; i < 6; i++) {
        scales[2] = hostile[i];
        CHECK(shape_Resize(h, ATTRS(Resize, 4, 1, .mode = LINEAR)) == MCC_E_INDEX);
    }
    sizes[2] = 9;
    mcc_arg k[] = {F32(ramp, 1, 1, 3), NONE, NONE, I64(sizes + 1, 2), F32(y, 1, UNKNOWN, UNKNOWN)};
    CHECK(shape_Resize(k, ATTRS(Resize, 4, 1, .axes = LIST(1, 2), .keep_aspect_ratio_policy = 2)) == MCC_OK);
    CHECK(HAS_DIMS(k[4], 1, 3, 9));
}

int main(void) {
    for (int i = 0; i < 4096; i++) ramp[i] = (float)(i + 1);
    test_conv();
    test_conv_blocks();
    test_conv_transpose();
    test_products();
    test_max_pool();
    test_other_pools();
    test_softmax();
    test_normalisation();
    test_reductions();
    test_scans();
    test_det();
    test_tensor_scatter();
    test_resize();
    return failures != 0;
}
