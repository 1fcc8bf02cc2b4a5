/* --print-operators: a line each for what models may use, its domain, the opset it came with, the types of its first input, and what
 * becomes of it. docs/operators.md is made of this list. */
#include "driver/driver.h"
#include "frontend/frontend.h"
#include "ir/ir.h"

static const char *form_of(const OpInfo *info) {
    static const struct {
        unsigned flags;
        const char *form;
    } forms[] = {{OP_CONTROL, "control flow"},
                 {OP_DECOMPOSED, "decomposed"},
                 {OP_CONTRACTION | OP_RECURRENT | OP_NORMALIZATION | OP_POOL, "tuned"},
                 {OP_ELEMENTWISE | OP_REDUCTION | OP_MOVEMENT | OP_VIEW | OP_SHAPE_ONLY, "fused"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (info->flags & forms[i].flags) return forms[i].form;
    return "reference";
}

static void print_dtypes(unsigned classes, FILE *out) {
    static const struct {
        unsigned class;
        const char *name;
    } names[] = {{DTC_F, "float"}, {DTC_I, "int"}, {DTC_U, "uint"}, {DTC_B, "bool"}, {DTC_PACKED, "packed"}, {DTC_SMALL, "small"}};
    const char *before = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (classes & names[i].class) fprintf(out, "%s%s", before, names[i].name), before = ",";
    fputs(*before ? "" : "-", out);
}

static void print_one(const char *domain, const char *name, const OpInfo *info, bool own, FILE *out) {
    fprintf(out, "%-14s %-34s %5d  %-12s ", domain, name, own ? info->since : 1, own ? form_of(info) : "decomposed");
    print_dtypes(info->dtypes, out);
    fputc('\n', out);
}

void operators_print(FILE *out) {
    fprintf(out, "%-14s %-34s %5s  %-12s %s\n", "domain", "operator", "since", "form", "types of the first input");
    for (int op = OP_NONE + 1; op < OP_COUNT; op++)
        if (op_info((Op)op)->domain == ONNX) print_one("ai.onnx", op_info((Op)op)->name, op_info((Op)op), true, out);
    Op op;
    const char *name;
    for (int i = 0; (name = frontend_contrib(i, &op)); i++) print_one("com.microsoft", name, op_info(op), false, out);
}
