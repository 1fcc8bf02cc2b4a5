/* mma.sync in every form against a plain product, ldmatrix, cp.async. The test writes its factors row by row and finds
 * each lane's registers by the tables of the PTX manual (section "Matrix fragments"), element by element. */
#include "tests/cuda/ptxtest.h"

typedef struct Form {
    int m, k, bits;
    const char *shape, *a, *b, *d;
} Form;

static uint32_t seed = 1;
static uint32_t draw(void) { return seed = seed * 1664525u + 1013904223u, seed >> 8; }

/* The manual's row of element i of A, and its column */
static int a_row(const Form *f, int lane, int i) {
    int g = lane / 4, per = 32 / f->bits;
    if (f->m == 8) return g;
    return i / per % 2 ? g + 8 : g;
}
static int a_column(const Form *f, int lane, int i) {
    int t = lane % 4, per = 32 / f->bits;
    int block = f->m == 8 ? i / per : i / (2 * per);
    return t * per + i % per + block * 4 * per;
}
static int b_row(const Form *f, int lane, int i) {
    int per = 32 / f->bits;
    return lane % 4 * per + i % per + i / per * 4 * per;
}

static float small_float(const char *type, uint32_t v) {
    return (float)(int)(v % 17) / (strcmp(type, "bf16") ? 8.0f : 4.0f) - 1.0f;
}

/* exact in each of the formats */
static uint32_t encode(const char *type, float v) {
    uint32_t x;
    memcpy(&x, &v, 4);
    if (!strcmp(type, "tf32")) return x;
    if (!strcmp(type, "bf16")) return x >> 16;
    if (v == 0) return 0;
    uint32_t e = (x >> 23 & 255) - 127, sign = x >> 31, fraction = x & 0x7fffff;
    if (!strcmp(type, "f16")) return sign << 15 | (e + 15) << 10 | fraction >> 13;
    return sign << 7 | ((e + 7) << 3) | fraction >> 20; /* e4m3: -1 … 1 in eighths has 3 bits */
}

typedef struct Factors {
    float a[16][64], b[64][8], c[16][8];
    uint32_t a_bits[16][64], b_bits[64][8];
} Factors;

static void draw_factor(const char *type, float *value, uint32_t *bits) {
    bool integer = *type == 's' || *type == 'u';
    uint32_t v = draw();
    if (integer) {
        *bits = v & 255;
        *value = *type == 's' ? (float)(int8_t)*bits : (float)*bits;
    } else {
        *value = small_float(type, v);
        *bits = encode(type, *value);
    }
}

