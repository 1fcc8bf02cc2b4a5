/* Calibration samples: files to tensors, one sample at a time. Nothing in the files is trusted. What is held in memory
 * at once is one sample (of a column-major .npy, a compressed or a .pb file: that file).
 *
 * A path is a file, a .txt list of paths (a line each, beside the list), or a folder, which is walked in the order of
 * its names. A model of one input takes every file as samples of it. A model of several takes
 *   - .npz files with an array for each input, by the input's name;
 *   - a folder that has a folder for each input, by its name, with equally many files: the nth files are a sample;
 *   - folders of one sample each: NAME.npy (or another format) for each input, or input_0.pb, input_1.pb, … in order.
 * An array of more rows than the input's first dim is cut into samples; one whose first dim of 1 is missing gets it. */
#ifndef MCC_SAMPLES_H
#define MCC_SAMPLES_H

#include "ir/ir.h"

typedef struct SampleOptions { /* for pictures alone: image.h */
    const char *norm;          /* --input-norm, "MEAN:DEVIATION" of values / 255; NULL: 0 and 1 */
    const char *layout;        /* --input-layout, "nchw" or "nhwc"; NULL: where the input has 1 or 3 channels */
} SampleOptions;

typedef struct Samples Samples;
/* inputs: the model's, as it describes itself (dims -1 and max_dims of open ones). NULL after diag_error. What it
 * returns, and its paths, live in ctx's arena; inputs must outlive it. */
Samples *samples_open(Ctx *ctx, const char *const *paths, int n_paths, const mcc_tensor_info *inputs, int n_inputs,
                      const SampleOptions *options);
/* The next sample: a tensor for each input, of its dtype and within its dims, finite; they live until the next call. */
typedef enum SampleStatus { SAMPLE_GIVEN, SAMPLE_END, SAMPLE_BAD /* after diag_error */ } SampleStatus;
SampleStatus samples_next(Samples *s, const Tensor **out);
const char *samples_name(const Samples *s); /* of the sample at hand: its file, and where it holds several, the place */
/* How many files (or sets of them) there are, and how many have been begun: for a progress bar. */
int samples_groups(const Samples *s);
int samples_groups_begun(const Samples *s);
void samples_rewind(Samples *s);
void samples_close(Samples *s); /* NULL is fine */

#endif
