/* test_prefetch.c -- stored weights are brought in before the step that reads them: the queue, who is asked
 * for when, and the pages themselves. What is fetched is noted instead of read. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "autograd/graph.h"
#include "autograd/prefetch.h"
#include "base/resident.h"
#include "harness/harness.h"
#include "moira/ops.h"

/* ---- what was fetched ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const char *at;
    size_t size;
} fetched[4096];
static int n_fetched;
static useconds_t delay;

static void note(const void *at, size_t size)
{
    if (delay) usleep(delay);
    pthread_mutex_lock(&lock);
    assert_true(n_fetched < 4096);
    fetched[n_fetched].at = at;
    fetched[n_fetched++].size = size;
    pthread_mutex_unlock(&lock);
}

static void forget(void)
{
    pthread_mutex_lock(&lock);
    n_fetched = 0;
    pthread_mutex_unlock(&lock);
}

/* Bytes of [at, at + size) that were fetched, and of everything. */
static size_t fetched_of(const char *at, size_t size)
{
    size_t sum = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_fetched; i++)
        if (fetched[i].at >= at && fetched[i].at < at + size) sum += fetched[i].size;
    pthread_mutex_unlock(&lock);
    return sum;
}

/* Waits until that many bytes were fetched; a test that never gets them fails. */
static void wait_for(const char *at, size_t size, size_t bytes)
{
    for (int i = 0; i < 5000 && fetched_of(at, size) < bytes; i++) usleep(1000);
    if (fetched_of(at, size) < bytes) fail_msg("fetched %zu bytes of %zu", fetched_of(at, size), bytes);
}

/* ---- the queue ---- */

static char big[40 << 20];

/* Every byte once, in pieces; a request is over when it and those before it are. */
static void test_queue(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 20 << 20, 0, 8 << 20, 12345};
    mo__prefetch *p;
    forget();
    delay = 300;
    MO_CHECK_OK(mo__prefetch_create(8, note, &p));
    const char *at = big;
    size_t sum = 0;
    int64_t request[5];
    for (int i = 0; i < 5; at += sizes[i++]) request[i] = mo__prefetch_ask(p, at, sizes[i]);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(request[i], i + 1);
        sum += sizes[i];
        mo__prefetch_wait(p, request[i]);
        assert_int_equal(fetched_of(big, sum), sum);
    }
    for (int i = 0; i < n_fetched; i++) assert_true(fetched[i].size <= 8 << 20);
    mo__prefetch_free(p);
    assert_int_equal(fetched_of(big, sizeof big), sum);
}

/* No more requests than there is room for; again once they are done; dropped ones are not fetched, and nobody
 * waits for them; freeing does not wait for the rest. */
static void test_room_and_drop(void **state)
{
    (void)state;
    mo__prefetch *p;
    forget();
    delay = 20000;
    MO_CHECK_OK(mo__prefetch_create(3, note, &p));
    for (int round = 0; round < 3; round++) {
        int64_t last = 0;
        for (int i = 0; i < 3; i++) assert_true((last = mo__prefetch_ask(p, big, 16 << 20)) > 0);
        assert_int_equal(mo__prefetch_ask(p, big, 1), 0);
        if (round == 0) mo__prefetch_wait(p, last);
        if (round == 0) assert_int_equal(fetched_of(big, sizeof big), 48 << 20);
        mo__prefetch_drop(p);
        mo__prefetch_wait(p, last);
    }
    assert_true(fetched_of(big, sizeof big) < (size_t)3 * 48 << 20);
    forget();
    for (int i = 0; i < 3; i++) mo__prefetch_ask(p, big, 40 << 20);
    mo__prefetch_free(p);
    assert_true(fetched_of(big, sizeof big) < (size_t)120 << 20);
}

/* ---- following a schedule ---- */

enum { PARTS = 3, PART = 1000, WEIGHTS = 6 };
static char file[WEIGHTS][PARTS * PART];
static const void *parts[WEIGHTS][PARTS];
static mo_stored stored[WEIGHTS];

typedef struct probe_attr {
    int weight;
    bool *ran;
} probe_attr;

static size_t ahead_now; /* of the graph under test */
static bool expects;     /* the weights of the step, and of the next, are fetched in this pass */
static unsigned skipped; /* parts that the op does not read */

