/* Functions of one quantized value become tables, with the same results; others, and cheaper ones, stay. */
#include "passes/quant.h"
#include "tests/passes/passtest.h"

static void begin(Case *c, const char *cpu) {
    const char *why;
    case_begin(c);
    c->lo = 0;
    c->hi = 256;
    c->target = target_find("x86_64-linux-gnu", cpu, "", &why);
}

static Value *codes(Case *c, const char *name) { return input_of(c, name, DT_U8, "2x700"); }

static Value *dq(Case *c, Value *q, double scale, int64_t zero) {
    return DO(c, DequantizeLinear, q, number(c, scale), const_integer(c->g, q->type.dtype, zero));
}

static Value *q(Case *c, Value *x, Dtype t, double scale, int64_t zero) {
    return DO(c, QuantizeLinear, x, number(c, scale), const_integer(c->g, t, zero));
}

#define CHECK_TABLES(c, name) CHECK(c, name, 0, pass_lookup_tables)

static void check_made(void) {
    Case c;
    begin(&c, "znver4");
    output(&c, "y", q(&c, DO(&c, Sigmoid, dq(&c, codes(&c, "x"), 0.05, 120)), DT_U8, 1.0 / 256, 0));
    CHECK_TABLES(&c, "one function");

    begin(&c, "znver4");
    Value *x = dq(&c, codes(&c, "x"), 0.05, 120);
    Value *s = dq(&c, q(&c, DO(&c, Sigmoid, x), DT_I8, 1.0 / 256, -128), 1.0 / 256, -128);
    output(&c, "y", q(&c, DO(&c, Mul, x, s), DT_I8, 0.05, -5));
    CHECK_TABLES(&c, "one that uses its number twice, with integers in between");

    begin(&c, "haswell");
    Value *six = number(&c, 6);
    x = dq(&c, codes(&c, "x"), 0.05, 120);
    Value *t = DO(&c, Clip, DO(&c, Add, x, number(&c, 3)), number(&c, 0), six);
    t = q(&c, DO(&c, Div, DO(&c, Mul, x, t), six), DT_U8, 0.03, 9);
    output(&c, "y", DO(&c, Clip, t, const_integer(c.g, DT_U8, 9), const_integer(c.g, DT_U8, 200)));
    CHECK_TABLES(&c, "parts of HardSwish, and a bound of integers");

    begin(&c, "znver4");
    s = q(&c, DO(&c, Exp, dq(&c, codes(&c, "x"), 0.02, 200)), DT_U8, 0.02, 0);
    output(&c, "inside", s);
    output(&c, "y", q(&c, DO(&c, Sqrt, dq(&c, s, 0.02, 0)), DT_U8, 0.02, 0));
    CHECK_TABLES(&c, "integers in between that others want");
}

static void check_left(void) {
    Case c;
    begin(&c, "znver4");
    Value *sum = DO(&c, Add, dq(&c, codes(&c, "a"), 0.05, 120), dq(&c, codes(&c, "b"), 0.05, 120));
    output(&c, "y", q(&c, DO(&c, Tanh, sum), DT_U8, 0.01, 128));
    CHECK_TABLES(&c, "two values");

    begin(&c, "znver4");
    Value *floats = DO(&c, Tanh, dq(&c, codes(&c, "x"), 0.05, 120));
    output(&c, "floats", floats);
    output(&c, "y", q(&c, floats, DT_U8, 0.01, 128));
    CHECK_TABLES(&c, "floats that others want");

    begin(&c, "znver4");
    output(&c, "y", DO(&c, Clip, codes(&c, "x"), const_integer(c.g, DT_U8, 9), const_integer(c.g, DT_U8, 200)));
    CHECK_TABLES(&c, "cheaper than a table");

    begin(&c, "znver4");
    Value *rows = dq(&c, input_of(&c, "rows", DT_U8, "700"), 0.05, 120);
    Value *many = DO(&c, Mul, rows, weights(&c, "700"));
    output(&c, "y", q(&c, many, DT_U8, 0.5, 128));
    CHECK_TABLES(&c, "a constant an index");
}

int main(void) {
    golden_begin();
    check_made();
    check_left();
    return golden_end("lookup_tables");
}
