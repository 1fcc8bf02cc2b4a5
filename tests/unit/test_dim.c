/* Dims: one normal form, exact quotients, bounds, overflow; and random expressions against plain arithmetic. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"

static int failures;
#define CHECK(x) ((x) ? (void)0 : (void)(failures++, fprintf(stderr, "line %d: %s\n", __LINE__, #x)))

static Ctx *ctx;
static Dim k(int64_t v) { return dim_const(ctx, v); }
static Dim add(Dim a, Dim b) { return dim_add(ctx, a, b); }
static Dim sub(Dim a, Dim b) { return dim_sub(ctx, a, b); }
static Dim mul(Dim a, Dim b) { return dim_mul(ctx, a, b); }
static Dim quo(Dim a, Dim b) { return dim_floordiv(ctx, a, b); }
static Dim symbol(const char *name, int64_t lo, int64_t hi) { return dim_symbol(ctx, str_of(name), lo, hi); }

static void test_normal_form(void) {
    Dim a = symbol("a", 1, 100), b = symbol("b", 1, 100), c = symbol("c", 0, 7);
    CHECK(symbol("a", 1, 100) == a);
    CHECK(mul(add(a, b), c) == add(mul(a, c), mul(b, c)));
    CHECK(mul(add(a, b), sub(a, b)) == sub(mul(a, a), mul(b, b)));
    CHECK(add(add(a, b), c) == add(c, add(b, a)));
    CHECK(sub(add(a, b), b) == a);
    CHECK(sub(a, a) == k(0));
    CHECK(mul(a, k(0)) == k(0));
    CHECK(mul(a, k(1)) == a);
    CHECK(dim_product(ctx, NULL, 0) == k(1));
    CHECK(dim_product(ctx, (Dim[]){a, k(0), b}, 3) == k(0));
    CHECK(dim_product(ctx, (Dim[]){a, k(3), b}, 3) == mul(mul(b, a), k(3)));
    CHECK(!strcmp(dim_text(ctx, sub(mul(k(2), a), k(3))), "(2*a - 3)"));
}

static void test_quotients(void) {
    Dim a = symbol("a", 1, 100), b = symbol("b", 1, 100), c = symbol("c", 0, 7), d = symbol("d", 1, 9);
    CHECK(quo(mul(a, b), b) == a);
    CHECK(quo(mul(k(6), mul(a, b)), mul(k(2), b)) == mul(k(3), a));
    CHECK(quo(mul(add(a, b), add(c, d)), add(a, b)) == add(c, d));
    CHECK(quo(mul(add(a, k(1)), sub(b, k(2))), sub(b, k(2))) == add(a, k(1)));
    CHECK(quo(sub(mul(a, a), mul(b, b)), add(a, b)) == sub(a, b));
    CHECK(quo(k(-7), k(2)) == k(-4));
    CHECK(quo(add(mul(k(4), a), k(7)), k(4)) == add(a, k(1)));
    CHECK(quo(quo(a, k(2)), k(3)) == quo(a, k(6)));
    CHECK(quo(c, k(8)) == k(0));
    CHECK(quo(a, k(0)) == NULL && quo(a, k(-2)) == NULL);
    CHECK(dim_ceildiv(ctx, mul(k(8), a), k(4)) == mul(k(2), a));
    CHECK(dim_mod(ctx, add(mul(k(4), a), k(6)), k(4)) == k(2));
    CHECK(dim_mod(ctx, k(-1), k(4)) == k(3));
}

/* floor((in + pads - dilation·(kernel - 1) - 1) / stride) + 1 */
static Dim conv(Dim in, int64_t pads, int64_t extent, int64_t stride) {
    return add(quo(add(in, k(pads - extent)), k(stride)), k(1));
}

static void test_convolutions(void) {
    Dim h = symbol("h", 1, 2048);
    CHECK(conv(k(224), 6, 7, 2) == k(112));
    CHECK(conv(h, 2, 3, 1) == h);
    CHECK(conv(h, 2, 3, 2) == dim_ceildiv(ctx, h, k(2)));
    CHECK(conv(conv(h, 2, 3, 2), 2, 3, 2) == dim_ceildiv(ctx, h, k(4)));
    CHECK(conv(mul(h, k(32)), 2, 3, 2) == mul(h, k(16)));
    Dim five = h;
    for (int i = 0; i < 5; i++) five = conv(five, 2, 3, 2);
    CHECK(five == dim_ceildiv(ctx, h, k(32)));
    CHECK(quo(add(quo(h, k(3)), mul(k(5), h)), k(2)) == quo(mul(k(8), h), k(3)));
    CHECK(quo(add(mul(k(2), h), k(1)), k(4)) == quo(h, k(2)));
    CHECK(conv(h, 0, 3, 1) == sub(h, k(2)));
}

