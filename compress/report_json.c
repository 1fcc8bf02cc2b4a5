/* The report as JSON. Strings are printable ASCII already; what is left to escape are backslashes. */
#include "compress/report.h"
#include <inttypes.h>
#include <math.h>

static void put_string(FILE *out, const char *key, const char *s) {
    fprintf(out, "\"%s\": \"", key);
    for (; *s; s++) {
        if (*s == '\\' || *s == '"') fputc('\\', out);
        fputc(*s, out);
    }
    fputc('"', out);
}

typedef struct Text {
    const char *key, *value;
} Text;

static void put_strings(FILE *out, const Text *texts, int n, const char *between) {
    for (int i = 0; i < n; i++) {
        if (i) fputs(between, out);
        put_string(out, texts[i].key, texts[i].value);
    }
}

static void put_sqnr(FILE *out, double sqnr) {
    if (isinf(sqnr)) fputs(", \"sqnr\": \"exact\"", out);
    else if (!isnan(sqnr)) fprintf(out, ", \"sqnr\": %.2f", sqnr);
}

static void put_zeros(FILE *out, const ReportLayer *l) {
    fprintf(out, ", \"values\": %" PRId64 ", \"zeros\": %" PRId64 ", \"zeros_percent\": %.2f, \"code_bytes\": %zu, ",
            l->values, l->zeros, report_zeros_percent(l), l->code);
    put_string(out, "pattern", l->pattern);
    if (!isnan(l->cycles)) fprintf(out, ", \"cycles\": %.0f, \"dense_cycles\": %.0f", l->cycles, l->dense_cycles);
}

static void put_layer(FILE *out, const ReportLayer *l) {
    const Text texts[] = {{"name", l->name}, {"operator", l->op},     {"form", l->form},     {"dtype", l->dtype},
                          {"dims", l->dims}, {"weights", l->weights}, {"scheme", l->scheme}, {"why", l->why}};
    fputs("    {", out);
    put_strings(out, texts, sizeof texts / sizeof *texts, ", ");
    fprintf(out, ", \"index\": %d, \"nodes\": %d, \"bytes_before\": %zu, \"bytes_after\": %zu", l->index, l->nodes,
            l->before, l->after);
    if (report_has_zeros(l)) put_zeros(out, l);
    put_sqnr(out, l->sqnr);
    if (l->microseconds == l->microseconds) fprintf(out, ", \"microseconds\": %.2f", l->microseconds);
    fputs("}", out);
}

static void put_block(FILE *out, const ReportBlock *b) {
    fputs("    {", out);
    put_string(out, "name", b->name);
    fprintf(out, ", \"scratch\": %s, \"bytes\": %zu, \"offset\": %zu, \"first\": %d, \"last\": %d}",
            b->scratch ? "true" : "false", b->bytes, b->offset, b->first, b->last);
}

static void put_range(FILE *out, const ReportRange *r) {
    fputs("    {", out);
    put_string(out, "tensor", r->tensor);
    fprintf(out,
            ", \"values\": %" PRId64 ", \"low\": %.9g, \"high\": %.9g, \"scale\": %.9g, \"zero\": %d, \"first\": %.9g, "
            "\"step\": %.9g, \"bins\": [",
            r->values, r->low, r->high, r->scale, r->zero, r->first, r->step);
    for (int i = 0; i < r->n_bins; i++) fprintf(out, "%s%" PRIu64, i ? ", " : "", r->bins[i]);
    fputs("]", out);
    put_sqnr(out, r->sqnr);
    fputs("}", out);
}

static void put_points(FILE *out, const ReportPoints *p) {
    if (!p) return;
    fputs(",\n  ", out);
    put_string(out, "points_metric", p->metric);
    fputs(",\n  \"points\": [", out);
    for (int i = 0; i < p->n; i++) {
        const ReportPoint *one = &p->item[i];
        const Text texts[] = {{"name", one->name}, {"place", report_place(one)}};
        fputs(i ? ",\n    {" : "\n    {", out);
        put_strings(out, texts, 2, ", ");
        fprintf(out, ", \"drop\": %.9g, \"flash\": %zu, \"ram\": %zu, \"milliseconds\": %.6f}", one->drop,
                one->flash, one->ram, one->milliseconds);
    }
    fputs("]", out);
}

void report_json(const Report *r, FILE *out) {
    const Text texts[] = {{"model", r->model}, {"target", r->target}, {"mcc", r->version}};
    fputs("{\n  ", out);
    put_strings(out, texts, sizeof texts / sizeof *texts, ",\n  ");
    fprintf(out,
            ",\n  \"totals\": {\"nodes\": %zu, \"layers\": %d, \"bytes_before\": %zu, \"bytes_elsewhere\": %zu, "
            "\"bytes_after\": %zu, \"code_bytes\": %zu, \"object_bytes\": %zu, \"values\": %" PRId64
            ", \"zeros\": %" PRId64 ", \"workspace\": %zu, \"workspace_lower_bound\": %zu},\n  \"layers\": [",
            r->model_nodes, r->n_layers, r->before, r->elsewhere, r->after, r->code, r->object, r->values, r->zeros,
            r->workspace, r->lower_bound);
    for (int i = 0; i < r->n_layers; i++) fputs(i ? ",\n" : "\n", out), put_layer(out, &r->layers[i]);
    fputs("],\n  \"blocks\": [", out);
    for (int i = 0; i < r->n_blocks; i++) fputs(i ? ",\n" : "\n", out), put_block(out, &r->blocks[i]);
    fputs("],\n  \"ranges\": [", out);
    for (int i = 0; i < r->ranges.n; i++) fputs(i ? ",\n" : "\n", out), put_range(out, &r->ranges.item[i]);
    fputs("],\n  \"noise\": ", out);
    fprintf(out, "{\"samples\": %d, \"inputs\": \"%s\"},\n  \"search\": {", r->ranges.noise_samples,
            report_noise_inputs(r));
    if (r->ranges.n_trials) put_string(out, "metric", r->ranges.metric);
    if (r->ranges.n_trials) fprintf(out, ", \"allowed\": %.9g, ", r->ranges.most_drop);
    fputs("\"trials\": [", out);
    for (int i = 0; i < r->ranges.n_trials; i++)
        fprintf(out, "%s{\"in_float\": %d, \"drop\": %.9g}", i ? ", " : "", r->ranges.trials[i].in_float,
                fmin(r->ranges.trials[i].drop, 1e300));
    fputs("]}", out);
    put_points(out, r->ranges.points);
    fputs("\n}\n", out);
}
