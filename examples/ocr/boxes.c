/* From the detector's map of probabilities to boxes, as in the paper on differentiable binarisation (Liao et al.,
 * 2020): threshold, connected pixels, the smallest rectangle around them, its mean probability, and growth by area ·
 * ratio / perimeter, because the network was trained on shrunken text. Parameters are PP-OCR's
 * but for the last one: its 1.5 cuts so tightly that the recogniser misses spaces. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ocr.h"

#define THRESHOLD 0.3f
#define BOX_THRESHOLD 0.6f
#define UNCLIP_RATIO 2.4f
enum { MIN_SIDE = 3 };

typedef struct Search {
    const float *map;
    int w, h;
    unsigned char *seen; /* by pixel */
    int *stack;          /* of pixels */
    int *lo, *hi;        /* by row: the first and the last pixel of a component */
    int top, bottom;
    Point *edge, *hull;
} Search;

typedef struct Rect { /* centre, a unit vector along it, half of its sides along and across */
    Point centre, along;
    float half, across;
} Rect;

static void visit(Search *s, int x, int y, int *n) {
    if (x < 0 || y < 0 || x >= s->w || y >= s->h) return;
    int at = y * s->w + x;
    if (s->seen[at] || !(s->map[at] > THRESHOLD)) return;
    s->seen[at] = 1;
    s->stack[(*n)++] = at;
}

/* All pixels connected with this one, sideways or diagonally, become rows of the search. */
static void fill_component(Search *s, int x, int y) {
    int n = 0;
    s->top = s->bottom = y;
    s->lo[y] = s->hi[y] = x;
    visit(s, x, y, &n);
    while (n) {
        int at = s->stack[--n];
        x = at % s->w;
        y = at / s->w;
        if (y > s->bottom) s->bottom = y, s->lo[y] = s->hi[y] = x;
        if (y < s->top) s->top = y, s->lo[y] = s->hi[y] = x;
        if (x < s->lo[y]) s->lo[y] = x;
        if (x > s->hi[y]) s->hi[y] = x;
        for (int k = 0; k < 9; k++) visit(s, x + k % 3 - 1, y + k / 3 - 1, &n);
    }
}

static float turn(Point a, Point b, Point c) { return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x); }

/* Points in the order of rows; Andrew's monotone chain. The hull's size. */
static int convex_hull(const Point *p, int n, Point *hull) {
    int m = 0;
    for (int i = 0; i < n; hull[m++] = p[i++])
        while (m >= 2 && turn(hull[m - 2], hull[m - 1], p[i]) >= 0) m--;
    for (int i = n - 2, low = m + 1; i >= 0; hull[m++] = p[i--])
        while (m >= low && turn(hull[m - 2], hull[m - 1], p[i]) >= 0) m--;
    return m > 1 ? m - 1 : m;
}

static int component_hull(Search *s) {
    int n = 0;
    for (int y = s->top; y <= s->bottom; y++) {
        s->edge[n++] = (Point){(float)s->lo[y], (float)y};
        if (s->hi[y] > s->lo[y]) s->edge[n++] = (Point){(float)s->hi[y], (float)y};
    }
    return convex_hull(s->edge, n, s->hull);
}

static Rect rect_along(const Point *p, int n, Point u) {
    float lo = INFINITY, hi = -INFINITY, low = INFINITY, high = -INFINITY;
    for (int i = 0; i < n; i++) {
        float a = p[i].x * u.x + p[i].y * u.y, b = p[i].y * u.x - p[i].x * u.y;
        lo = fminf(lo, a), hi = fmaxf(hi, a), low = fminf(low, b), high = fmaxf(high, b);
    }
    float a = (lo + hi) / 2, b = (low + high) / 2;
    return (Rect){{a * u.x - b * u.y, a * u.y + b * u.x}, u, (hi - lo) / 2, (high - low) / 2};
}

/* The smallest rectangle around a convex polygon has a side on one of its edges. */
static Rect smallest_rect(const Point *p, int n) {
    Rect best = rect_along(p, n, (Point){1, 0});
    for (int i = 0; i < n; i++) {
        Point a = p[i], b = p[(i + 1) % n];
        float length = hypotf(b.x - a.x, b.y - a.y);
        if (!(length > 0)) continue;
        Rect r = rect_along(p, n, (Point){(b.x - a.x) / length, (b.y - a.y) / length});
        if (r.half * r.across < best.half * best.across) best = r;
    }
    return best;
}

static void rect_corners(const Rect *r, Point out[4]) {
    static const float along[4] = {-1, 1, 1, -1}, across[4] = {-1, -1, 1, 1};
    for (int i = 0; i < 4; i++) {
        float a = along[i] * r->half, b = across[i] * r->across;
        out[i] = (Point){r->centre.x + a * r->along.x - b * r->along.y, r->centre.y + a * r->along.y + b * r->along.x};
    }
}

