/* Integer instructions against values from their definitions. */
#include "tests/cuda/ptxtest.h"

static const Case cases[] = {
    {"add.s32", "www", {5, 0xffffffff}, 4},
    {"add.s32", "www", {0x7fffffff, 1}, 0x80000000},
    {"add.s64", "ddd", {~0ull, 2}, 1},
    {"add.s16", "hhh", {0xffff, 3}, 2},
    {"sub.s32", "www", {3, 5}, 0xfffffffe},
    {"sub.s64", "ddd", {0, 1}, ~0ull},
    {"mul.lo.s32", "www", {0x10001, 0x10001}, 0x20001},
    {"mul.hi.s32", "www", {0xffffffff, 5}, 0xffffffff},
    {"mul.hi.u32", "www", {0xffffffff, 5}, 4},
    {"mul.hi.u64", "ddd", {~0ull, ~0ull}, ~1ull},
    {"mul.hi.s64", "ddd", {~0ull, 7}, ~0ull},
    {"mul.hi.s64", "ddd", {1ull << 63, 1ull << 63}, 1ull << 62},
    {"mul.wide.s32", "dww", {0xfffffffe, 3}, (uint64_t)-6},
    {"mul.wide.u32", "dww", {0xfffffffe, 3}, 0x2fffffffaull},
    {"mul.wide.s16", "whh", {0xffff, 4}, 0xfffffffc},
    {"mul.wide.u16", "whh", {0xffff, 0xffff}, 0xfffe0001},
    {"mad.lo.s32", "wwww", {7, 6, 0xffffffff}, 41},
    {"mad.wide.u32", "dwwd", {0x80000000, 4, 5}, 0x200000005ull},
    {"mad.hi.u32", "wwww", {0x80000000, 4, 5}, 7},
    {"div.s32", "www", {0xfffffff9, 2}, 0xfffffffd},
    {"div.s32", "www", {0x80000000, 0xffffffff}, 0x80000000},
    {"div.u32", "www", {0xfffffff9, 2}, 0x7ffffffc},
    {"div.s64", "ddd", {(uint64_t)-7, 2}, (uint64_t)-3},
    {"rem.s32", "www", {0xfffffff9, 3}, 0xffffffff},
    {"rem.u64", "ddd", {~0ull, 10}, 5},
    {"abs.s32", "ww", {0x80000001}, 0x7fffffff},
    {"neg.s32", "ww", {5}, 0xfffffffb},
    {"min.s32", "www", {0xffffffff, 1}, 0xffffffff},
    {"min.u32", "www", {0xffffffff, 1}, 1},
    {"max.s16", "hhh", {0xffff, 1}, 1},
    {"max.u64", "ddd", {~0ull, 1}, ~0ull},
    {"and.b32", "www", {0xff0f, 0x0ff0}, 0x0f00},
    {"or.b64", "ddd", {1, 1ull << 40}, 1ull << 40 | 1},
    {"xor.b16", "hhh", {0xffff, 0x0ff0}, 0xf00f},
    {"not.b32", "ww", {0xff}, 0xffffff00},
    {"cnot.b32", "ww", {0}, 1},
    {"shl.b32", "www", {1, 31}, 0x80000000},
    {"shl.b32", "www", {1, 32}, 0},
    {"shl.b64", "ddw", {1, 63}, 1ull << 63},
    {"shr.s32", "www", {0x80000000, 40}, 0xffffffff},
    {"shr.u32", "www", {0x80000000, 31}, 1},
    {"shr.u32", "www", {0x80000000, 32}, 0},
    {"shr.s16", "hhw", {0x8000, 3}, 0xf000},
    {"popc.b32", "ww", {0xf0f0}, 8},
    {"popc.b64", "wd", {~0ull}, 64},
    {"clz.b32", "ww", {0}, 32},
    {"clz.b64", "wd", {1}, 63},
    {"bfind.u32", "ww", {0x100}, 8},
    {"bfind.u32", "ww", {0}, 0xffffffff},
    {"bfind.s32", "ww", {0xfffffffe}, 0},
    {"bfind.shiftamt.u32", "ww", {0x100}, 23},
    {"brev.b32", "ww", {1}, 0x80000000},
    {"brev.b64", "dd", {2}, 1ull << 62},
    {"bfe.u32", "wwww", {0xabcd1234, 8, 8}, 0x12},
    {"bfe.u32", "wwww", {0xabcd1234, 28, 8}, 0xa},
    {"bfe.s32", "wwww", {0x0000f000, 12, 4}, 0xffffffff},
    {"bfe.s32", "wwww", {0x80000000, 28, 20}, 0xfffffff8},
    {"bfe.u64", "ddww", {0xabcdull << 32, 32, 12}, 0xbcd},
    {"bfi.b32", "wwwww", {0xff, 0, 4, 4}, 0xf0},
    {"bfi.b64", "dddww", {0xff, ~0ull, 60, 8}, ~0ull},
    {"lop3.b32", "wwwww", {0xf0f0f0f0, 0xcccccccc, 0xaaaaaaaa, 0xe8}, 0xe8e8e8e8},
    {"shf.l.wrap.b32", "wwww", {0x80000000, 1, 33}, 3},
    {"shf.l.clamp.b32", "wwww", {0x80000000, 1, 33}, 0x80000000},
    {"shf.r.wrap.b32", "wwww", {0x80000000, 1, 31}, 3},
    {"shf.r.clamp.b32", "wwww", {0x80000000, 1, 40}, 1},
    {"prmt.b32", "wwww", {0x33221100, 0x77665544, 0x7531}, 0x77553311},
    {"prmt.b32", "wwww", {0x80, 0, 0x8888}, 0xffffffff},
    {"dp4a.s32.s32", "wwww", {0xff010203, 0x01020304, 10}, 10 - 1 + 2 + 6 + 12},
    {"dp4a.u32.u32", "wwww", {0xff010203, 0x01020304, 10}, 10 + 255 + 2 + 6 + 12},
    {"dp4a.u32.s32", "wwww", {0xff000000, 0xff000000, 0}, (uint32_t)-255},
    {"dp2a.lo.s32.s32", "wwww", {0xffff0002, 0x00000305, 1}, 1 + 10 - 3},
    {"selp.b32", "wwwp", {7, 8, 1}, 7},
    {"selp.b32", "wwwp", {7, 8, 0}, 8},
    {"selp.b64", "dddp", {7, 8, 0}, 8},
    {"slct.b32.s32", "wwww", {7, 8, 0xffffffff}, 8},
    {"sad.u32", "wwww", {3, 10, 1}, 8},
    {"and.pred", "ppp", {1, 1}, 1},
    {"and.pred", "ppp", {1, 0}, 0},
    {"xor.pred", "ppp", {1, 0}, 1},
    {"not.pred", "pp", {1}, 0},
    {"setp.lt.s32", "pww", {0xffffffff, 0}, 1},
    {"setp.lt.u32", "pww", {0xffffffff, 0}, 0},
    {"setp.hi.u32", "pww", {0xffffffff, 0}, 1},
    {"setp.ge.s64", "pdd", {~0ull, 0}, 0},
    {"setp.ne.b64", "pdd", {1ull << 40, 0}, 1},
    {"setp.eq.s16", "phh", {7, 7}, 1},
    {"setp.lt.and.s32", "pwwp", {0, 1, 0}, 0},
    {"setp.lt.or.s32", "pwwp", {1, 0, 1}, 1},
    {"set.lt.u32.s32", "www", {0xffffffff, 0}, 0xffffffff},
    {"set.lt.f32.s32", "www", {0xffffffff, 0}, 0x3f800000},
    {"mov.b64", "dd", {0x123456789abcdef0ull}, 0x123456789abcdef0ull},
};

