/* The order of the samples: files to groups (one file an input), a group's rows to samples, each brought to the dtype
 * and rank of its input and checked for what is not finite. */
#include "compress/samples.h"
#include "compress/sample_files.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEEPEST = 8, LONGEST_LIST = 64 << 20 };

typedef struct Cut { /* how a file's rows become samples */
    int64_t step, count;
    int rank_change; /* 1: the first axis is missing; -1: there is one more */
} Cut;

struct Samples {
    Ctx *ctx;
    const mcc_tensor_info *inputs;
    int n_inputs;
    SampleOptions options;
    const char ***groups; /* each a path an input */
    int n_groups, cap_groups;
    Arena *group_arena, *sample_arena;
    SampleFile *files; /* of the group at hand */
    Cut *cuts;
    int group;
    int64_t next, count; /* of the group's samples */
    const char *name;
};

/* ---- from paths to groups ---- */

static const char **add_group(Samples *s) {
    if (s->n_groups == s->cap_groups) {
        int cap = s->cap_groups * 2 + 16;
        s->groups = arena_grow(s->ctx->arena, s->groups, (size_t)s->n_groups, (size_t)cap, sizeof *s->groups);
        s->cap_groups = cap;
    }
    return s->groups[s->n_groups++] = ARENA_ARRAY(s->ctx->arena, s->n_inputs + 1, const char *);
}

