/* AffineGrid: theta, [N, 2, 3] or [N, 3, 4], times (x, y, 1) or (x, y, z, 1) of each place of a map of the size that
 * input 1 says. Places run from -1 to 1: at the corners' middle where they are aligned, else half a step inside. */
#include "runtime/kernels/real.h"

/* The dims of the grid: N, the spatial ones, 2 or 3 */
static int grid_dims(const mcc_arg *a, int64_t *dims) {
    const mcc_arg *theta = &a[0], *size = &a[1];
    const int spatial = (int)theta->dims[1];
    if (size->dims[0] != spatial + 2 || read_int(size, 0) != theta->dims[0]) return MCC_E_INDEX;
    dims[0] = theta->dims[0];
    UNROLL for (int k = 0; k < 3; k++) if (k < spatial) dims[1 + k] = read_int(size, 2 + k);
    dims[1 + spatial] = spatial;
    return dims_valid(dims, spatial + 2) ? MCC_OK : MCC_E_INDEX;
}

int shape_AffineGrid(mcc_arg *a, const mcc_attr *at) {
    int64_t dims[RANK];
    int status = grid_dims(a, dims);
    if (status == MCC_OK) write_dims(&a[at->args.n_in], dims);
    return status;
}

static inline double place(idx i, idx n, bool corners) {
    if (corners) return n > 1 ? -1 + 2 * (double)i / (double)(n - 1) : -1;
    return -1 + (2 * (double)i + 1) / (double)n;
}

int ref_AffineGrid(const mcc_arg *a, const mcc_attr *at) {
    const mcc_arg *theta = &a[0], *y = output(a, at, 0);
    const bool corners = ((const attrs_AffineGrid *)at)->align_corners != 0;
    int64_t dims[RANK];
    if (grid_dims(a, dims) != MCC_OK || !same_dims(y, dims)) return MCC_E_INDEX;
    const int spatial = (int)theta->dims[1];
    idx n[3] = {1, 1, 1}, out = 0; /* depth, height, width */
    UNROLL for (int k = 0; k < 3; k++) if (k < spatial) n[3 - spatial + k] = (idx)dims[1 + k];
    for (idx b = 0; b < (idx)dims[0]; b++)
        for (idx z = 0; z < n[0]; z++)
            for (idx r = 0; r < n[1]; r++)
                for (idx c = 0; c < n[2]; c++) {
                    const double at_place[3] = {place(c, n[2], corners), place(r, n[1], corners),
                                                place(z, n[0], corners)};
                    for (idx i = 0; i < spatial; i++, out++) {
                        const idx row = (b * spatial + i) * (spatial + 1);
                        double sum = real_get(theta, row + spatial);
                        for (idx k = 0; k < spatial; k++) sum += real_get(theta, row + k) * at_place[k];
                        real_set(y, out, sum);
                    }
                }
    return MCC_OK;
}
