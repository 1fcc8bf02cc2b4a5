/* Times one layer in oneDNN, in the layouts that it chooses itself, its weights packed beforehand.
 *
 *     dnnl conv CHANNELS HEIGHT WIDTH OUT KERNEL STRIDE PAD GROUP SECONDS
 *     dnnl gemm M K N SECONDS
 *
 * Prints the minimum in microseconds. OMP_NUM_THREADS says how many threads. */
#include "bench/clock.h"
#include <dnnl.h>
#include <math.h>

static void check(dnnl_status_t status, const char *what) {
    if (status != dnnl_success) die(what, "oneDNN says no");
}

static dnnl_engine_t engine;

static dnnl_memory_desc_t describe(int rank, const dnnl_dim_t *dims, dnnl_format_tag_t tag) {
    dnnl_memory_desc_t d;
    check(dnnl_memory_desc_init_by_tag(&d, rank, dims, dnnl_f32, tag), "a shape");
    return d;
}

/* Memory as the primitive wants its argument, full of small numbers. */
static dnnl_memory_t make_memory(dnnl_primitive_desc_t primitive, dnnl_query_t what) {
    const dnnl_memory_desc_t *d = dnnl_primitive_desc_query_md(primitive, what, 0);
    size_t bytes = dnnl_memory_desc_get_size(d);
    float *data = big_alloc(bytes);
    for (size_t i = 0; i < bytes / sizeof *data; i++) data[i] = (float)(i % 7) * 0.01f;
    dnnl_memory_t memory;
    check(dnnl_memory_create(&memory, d, engine, data), "memory");
    return memory;
}

static double time_primitive(const void *desc, double seconds) {
    dnnl_primitive_desc_t chosen;
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    check(dnnl_primitive_desc_create(&chosen, desc, NULL, engine, NULL), "this layer");
    check(dnnl_primitive_create(&primitive, chosen), "this layer");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "a stream");
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, make_memory(chosen, dnnl_query_src_md)},
                              {DNNL_ARG_WEIGHTS, make_memory(chosen, dnnl_query_weights_md)},
                              {DNNL_ARG_DST, make_memory(chosen, dnnl_query_dst_md)}};
    double best = INFINITY;
    for (double start = seconds_now(), end = start + seconds; start < end;) {
        check(dnnl_primitive_execute(primitive, stream, 3, args), "a run");
        check(dnnl_stream_wait(stream), "a run");
        double now = seconds_now();
        best = fmin(best, now - start);
        start = now;
    }
    return best;
}

static double time_conv(const dnnl_dim_t *a, double seconds) {
    dnnl_dim_t channels = a[0], height = a[1], width = a[2], out = a[3], kernel = a[4], stride = a[5], pad = a[6],
               group = a[7];
    dnnl_dims_t source = {1, channels, height, width};
    dnnl_dims_t result = {1, out, (height + 2 * pad - kernel) / stride + 1, (width + 2 * pad - kernel) / stride + 1};
    dnnl_dims_t plain = {out, channels, kernel, kernel};
    dnnl_dims_t grouped = {group, out / group, channels / group, kernel, kernel};
    dnnl_dims_t strides = {stride, stride}, pads = {pad, pad};
    dnnl_memory_desc_t src = describe(4, source, dnnl_format_tag_any), dst = describe(4, result, dnnl_format_tag_any);
    dnnl_memory_desc_t weights = describe(group > 1 ? 5 : 4, group > 1 ? grouped : plain, dnnl_format_tag_any);
    dnnl_convolution_desc_t desc;
    check(dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_auto, &src, &weights, NULL,
                                             &dst, strides, pads, pads),
          "this convolution");
    return time_primitive(&desc, seconds);
}

static double time_gemm(const dnnl_dim_t *a, double seconds) {
    dnnl_dim_t m = a[0], k = a[1], n = a[2];
    dnnl_memory_desc_t src = describe(2, (dnnl_dims_t){m, k}, dnnl_ab), dst = describe(2, (dnnl_dims_t){m, n}, dnnl_ab);
    dnnl_memory_desc_t weights = describe(2, (dnnl_dims_t){k, n}, dnnl_format_tag_any);
    dnnl_matmul_desc_t desc;
    check(dnnl_matmul_desc_init(&desc, &src, &weights, NULL, &dst), "this product");
    return time_primitive(&desc, seconds);
}

int main(int argc, char **argv) {
    dnnl_dim_t sizes[8] = {0};
    int wanted = argc > 1 && !strcmp(argv[1], "conv") ? 8 : 3;
    if (argc != wanted + 3) die("usage", "dnnl conv|gemm SIZES … SECONDS");
    for (int i = 0; i < wanted; i++) sizes[i] = atoll(argv[2 + i]);
    double seconds = atof(argv[argc - 1]);
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "this processor");
    printf("%.4f\n", 1e6 * (wanted == 8 ? time_conv(sizes, seconds) : time_gemm(sizes, seconds)));
    return 0;
}