static int bound(float v, int most) { return v<0 ? 0 : v>(float) most ? most : (int)v; }

static float mean_inside(const Search *s, const Rect *r) {
    Point k[4];
    rect_corners(r, k);
    int x0 = bound(floorf(fminf(fminf(k[0].x, k[1].x), fminf(k[2].x, k[3].x))), s->w - 1);
    int x1 = bound(ceilf(fmaxf(fmaxf(k[0].x, k[1].x), fmaxf(k[2].x, k[3].x))), s->w - 1);
    int y0 = bound(floorf(fminf(fminf(k[0].y, k[1].y), fminf(k[2].y, k[3].y))), s->h - 1);
    int y1 = bound(ceilf(fmaxf(fmaxf(k[0].y, k[1].y), fmaxf(k[2].y, k[3].y))), s->h - 1);
    double sum = 0;
    int n = 0;
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) {
            float dx = (float)x - r->centre.x, dy = (float)y - r->centre.y;
            if (fabsf(dx * r->along.x + dy * r->along.y) > r->half + 0.5f) continue;
            if (fabsf(dy * r->along.x - dx * r->along.y) > r->across + 0.5f) continue;
            sum += (double)s->map[y * s->w + x];
            n++;
        }
    return n ? (float)(sum / n) : 0;
}

/* The two corners on the left are the line's beginning, the upper one of them its top. */
static void order_corners(Point k[4]) {
    for (int i = 1; i < 4; i++)
        for (int j = i; j > 0 && k[j].x < k[j - 1].x; j--) {
            Point t = k[j];
            k[j] = k[j - 1];
            k[j - 1] = t;
        }
    bool left = k[0].y <= k[1].y, right = k[2].y <= k[3].y;
    Point sorted[4] = {k[left ? 0 : 1], k[right ? 2 : 3], k[right ? 3 : 2], k[left ? 1 : 0]};
    memcpy(k, sorted, sizeof sorted);
}

static bool component_box(Search *s, Box *out) {
    Rect r = smallest_rect(s->hull, component_hull(s));
    if (2 * fminf(r.half, r.across) < MIN_SIDE || mean_inside(s, &r) < BOX_THRESHOLD) return false;
    float by = r.half * r.across * UNCLIP_RATIO / (r.half + r.across);
    r.half += by;
    r.across += by;
    if (2 * fminf(r.half, r.across) < MIN_SIDE + 2) return false;
    rect_corners(&r, out->corner);
    order_corners(out->corner);
    return true;
}

/* Rows from the top down; within a row, whose beginnings are fewer than 10 apart, from the left. */
static int compare_boxes(const void *a, const void *b) {
    Point p = ((const Box *)a)->corner[0], q = ((const Box *)b)->corner[0];
    return p.y != q.y ? (p.y > q.y) - (p.y < q.y) : (p.x > q.x) - (p.x < q.x);
}

static void sort_boxes(Box *box, int n) {
    qsort(box, (size_t)n, sizeof *box, compare_boxes);
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0; j--) {
            Point p = box[j - 1].corner[0], q = box[j].corner[0];
            if (fabsf(q.y - p.y) >= 10 || q.x >= p.x) break;
            Box t = box[j];
            box[j] = box[j - 1];
            box[j - 1] = t;
        }
}

static int find_all(Search *s, Box *out) {
    int n = 0;
    for (int y = 0; y < s->h; y++)
        for (int x = 0; x < s->w && n < MAX_BOXES; x++) {
            int at = y * s->w + x;
            if (s->seen[at] || !(s->map[at] > THRESHOLD)) continue;
            fill_component(s, x, y);
            n += component_box(s, &out[n]);
        }
    sort_boxes(out, n);
    return n;
}

int boxes_find(const float *map, int w, int h, Box *out) {
    size_t pixels = (size_t)w * (size_t)h, rows = (size_t)h;
    Search s = {.map = map, .w = w, .h = h};
    s.seen = calloc(pixels, 1);
    s.stack = malloc(pixels * sizeof *s.stack);
    s.lo = malloc(rows * sizeof *s.lo);
    s.hi = malloc(rows * sizeof *s.hi);
    s.edge = malloc(2 * rows * sizeof *s.edge);
    s.hull = malloc((4 * rows + 2) * sizeof *s.hull);
    int n = -1;
    if (s.seen && s.stack && s.lo && s.hi && s.edge && s.hull) n = find_all(&s, out);
    else fprintf(stderr, "ocr: out of memory\n");
    free(s.seen), free(s.stack), free(s.lo), free(s.hi), free(s.edge), free(s.hull);
    return n;
}