static bool is_folder(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static bool exists(const char *path) {
    struct stat st;
    return !stat(path, &st);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

typedef struct Names {
    const char **list;
    int n, cap;
} Names;

static void names_add(Arena *a, Names *names, const char *name) {
    if (names->n == names->cap) {
        int cap = names->cap * 2 + 64;
        names->list = arena_grow(a, names->list, (size_t)names->n, (size_t)cap, sizeof *names->list);
        names->cap = cap;
    }
    names->list[names->n++] = name;
}

/* The folder's entries as paths, sorted, hidden ones left out. false after diag_error. */
static bool read_folder(Samples *s, const char *path, Names *names) {
    Arena *a = s->ctx->arena;
    DIR *folder = opendir(path);
    if (!folder) {
        diag_error(s->ctx, NULL, "%s: cannot read the folder", path);
        return false;
    }
    for (struct dirent *e; (e = readdir(folder));)
        if (e->d_name[0] != '.') names_add(a, names, arena_printf(a, "%s/%s", path, e->d_name));
    closedir(folder);
    if (names->n) qsort(names->list, (size_t)names->n, sizeof *names->list, by_name);
    return true;
}

static bool add_path(Samples *s, const char *path, int depth);

static bool add_entries(Samples *s, const char *path, int depth) {
    Names names = {0};
    if (depth > DEEPEST) {
        diag_error(s->ctx, NULL, "%s: the folders are nested too deeply", path);
        return false;
    }
    if (!read_folder(s, path, &names)) return false;
    for (int i = 0; i < names.n; i++)
        if ((is_folder(names.list[i]) || sample_format_known(names.list[i])) && !add_path(s, names.list[i], depth + 1))
            return false;
    return true;
}

/* An input's name as the name of a file: '/' becomes '_', and nothing is hidden or leads out of the folder. */
static const char *plain_name(Samples *s, int i) {
    char *name = arena_printf(s->ctx->arena, "%s", s->inputs[i].name);
    for (char *p = name; *p; p++)
        if (*p == '/' || (*p == '.' && p == name)) *p = '_';
    return name;
}

/* The file in the folder that is this input's: NAME.npy and its like, or input_N.pb. NULL: there is none. */
static const char *file_of_input(Samples *s, const char *path, int i) {
    Arena *a = s->ctx->arena;
    const char *extension;
    for (int k = 0; (extension = sample_extension(k)); k++) {
        const char *named = arena_printf(a, "%s/%s%s", path, plain_name(s, i), extension);
        if (exists(named)) return named;
    }
    const char *numbered = arena_printf(a, "%s/input_%d.pb", path, i);
    return exists(numbered) ? numbered : NULL;
}

/* A folder that is one sample */
static bool add_set(Samples *s, const char *path) {
    const char **files = ARENA_ARRAY(s->ctx->arena, s->n_inputs, const char *);
    for (int i = 0; i < s->n_inputs; i++)
        if (!(files[i] = file_of_input(s, path, i))) return false;
    memcpy(add_group(s), files, sizeof *files * (size_t)s->n_inputs);
    return true;
}

/* A folder with a folder for each input. *is_one: it is such a folder; false after diag_error. */
static bool add_parallel(Samples *s, const char *path, bool *is_one) {
    Arena *a = s->ctx->arena;
    Names *names = ARENA_ARRAY(a, s->n_inputs, Names);
    *is_one = false;
    for (int i = 0; i < s->n_inputs; i++)
        if (!is_folder(arena_printf(a, "%s/%s", path, plain_name(s, i)))) return true;
    *is_one = true;
    for (int i = 0; i < s->n_inputs; i++) {
        if (!read_folder(s, arena_printf(a, "%s/%s", path, plain_name(s, i)), &names[i])) return false;
        if (names[i].n == names[0].n) continue;
        diag_error(s->ctx, NULL, "%s: the folder of '%s' holds %d files, that of '%s' %d", path, s->inputs[0].name,
                   names[0].n, s->inputs[i].name, names[i].n);
        return false;
    }
    for (int k = 0; k < names[0].n; k++) {
        const char **group = add_group(s);
        for (int i = 0; i < s->n_inputs; i++) group[i] = names[i].list[k];
    }
    return true;
}

static bool add_folder(Samples *s, const char *path, int depth) {
    bool is_one = false;
    const char *numbered = arena_printf(s->ctx->arena, "%s/input_0.pb", path);
    if ((s->n_inputs > 1 || exists(numbered)) && add_set(s, path)) return true;
    if (s->n_inputs > 1 && !add_parallel(s, path, &is_one)) return false;
    return is_one || add_entries(s, path, depth);
}

/* A path a line; what is no absolute path lies beside the list. */
static bool add_list(Samples *s, const char *path, int depth) {
    Arena *a = s->ctx->arena;
    const char *why, *slash = strrchr(path, '/');
    size_t size = 0, folder = slash ? (size_t)(slash - path + 1) : 0;
    FILE *f = sample_fopen(path, &size, &why);
    if (f && size > LONGEST_LIST) why = "it is too long for a list of paths";
    char *text = !why ? arena_alloc(a, size + 1) : NULL;
    if (text && fread(text, 1, size, f) != size) why = "it cannot be read";
    if (f) fclose(f);
    if (why) {
        diag_error(s->ctx, NULL, "%s: %s", path, why);
        return false;
    }
    for (char *line = text, *end; line < text + size; line = end + 1) {
        if (!(end = memchr(line, '\n', (size_t)(text + size - line)))) end = text + size;
        *end = 0;
        line[strcspn(line, "\r")] = 0;
        if (!*line || *line == '#') continue;
        const char *full = *line == '/' ? line : arena_printf(a, "%.*s%s", (int)folder, path, line);
        if (!add_path(s, full, depth + 1)) return false;
    }
    return true;
}

static bool add_path(Samples *s, const char *path, int depth) {
    const char *problem = NULL;
    if (is_folder(path)) return add_folder(s, path, depth);
    if (has_extension(path, ".txt") && depth == 0) return add_list(s, path, depth);
    if (!exists(path)) problem = "there is no such file";
    else if (!sample_format_known(path))
        problem = "mcc does not know samples of this kind (.npy, .npz, .pb, .raw, .bin, .png, .jpg, .ppm)";
    else if (s->n_inputs > 1 && !has_extension(path, ".npz"))
        problem = "the model has several inputs: use .npz files, or a folder for each input";
    if (problem) {
        diag_error(s->ctx, NULL, "%s: %s", path, problem);
        return false;
    }
    const char **group = add_group(s);
    for (int i = 0; i < s->n_inputs; i++) group[i] = path;
    return true;
}

Samples *samples_open(Ctx *ctx, const char *const *paths, int n_paths, const mcc_tensor_info *inputs, int n_inputs,
                      const SampleOptions *options) {
    Samples *s = ARENA_NEW(ctx->arena, Samples);
    *s = (Samples){.ctx = ctx, .inputs = inputs, .n_inputs = n_inputs, .group = -1};
    if (options) s->options = *options;
    s->files = ARENA_ARRAY(ctx->arena, n_inputs + 1, SampleFile);
    s->cuts = ARENA_ARRAY(ctx->arena, n_inputs + 1, Cut);
    if (n_inputs == 0) {
        diag_error(ctx, NULL, "the model has no input to calibrate with");
        return NULL;
    }
    for (int i = 0; i < n_paths; i++)
        if (!add_path(s, paths[i], 0)) return NULL;
    if (s->n_groups) return s;
    diag_error(ctx, NULL, "%s: there are no samples", n_paths ? paths[0] : "--calibrate");
    return NULL;
}

/* ---- from groups to samples ---- */

/* most: bounds of open dims, -1; NULL: there are none */
static const char *dims_text(Arena *a, const int64_t *dims, const int64_t *most, int rank) {
    char *text = arena_printf(a, "[");
    for (int i = 0; i < rank; i++) {
        bool open = most && dims[i] < 0;
        text =
            arena_printf(a, "%s%s%s%lld", text, i ? "," : "", open ? "<=" : "", (long long)(open ? most[i] : dims[i]));
    }
    return arena_printf(a, "%s]", text);
}

static bool dim_fits(const mcc_tensor_info *in, int axis, int64_t n) {
    return in->dims[axis] < 0 ? n <= in->max_dims[axis] : n == in->dims[axis];
}

/* Do the input's axes from `axis` on have these dims? */
static bool dims_fit(const mcc_tensor_info *in, int axis, const int64_t *dims) {
    for (int i = axis; i < in->rank; i++)
        if (!dim_fits(in, i, dims[i - axis])) return false;
    return true;
}

static bool plan_cut(const mcc_tensor_info *in, const Tensor *t, Cut *c) {
    *c = (Cut){.step = 1, .count = 1};
    if (t->rank == in->rank && t->rank == 0) return true;
    if (t->rank == in->rank && dims_fit(in, 1, t->dims + 1)) {
        int64_t most = in->dims[0] < 0 ? in->max_dims[0] : in->dims[0];
        c->step = in->dims[0] < 0 && t->dims[0] < most ? t->dims[0] : most;
        c->count = c->step > 0 && t->dims[0] > 0 ? (t->dims[0] - 1) / c->step + 1
                                                 : 0; /* of an open axis the last may be shorter */
        return c->count > 0 && (in->dims[0] < 0 || t->dims[0] % c->step == 0);
    }
    if (t->rank == in->rank + 1 && dims_fit(in, 0, t->dims + 1)) {
        c->count = t->dims[0];
        c->rank_change = -1;
        return c->count > 0;
    }
    c->rank_change = 1;
    if (t->rank != in->rank - 1 || !dim_fits(in, 0, 1) || !dims_fit(in, 1, t->dims)) return false;
    c->step = t->rank ? t->dims[0] : 1;
    return true;
}

static void close_group(Samples *s) {
    for (int i = 0; i < s->n_inputs; i++) sample_file_close(&s->files[i]);
    if (s->group_arena) arena_free(s->group_arena);
    if (s->sample_arena) arena_free(s->sample_arena);
    s->group_arena = s->sample_arena = NULL;
    s->next = s->count = 0;
}

static bool bad_file(Samples *s, int i, const char *why) {
    diag_error(s->ctx, NULL, "%s: %s%s%s%s", s->groups[s->group][i], s->n_inputs > 1 ? "'" : "",
               s->n_inputs > 1 ? s->inputs[i].name : "", s->n_inputs > 1 ? "': " : "", why);
    return false;
}

static bool open_input(Samples *s, int i) {
    const mcc_tensor_info *in = &s->inputs[i];
    SampleFile *f = &s->files[i];
    Arena *a = s->group_arena;
    const char *why;
    if (!sample_file_open(s->ctx, a, s->groups[s->group][i], in, s->n_inputs == 1, &s->options, f, &why))
        return bad_file(s, i, why);
    if (plan_cut(in, &f->shape, &s->cuts[i])) return true;
    return bad_file(s, i,
                    arena_printf(a, "its shape is %s, the input's is %s",
                                 dims_text(a, f->shape.dims, NULL, f->shape.rank),
                                 dims_text(a, in->dims, in->max_dims, in->rank)));
}

static bool open_group(Samples *s) {
    s->group++;
    s->group_arena = arena_new(s->ctx);
    for (int i = 0; i < s->n_inputs; i++) {
        if (!open_input(s, i)) return false;
        if (i > 0 && s->cuts[i].count != s->count)
            return bad_file(s, i, "its number of samples is not that of the input before");
        s->count = s->cuts[i].count;
    }
    return true;
}

/* ---- dtypes and values ---- */

static bool is_float(Dtype t) { return dtype_class(t) == DTC_F; }
static bool is_integer(Dtype t) { return dtype_class(t) == DTC_I || dtype_class(t) == DTC_U; }

static bool store_integer(Dtype t, void *to, int64_t i, int64_t v) {
    switch (t) {
    case DT_I32: ((int32_t *)to)[i] = (int32_t)v; return v >= INT32_MIN && v <= INT32_MAX;
    case DT_I64: ((int64_t *)to)[i] = v; return true;
    case DT_U8: ((uint8_t *)to)[i] = (uint8_t)v; return v >= 0 && v <= UINT8_MAX;
    case DT_BOOL: ((uint8_t *)to)[i] = (uint8_t)v; return v == 0 || v == 1;
    default: return false;
    }
}

/* Floats of another width, and integers where each has its place, become the input's. NULL: they do not. */
static const Tensor *as_dtype(Arena *a, const Tensor *t, Dtype want) {
    int64_t n;
    if (t->dtype == want) return t;
    bool floats = is_float(t->dtype) && want == DT_F32, whole = is_integer(t->dtype) || t->dtype == DT_BOOL;
    if ((!floats && !whole) || (whole && t->dtype == DT_U64) || !product_i64(t->dims, t->rank, &n)) return NULL;
    Tensor *out = ARENA_NEW(a, Tensor);
    *out = *t;
    out->dtype = want;
    if (!dtype_bytes(want, n, &out->bytes)) return NULL;
    void *data = arena_alloc(a, out->bytes + 1);
    for (int64_t i = 0; i < n; i++) {
        if (floats) ((float *)data)[i] = (float)tensor_float(t, i);
        else if (!store_integer(want, data, i, tensor_int(t, i))) return NULL;
    }
    out->data = data;
    return out;
}

static bool is_finite(const Tensor *t) {
    int64_t n;
    if (!is_float(t->dtype) || !product_i64(t->dims, t->rank, &n)) return true;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(tensor_float(t, i))) return false;
    return true;
}

static Tensor *with_rank(Tensor *t, int change) {
    if (change > 0) {
        memmove(t->dims + 1, t->dims, sizeof *t->dims * (MCC_MAX_RANK - 1));
        t->dims[0] = 1;
    } else if (change < 0) {
        memmove(t->dims, t->dims + 1, sizeof *t->dims * (MCC_MAX_RANK - 1));
    }
    t->rank += change;
    return t;
}

static const Tensor *read_input(Samples *s, int i) {
    const Cut *c = &s->cuts[i];
    Dtype want = (Dtype)s->inputs[i].dtype;
    const char *why;
    const Tensor *all = &s->files[i].shape;
    int64_t first = s->next * c->step, rest = all->rank ? all->dims[0] - first : 1;
    Tensor *t = sample_file_rows(s->sample_arena, &s->files[i], first, rest < c->step ? rest : c->step, &why);
    if (!t) return bad_file(s, i, why), NULL;
    const Tensor *out = as_dtype(s->sample_arena, with_rank(t, c->rank_change), want);
    if (!out)
        bad_file(
            s, i,
            arena_printf(s->sample_arena, "it holds %s, the input takes %s", dtype_name(t->dtype), dtype_name(want)));
    else if (!is_finite(out))
        out = (bad_file(s, i, "it holds a NaN or an infinity, which no range can be made of"), NULL);
    return out;
}

SampleStatus samples_next(Samples *s, const Tensor **out) {
    while (s->next == s->count) {
        if (s->group >= 0) close_group(s);
        if (s->group + 1 >= s->n_groups) return s->group = s->n_groups, SAMPLE_END;
        if (!open_group(s)) return SAMPLE_BAD;
    }
    if (s->sample_arena) arena_free(s->sample_arena);
    s->sample_arena = arena_new(s->ctx);
    for (int i = 0; i < s->n_inputs; i++)
        if (!(out[i] = read_input(s, i))) return SAMPLE_BAD;
    const char *path = s->groups[s->group][0];
    s->name = s->count == 1 ? path : arena_printf(s->sample_arena, "%s[%lld]", path, (long long)s->next);
    s->next++;
    return SAMPLE_GIVEN;
}

const char *samples_name(const Samples *s) { return s->name; }
int samples_groups(const Samples *s) { return s->n_groups; }
int samples_groups_begun(const Samples *s) { return s->group + 1 < s->n_groups ? s->group + 1 : s->n_groups; }

void samples_rewind(Samples *s) {
    close_group(s);
    s->group = -1;
}

void samples_close(Samples *s) {
    if (s) close_group(s);
}
