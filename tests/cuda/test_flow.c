/* Divergence, loops, calls, tables of branches; barriers; what lanes tell each other. */
#include "tests/cuda/ptxtest.h"

/* Collatz steps: every lane leaves its loop at another time, and stays in step with the others behind it. */
static void divergent_loop(void) {
    uint32_t in[64 * 16] = {0}, out[64 * 16] = {0};
    OK(test_launch(test_kernel("80", "",
                               "add.s32 %r1, %thread, 1; mov.u32 %r2, 0;\n"
                               "again: setp.eq.u32 %p1, %r1, 1; @%p1 bra done;\n"
                               "and.b32 %r3, %r1, 1; setp.eq.u32 %p2, %r3, 0; @%p2 bra even;\n"
                               "mad.lo.s32 %r1, %r1, 3, 1; bra.uni next;\n"
                               "even: shr.u32 %r1, %r1, 1;\n"
                               "next: add.s32 %r2, %r2, 1; bra.uni again;\n"
                               "done: activemask.b32 %r4; st.global.v2.u32 [%out], {%r2, %r4};"),
                   1, 64, 0, in, out, sizeof in));
    for (uint32_t t = 0; t < 64; t++) {
        uint32_t steps = 0;
        for (uint32_t v = t + 1; v != 1; v = v % 2 ? 3 * v + 1 : v / 2) steps++;
        CHECK(out[t * 16] == steps && out[t * 16 + 1] == 0xffffffff);
    }
}

/* A block that LLVM has put behind the barrier's: lanes go there and come back before it opens. */
static void cold_block(void) {
    uint32_t in[64 * 16] = {0}, out[64 * 16] = {0};
    OK(test_launch(
        test_kernel(
            "80", "",
            "mov.u32 %r1, 1; and.b32 %r2, %thread, 3; setp.eq.u32 %p1, %r2, 0; @%p1 bra cold;\n"
            "back: bar.sync 0; shfl.sync.bfly.b32 %r3, %r1, 1, 31, -1; st.global.v2.u32 [%out], {%r1, %r3}; ret;\n"
            "cold: mov.u32 %r1, 2; bra.uni back;"),
        1, 64, 0, in, out, sizeof in));
    for (uint32_t t = 0; t < 64; t++)
        CHECK(out[t * 16] == (t % 4 ? 1u : 2u) && out[t * 16 + 1] == (t % 4 == 1 ? 2u : 1u));
}

static const char *const functions =
    ".func (.param .b32 result) twice_more(.param .b64 a, .param .b32 b);\n"
    ".func (.param .b32 result) more(.param .b32 a) {\n"
    ".reg .b32 %r<4>; .reg .pred %p; .local .align 4 .b8 room[8]; .reg .b64 %a;\n"
    "ld.param.u32 %r1, [a]; setp.gt.u32 %p, %r1, 20; @%p bra big; mov.u64 %a, room; cvta.local.u64 %a, %a; st.u32 "
    "[%a+4], %r1; ld.u32 %r2, [%a+4];\n"
    "add.s32 %r2, %r2, 1; st.param.b32 [result], %r2; ret;\n"
    "big: st.param.b32 [result], 1000; ret; }\n"
    ".func (.param .b32 result) twice_more(.param .b64 a, .param .b32 b) {\n"
    ".reg .b32 %r<4>; .reg .b64 %a;\n"
    "ld.param.u32 %r1, [b]; ld.param.u64 %a, [a];\n"
    "{ .param .b32 p0; .param .b32 q0; st.param.b32 [p0], %r1; call.uni (q0), more, (p0); ld.param.b32 %r1, [q0]; }\n"
    "{ .param .b32 p0; .param .b32 q0; st.param.b32 [p0+0], %r1; call.uni (q0), more, (p0); ld.param.b32 %r1, [q0+0]; "
    "}\n"
    "cvt.u32.u64 %r2, %a; add.s32 %r1, %r1, %r2; st.param.b32 [result+0], %r1; ret; }\n";