static size_t wanted_bytes(int weight)
{
    size_t sum = 0;
    for (int p = 0; weight < WEIGHTS && p < PARTS; p++) sum += skipped >> p & 1 ? 0 : PART;
    return sum;
}

/* y = x + nothing, but looks at what has come: all of its own weight, sooner or later the next one's first
 * part, and never more than the bound allows. */
static void probe(const mo_node *node)
{
    probe_attr *a = node->attr;
    *a->ran = true;
    if (!expects) return;
    assert_true(fetched_of(file[a->weight], PARTS * PART) >= wanted_bytes(a->weight));
}

static void probe_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const probe_attr *a = node->attr;
    probe(node);
    memcpy(node->out[0]->data, node->in[0]->data, mo_tensor_bytes(node->in[0]));
    if (!expects) return;
    if (a->weight + 1 < WEIGHTS) wait_for(file[a->weight + 1], PARTS * PART, 1);
    size_t until = 0;
    for (int w = 0; w <= a->weight; w++) until += wanted_bytes(w);
    size_t all = fetched_of(file[0], sizeof file);
    if (all > until + ahead_now + PART) fail_msg("weight %d: %zu bytes ahead", a->weight, all - until);
}

static void probe_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const probe_attr *a = node->attr;
    *a->ran = true;
    if (expects) assert_true(fetched_of(file[a->weight], PARTS * PART) >= wanted_bytes(a->weight));
    memcpy(node->in[0]->grad, node->out[0]->grad, mo_tensor_bytes(node->in[0]));
}

static mo_status probe_shape(mo_node *node)
{
    return mo_node_output(node, "", MO_REAL, 2, node->in[0]->dim);
}

static bool probe_reads(const mo_node *node, int64_t part, bool known)
{
    (void)node;
    assert_true(known);
    return !(skipped >> part & 1);
}

static const mo_op probe_op = {.name = "probe",
                               .shape = probe_shape,
                               .forward = probe_forward,
                               .backward = probe_backward,
                               .needs_in = MO_NEEDS(1),
                               .takes_stored = MO_NEEDS(1),
                               .reads = probe_reads};

static bool ran;

/* WEIGHTS probes one after another and a loss. */
static mo_graph *chain(const mo__follow_options *options)
{
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    int64_t dim[] = {2, 2};
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, dim, true);
    for (int w = 0; w < WEIGHTS; w++) {
        for (int p = 0; p < PARTS; p++) parts[w][p] = file[w] + p * PART;
        stored[w] = (mo_stored){MO_BF16, PARTS, PART / 2, parts[w]};
        mo_tensor *weight = mo_graph_param_stored(g, "w", 3, (int64_t[]){PARTS, 20, PART / 40}, &stored[w]);
        probe_attr attr = {w, &ran};
        mo_node *node = mo_graph_node(g, &probe_op, 2, (mo_tensor *[]){x, weight}, &attr, sizeof attr);
        x = node->out[0];
    }
    mo_tensor *w = mo_graph_input(g, "r", MO_REAL, 2, dim, false);
    mo_graph_loss(g, mo_cross_entropy(g, x, w, mo_graph_input(g, "t", MO_I32, 1, dim, false), NULL));
    MO_CHECK_OK(mo_graph_status(g));
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){.backward = true}));
    MO_CHECK_OK(mo__follow_create(g, options));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    return g;
}

/* Forward and backward, twice, with several bounds, and with parts that nobody reads. */
static void test_follow(void **state)
{
    (void)state;
    static const size_t aheads[] = {1, 2 * PART, 7 * PART, 1 << 20};
    static const unsigned skips[] = {0, 2};
    MO_CHECK_OK(mo_blas_init());
    for (int i = 0; i < 8; i++) {
        ahead_now = aheads[i / 2];
        skipped = skips[i % 2];
        delay = i % 2 ? 500 : 0;
        expects = true;
        mo_graph *g = chain(&(mo__follow_options){note, ahead_now, false});
        for (int pass = 0; pass < 2; pass++) {
            forget();
            mo_graph_forward(g, &(mo_run){0});
            for (int w = 0; w < WEIGHTS; w++)
                assert_true(fetched_of(file[w], PARTS * PART) >= wanted_bytes(w));
            mo_graph_backward(g, &(mo_run){0});
            assert_int_equal(fetched_of(file[0], sizeof file), 2 * WEIGHTS * wanted_bytes(0));
        }
        assert_true(mo_graph_waited(g) > 0);
        mo_graph_free(g);
    }
    skipped = 0;
}

