/* Planar maps: the pixels of a channel one behind the other, rows of `w` without padding between them, so that 16
 * neighbours are one vector wherever rows end. Before and behind them stand zeros, which taps that leave the map by its
 * first or last row read; taps that leave it by a side are masked. A map of stride s is split into phases: planes of
 * their own for each remainder of a row and a column by s, in the pitch of the output. Passes that lay planes out and
 * code that reads them must agree on all of this. */
#include "ir/ir.h"
#include <assert.h>

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static int64_t input_at(const PlaneWindow *w, int axis, int64_t out, int64_t tap) {
    return out * w->stride[axis] + tap * w->dilation[axis] - w->begin[axis];
}

static bool is_inside(const PlaneWindow *w, int axis, int64_t out, int64_t tap) {
    int64_t at = input_at(w, axis, out, tap);
    return at >= 0 && at < w->in[axis];
}

/* the remainder by the stride of what a tap reads */
static int64_t rest_of(const PlaneWindow *w, int axis, int64_t tap) {
    int64_t at = input_at(w, axis, 0, tap);
    return at - floor_div(at, w->stride[axis]) * w->stride[axis];
}

static bool is_read(const PlaneWindow *w, int axis, int64_t rest) {
    for (int64_t i = 0; i < w->kernel[axis]; i++)
        if (rest_of(w, axis, i) == rest) return true;
    return false;
}

int plane_phases(const PlaneWindow *w, int64_t phases[MAX_PHASES]) {
    int n = 0;
    for (int64_t y = 0; y < w->stride[0]; y++)
        for (int64_t x = 0; x < w->stride[1]; x++)
            if (is_read(w, 0, y) && is_read(w, 1, x)) phases[n++] = y * w->stride[1] + x;
    return n;
}

int64_t plane_rows(const PlaneWindow *w) { return (w->in[0] + w->stride[0] - 1) / w->stride[0]; }

bool plane_is_split(const PlaneWindow *w) { return w->stride[0] != 1 || w->stride[1] != 1 || w->in[1] != w->out[1]; }

static bool is_inside_map(const PlaneWindow *w, int tap, int64_t row, int64_t column, bool rows) {
    return is_inside(w, 1, column, tap % w->kernel[1]) && (!rows || is_inside(w, 0, row, tap / w->kernel[1]));
}

static bool leaves_along(const PlaneWindow *w, int axis, int64_t tap) {
    for (int64_t at = 0; at < w->out[axis]; at++)
        if (!is_inside(w, axis, at, tap)) return true;
    return false;
}

static bool alike_along(const PlaneWindow *w, int axis, int64_t a, int64_t b) {
    for (int64_t at = 0; at < w->out[axis]; at++)
        if (is_inside(w, axis, at, a) != is_inside(w, axis, at, b)) return false;
    return true;
}

static bool leaves(const PlaneWindow *w, int tap, bool rows) {
    return leaves_along(w, 1, tap % w->kernel[1]) || (rows && leaves_along(w, 0, tap / w->kernel[1]));
}

static bool leave_alike(const PlaneWindow *w, int a, int b, bool rows) {
    return alike_along(w, 1, a % w->kernel[1], b % w->kernel[1]) &&
           (!rows || alike_along(w, 0, a / w->kernel[1], b / w->kernel[1]));
}

static int64_t offset_of(const PlaneWindow *w, const Plane *from, int tap) {
    int64_t y = tap / w->kernel[1], x = tap % w->kernel[1], phases[MAX_PHASES], phase = 0;
    int64_t dy = floor_div(input_at(w, 0, 0, y), w->stride[0]), dx = floor_div(input_at(w, 1, 0, x), w->stride[1]);
    int64_t key = rest_of(w, 0, y) * w->stride[1] + rest_of(w, 1, x);
    plane_phases(w, phases);
    while (phases[phase] != key) phase++;
    return phase * from->size + dy * from->w + dx;
}

void plane_taps(const PlaneWindow *w, const Plane *from, bool rows, PlaneTaps *t) {
    *t = (PlaneTaps){.n = (int)(w->kernel[0] * w->kernel[1]), .rows = rows};
    for (int i = 0; i < t->n; i++) {
        t->offset[i] = offset_of(w, from, i);
        for (int c = 1; c <= t->n_masks && !t->mask[i]; c++)
            if (leave_alike(w, t->like[c - 1], i, rows)) t->mask[i] = c;
        if (t->mask[i] || !leaves(w, i, rows)) continue;
        t->like[t->n_masks] = i;
        t->mask[i] = ++t->n_masks;
    }
}

void plane_masks(const PlaneWindow *w, const PlaneTaps *t, int words, uint16_t *out) {
    int64_t pixels = w->out[0] * w->out[1], panels = panel_pixels(pixels) / PANEL;
    for (int64_t i = 0; i < panels * words; i++) out[i] = 0;
    for (int64_t i = 0; i < pixels; i++) {
        uint16_t *at = out + i / PANEL * words, bit = (uint16_t)(1u << i % PANEL);
        for (int c = 0; c < t->n_masks; c++)
            if (is_inside_map(w, t->like[c], i / w->out[1], i % w->out[1], t->rows)) at[c] = (uint16_t)(at[c] | bit);
        at[t->n_masks] = (uint16_t)(at[t->n_masks] | bit);
    }
}

