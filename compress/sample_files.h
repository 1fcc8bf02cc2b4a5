/* The formats of calibration samples, one input's file at a time. Another format is a row in sample_files.c. */
#ifndef MCC_SAMPLE_FILES_H
#define MCC_SAMPLE_FILES_H

#include "compress/samples.h"
#include "frontend/npy.h"

typedef struct SampleFile { /* open: holds one tensor, whose rows may be samples */
    FILE *file;
    NpyArray array;
    const Tensor *whole; /* NULL: the array is read from the file in parts */
    Tensor shape;        /* no data */
} SampleFile;

bool sample_format_known(const char *path);                  /* by its extension */
const char *sample_extension(int i);                         /* of the formats; NULL: no more */
bool has_extension(const char *path, const char *extension); /* ".npy", in any case */
/* Opens the file of one input; the arena lives as long as it. false: *why says what is wrong. */
bool sample_file_open(Ctx *ctx, Arena *a, const char *path, const mcc_tensor_info *input, bool only_input,
                      const SampleOptions *o, SampleFile *f, const char **why);
/* Rows [first, first + count) of axis 0; of rank 0 the whole. NULL: *why. */
Tensor *sample_file_rows(Arena *a, const SampleFile *f, int64_t first, int64_t count, const char **why);
void sample_file_close(SampleFile *f);
FILE *sample_fopen(const char *path, size_t *size, const char **why); /* a regular file, never blocking */

/* ---- npz.c: the directory of a .npz (a zip archive) ---- */
/* The place and size of the array `name` (NULL: the only one). false: *why says what is wrong. */
bool npz_find(Arena *a, FILE *f, size_t size, const char *name, size_t *at, size_t *bytes, const char **why);

#endif
