/* GridSample: for each output place the grid says where in X (coordinates in [-1, 1], the last axis first), and taps
 * around that place are weighed: the nearest one, two an axis (linear) or four (cubic, a = -0.75). Outside of X there
 * are zeros, the border's elements, or X mirrored. Coordinates may be anything: those of NaN give NaN where elements
 * are weighed, else the element they round to. */
#include "runtime/kernels/common.h"

enum { GRID_LINEAR, GRID_NEAREST, GRID_CUBIC }; /* the attribute has each once more, as older opsets spell it */
enum { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION };
enum { GRID_AXES = 3, GRID_TAPS = 64 };

typedef struct grid_plan {
    int axes, bits; /* 1 << bits taps an axis */
    int64_t mode, padding;
    bool corners;
    idx batch, channels, places, size; /* size: elements of a channel */
    idx n[GRID_AXES], stride[GRID_AXES];
} grid_plan;

#define TEMPLATE "runtime/kernels/grid_sample.inc"
#include "runtime/kernels/for_floats.h"
#include "runtime/kernels/for_ints_real.h"

static inline int64_t grid_mode(int64_t given) { return given < 3 ? given : given == 3 ? GRID_LINEAR : GRID_CUBIC; }

int ref_GridSample(const mcc_arg *a, const mcc_attr *at) {
    const attrs_GridSample *how = (const attrs_GridSample *)at;
    const mcc_arg *x = &a[0], *grid = &a[1], *y = output(a, at, 0);
    grid_plan p = {.axes = x->rank - 2, .mode = grid_mode(how->mode), .padding = how->padding_mode};
    p.corners = how->align_corners != 0;
    p.bits = p.mode == GRID_NEAREST ? 0 : p.mode == GRID_LINEAR ? 1 : 2;
    p.batch = dim(x, 0);
    p.channels = dim(x, 1);
    p.places = dims_product(y, 2, y->rank);
    p.size = dims_product(x, 2, x->rank);
    UNROLL for (int k = 0; k < GRID_AXES; k++) {
        p.n[k] = k < p.axes ? dim(x, k + 2) : 1;
        p.stride[k] = k < p.axes ? stride_of(x, k + 2) : 0;
    }
    if (elements(y) == 0) return MCC_OK;
    if (p.size == 0) return MCC_E_SHAPE; /* nothing to sample */
    DISPATCH_REAL(x->dtype, grid_sample, y->data, x->data, grid, &p)
}