static void product(const Form *f, const char *sm) {
    static Factors x;
    uint32_t in[32 * 16] = {0}, out[32 * 16] = {0};
    int per = 32 / f->bits, na = f->m * f->k / 32 / per, nb = f->k * 8 / 32 / per, nc = f->m / 4;
    bool integer = *f->a == 's' || *f->a == 'u', halves = !strcmp(f->d, "f16");
    for (int m = 0; m < f->m; m++)
        for (int k = 0; k < f->k; k++) draw_factor(f->a, &x.a[m][k], &x.a_bits[m][k]);
    for (int k = 0; k < f->k; k++)
        for (int n = 0; n < 8; n++) draw_factor(f->b, &x.b[k][n], &x.b_bits[k][n]);
    for (int m = 0; m < f->m; m++)
        for (int n = 0; n < 8; n++) x.c[m][n] = (float)(int)(draw() % 9) - 4;
    for (int lane = 0; lane < 32; lane++) {
        uint32_t *slot = in + lane * 16;
        for (int i = 0; i < na * per; i++)
            slot[i / per] |= x.a_bits[a_row(f, lane, i)][a_column(f, lane, i)] << i % per * f->bits % 32;
        for (int i = 0; i < nb * per; i++)
            slot[4 + i / per] |= x.b_bits[b_row(f, lane, i)][lane / 4] << i % per * f->bits % 32;
        for (int i = 0; i < nc; i++) {
            float v = x.c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
            int32_t whole = (int32_t)v;
            if (integer) memcpy(&slot[8 + i], &whole, 4);
            else if (halves) slot[8 + i / 2] |= encode("f16", v) << 16 * (i % 2);
            else memcpy(&slot[8 + i], &v, 4);
        }
    }
    static const char *const lists[] = {"", "{%r0}", "{%r0, %r1}", "", "{%r0, %r1, %r2, %r3}"}, *const b_lists[] = {
                                                                                                    "", "{%r4}",
                                                                                                    "{%r4, %r5}"};
    static const char *const c_lists[] = {"", "", "{%r8, %r9}", "", "{%r8, %r9, %r10, %r11}"},
                             *const d_lists[] = {"", "", "{%r12, %r13}", "", "{%r12, %r13, %r14, %r15}"};
    char body[1024];
    int sums = halves ? nc / 2 : nc;
    snprintf(body, sizeof body,
             "ld.global.v4.u32 {%%r0, %%r1, %%r2, %%r3}, [%%in]; ld.global.v4.u32 {%%r4, %%r5, %%r6, %%r7}, [%%in+16]; "
             "ld.global.v4.u32 {%%r8, %%r9, %%r10, "
             "%%r11}, [%%in+32];\n"
             "mma.sync.aligned.%s.row.col.%s.%s.%s.%s %s, %s, %s, %s;\nst.global.v4.u32 [%%out], {%%r12, %%r13, %%r14, "
             "%%r15};",
             f->shape, f->d, f->a, f->b, f->d, d_lists[sums], lists[na], b_lists[nb], c_lists[sums]);
    OK(test_launch(test_kernel(sm, "", body), 1, 32, 0, in, out, sizeof in));
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < nc; i++) {
            int m = lane / 4 + i / 2 * 8, n = lane % 4 * 2 + i % 2;
            float want = x.c[m][n], got;
            for (int k = 0; k < f->k; k++) want += x.a[m][k] * x.b[k][n]; /* all exact */
            const uint32_t *slot = out + lane * 16;
            int32_t whole;
            memcpy(&whole, &slot[i], 4);
            memcpy(&got, &slot[i], 4);
            if (integer) CHECK(whole == (int32_t)want);
            else if (halves) CHECK((slot[i / 2] >> 16 * (i % 2) & 0xffff) == encode("f16", want));
            else CHECK(got == want);
        }
}

static const Form forms[] = {
    {16, 8, 16, "m16n8k8", "f16", "f16", "f32"},     {16, 16, 16, "m16n8k16", "f16", "f16", "f32"},
    {16, 16, 16, "m16n8k16", "bf16", "bf16", "f32"}, {16, 8, 16, "m16n8k8", "bf16", "bf16", "f32"},
    {16, 4, 32, "m16n8k4", "tf32", "tf32", "f32"},   {16, 8, 32, "m16n8k8", "tf32", "tf32", "f32"},
    {16, 32, 8, "m16n8k32", "s8", "s8", "s32"},      {16, 32, 8, "m16n8k32", "u8", "s8", "s32"},
    {16, 16, 8, "m16n8k16", "s8", "u8", "s32"},      {8, 16, 8, "m8n8k16", "u8", "u8", "s32"},
    {8, 16, 8, "m8n8k16", "s8", "s8", "s32"},
};
static const Form small_sums = {16, 8, 16, "m16n8k8", "f16", "f16", "f16"};