static void test_bounds(void) {
    Dim a = symbol("low", 1, 100), b = symbol("high", 50, 60);
    CHECK(add(a, b)->lo == 51 && add(a, b)->hi == 160);
    CHECK(sub(a, b)->lo == -59 && sub(a, b)->hi == 50);
    CHECK(mul(a, b)->hi == 6000);
    CHECK(quo(a, k(3))->lo == 0 && quo(a, k(3))->hi == 33);
    CHECK(quo(sub(a, b), k(7))->lo == -9);
    CHECK(dim_max(ctx, a, b)->lo == 50 && dim_min(ctx, a, b)->hi == 60);
    CHECK(dim_min(ctx, a, k(100)) == a && dim_max(ctx, b, k(50)) == b);
    CHECK(dim_max(ctx, add(a, b), a) == add(a, b)); /* they share a */
    CHECK(dim_max(ctx, a, b) == dim_max(ctx, b, a));
    CHECK(dim_is_bounded(mul(a, b)) && !dim_is_bounded(symbol("far", 0, INT64_MAX)));
    Dim huge = symbol("huge", 0, (int64_t)1 << 40);
    CHECK(!dim_is_bounded(dim_min(ctx, mul(huge, huge), k(5))));
}

static void test_overflow(void) {
    Dim a = symbol("a", 1, 100);
    CHECK(add(k(INT64_MAX), k(1)) == NULL);
    CHECK(mul(k(INT64_MIN), k(-1)) == NULL);
    CHECK(mul(mul(a, k(INT64_MAX / 2)), k(3)) == NULL);
    CHECK(add(NULL, a) == NULL && mul(a, NULL) == NULL && quo(NULL, a) == NULL && dim_min(ctx, a, NULL) == NULL);
    CHECK(dim_is_const(NULL, &(int64_t){0}) == false && dim_has_data(NULL) == false);
    Dim power = a; /* more factors than any model multiplies */
    for (int i = 0; i < 40 && power; i++) power = mul(power, a);
    CHECK(power == NULL);
    Dim deep = a; /* every step doubles what a walk over it sees */
    for (int i = 0; i < 100 && deep; i++)
        deep = dim_min(ctx, quo(mul(deep, k(7)), k(3)), add(quo(mul(deep, k(5)), k(2)), k(-9)));
    CHECK(deep == NULL);
}

static void test_data(void) {
    Graph *g = graph_new(ctx, NULL);
    Node *n = node_new(g, OP_Identity, NULL, NULL, 0, 1);
    Dim a = symbol("a", 1, 100), x = dim_data(ctx, n, 0, 9), y = dim_data(ctx, n, 0, 9);
    CHECK(x != y);
    CHECK(dim_has_data(x) && dim_has_data(add(mul(a, x), k(1))) && dim_has_data(quo(add(a, x), k(3))) &&
          !dim_has_data(add(a, k(1))));
    CHECK(sub(add(x, a), x) == a);
}

static int64_t two(void *env, Dim d) {
    (void)env, (void)d;
    return 2;
}

/* Sums of more terms than one has places for, as of what many nodes select */
static void test_long(void) {
    enum { MANY = 200 };
    Node *n = node_new(graph_new(ctx, NULL), OP_Identity, NULL, NULL, 0, 1);
    Dim sum = k(0), other = k(1);
    int64_t v = 0;
    for (int i = 0; i < MANY; i++) sum = add(sum, dim_data(ctx, n, 0, 9));
    for (int i = 0; i < MANY; i++) other = add(dim_data(ctx, n, 0, 9), other);
    CHECK(sum && other && sum->lo == 0 && sum->hi == 9 * MANY && dim_has_data(sum));
    CHECK(sub(sum, sum) == k(0) && quo(mul(sum, k(6)), k(3)) == mul(sum, k(2)));
    CHECK(dim_eval(sum, two, NULL, &v) && v == 2 * MANY);
    CHECK(dim_eval(quo(sub(mul(sum, other), sum), k(7)), two, NULL, &v) && v == 2 * MANY * 2 * MANY / 7);
    CHECK(dim_min(ctx, sum, other) == dim_min(ctx, other, sum) && dim_max(ctx, sum, k(-1)) == sum);
}

