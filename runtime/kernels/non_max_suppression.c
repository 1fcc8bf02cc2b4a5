/* NonMaxSuppression: for each batch and class, boxes in the order of their scores (of equal ones the first first), but
 * for those that overlap one that was taken by more than iou_threshold. Only scores above score_threshold, where there
 * is one, count; NaN never does. Y: rows of batch, class, box. Overlaps are computed in f32: intersection / union, no
 * overlap where an area is not positive. Memory to work in: for each box its place in a heap, and the corners and area
 * of those taken, each a list of its own, so that a candidate meets many of them at once. */
#include "runtime/kernels/real.h"

typedef struct nms {
    const float *boxes, *scores; /* of this batch, and class */
    idx n, taken;
    float iou, score;
    bool centered, scored;
    int32_t *heap;
    float *top, *left, *bottom, *right, *area;
} nms;

static inline bool nms_before(const nms *s, int32_t a, int32_t b) {
    return s->scores[a] > s->scores[b] || (s->scores[a] == s->scores[b] && a < b);
}

/* `box` goes down from `at` in a heap of n whose top is the best. */
static inline void nms_sink(const nms *s, idx at, idx n, int32_t box) {
    for (idx child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && nms_before(s, s->heap[child + 1], s->heap[child])) child++;
        if (nms_before(s, box, s->heap[child])) break;
        s->heap[at] = s->heap[child];
    }
    s->heap[at] = box;
}

static inline idx nms_candidates(const nms *s) {
    idx n = 0;
    for (idx i = 0; i < s->n; i++) {
        const float v = s->scores[i];
        if (s->scored ? v > s->score : v == v) s->heap[n++] = (int32_t)i;
    }
    for (idx i = n / 2; i-- > 0;) nms_sink(s, i, n, s->heap[i]);
    return n;
}

static inline float min_of(float a, float b) { return b < a ? b : a; }
static inline float max_of(float a, float b) { return b > a ? b : a; }

/* Writes the box's corners and area behind those that are taken. */
static inline void nms_place(const nms *s, int32_t box) {
    const float *b = s->boxes + 4 * (idx)box;
    float top = b[0], left = b[1], bottom = b[2], right = b[3];
    if (s->centered) { /* x, y, width, height */
        const float w = b[2] / 2, h = b[3] / 2;
        left = b[0] - w, right = b[0] + w, top = b[1] - h, bottom = b[1] + h;
    }
    s->top[s->taken] = min_of(top, bottom);
    s->bottom[s->taken] = max_of(top, bottom);
    s->left[s->taken] = min_of(left, right);
    s->right[s->taken] = max_of(left, right);
    s->area[s->taken] = (s->bottom[s->taken] - s->top[s->taken]) * (s->right[s->taken] - s->left[s->taken]);
}

static inline int nms_overlap(const nms *s, idx i, float top, float left, float bottom, float right, float area) {
    const float high = min_of(bottom, s->bottom[i]) - max_of(top, s->top[i]),
                wide = min_of(right, s->right[i]) - max_of(left, s->left[i]);
    const float inside = high * wide, all = area + s->area[i] - inside;
    return (high > 0) & (wide > 0) & (area > 0) & (s->area[i] > 0) & (all > 0) & (inside / all > s->iou);
}

/* Does the box behind those that are taken overlap one of them? */
static inline bool nms_suppressed(const nms *s) {
    const float top = s->top[s->taken], left = s->left[s->taken], bottom = s->bottom[s->taken],
                right = s->right[s->taken], area = s->area[s->taken];
    idx i = 0;
    int any = 0;
    for (; i + LANES <= s->taken && !any; i += LANES)
        ROLLED for (idx l = 0; l < LANES; l++) any |= nms_overlap(s, i + l, top, left, bottom, right, area);
    for (; i < s->taken && !any; i++) any = nms_overlap(s, i, top, left, bottom, right, area);
    return any != 0;
}

/* Runs all batches and classes; rows takes what is chosen, up to `room` boxes. How many there are. */
static inline int64_t nms_run(const mcc_arg *a, const mcc_attr *at, int64_t *rows, int64_t room) {
    const mcc_arg *boxes = &a[0], *scores = &a[1], *most = input(a, at, 2), *iou = input(a, at, 3),
                  *score = input(a, at, 4);
    const idx n = dim(boxes, 1), stride = n + LANES;
    const int64_t limit = most ? read_int(most, 0) : 0;
    float *memory = a[at->args.n_in + at->args.n_out].data;
    nms s = {.n = n, .iou = iou ? *(const float *)iou->data : 0, .score = score ? *(const float *)score->data : 0};
    int64_t chosen = 0;
    s.centered = ((const attrs_NonMaxSuppression *)at)->center_point_box != 0;
    s.scored = score != NULL;
    s.top = memory, s.left = s.top + stride, s.bottom = s.left + stride, s.right = s.bottom + stride;
    s.area = s.right + stride;
    s.heap = (int32_t *)(s.area + stride);
    for (idx b = 0; b < dim(scores, 0); b++)
        for (idx c = 0; c < dim(scores, 1); c++) {
            s.boxes = (const float *)boxes->data + b * n * 4;
            s.scores = (const float *)scores->data + (b * dim(scores, 1) + c) * n;
            s.taken = 0;
            for (idx left = limit > 0 ? nms_candidates(&s) : 0; left > 0 && s.taken < limit;) {
                const int32_t box = s.heap[0], last = s.heap[--left];
                nms_sink(&s, 0, left, last);
                nms_place(&s, box);
                if (nms_suppressed(&s)) continue;
                s.taken++;
                if (chosen < room) rows[3 * chosen] = b, rows[3 * chosen + 1] = c, rows[3 * chosen + 2] = box;
                chosen++;
            }
        }
    return chosen;
}

int shape_NonMaxSuppression(mcc_arg *a, const mcc_attr *at) {
    mcc_arg *y = &a[at->args.n_in];
    y->dims[0] = nms_run(a, at, NULL, 0);
    y->dims[1] = 3;
    return MCC_OK;
}

int ref_NonMaxSuppression(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *y = output(a, at, 0);
    return nms_run(a, at, y->data, y->dims[0]) == y->dims[0] ? MCC_OK : MCC_E_INDEX;
}
