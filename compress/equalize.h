/* Factors for channels, so that all channels of a tensor fill its range alike and the weights that read them stay even.
 */
#ifndef MCC_EQUALIZE_H
#define MCC_EQUALIZE_H

#include "compress/channels.h"

typedef enum EqualizeKind { EQUALIZE_DEFAULT, EQUALIZE_OFF, EQUALIZE_WEIGHTS, EQUALIZE_SAMPLES } EqualizeKind;

typedef struct Equalization { /* for every graph that is read and made canonical as the one it was found for */
    int n;                    /* channels of its map */
    int8_t *exponents;        /* by root: log2 of the factor */
    int scaled;               /* channels whose factor is not 1 */
    double most;              /* the largest factor between two channels of a tensor */
    const char *lines;        /* as a plan file has it */
} Equalization;
/* By weights alone (M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019) */
Equalization *equalize_weights(ChannelMap *m, Arena *a);
/* By what channels held (G. Xiao et al., "SmoothQuant", 2023): largest^alpha / weights^(1 - alpha). alpha ALPHA_BEST:
 * for channels that belong together the one of a few, or no factor, that is expected to leave the least noise in the
 * contractions that read them */
typedef struct ChannelSeen { /* by root; all 0: nothing was seen */
    float low, high;
    double square; /* the mean */
} ChannelSeen;
#define ALPHA_BEST (-1.0)
Equalization *equalize_seen(ChannelMap *m, const ChannelSeen *seen, double alpha, Arena *a);

bool equalize_apply(ChannelMap *m, const Equalization *e); /* false after diag_error */

#endif
