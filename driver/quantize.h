/* --quantize: what the driver adds to compress/. */
#ifndef MCC_DRIVER_QUANTIZE_H
#define MCC_DRIVER_QUANTIZE_H

#include "compress/expect.h"
#include "compress/quantize.h"
#include "driver/driver.h"

/* ---- quantize.c: the graph that was read becomes a quantized one, before it is optimised ---- */
int pipeline_quantize(Pipeline *p);
/* Canonical, and equalized as the plan's graph was: one graph more of the same model, read into p */
int pipeline_prepare(Pipeline *p, const QuantPlan *like);

bool plan_insert(QuantPlan *plan); /* whatever its kind is; false after diag_error */

/* ---- noise.c ---- */
/* Signal to noise of each layer's result, and of p->ranges, for the report. The plan is complete, its graph may be as
 * it was or quantized already. DONE, or an exit code after a message. */
int measure_layer_noise(const Pipeline *p, const QuantPlan *plan);

/* ---- calibrate.c ---- */
int calibrate_plan(const Pipeline *p, QuantPlan *plan); /* scales and zero points of the tensors that have none yet */

/* What the channels held that contractions read, in the first samples */
int calibrate_channels(const Pipeline *p, QuantPlan *plan);

/* ---- round_layers.c: --rounding=gptq ---- */
bool round_layers_possible(const QuantPlan *plan);
/* plan->nodes[…].rounded, in `a`. DONE, or an exit code after a message */
int round_layers(const Pipeline *p, QuantPlan *plan, Arena *a);

/* ---- expect.c: without samples ---- */
/* Before the graph is made canonical; NULL: there are samples, or a plan. And after; false: nothing can be told from it
 */
Expectations *expectations_begin(const Pipeline *p);
bool expectations_end(const Pipeline *p, Expectations *e);
/* NULL after diag_error */
QuantPlan *expected_plan(const Pipeline *p, const Expectations *e, const QuantOptions *o);
void expected_channels(const Expectations *e, QuantPlan *plan, Arena *a); /* as calibrate_channels */
void expectations_scale(Expectations *e, const ChannelMap *m, const Equalization *by);
int expected_ranges(const Pipeline *p, const Expectations *e, QuantPlan *plan);

/* ---- quantize_search.c ---- */
/* --max-drop: the plan, whose ranges are known, becomes one that leaves as many layers in float as the drop asks for.
 */
int search_plan(const Pipeline *p, QuantPlan **plan);

#endif
