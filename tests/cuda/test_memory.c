/* Loads, stores, spaces, atomics; and what the checker must find wrong. */
#include "tests/cuda/ptxtest.h"

static uint32_t in[64 * 16], out[64 * 16];

static void widths(void) {
    memset(in, 0, sizeof in);
    for (int t = 0; t < 32; t++)
        for (int n = 0; n < 8; n++) in[t * 16 + n] = (uint32_t)(0x80818283 + t * 0x01010101 + n);
    OK(test_launch(
        test_kernel("80", ".const .align 4 .b32 table[4] = {10, 20, 30, 40};\n.global .align 8 .u64 where = table;",
                    "ld.global.nc.v4.u32 {%r1, %r2, %r3, %r4}, [%in]; st.global.v4.u32 [%out], {%r4, %r3, %r2, %r1};\n"
                    "ld.global.s8 %r5, [%in]; st.global.u32 [%out+16], %r5; ld.global.u8 %h1, [%in+3]; st.global.u16 "
                    "[%out+20], %h1;\n"
                    "ld.global.v2.u16 {%h2, %h3}, [%in+4]; st.global.u8 [%out+22], %h3; st.global.u8 [%out+23], %h2;\n"
                    "and.b32 %r6, %thread, 3; mul.wide.u32 %rd1, %r6, 4; mov.u64 %rd2, table; add.s64 %rd3, %rd1, "
                    "%rd2; ld.const.u32 %r7, [%rd3];\n"
                    "ld.global.u64 %rd4, [where]; add.s64 %rd4, %rd4, %rd1; ld.u32 %r8, [%rd4]; st.global.v2.u32 "
                    "[%out+24], {%r7, %r8};\n"
                    "ld.volatile.global.s16 %rd5, [%in+2]; st.global.u64 [%out+32], %rd5;"),
        1, 32, 0, in, out, sizeof in));
    for (uint32_t t = 0; t < 32; t++) {
        const uint32_t *o = out + t * 16, *v = in + t * 16;
        CHECK(o[0] == v[3] && o[1] == v[2] && o[2] == v[1] && o[3] == v[0]);
        CHECK(o[4] == (uint32_t)(int8_t)v[0] && o[5] == (v[0] >> 24 | (v[1] >> 16 & 255) << 16 | (v[1] & 255) << 24));
        CHECK(o[6] == (t % 4 + 1) * 10 && o[7] == o[6]);
        CHECK(o[8] == (uint32_t)((int32_t)v[0] >> 16) && o[9] == ((int16_t)(v[0] >> 16) < 0 ? 0xffffffff : 0));
    }
}

/* One pointer, five spaces. */
static void generic(void) {
    memset(out, 0, sizeof out);
    OK(test_launch(
        test_kernel(
            "80", ".shared .align 8 .b8 room[512];",
            ".local .align 8 .b8 own[32];\n"
            "mov.u64 %rd1, own; cvta.local.u64 %rd1, %rd1; st.u32 [%rd1+8], %thread; ld.local.u32 %r1, [own+8];\n"
            "mov.u64 %rd2, room; cvta.shared.u64 %rd2, %rd2; mul.wide.u32 %rd3, %thread, 8; add.s64 %rd2, %rd2, %rd3;\n"
            "add.s32 %r2, %thread, 100; st.u32 [%rd2], %r2; cvta.to.shared.u64 %rd4, %rd2; ld.shared.u32 %r3, [%rd4];\n"
            "mov.b64 %rd5, k_1; cvta.param.u64 %rd5, %rd5; ld.u64 %rd6, [%rd5]; sub.s64 %rd6, %out, %rd6; cvt.u32.u64 "
            "%r4, %rd6;\n"
            "st.v2.u32 [%out], {%r1, %r3}; st.u32 [%out+8], %r4;\n"
            "isspacep.local %p1, %rd1; isspacep.shared %p2, %rd2; isspacep.global %p3, %out; isspacep.global %p4, "
            "%rd2;\n"
            "selp.u32 %r5, 1, 0, %p1; selp.u32 %r6, 2, 0, %p2; selp.u32 %r7, 4, 0, %p3; selp.u32 %r8, 8, 0, %p4;\n"
            "or.b32 %r5, %r5, %r6; or.b32 %r5, %r5, %r7; or.b32 %r5, %r5, %r8; st.u32 [%out+12], %r5;"),
        1, 32, 0, in, out, sizeof in));
    for (uint32_t t = 0; t < 32; t++)
        CHECK(out[t * 16] == t && out[t * 16 + 1] == t + 100 && out[t * 16 + 2] == t * 64 && out[t * 16 + 3] == 7);
}

