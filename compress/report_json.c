/* The report as JSON. Strings are printable ASCII already; what is left to escape are backslashes. */
#include "compress/report.h"
#include <inttypes.h>

static void put_string(FILE *out, const char *key, const char *s) {
    fprintf(out, "\"%s\": \"", key);
    for (; *s; s++) {
        if (*s == '\\' || *s == '"') fputc('\\', out);
        fputc(*s, out);
    }
    fputc('"', out);
}

static void put_layer(FILE *out, const ReportLayer *l) {
    fputs("    {", out);
    put_string(out, "name", l->name);
    fputs(", ", out);
    put_string(out, "operator", l->op);
    fputs(", ", out);
    put_string(out, "form", l->form);
    fputs(", ", out);
    put_string(out, "dtype", l->dtype);
    fputs(", ", out);
    put_string(out, "dims", l->dims);
    fputs(", ", out);
    put_string(out, "weights", l->scheme);
    fprintf(out, ", \"index\": %d, \"nodes\": %d, \"bytes_before\": %zu, \"bytes_after\": %zu", l->index, l->nodes,
            l->before, l->after);
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
    if (r->sqnr == r->sqnr) fprintf(out, ", \"sqnr\": %.2f", r->sqnr);
    fputs("}", out);
}

void report_json(const Report *r, FILE *out) {
    fputs("{\n  ", out);
    put_string(out, "model", r->model);
    fputs(",\n  ", out);
    put_string(out, "target", r->target);
    fputs(",\n  ", out);
    put_string(out, "mcc", r->version);
    fprintf(out,
            ",\n  \"totals\": {\"nodes\": %zu, \"layers\": %d, \"bytes_before\": %zu, \"bytes_elsewhere\": %zu, "
            "\"bytes_after\": %zu, \"workspace\": %zu, \"workspace_lower_bound\": %zu},\n  \"layers\": [",
            r->model_nodes, r->n_layers, r->before, r->elsewhere, r->after, r->workspace, r->lower_bound);
    for (int i = 0; i < r->n_layers; i++) fputs(i ? ",\n" : "\n", out), put_layer(out, &r->layers[i]);
    fputs("],\n  \"blocks\": [", out);
    for (int i = 0; i < r->n_blocks; i++) fputs(i ? ",\n" : "\n", out), put_block(out, &r->blocks[i]);
    fputs("],\n  \"ranges\": [", out);
    for (int i = 0; i < r->ranges.n; i++) fputs(i ? ",\n" : "\n", out), put_range(out, &r->ranges.item[i]);
    fputs("]\n}\n", out);
}