/* Four 8 × 8 matrices of halves, as they are and transposed. */
static void load_matrices(void) {
    static uint16_t in[32 * 32], out[32 * 32];
    for (int t = 0; t < 32; t++)
        for (int n = 0; n < 8; n++) in[t * 32 + n] = (uint16_t)(t * 8 + n);
    OK(test_launch(test_kernel("80", ".shared .align 16 .b8 tile[512];",
                               "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%in]; mul.lo.u32 %r5, %thread, 16; mov.u32 "
                               "%r6, tile; add.s32 %r5, %r5, %r6;\n"
                               "st.shared.v4.u32 [%r5], {%r1, %r2, %r3, %r4}; bar.warp.sync -1;\n"
                               "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r7, %r8, %r9, %r10}, [%r5]; "
                               "st.global.v4.u32 [%out], {%r7, %r8, %r9, %r10};\n"
                               "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r11, %r12}, [%r5]; st.global.v2.u32 "
                               "[%out+16], {%r11, %r12};"),
                   1, 32, 0, in, out, sizeof in));
    for (int t = 0; t < 32; t++)
        for (int j = 0; j < 4; j++)
            for (int e = 0; e < 2; e++) {
                CHECK(out[t * 32 + j * 2 + e] == (8 * j + t / 4) * 8 + t % 4 * 2 + e);
                if (j < 2) CHECK(out[t * 32 + 8 + j * 2 + e] == (8 * j + t % 4 * 2 + e) * 8 + t / 4);
            }
}

static const char *const copy_text =
    "mov.u32 %%r1, tile; mad.lo.u32 %%r1, %%thread, 16, %%r1; mov.u32 %%r2, 12;\n"
    "cp.async.cg.shared.global [%%r1], [%%in], 16; cp.async.commit_group;\n"
    "cp.async.ca.shared.global.L2::128B [%%r1+512], [%%in], 16, %%r2; cp.async.commit_group;\n"
    "cp.async.wait_group %d; ld.shared.v4.u32 {%%r3, %%r4, %%r5, %%r6}, [%%r1]; ld.shared.v4.u32 {%%r7, %%r8, %%r9, "
    "%%r10}, [%%r1+512];\n"
    "st.global.v4.u32 [%%out], {%%r3, %%r4, %%r5, %%r6}; st.global.v4.u32 [%%out+16], {%%r7, %%r8, %%r9, %%r10};";

static void copies(void) {
    static uint32_t in[32 * 16], out[32 * 16];
    char body[1024];
    for (int n = 0; n < 32 * 16; n++) in[n] = (uint32_t)n;
    snprintf(body, sizeof body, copy_text, 0);
    OK(test_launch(test_kernel("80", ".shared .align 16 .b8 tile[1024];", body), 1, 32, 0, in, out, sizeof in));
    for (uint32_t t = 0; t < 32; t++)
        for (uint32_t n = 0; n < 8; n++) CHECK(out[t * 16 + n] == (n == 7 ? 0 : t * 16 + n % 4));
    snprintf(body, sizeof body, copy_text, 1); /* the second copy has not arrived */
    CHECK(test_launch(test_kernel("80", ".shared .align 16 .b8 tile[1024];", body), 1, 32, 0, in, out, sizeof in) ==
          CUDA_ERROR_LAUNCH_FAILED);
    CHECK(strstr(cuEmulatorMessage(), "read before they are written"));
    test_again();
}

static void missing_lanes(void) {
    static uint32_t in[32 * 16], out[32 * 16];
    static const char *const text =
        "setp.eq.u32 %p1, %thread, 3; @%p1 ret; mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%r1, %r2}, {%r3}, "
        "{%r4}, {%r5, %r6};";
    CHECK(test_launch(test_kernel("80", "", text), 1, 32, 0, in, out, sizeof in) == CUDA_ERROR_LAUNCH_FAILED);
    CHECK(strstr(cuEmulatorMessage(), "needs all 32 lanes"));
    test_again();
}

int main(void) {
    test_begin("90");
    for (size_t n = 0; n < sizeof forms / sizeof *forms; n++)
        for (int again = 0; again < 3; again++) product(&forms[n], "80");
    product(&small_sums, "75");
    product(&(Form){16, 32, 8, "m16n8k32", "e4m3", "e4m3", "f32"}, "89");
    load_matrices();
    copies();
    missing_lanes();
    return 0;
}
