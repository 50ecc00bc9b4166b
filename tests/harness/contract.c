#include "harness/contract.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Outputs, then gradients of inputs, of one run; NULL where there is none. */
typedef struct snapshot {
    void *out[OP_CASE_OUTPUTS], *grad[OP_CASE_INPUTS];
} snapshot;

static void *copy_of(const void *from, size_t size)
{
    void *copy = malloc(size ? size : 1);
    if (!copy) fail_msg("out of memory");
    memcpy(copy, from, size);
    return copy;
}

static size_t grad_bytes(const op_graph *t, int i)
{
    return (size_t)op_input_count(&t->c->in[i]) * sizeof(mo_real);
}

static snapshot take(const op_graph *t)
{
    snapshot s = {{NULL}, {NULL}};
    for (int j = 0; j < t->n_out; j++) s.out[j] = copy_of(t->out[j]->data, mo_tensor_bytes(t->out[j]));
    for (int i = 0; i < t->n_in; i++)
        if (op_graph_grad(t, i)) s.grad[i] = copy_of(op_graph_grad(t, i), grad_bytes(t, i));
    return s;
}

static void drop(snapshot *s)
{
    for (int j = 0; j < OP_CASE_OUTPUTS; j++) free(s->out[j]);
    for (int i = 0; i < OP_CASE_INPUTS; i++) free(s->grad[i]);
}

static void check_same(const op_graph *t, const snapshot *s, const char *when)
{
    for (int j = 0; j < t->n_out; j++)
        if (memcmp(s->out[j], t->out[j]->data, mo_tensor_bytes(t->out[j])) != 0)
            fail_msg("%s, %s: other bits in output %d %s", t->c->op, t->c->name, j, when);
    for (int i = 0; i < t->n_in; i++)
        if (s->grad[i] && op_graph_grad(t, i) &&
            memcmp(s->grad[i], op_graph_grad(t, i), grad_bytes(t, i)) != 0)
            fail_msg("%s, %s: other bits in the gradient of %s %s", t->c->op, t->c->name, t->c->in[i].name,
                     when);
}

static void both(op_graph *t)
{
    op_graph_zero_grads(t);
    mo_graph_forward(t->g, &t->run);
    mo_graph_backward(t->g, &t->run);
}

static void check_threads(op_graph *t, const snapshot *s)
{
    int before = mo_threads();
    for (int threads = 1; threads <= 4; threads *= 2) {
        mo_threads_set(threads);
        both(t);
        mo_threads_set(before);
        check_same(t, s, threads == 1 ? "with 1 thread" : threads == 2 ? "with 2 threads" : "with 4 threads");
    }
}

static void check_train(op_graph *t, const snapshot *s)
{
    op_graph_zero_grads(t);
    for (int j = 0; j < t->n_out; j++) memset(t->out[j]->data, 0xff, mo_tensor_bytes(t->out[j]));
    mo_graph_train(t->g, &t->run);
    check_same(t, s, "by mo_graph_train");
}

/* Rounding: a sum may be added to the gradient in parts. */
static void check_twice(op_graph *t, const snapshot *s)
{
    both(t);
    mo_graph_forward(t->g, &t->run);
    mo_graph_backward(t->g, &t->run);
    const double epsilon = sizeof(mo_real) == sizeof(double) ? 0x1p-52 : 0x1p-23;
    for (int i = 0; i < t->n_in; i++) {
        const mo_real *once = s->grad[i], *now = op_graph_grad(t, i);
        if (!once) continue;
        int times = t->c->in[i].role == MO_ROLE_PARAM ? 2 : 1;
        double largest = 0;
        int64_t n = op_input_count(&t->c->in[i]);
        for (int64_t e = 0; e < n; e++) largest = fmax(largest, fabs((double)once[e]));
        for (int64_t e = 0; e < n; e++)
            if (!(fabs((double)now[e] - times * (double)once[e]) <= (times - 1) * 64 * epsilon * largest))
                fail_msg("%s, %s: d%s[%lld] is %.9g after one pass and %.9g after two", t->c->op, t->c->name,
                         t->c->in[i].name, (long long)e, (double)once[e], (double)now[e]);
    }
}

