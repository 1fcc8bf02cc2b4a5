/* The search for layers that stay in float: within the bound, with few measurements, and no layer in float for nothing;
 * drops as text and as figures. */
#include "compress/search.h"
#include <math.h>
#include <string.h>

static int failures;
#define CHECK(...)                                                                                                     \
    ((__VA_ARGS__) ? (void)0 : (void)(failures++, printf("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__)))

enum { MOST_LAYERS = 200 };
typedef struct Net { /* each layer of integers adds harm to the drop, and seems to add noise; one of halves adds little
                      */
    Search search;
    SearchLayer layers[MOST_LAYERS];
    double harm[MOST_LAYERS], noise[MOST_LAYERS], little[MOST_LAYERS];
    int n_ranked, fails_at;
} Net;

static double drop_of(const Net *net) {
    double drop = 0;
    for (int i = 0; i < net->search.n; i++)
        if (net->layers[i].form != LAYER_FLOAT)
            drop +=
                net->layers[i].form == LAYER_HALF ? net->little[net->layers[i].place] : net->harm[net->layers[i].place];
    return drop;
}

static bool measure(void *arg, double *drop) {
    Net *net = arg;
    *drop = drop_of(net);
    return net->search.trials != net->fails_at;
}

static bool rank(void *arg) {
    Net *net = arg;
    net->n_ranked++;
    for (int i = 0; i < net->search.n; i++) net->layers[i].noise = net->noise[net->layers[i].place];
    return true;
}

static Net *new_net(int n, double most) {
    static Net net;
    memset(&net, 0, sizeof net);
    net.search = (Search){.layers = net.layers, .n = n, .most = most, .measure = measure, .rank = rank, .arg = &net};
    for (int i = 0; i < n; i++) {
        net.layers[i] = (SearchLayer){.place = i, .work = 1000};
        net.harm[i] = net.noise[i] = 1e-6 * (1 + i % 7);
    }
    return &net;
}

static SearchForm form_of(const Net *net, int place) {
    for (int i = 0; i < net->search.n; i++)
        if (net->layers[i].place == place) return net->layers[i].form;
    return LAYER_INTEGER;
}

static bool layer_in_float(const Net *net, int place) { return form_of(net, place) != LAYER_INTEGER; }

static int in_float(const Net *net) {
    int n = 0;
    for (int i = 0; i < net->search.n; i++) n += layer_in_float(net, i);
    return n;
}

static void test_nothing_to_do(void) {
    Net *net = new_net(10, 0.5);
    CHECK(search_precision(&net->search) && in_float(net) == 0);
    CHECK(net->search.trials == 1 && net->n_ranked == 0 && net->search.drop == net->search.full);
    net = new_net(0, 0);
    CHECK(search_precision(&net->search) && net->search.drop == 0);
}

/* Wherever the bad layer is, and however harmless it seems */
static void test_one_bad_layer(void) {
    for (int n = 1; n <= MOST_LAYERS; n = n * 3 + 1)
        for (int bad = 0; bad < n; bad += 1 + n / 9)
            for (int hidden = 0; hidden < 2; hidden++) {
                Net *net = new_net(n, 0.01);
                net->harm[bad] = 0.5;
                if (!hidden) net->noise[bad] = 0.5;
                CHECK(search_precision(&net->search));
                CHECK(in_float(net) == 1 && layer_in_float(net, bad));
                CHECK(net->search.drop == drop_of(net) && net->search.drop <= 0.01 && net->search.full >= 0.5);
                CHECK(net->search.trials <= 1 + 9 + 24 + 8 && form_of(net, bad) == LAYER_HALF);
            }
}

static void test_several(void) {
    for (int seed = 0; seed < 50; seed++) {
        Net *net = new_net(54, 0.01);
        int bad[3] = {seed, (seed * 7 + 20) % 54, (seed * 5 + 41) % 54};
        for (int i = 0; i < 3; i++) net->harm[bad[i]] = 0.1, net->noise[bad[i]] = 0.02 * (i + 1);
        CHECK(search_precision(&net->search) && net->search.drop <= 0.01 && net->search.drop == drop_of(net));
        for (int i = 0; i < 3; i++) CHECK(layer_in_float(net, bad[i]));
        CHECK(in_float(net) <= 3);
    }
}

/* Equal noise: what costs least time is left in float first. */
static void test_cheapest_first(void) {
    Net *net = new_net(8, 0.65);
    for (int i = 0; i < 8; i++) net->harm[i] = net->noise[i] = 0.1, net->layers[i].work = 1000 * (i + 1);
    CHECK(search_precision(&net->search) && in_float(net) == 2);
    CHECK(layer_in_float(net, 0) && layer_in_float(net, 1));
}

/* Weights of 16 bits for all that are not integers, but for those that they harm as well */
static void test_halves(void) {
    for (int worst = 0; worst < 54; worst += 5) {
        Net *net = new_net(54, 0.01);
        int bad[3] = {worst, (worst + 11) % 54, (worst + 29) % 54};
        for (int i = 0; i < 3; i++) net->harm[bad[i]] = net->noise[bad[i]] = 0.1, net->little[bad[i]] = 1e-5;
        net->little[worst] = 0.05;
        CHECK(search_precision(&net->search) && net->search.drop == drop_of(net) && net->search.drop <= 0.01);
        CHECK(in_float(net) == 3 && form_of(net, worst) == LAYER_FLOAT);
        CHECK(form_of(net, bad[1]) == LAYER_HALF && form_of(net, bad[2]) == LAYER_HALF);
    }
}

static void test_extremes(void) {
    Net *net = new_net(20, 0); /* only the float network will do */
    for (int i = 0; i < 20; i++) net->little[i] = 1e-9;
    CHECK(search_precision(&net->search) && in_float(net) == 20 && net->search.drop == 0);
    for (int i = 0; i < 20; i++) CHECK(form_of(net, i) == LAYER_FLOAT);
    net = new_net(20, 0.01);
    net->harm[3] = INFINITY, net->noise[3] = NAN;
    CHECK(search_precision(&net->search) && in_float(net) == 1 && layer_in_float(net, 3));
    for (int at = 1; at < 5; at++) {
        net = new_net(20, 0);
        net->fails_at = at;
        CHECK(!search_precision(&net->search));
    }
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-12; }

static void test_text(void) {
    double v;
    char text[40];
    CHECK(drop_parse(METRIC_COSINE, "0.01", &v) && near(v, 0.01));
    CHECK(drop_parse(METRIC_TOP1, "0.5%", &v) && near(v, 0.005));
    CHECK(drop_parse(METRIC_SQNR, "20dB", &v) && near(v, 0.01));
    CHECK(drop_parse(METRIC_COSINE, "0", &v) && v == 0 && drop_parse(METRIC_TOP1, "1", &v) && v == 1);
    static const char *const shares[] = {"", "x", "-0.1", "1.1", "101%", "nan", "inf", "0.1x", "20dB", "%"};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) CHECK(!drop_parse(METRIC_TOP1, shares[i], &v));
    static const char *const ratios[] = {"", "20", "dB", "nandB", "infdB", "20db", "1000dB", "1%"};
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) CHECK(!drop_parse(METRIC_SQNR, ratios[i], &v));
    drop_text(METRIC_SQNR, 0.001, text, sizeof text);
    CHECK(!strcmp(text, "30 dB"));
    drop_text(METRIC_SQNR, 0, text, sizeof text);
    CHECK(!strcmp(text, "no noise"));
    drop_text(METRIC_TOP1, 0.25, text, sizeof text);
    CHECK(!strcmp(text, "25 %"));
    Metric m;
    CHECK(metric_parse("top1", &m) && m == METRIC_TOP1 && !metric_parse("top5", &m));
    CHECK(metric_parse(metric_name(METRIC_ACCURACY), &m) && m == METRIC_ACCURACY);
}

static Tensor rows(const float *data, int64_t n, int64_t width) {
    return (Tensor){
        .dtype = DT_F32, .rank = 2, .dims = {n, width}, .data = data, .bytes = (size_t)(n * width) * sizeof *data};
}

static double loss_of(Metric m, const float *got, const float *want, int64_t n, int64_t width) {
    Loss l = {0};
    Tensor g = rows(got, n, width), w = rows(want, n, width);
    loss_add(&l, m, &g, &w);
    return loss_value(&l, m);
}

static void test_losses(void) {
    static const float want[] = {1, 2, 3, 3, 2, 1}, other[] = {1, 3, 2, 3, 2, 1}, zero[6] = {0};
    static const float turned[] = {-1, -2, -3, -3, -2, -1}, odd[] = {1, 2, NAN, 3, 2, 1};
    for (int m = 0; m < 3; m++) {
        CHECK(loss_of((Metric)m, want, want, 2, 3) == 0 && loss_of((Metric)m, zero, zero, 2, 3) == 0);
        CHECK(loss_of((Metric)m, want, want, 0, 3) == 0 && loss_of((Metric)m, want, want, 2, 0) == 0);
        CHECK(loss_of((Metric)m, odd, odd, 2, 3) == 0);
        CHECK(loss_of((Metric)m, odd, want, 2, 3) >= 0.5);
    }
    CHECK(near(loss_of(METRIC_COSINE, turned, want, 2, 3), 2) && near(loss_of(METRIC_COSINE, zero, want, 2, 3), 1));
    CHECK(near(loss_of(METRIC_COSINE, other, want, 2, 3), 1 - 27.0 / 28));
    CHECK(near(loss_of(METRIC_SQNR, other, want, 2, 3), 2.0 / 28) && loss_of(METRIC_SQNR, want, zero, 2, 3) > 1e300);
    CHECK(loss_of(METRIC_TOP1, other, want, 2, 3) == 0.5 && loss_of(METRIC_TOP1, turned, want, 2, 3) == 1);
    Loss numbers = {0}; /* 1 and 2 for 2 and 2: an angle says nothing of single numbers */
    Tensor one = rows(want, 1, 1), two = rows(want + 1, 1, 1);
    loss_add(&numbers, METRIC_COSINE, &one, &two);
    loss_add(&numbers, METRIC_COSINE, &two, &two);
    CHECK(near(loss_value(&numbers, METRIC_COSINE), 1.0 / 13));
    Loss l = {0};
    Tensor g = rows(want, 1, 3), w = rows(want, 2, 3);
    loss_add(&l, METRIC_TOP1, &g, &w);
    CHECK(loss_value(&l, METRIC_TOP1) == 1);
}

/* a label that is no class is never right, and neither is a row with a NaN */
static void test_labels(void) {
    const float y[] = {1, 3, 2, 0, 0, 5, NAN, 1, 1, 2, 1, 0};
    const int64_t labels[] = {1, 2, 0, 7};
    Tensor got = rows(y, 4, 3), want = {.dtype = DT_I64, .rank = 1, .dims = {4}, .data = labels, .bytes = sizeof labels};
    Loss l = {0};
    loss_add(&l, METRIC_ACCURACY, &got, &want);
    CHECK(near(loss_value(&l, METRIC_ACCURACY), 0.5));
}

int main(void) {
    test_labels();
    test_nothing_to_do();
    test_one_bad_layer();
    test_several();
    test_cheapest_first();
    test_halves();
    test_extremes();
    test_text();
    test_losses();
    return failures != 0;
}