/* Calls inside calls, by some lanes only; lanes that return at different places. */
static void calls(void) {
    uint32_t in[32 * 16] = {0}, out[32 * 16] = {0};
    OK(test_launch(test_kernel("80", functions,
                               "mov.u32 %r1, 5; setp.lt.u32 %p1, %thread, 24; @!%p1 bra skip;\n"
                               "{ .param .b64 p0; .param .b32 p1; .param .b32 q; mov.u64 %rd1, 100; st.param.b64 [p0], "
                               "%rd1; st.param.b32 [p1], %thread;\n"
                               "call.uni (q), twice_more, (p0, p1); ld.param.b32 %r1, [q]; }\n"
                               "skip: st.global.u32 [%out], %r1;"),
                   1, 32, 0, in, out, sizeof in));
    for (uint32_t t = 0; t < 32; t++) {
        uint32_t v = t;
        for (int n = 0; n < 2; n++) v = v > 20 ? 1000 : v + 1;
        CHECK(out[t * 16] == (t < 24 ? v + 100 : 5));
    }
}

static void tables(void) {
    uint32_t in[32 * 16] = {0}, out[32 * 16] = {0};
    OK(test_launch(
        test_kernel("80", "",
                    "and.b32 %r1, %thread, 3;\n"
                    "places: .branchtargets a, b, a, c;\n"
                    "brx.idx %r1, places;\n"
                    "a: mov.u32 %r2, 10; bra.uni join;\nb: mov.u32 %r2, 20; bra.uni join;\nc: mov.u32 %r2, 30;\n"
                    "join: st.global.u32 [%out], %r2;"),
        1, 32, 0, in, out, sizeof in));
    static const uint32_t want[] = {10, 20, 10, 30};
    for (uint32_t t = 0; t < 32; t++) CHECK(out[t * 16] == want[t % 4]);
}

/* A tree of sums over 256 threads in 8 blocks, through static and dynamic shared memory. */
static void barriers(void) {
    enum { THREADS = 256, BLOCKS = 8 };
    static uint32_t in[THREADS * 16], out[THREADS * 16];
    for (uint32_t t = 0; t < THREADS; t++) in[t * 16] = t * t;
    OK(test_launch(
        test_kernel(
            "80", ".shared .align 4 .b8 sums[1024];\n.extern .shared .align 16 .b8 more[];",
            "ld.global.u32 %r1, [%in]; mov.u64 %rd1, sums; mul.wide.u32 %rd2, %thread, 4; add.s64 %rd1, %rd1, %rd2;\n"
            "st.shared.u32 [%rd1], %r1; mov.u32 %r2, 128;\n"
            "loop: bar.sync 0; setp.ge.u32 %p1, %thread, %r2; @%p1 bra skip;\n"
            "mul.wide.u32 %rd3, %r2, 4; add.s64 %rd3, %rd1, %rd3; ld.shared.u32 %r3, [%rd3]; ld.shared.u32 %r4, "
            "[%rd1];\n"
            "add.s32 %r4, %r4, %r3; st.shared.u32 [%rd1], %r4;\n"
            "skip: shr.u32 %r2, %r2, 1; setp.ne.u32 %p2, %r2, 0; @%p2 bra loop;\n"
            "setp.ne.u32 %p3, %thread, 0; @%p3 bra wait; ld.shared.u32 %r5, [sums]; st.shared.u32 [more+4], %r5;\n"
            "wait: barrier.sync 0; ld.shared.u32 %r6, [more+4]; mov.u32 %r7, %ctaid.x;\n"
            "setp.eq.u32 %p4, %r7, 3; @%p4 st.global.u32 [%out], %r6;"),
        BLOCKS, THREADS, 64, in, out, sizeof in));
    uint32_t sum = 0;
    for (uint32_t t = 0; t < THREADS; t++) sum += t * t;
    for (uint32_t t = 0; t < THREADS; t++) CHECK(out[t * 16] == sum);
}