/* What fits into memory is fetched once, and nothing after that. */
static void test_once(void **state)
{
    (void)state;
    MO_CHECK_OK(mo_blas_init());
    delay = 0;
    ahead_now = 2 * PART;
    expects = true;
    mo_graph *g = chain(&(mo__follow_options){note, ahead_now, true});
    forget();
    mo_graph_forward(g, &(mo_run){0});
    assert_int_equal(fetched_of(file[0], sizeof file), sizeof file);
    expects = false;
    double waited = mo_graph_waited(g);
    mo_graph_backward(g, &(mo_run){0});
    mo_graph_train(g, &(mo_run){0});
    assert_int_equal(fetched_of(file[0], sizeof file), sizeof file);
    assert_true(mo_graph_waited(g) == waited);
    mo_graph_free(g);
}

/* ---- which experts ---- */

enum { E = 5, O = 3, I = 4 };
static uint16_t experts[2][E][O * I];

static uint16_t before[I * I], behind[O * O];

/* Time enough for what is asked for too early to come. */
static void pause_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    usleep(20000);
    assert_int_equal(fetched_of((char *)before, sizeof before), sizeof before);
    assert_int_equal(fetched_of((char *)behind, sizeof behind), 0);
    memcpy(node->out[0]->data, node->in[0]->data, mo_tensor_bytes(node->in[0]));
}

static const mo_op pause_op = {.name = "pause", .shape = probe_shape, .forward = pause_forward};

/* A weight before and one behind a choice that is not made before its time: two rows for five experts. The
 * weights behind are not asked for before the choice is made. */
static void test_order(void **state)
{
    (void)state;
    static const void *at[2][E], *plain[2];
    static mo_stored weights[3];
    mo_graph *g;
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_graph_create(&g));
    plain[0] = before;
    plain[1] = behind;
    for (int e = 0; e < E; e++) at[0][e] = experts[0][e];
    weights[0] = (mo_stored){MO_BF16, 1, I * I, &plain[0]};
    weights[1] = (mo_stored){MO_BF16, E, O * I, at[0]};
    weights[2] = (mo_stored){MO_BF16, 1, O * O, &plain[1]};
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){2, I}, false);
    mo_tensor *y = mo_linear(g, x, mo_graph_param_stored(g, "w", 2, (int64_t[]){I, I}, &weights[0]));
    y = mo_graph_node(g, &pause_op, 1, &y, NULL, 0)->out[0];
    mo_dispatch_map map = mo_dispatch(g, mo_graph_input(g, "ids", MO_I32, 2, (int64_t[]){2, 1}, false), E, 0);
    y = mo_experts(g, y, mo_graph_param_stored(g, "w", 3, (int64_t[]){E, O, I}, &weights[1]), &map);
    y = mo_linear(g, y, mo_graph_param_stored(g, "w", 2, (int64_t[]){O, O}, &weights[2]));
    mo_graph_output(g, y);
    MO_CHECK_OK(mo_graph_status(g));
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){0}));
    MO_CHECK_OK(mo__follow_create(g, &(mo__follow_options){note, 1 << 20, false}));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    memset(x->data, 0, mo_tensor_bytes(x));
    const mo_node *dispatch = mo_graph_node_at(g, 2);
    memset(dispatch->in[0]->data, 0, mo_tensor_bytes(dispatch->in[0])); /* both to expert 0 */
    for (int pass = 0; pass < 2; pass++) {
        forget();
        mo_graph_forward(g, &(mo_run){0});
        assert_int_equal(fetched_of((char *)experts[0], sizeof experts[0]), sizeof experts[0][0]);
        assert_int_equal(fetched_of((char *)behind, sizeof behind), sizeof behind);
    }
    mo_graph_free(g);
}