static void test_equal(void) {
    Graph *g = graph_new(ctx, NULL), *body = graph_new(ctx, g);
    Dim a = symbol("a", 1, 100), b = symbol("b", 50, 60),
        x = dim_data(ctx, node_new(g, OP_Identity, NULL, NULL, 0, 1), 0, 9);
    int before = ctx->n_equal;
    CHECK(dim_require_equal(ctx, g, a, b) && dim_require_equal(ctx, g, b, a) && dim_require_equal(ctx, g, a, a));
    CHECK(ctx->n_equal == before + 1 && !ctx->equal[before].in);
    CHECK(dim_require_equal(ctx, g, a, x) && ctx->equal[before + 1].in == g);
    CHECK(dim_require_equal(ctx, body, a, b) && ctx->equal[before + 2].in == body);
}

/* ---- random expressions: the value of a dim is the value of the operations that made it ---- */

enum { SYMBOLS = 4, POOL = 40, ROUNDS = 400, POINTS = 20 };

static uint64_t seed = 0x9E3779B97F4A7C15u;
static uint32_t next(uint32_t below) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % below;
}

typedef struct Point {
    Dim symbol[SYMBOLS];
    int64_t value[SYMBOLS];
} Point;

static int64_t lookup(void *env, Dim d) {
    const Point *p = env;
    for (int i = 0; i < SYMBOLS; i++)
        if (p->symbol[i] == d) return p->value[i];
    abort();
}

typedef struct Made { /* how a dim was made, to compute it plainly */
    Dim dim;
    int op, a, b;
    int64_t value;
} Made;

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a ^ b) < 0); }

static int64_t plain(const Made *m, const Made *pool) {
    int64_t a = pool[m->a].value, b = pool[m->b].value;
    switch (m->op) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return floor_div(a, b);
    case 4: return a < b ? a : b;
    case 5: return a > b ? a : b;
    case 6: return -floor_div(-a, b);
    default: return a - b * floor_div(a, b);
    }
}

static Dim make(int op, Dim a, Dim b) {
    switch (op) {
    case 0: return add(a, b);
    case 1: return sub(a, b);
    case 2: return mul(a, b);
    case 3: return quo(a, b);
    case 4: return dim_min(ctx, a, b);
    case 5: return dim_max(ctx, a, b);
    case 6: return dim_ceildiv(ctx, a, b);
    default: return dim_mod(ctx, a, b);
    }
}

static bool small(Dim d) { return d && d->lo > -1000000 && d->hi < 1000000; }

/* Leaves first, then what is made of two before it; small ones only, so that plain arithmetic cannot overflow */
static void fill_pool(Made *pool, const Point *p) {
    for (int i = 0; i < SYMBOLS; i++) pool[i] = (Made){.dim = p->symbol[i], .op = -1};
    for (int i = SYMBOLS; i < 2 * SYMBOLS; i++) pool[i] = (Made){.dim = k((int64_t)next(9) - 2), .op = -2};
    for (int i = 2 * SYMBOLS; i < POOL;) {
        Made m = {.op = (int)next(8), .a = (int)next((uint32_t)i), .b = (int)next((uint32_t)i)};
        bool divides = m.op == 3 || m.op >= 6;
        if (divides && pool[m.b].dim->lo < 1) continue;
        m.dim = make(m.op, pool[m.a].dim, pool[m.b].dim);
        if (small(m.dim)) pool[i++] = m;
    }
}

static void test_random(void) {
    static const char *const names[SYMBOLS] = {"p", "q", "r", "s"};
    Point p;
    Made pool[POOL];
    for (int i = 0; i < SYMBOLS; i++) p.symbol[i] = symbol(names[i], i - 1, 3 * i + 5);
    for (int round = 0; round < ROUNDS; round++) {
        fill_pool(pool, &p);
        for (int point = 0; point < POINTS; point++) {
            for (int i = 0; i < SYMBOLS; i++)
                p.value[i] = p.symbol[i]->lo + next((uint32_t)(p.symbol[i]->hi - p.symbol[i]->lo + 1));
            for (int i = 0; i < POOL; i++) {
                Made *m = &pool[i];
                int64_t got;
                m->value = m->op == -1 ? p.value[i] : m->op == -2 ? m->dim->value : plain(m, pool);
                CHECK(dim_eval(m->dim, lookup, &p, &got) && got == m->value);
                CHECK(m->dim->lo <= m->value && m->value <= m->dim->hi);
                if (failures) {
                    fprintf(stderr, "%s is %" PRId64 ", plainly %" PRId64 "\n", dim_text(ctx, m->dim), got, m->value);
                    return;
                }
            }
        }
    }
}

int main(void) {
    ctx = ctx_new("test");
    test_normal_form();
    test_quotients();
    test_convolutions();
    test_bounds();
    test_overflow();
    test_data();
    test_long();
    test_equal();
    test_random();
    ctx_free(ctx);
    printf("%d failures\n", failures);
    return failures != 0;
}