static void barrier_reductions(void) {
    static uint32_t in[128 * 16], out[128 * 16];
    OK(test_launch(
        test_kernel("80", "",
                    "setp.lt.u32 %p1, %thread, 70; barrier.red.popc.u32 %r1, 0, %p1; bar.red.or.pred %p2, 1, %p1; "
                    "bar.red.and.pred %p3, 2, !%p1;\n"
                    "selp.u32 %r2, 1, 0, %p2; selp.u32 %r3, 1, 0, %p3; st.global.u32 [%out], %r1; st.global.v2.u32 "
                    "[%out+8], {%r2, %r3};\n"
                    "setp.ge.u32 %p4, %thread, 64; @%p4 bra other; bar.sync 3, 64; ret;\nother: bar.sync 4, 64;"),
        1, 128, 0, in, out, sizeof in));
    for (int t = 0; t < 128; t++) CHECK(out[t * 16] == 70 && out[t * 16 + 2] == 1 && out[t * 16 + 3] == 0);
}

static void shuffles(void) {
    static uint32_t in[32 * 16], out[32 * 16];
    OK(test_launch(
        test_kernel("80", "",
                    "mul.lo.s32 %r1, %thread, 3;\n"
                    "shfl.sync.up.b32 %r2|%p1, %r1, 2, 0, -1; shfl.sync.down.b32 %r3|%p2, %r1, 3, 31, -1;\n"
                    "shfl.sync.bfly.b32 %r4, %r1, 16, 31, 0xffffffff; shfl.sync.idx.b32 %r5, %r1, 1, 0x181f, -1;\n"
                    "st.global.v4.u32 [%out], {%r2, %r3, %r4, %r5}; selp.u32 %r6, 1, 0, %p1; selp.u32 %r7, 1, 0, %p2;\n"
                    "setp.lt.u32 %p3, %thread, 5; vote.sync.ballot.b32 %r8, %p3, -1; vote.sync.any.pred %p4, %p3, -1; "
                    "selp.u32 %r9, 1, 0, %p4;\n"
                    "st.global.v4.u32 [%out+16], {%r6, %r7, %r8, %r9};\n"
                    "redux.sync.add.s32 %r10, %r1, -1; redux.sync.max.u32 %r11, %r1, -1; and.b32 %r12, %thread, 1; "
                    "match.any.sync.b32 %r13, %r12, -1;\n"
                    "vote.sync.all.pred %p5, !%p3, -1; selp.u32 %r14, 1, 0, %p5; st.global.v4.u32 [%out+32], {%r10, "
                    "%r11, %r13, %r14};"),
        1, 32, 0, in, out, sizeof in));
    for (uint32_t t = 0; t < 32; t++) {
        const uint32_t *o = out + t * 16;
        CHECK(o[0] == 3 * (t < 2 ? t : t - 2) && o[1] == 3 * (t > 28 ? t : t + 3) && o[2] == 3 * (t ^ 16) &&
              o[3] == 3 * ((t & 24) + 1));
        CHECK(o[4] == (t >= 2) && o[5] == (t <= 28) && o[6] == 31 && o[7] == 1);
        CHECK(o[8] == 3 * 31 * 16 && o[9] == 93 && o[10] == (t % 2 ? 0xaaaaaaaa : 0x55555555) && o[11] == 0);
    }
}

/* Half of a warp, in a branch, shuffles within itself. */
static void part_of_a_warp(void) {
    static uint32_t in[32 * 16], out[32 * 16];
    OK(test_launch(test_kernel("80", "",
                               "setp.lt.u32 %p1, %thread, 16; @%p1 bra low; mov.u32 %r1, 7; bra.uni out;\n"
                               "low: shfl.sync.bfly.b32 %r1, %thread, 8, 31, 0xffff;\nout: st.global.u32 [%out], %r1;"),
                   1, 32, 0, in, out, sizeof in));
    for (uint32_t t = 0; t < 32; t++) CHECK(out[t * 16] == (t < 16 ? t ^ 8 : 7));
}

int main(void) {
    test_begin("80");
    divergent_loop();
    cold_block();
    calls();
    tables();
    barriers();
    barrier_reductions();
    shuffles();
    part_of_a_warp();
    return 0;
}
