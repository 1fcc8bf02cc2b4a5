/* ONNX in and out: everything that touches a byte of a model from outside. What leaves here has been checked. */
#ifndef MCC_FRONTEND_H
#define MCC_FRONTEND_H

#include "ir/ir.h"

/* Reads, checks, upgrades to the newest operator forms, infers types and shapes. NULL after diag_error. Constants point
 * into the mapped file, which stays mapped until onnx_unmap. */
Graph *onnx_read(Ctx *ctx, const char *path);
/* One TensorProto from a .pb file. name: the tensor's, where name is not NULL. NULL after diag_error. */
Tensor *onnx_read_tensor(Ctx *ctx, Graph *g, const char *path, Str *name);
const char *onnx_file(const Ctx *ctx,
                      int i); /* the path of the ith file read: the model, its external data; NULL: no more */
void onnx_unmap(Ctx *ctx);    /* gives the mapped files back; the graph's imported constants are gone with them */

/* The ith operator of com.microsoft that is read, and what it becomes in the end; NULL: no more */
const char *frontend_contrib(int i, Op *op);

/* ---- write.c ---- */
bool onnx_write(Ctx *ctx, const Graph *g, FILE *out); /* false after diag_error; whether `out` took it all, ferror says */

/* infer/: types and shapes of every node in order. false after diag_error. */
bool infer_graph(Ctx *ctx, Graph *g);

#endif