/* Every column that a tap reads lies in the pitch of the output. */
static bool columns_fit(const PlaneWindow *w) {
    for (int64_t x = 0; x < w->kernel[1]; x++)
        for (int64_t at = 0; at < w->out[1]; at++) {
            int64_t column = at + floor_div(input_at(w, 1, 0, x), w->stride[1]);
            if (is_inside(w, 1, at, x) && (column < 0 || column >= w->out[1])) return false;
        }
    return true;
}

bool plane_possible(const PlaneWindow *w) {
    enum { MOST = 1 << 20, MOST_PIXELS = 1 << 24 };
    for (int i = 0; i < 2; i++) {
        if (w->in[i] < 1 || w->out[i] < 1 || w->in[i] > MOST || w->out[i] > MOST) return false;
        if (w->kernel[i] < 1 || w->kernel[i] > MAX_KERNEL || w->stride[i] < 1 || w->stride[i] > MAX_STRIDE)
            return false;
        if (w->dilation[i] < 1 || w->dilation[i] > MOST || w->begin[i] < 0 || w->begin[i] > MOST) return false;
    }
    for (int i = 0; i < 2; i++) { /* windows that leave the map by more than its size: zeros around planes stay few */
        int64_t reach = (w->kernel[i] - 1) * w->dilation[i];
        if (w->begin[i] > w->in[i] + MAX_KERNEL || reach - w->begin[i] > w->in[i] + MAX_KERNEL) return false;
    }
    if (w->in[0] * w->in[1] > MOST_PIXELS || w->out[0] * w->out[1] > MOST_PIXELS) return false;
    return columns_fit(w);
}

void plane_reach(const PlaneWindow *w, int64_t *before, int64_t *behind) {
    int64_t pixels = plane_rows(w) * w->out[1], panels = panel_pixels(w->out[0] * w->out[1]);
    for (int64_t y = 0; y < w->kernel[0]; y++)
        for (int64_t x = 0; x < w->kernel[1]; x++) {
            int64_t dy = floor_div(input_at(w, 0, 0, y), w->stride[0]),
                    dx = floor_div(input_at(w, 1, 0, x), w->stride[1]), at = dy * w->out[1] + dx;
            if (-at > *before) *before = -at;
            if (panels + at - pixels > *behind) *behind = panels + at - pixels;
        }
}

int64_t panel_lines(int64_t channels) { return channels | 1; }

int64_t panel_pixels(int64_t pixels) { return (pixels + PANEL - 1) / PANEL * PANEL; }

Plane plane_of(int64_t h, int64_t w, int64_t before, int64_t behind) {
    Plane p = {.h = h, .w = w, .lead = panel_pixels(before)};
    int64_t lines = (p.lead + panel_pixels(h * w + behind)) / PANEL;
    p.size = (lines | 1) * PANEL; /* odd: planes spread over the caches' sets */
    return p;
}

/* as attributes: the numbers in the order of the structures */
enum { PLANE_NUMBERS = sizeof(Plane) / sizeof(int64_t), WINDOW_NUMBERS = sizeof(PlaneWindow) / sizeof(int64_t) };

void node_set_plane(Node *n, const char *name, const Plane *p) {
    node_set_ints(n, name, (int64_t[PLANE_NUMBERS]){p->h, p->w, p->lead, p->size}, PLANE_NUMBERS);
}

Plane node_plane(const Node *n, const char *name) {
    const int64_t *v = NULL;
    int count = node_ints(n, name, &v);
    assert(count == PLANE_NUMBERS);
    return count == PLANE_NUMBERS ? (Plane){v[0], v[1], v[2], v[3]} : (Plane){0};
}

void node_set_window(Node *n, const PlaneWindow *w) {
    int64_t v[WINDOW_NUMBERS];
    const int64_t *const parts[] = {w->in, w->out, w->kernel, w->stride, w->dilation, w->begin, w->end};
    for (int i = 0; i < WINDOW_NUMBERS; i++) v[i] = parts[i / 2][i % 2];
    node_set_ints(n, "window", v, WINDOW_NUMBERS);
}

PlaneWindow node_window(const Node *n) {
    PlaneWindow w = {{0}, {0}, {0}, {0}, {0}, {0}, {0}};
    int64_t *const parts[] = {w.in, w.out, w.kernel, w.stride, w.dilation, w.begin, w.end};
    const int64_t *v = NULL;
    int count = node_ints(n, "window", &v);
    assert(count == WINDOW_NUMBERS);
    for (int i = 0; i < count && i < WINDOW_NUMBERS; i++) parts[i / 2][i % 2] = v[i];
    return w;
}