/* 128 bits by the carry: (2^64 - 1) + 1, and back. */
static void carries(void) {
    uint64_t in[32 * 8] = {0}, out[32 * 8] = {0};
    for (int lane = 0; lane < 32; lane++) in[lane * 8] = lane % 2 ? ~0ull : 5;
    OK(test_launch(test_kernel("80", "",
                               "ld.global.u64 %rd1, [%in]; mov.u64 %rd2, 7;\n"
                               "add.cc.s64 %rd3, %rd1, 1; addc.s64 %rd4, %rd2, 0;\n"
                               "sub.cc.s64 %rd5, %rd3, 1; subc.s64 %rd6, %rd4, 0;\n"
                               "st.global.v2.u64 [%out], {%rd3, %rd4}; st.global.v2.u64 [%out+16], {%rd5, %rd6};"),
                   1, 32, 0, in, out, sizeof in));
    for (int lane = 0; lane < 32; lane++) {
        const uint64_t *o = out + lane * 8;
        CHECK(o[0] == in[lane * 8] + 1 && o[1] == 7u + (lane % 2) && o[2] == in[lane * 8] && o[3] == 7);
    }
}

/* Registers put together and taken apart. */
static void parts(void) {
    uint64_t in[32 * 8] = {0}, out[32 * 8] = {0};
    for (int lane = 0; lane < 32; lane++) in[lane * 8] = 0x4444333322221111ull + (uint64_t)lane;
    OK(test_launch(
        test_kernel("80", "",
                    "ld.global.u64 %rd1, [%in];\n"
                    "mov.b64 {%r1, %r2}, %rd1; mov.b64 %rd2, {%r2, %r1}; st.global.u64 [%out], %rd2;\n"
                    "mov.b64 {%h1, %h2, %h3, %h4}, %rd1; mov.b32 %r3, {%h4, %h1}; st.global.u32 [%out+8], %r3;\n"
                    "mov.b32 {_, %h5}, %r1; st.global.u16 [%out+12], %h5;"),
        1, 32, 0, in, out, sizeof in));
    for (int lane = 0; lane < 32; lane++) {
        uint64_t v = in[lane * 8], low = v & 0xffffffff;
        CHECK(out[lane * 8] == (low << 32 | v >> 32));
        CHECK((uint32_t)out[lane * 8 + 1] == (uint32_t)((v & 0xffff) << 16 | v >> 48));
        CHECK(out[lane * 8 + 1] >> 32 == 0x2222);
    }
}

int main(void) {
    test_begin("80");
    CASES_RUN("80", cases);
    carries();
    parts();
    return 0;
}
