/* The part of the report that mcc search adds: settings by bytes and drop, those that no other one beats joined by a
 * line; and their figures. */
#include "compress/report.h"
#include <math.h>

static const double wide = 640, high = 240, margin = 30;

typedef struct Extent {
    double bytes, drop; /* the most */
} Extent;

static double place_x(const Extent *e, const ReportPoint *p) {
    return margin + (wide - 2.0 * margin) * (e->bytes > 0 ? (double)p->flash / e->bytes : 0);
}

/* the square root, so that small drops show */
static double place_y(const Extent *e, const ReportPoint *p) {
    double share = e->drop > 0 ? sqrt(fmin(p->drop / e->drop, 1)) : 0;
    return high - margin - (high - 2.0 * margin) * share;
}

/* The least drop of so many bytes or fewer, from the left */
static void put_line(const ReportPoints *p, const Extent *e, FILE *out) {
    double bytes = -1, drop = INFINITY;
    fputs("<polyline class=\"curve\" points=\"", out);
    for (;;) {
        const ReportPoint *next = NULL;
        for (int i = 0; i < p->n; i++) {
            const ReportPoint *one = &p->item[i];
            if ((double)one->flash <= bytes || one->drop >= drop) continue;
            bool nearer = !next || one->flash < next->flash || (one->flash == next->flash && one->drop < next->drop);
            if (nearer) next = one;
        }
        if (!next) break;
        fprintf(out, "%.2f,%.2f ", place_x(e, next), place_y(e, next));
        bytes = (double)next->flash, drop = next->drop;
    }
    fputs("\"/>\n", out);
}

static void put_row(FILE *out, int i, const ReportPoint *p) {
    fprintf(out, "<tr><td data-key=\"points.%d.name\">", i);
    report_text(out, p->name);
    fprintf(out,
            "</td><td class=\"n\" data-key=\"points.%d.drop\">%.9g</td><td class=\"n\" "
            "data-key=\"points.%d.flash\">%zu</td><td class=\"n\" data-key=\"points.%d.ram\">%zu</td><td class=\"n\" "
            "data-key=\"points.%d.milliseconds\">%.6f</td><td data-key=\"points.%d.place\">%s</td></tr>\n",
            i, p->drop, i, p->flash, i, p->ram, i, p->milliseconds, i, report_place(p));
}

const char *report_place(const ReportPoint *p) { return p->chosen ? "chosen" : p->front ? "front" : "beaten"; }

void report_points_html(const ReportPoints *p, FILE *out) {
    Extent e = {0, 0};
    if (!p) return;
    for (int i = 0; i < p->n; i++) {
        e.bytes = fmax(e.bytes, (double)p->item[i].flash);
        e.drop = fmax(e.drop, p->item[i].drop);
    }
    fprintf(out,
            "<section><h2>Settings</h2>\n<p>What was tried: to the right the bytes of code and constants, upwards the "
            "square root of the drop (<span data-key=\"points_metric\">%s</span>). The line joins the least drops; "
            "front: no other one is as good in everything.</p>\n<svg class=\"search\" viewBox=\"0 0 %g %g\" "
            "role=\"img\" aria-label=\"drop by bytes\">\n",
            p->metric, wide, high);
    put_line(p, &e, out);
    for (int i = 0; i < p->n; i++) {
        const ReportPoint *one = &p->item[i];
        fprintf(out, "<circle data-point=\"%d\" cx=\"%.2f\" cy=\"%.2f\" r=\"%s\"><title>", i, place_x(&e, one),
                place_y(&e, one),
                one->chosen  ? "7"
                : one->front ? "4.5"
                             : "2.5");
        report_text(out, one->name);
        fprintf(out, ": %zu bytes, drop %.9g</title></circle>\n", one->flash, one->drop);
    }
    fputs("</svg>\n<table><thead><tr><th>setting<th class=\"n\">drop<th class=\"n\">flash<th class=\"n\">ram<th "
          "class=\"n\">ms<th></tr></thead><tbody>\n",
          out);
    for (int i = 0; i < p->n; i++) put_row(out, i, &p->item[i]);
    fputs("</tbody></table></section>\n", out);
}