/* Many blocks at one counter. */
static void atomics(void) {
    memset(out, 0, sizeof out);
    out[15] = 1000;
    out[14] = 0x3f800000;
    OK(test_launch(
        test_kernel("80", "",
                    "sub.s64 %out, %out, %slot;\n"
                    "atom.global.add.u32 %r1, [%out], 1; red.global.max.s32 [%out+4], %thread; atom.global.min.u32 "
                    "%r2, [%out+60], %thread;\n"
                    "mov.u64 %rd1, 3; atom.add.u64 %rd2, [%out+8], %rd1; red.global.or.b32 [%out+16], %thread;\n"
                    "red.global.add.f32 [%out+56], 0f3F000000; atom.global.inc.u32 %r3, [%out+20], 9;\n"
                    "atom.acq_rel.gpu.global.cas.b32 %r4, [%out+24], 0, 77; atom.global.exch.b32 %r5, [%out+28], 5;\n"
                    "mov.b16 %h1, 0x3C00; atom.global.add.noftz.f16 %h2, [%out+32], %h1;"),
        16, 64, 0, in, out, sizeof in));
    CHECK(out[0] == 1024 && out[1] == 63 && out[2] == 3072 && out[4] == 63 && out[5] == 1024 % 10 && out[6] == 77 &&
          out[7] == 5);
    CHECK(out[14] == 0x44004000 && out[15] == 0); /* 513.0 */
    CHECK(out[8] == 0x6400);                      /* 1024 in f16 */
}

/* ---- what is wrong ---- */

static void wrong(const char *before, const char *body, unsigned threads, CUresult want, const char *message) {
    CUresult r = test_launch(test_kernel("80", before, body), 1, threads, 0, in, out, sizeof in);
    CHECK(r == want);
    if (!strstr(cuEmulatorMessage(), message)) fprintf(stderr, "wanted: %s\n", message);
    CHECK(strstr(cuEmulatorMessage(), message));
    CHECK(cuCtxSynchronize() == want); /* it stays */
    test_again();
}

static void faults(void) {
    wrong("", "ld.global.u32 %r1, [%in+4096];", 64, CUDA_ERROR_ILLEGAL_ADDRESS, "thread 0,0,0: reads 4 bytes");
    wrong("",
          "add.s32 %r2, %thread, -8; mul.wide.s32 %rd1, %r2, 64; add.s64 %rd1, %rd1, %in; st.global.u32 [%rd1], %r2;",
          8, CUDA_ERROR_ILLEGAL_ADDRESS, "writes 4 bytes");
    wrong("", "setp.eq.u32 %p1, %thread, 9; @%p1 ld.global.u64 %rd1, [%in+4];", 32, CUDA_ERROR_MISALIGNED_ADDRESS,
          "thread 9,0,0");
    wrong("", "mov.u64 %rd1, 0; ld.global.u32 %r1, [%rd1];", 1, CUDA_ERROR_ILLEGAL_ADDRESS,
          "where nothing is allocated");
    wrong(".shared .align 4 .b8 s[16];", "ld.shared.u32 %r1, [s];", 1, CUDA_ERROR_LAUNCH_FAILED,
          "read before they are written");
    wrong(".shared .align 4 .b8 s[16];\n.shared .align 4 .b8 t[16];",
          "st.shared.u32 [t], %thread; st.shared.u32 [s+16], %thread;", 1, CUDA_ERROR_ILLEGAL_ADDRESS,
          "outside its variables");
    wrong(".shared .align 4 .b8 s[16];", "mov.u64 %rd1, s; st.shared.u32 [%rd1+100000], %thread;", 1,
          CUDA_ERROR_ILLEGAL_ADDRESS, "of shared memory");
    wrong("", ".local .align 4 .b8 o[16]; st.local.u32 [o+64], %thread;", 1, CUDA_ERROR_ILLEGAL_ADDRESS,
          "of local memory");
    wrong("", "setp.lt.u32 %p1, %thread, 7; @%p1 bra a; bar.sync 0; ret; a: bar.sync 0;", 32, CUDA_ERROR_LAUNCH_FAILED,
          "divergence");
    wrong("", "setp.lt.u32 %p1, %thread, 32; @%p1 bra a; bar.sync 1, 64; ret; a: bar.sync 2, 64;", 64,
          CUDA_ERROR_LAUNCH_TIMEOUT, "deadlock");
    wrong("", "setp.lt.u32 %p1, %thread, 7; @%p1 ret; shfl.sync.bfly.b32 %r1, %thread, 1, 31, -1;", 32,
          CUDA_ERROR_LAUNCH_FAILED, "have ended");
    wrong("", "trap;", 1, CUDA_ERROR_ILLEGAL_INSTRUCTION, "trap");
    setenv("MCC_CUDA_STEPS", "100000", 1);
    wrong("", "again: bra again;", 1, CUDA_ERROR_LAUNCH_TIMEOUT, "still running");
    setenv("MCC_CUDA_STEPS", "", 1);
}

/* Two warps at one word without a barrier: found where races are looked for. */
static void races(void) {
    setenv("MCC_CUDA_RACES", "1", 1);
    wrong(".shared .align 4 .b8 s[16];", "mov.u32 %r1, 3; st.shared.u32 [s], %r1;", 64, CUDA_ERROR_LAUNCH_FAILED,
          "race");
    OK(test_launch(test_kernel("80", ".shared .align 4 .b8 s[16];",
                               "setp.ne.u32 %p1, %thread, 0; @%p1 bra a; st.shared.u32 [s], %thread; a: bar.sync 0; "
                               "ld.shared.u32 %r1, [s];"
                               "bar.sync 0; setp.ne.u32 %p1, %thread, 40; @%p1 bra b; st.shared.u32 [s], %thread; b:"),
                   2, 64, 0, in, out, sizeof in));
    setenv("MCC_CUDA_RACES", "", 1);
}

int main(void) {
    test_begin("80");
    widths();
    generic();
    atomics();
    faults();
    races();
    return 0;
}