static void check_inputs_kept(const op_graph *t)
{
    for (int i = 0; i < t->n_in; i++) {
        const op_input *in = &t->c->in[i];
        if (in->stored) continue;
        void *fresh = copy_of(t->in[i]->data, mo_tensor_bytes(t->in[i]));
        op_input_fill(in, (uint32_t)i, fresh);
        int differs = memcmp(fresh, t->in[i]->data, mo_tensor_bytes(t->in[i]));
        free(fresh);
        if (differs) fail_msg("%s, %s: input %s was written to", t->c->op, t->c->name, in->name);
    }
}

static void check_frozen(const op_case *c, const snapshot *s, int i)
{
    op_graph t;
    op_case frozen = *c;
    frozen.in[i].grad = false;
    op_graph_open(&t, &frozen, (op_mode){.readable = true});
    both(&t);
    check_same(&t, s, "when another input is frozen");
    if (t.in[i]->grad) fail_msg("%s, %s: frozen %s has a gradient", c->op, c->name, c->in[i].name);
    op_graph_close(&t);
}

/* The op adds to the gradient of input i alone: those of the others are written as ever. */
static void check_shared(const op_case *c, const snapshot *s, int i)
{
    op_graph t;
    snapshot others = *s;
    others.grad[i] = NULL;
    op_graph_open(&t, c, (op_mode){.readable = true, .shared = 1u << i});
    both(&t);
    check_same(&t, &others, "when another input has a second reader");
    if (memcmp(s->grad[i], op_graph_grad(&t, i), grad_bytes(&t, i)) == 0)
        fail_msg("%s, %s: the second reader of %s adds nothing", c->op, c->name, c->in[i].name);
    op_graph_close(&t);
}

void contract(const op_case *c)
{
    op_graph t;
    op_graph_open(&t, c, (op_mode){.readable = true});
    both(&t);
    snapshot s = take(&t);
    check_threads(&t, &s);
    check_train(&t, &s);
    check_twice(&t, &s);
    check_inputs_kept(&t);
    for (int i = 0; i < t.n_in; i++)
        if (c->in[i].grad) {
            check_frozen(c, &s, i);
            if (c->in[i].role != MO_ROLE_PARAM) check_shared(c, &s, i);
        }
    drop(&s);
    op_graph_close(&t);
}

void contract_nan(const op_case *c)
{
    op_graph t;
    op_graph_open(&t, c, (op_mode){.forward_only = true});
    for (int i = 0; i < t.n_in; i++) {
        if (c->in[i].dtype != MO_REAL) continue;
        mo_real *x = t.in[i]->data, old = *x;
        *x = (mo_real)NAN;
        if (isfinite(op_graph_forward(&t)))
            fail_msg("%s, %s: a NaN in %s does not reach the loss", c->op, c->name, c->in[i].name);
        *x = old;
        if (!isfinite(op_graph_forward(&t)))
            fail_msg("%s, %s: the NaN in %s stays", c->op, c->name, c->in[i].name);
    }
    op_graph_close(&t);
}

void contract_refused(const op_case *c, mo_status status, const char *text)
{
    mo_graph *g;
    mo_tensor *in[OP_CASE_INPUTS] = {NULL}, *out[OP_CASE_OUTPUTS] = {NULL};
    assert_int_equal(mo_graph_create(&g), MO_OK);
    for (int i = 0; i < OP_CASE_INPUTS && c->in[i].name; i++) {
        int rank = 0;
        while (rank < MO_MAX_DIMS && c->in[i].dim[rank] > 0) rank++;
        in[i] = mo_graph_input(g, c->in[i].name, c->in[i].dtype, rank, c->in[i].dim, c->in[i].grad);
    }
    c->build(g, in, out, c->arg);
    mo_status got = mo_graph_status(g);
    if (got != status)
        fail_msg("%s, %s: status %s instead of %s", c->op, c->name, mo_status_name(got),
                 mo_status_name(status));
    if (!strstr(mo_last_error(), text))
        fail_msg("%s, %s: the message \"%s\" does not say \"%s\"", c->op, c->name, mo_last_error(), text);
    if (out[0]) fail_msg("%s, %s: refused, yet not NULL", c->op, c->name);
    mo_graph_free(g);
}
