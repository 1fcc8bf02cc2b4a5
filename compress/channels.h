/* Channels that can be scaled without a change to what a network computes: what makes a channel is divided by a factor
 * and what reads it multiplied with it, where all that lies between commutes with positive factors. Factors are powers
 * of two, so that not a bit of the float network's result changes (but where numbers leave float32's normal range). */
#ifndef MCC_CHANNELS_H
#define MCC_CHANNELS_H

#include "ir/ir.h"

typedef struct ChannelWeights { /* of a contraction: w[group][out][in][tap], or [group][in][out][tap] */
    Node *node;
    int in, out; /* channel 0 of what it reads and makes, as the map counts them; -1: not to be scaled */
    int64_t groups, outs, ins, taps; /* outs and ins of a group */
    bool outs_first;
} ChannelWeights;
typedef struct ChannelConstant { /* an operand of what makes channels: scaled as they are */
    Node *node;
    int input, out;
    int in; /* channel 0 of what it multiplies, which may be scaled otherwise; -1: it is no factor */
    int64_t outer, channels, inner;
    int from_end; /* the axis, counted from the last one, which is 1 */
    bool repeats; /* it has one number for all channels */
} ChannelConstant;
typedef struct ChannelMap {
    Graph *graph;
    int n_ids, n; /* values that are known; channels of all of them */
    int *first;   /* by value id: its channel 0; -1: its channels are not known, or must stay as they are */
    int *axis;
    int *parent; /* by channel: one that is scaled alike; the same for a root */
    bool *fixed; /* by root */
    ChannelWeights *weights;
    ChannelConstant *constants;
    int n_weights, n_constants;
} ChannelMap;
ChannelMap *channels_find(Graph *g, Arena *a);               /* the same for the same graph */
bool channel_weights_read(const Node *n, ChannelWeights *w); /* all but in and out. false: not a contraction of these */
/* Of what moves, pools, reduces or views elements: the axis of its result that holds the channels along `axis` of its
 * input, each so many times; -1: none does */
int channel_axis_after(const Node *n, int axis, int64_t *each);
int channel_axis_in(const Node *n); /* of a contraction: the axis of its input that holds channels */
int channel_root(const ChannelMap *m, int channel);
int64_t channel_count(const ChannelMap *m, const Value *v);  /* 0: none are known, or one of them must stay as it is */
bool channels_scale(ChannelMap *m, const int8_t *exponents); /* by root, log2 of the factor. false: no room */

#endif