/* x -> experts -> experts of the same map. */
static mo_graph *expert_graph(int64_t N, const int32_t *ids, const mo__follow_options *options)
{
    static const void *at[2][E];
    static mo_stored weights[2];
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){N, I}, false);
    mo_tensor *choice = mo_graph_input(g, "ids", MO_I32, 2, (int64_t[]){N, 1}, false);
    mo_dispatch_map map = mo_dispatch(g, choice, E, 0);
    mo_tensor *y[2];
    for (int w = 0; w < 2; w++) {
        for (int e = 0; e < E; e++) at[w][e] = experts[w][e];
        weights[w] = (mo_stored){MO_BF16, E, O * I, at[w]};
        y[w] = mo_experts(g, x, mo_graph_param_stored(g, "w", 3, (int64_t[]){E, O, I}, &weights[w]), &map);
        mo_graph_output(g, y[w]);
    }
    MO_CHECK_OK(mo_graph_status(g));
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){0}));
    MO_CHECK_OK(mo__follow_create(g, options));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    memset(x->data, 0, mo_tensor_bytes(x));
    memcpy(choice->data, ids, mo_tensor_bytes(choice));
    return g;
}

/* Two rows: nothing comes before they are dealt out, and then only their experts. Many rows: everything. */
static void test_experts(void **state)
{
    (void)state;
    static const int32_t few[] = {3, 1}, many[] = {0, 0, 0, 0, 0, 0, 0};
    MO_CHECK_OK(mo_blas_init());
    mo__follow_options options = {note, 1 << 20, false};
    size_t size = sizeof experts[0][0];
    for (int pass = 0; pass < 2; pass++) {
        mo_graph *g = expert_graph(2, few, &options);
        forget();
        mo_graph_forward(g, &(mo_run){0});
        for (int w = 0; w < 2; w++)
            for (int e = 0; e < E; e++)
                assert_int_equal(fetched_of((char *)experts[w][e], size), e == 1 || e == 3 ? size : 0);
        mo_graph_free(g);
    }
    mo_graph *g = expert_graph(7, many, &options);
    forget();
    mo_graph_forward(g, &(mo_run){0});
    wait_for((char *)experts, sizeof experts, sizeof experts);
    mo_graph_free(g);
}

/* ---- failures, pages ---- */

static void test_no_memory(void **state)
{
    (void)state;
    MO_CHECK_OK(mo_blas_init());
    int64_t live = mo__alloc_live(), count;
    mo_graph *g = chain(NULL);
    assert_non_null(g->follow);
    mo__follow_free(g);
    MO_CHECK_EACH_ALLOCATION(count, (mo__follow_free(g), mo__follow_create(g, NULL)));
    assert_true(count >= 4);
    mo_graph_free(g);
    assert_int_equal(mo__alloc_live(), live);
}

/* Nothing stored: no threads. */
static void test_nothing_stored(void **state)
{
    (void)state;
    mo_graph *g;
    MO_CHECK_OK(mo_graph_create(&g));
    mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){2, 2}, false);
    mo_graph_output(g, mo_add(g, x, x));
    MO_CHECK_OK(mo_graph_plan(g, &(mo_plan){0}));
    MO_CHECK_OK(mo_graph_bind(g, NULL));
    assert_null(g->follow);
    assert_true(mo_graph_waited(g) == 0);
    mo_graph_free(g);
}

/* A fresh mapping has no page in its tables; after the call it has those of the range, wherever that begins.
 */
static void test_resident(void **state)
{
    (void)state;
    enum { PAGES = 300 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *dir = temp_make(), *bytes = calloc(PAGES, page);
    const char *path = temp_path(dir, "weights");
    assert_non_null(bytes);
    for (size_t i = 0; i < PAGES * page; i++) bytes[i] = (char)(i % 251);
    MO_CHECK_OK(mo_write_file(path, bytes, PAGES * page));
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    char *map = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, fileno(stream), 0);
    assert_true(map != MAP_FAILED);
    mo__make_resident(map + page - 1, 0);
    mo__make_resident(map + 3 * page + 5, (PAGES - 4) * page);
    unsigned char there[PAGES];
    assert_int_equal(mincore(map, PAGES * page, there), 0);
    for (int i = 3; i < PAGES; i++) assert_true(there[i] & 1);
    assert_memory_equal(map, bytes, PAGES * page);
    munmap(map, PAGES * page);
    fclose(stream);
    free(bytes);
    temp_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue),     cmocka_unit_test(test_room_and_drop),
        cmocka_unit_test(test_follow),    cmocka_unit_test(test_once),
        cmocka_unit_test(test_order),     cmocka_unit_test(test_experts),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_nothing_stored),
        cmocka_unit_test(test_resident)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
