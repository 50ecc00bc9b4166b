#include "harness/golden.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct golden {
    hid_t file;
    char name[64];
};

/* build/<flavour>/tests/<kind>/<program> -> the repository. */
static void golden_path(char *path, size_t size, const char *name)
{
    char program[2048];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    for (int up = 0; up < 5; up++) {
        char *slash = strrchr(program, '/');
        if (slash) *slash = '\0';
    }
    snprintf(path, size, "%s/tests/golden/%s.h5", program, name);
}

golden *golden_open(const char *name)
{
    char path[2300], format[32] = "";
    golden_path(path, sizeof path, name);
    golden *file = calloc(1, sizeof *file);
    if (!file) fail_msg("out of memory");
    snprintf(file->name, sizeof file->name, "%s.h5", name);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    file->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file->file < 0) fail_msg("%s: cannot open it", path);
    hid_t text = H5Tcopy(H5T_C_S1), attribute = H5Aopen(file->file, "format", H5P_DEFAULT);
    H5Tset_size(text, sizeof format);
    if (attribute < 0 || H5Aread(attribute, text, format) < 0 || strcmp(format, "moira-golden-1") != 0)
        fail_msg("%s: format is \"%s\", not moira-golden-1", path, format);
    H5Aclose(attribute);
    H5Tclose(text);
    return file;
}

void golden_close(golden *file)
{
    H5Fclose(file->file);
    free(file);
}

/* H5Lexists wants every group on the way to exist. */
bool golden_has(const golden *file, const char *path)
{
    char part[256];
    for (const char *at = path;;) {
        const char *slash = strchr(at, '/');
        snprintf(part, sizeof part, "%.*s", slash ? (int)(slash - path) : (int)strlen(path), path);
        if (H5Lexists(file->file, part, H5P_DEFAULT) <= 0) return false;
        if (!slash) return true;
        at = slash + 1;
    }
}

golden_array golden_read(const golden *file, const char *path)
{
    golden_array a = {.count = 1};
    hsize_t dim[MO_MAX_DIMS];
    hid_t set = H5Dopen2(file->file, path, H5P_DEFAULT);
    if (set < 0) fail_msg("%s: there is no %s", file->name, path);
    hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    a.ndim = H5Sget_simple_extent_ndims(space);
    if (a.ndim < 0 || a.ndim > MO_MAX_DIMS) fail_msg("%s: %s has %d dimensions", file->name, path, a.ndim);
    H5Sget_simple_extent_dims(space, dim, NULL);
    for (int i = 0; i < a.ndim; i++) a.count *= a.dim[i] = (int64_t)dim[i];
    bool integers = H5Tget_class(type) == H5T_INTEGER;
    a.real = calloc((size_t)a.count + 1, sizeof *a.real);
    a.ints = integers ? calloc((size_t)a.count + 1, sizeof *a.ints) : NULL;
    if (!a.real || (integers && !a.ints)) fail_msg("out of memory");
    if (H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, a.real) < 0 ||
        (integers && H5Dread(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, a.ints) < 0))
        fail_msg("%s: cannot read %s", file->name, path);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(set);
    return a;
}

void golden_array_free(golden_array *a)
{
    free(a->real);
    free(a->ints);
    *a = (golden_array){0};
}

double golden_attribute(const golden *file, const char *object, const char *name)
{
    double value = 0;
    hid_t attribute = H5Aopen_by_name(file->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) < 0)
        fail_msg("%s: no number %s at %s", file->name, name, object);
    H5Aclose(attribute);
    return value;
}

static void compare(const char *what, const mo_real *got, const double *got_f64, const golden_array *want,
                    double tolerance)
{
    double largest = 1e-30;
    for (int64_t i = 0; i < want->count; i++) largest = fmax(largest, fabs(want->real[i]));
    for (int64_t i = 0; i < want->count; i++) {
        double value = got ? (double)got[i] : got_f64[i];
        if (!(fabs(value - want->real[i]) <= tolerance * largest))
            fail_msg("%s[%lld] is %.9g, reference %.9g: %.3g of the largest %.3g, allowed %.1e", what,
                     (long long)i, value, want->real[i], fabs(value - want->real[i]) / largest, largest,
                     tolerance);
    }
}

void golden_compare(const char *what, const mo_real *got, const golden_array *want, double tolerance)
{
    compare(what, got, NULL, want, tolerance);
}

static void check_count(const char *what, int64_t got, const golden_array *want)
{
    if (got != want->count)
        fail_msg("%s has %lld elements, reference %lld", what, (long long)got, (long long)want->count);
}

/* The case with the file's inputs instead of its own; arrays[i] must outlive it. */
static op_case with_inputs(const golden *file, const char *group, const op_case *c, golden_array *arrays)
{
    char path[256];
    op_case filled = *c;
    for (int i = 0; i < OP_CASE_INPUTS && c->in[i].name; i++) {
        op_input *in = &filled.in[i];
        snprintf(path, sizeof path, "%s/in/%s", group, in->name);
        arrays[i] = golden_read(file, path);
        memcpy(in->dim, arrays[i].dim, sizeof in->dim);
        in->real = arrays[i].real;
        in->ints = arrays[i].ints;
        if ((in->dtype == MO_I32) != (in->ints != NULL)) fail_msg("%s: wrong kind of number", path);
        snprintf(path, sizeof path, "%s/grad/%s", group, in->name);
        in->grad = in->dtype == MO_REAL && golden_has(file, path);
    }
    return filled;
}

static void read_weights(const golden *file, const char *group, op_graph *t)
{
    char path[256];
    for (int j = 0, loss = 0; j < t->n_out; j++) {
        if (!t->weight[j] && !op_is_loss(t->out[j])) continue;
        snprintf(path, sizeof path, "%s/weight/%d", group, j);
        golden_array weight = golden_read(file, path);
        if (t->weight[j]) {
            check_count(path, mo_tensor_count(t->weight[j]), &weight);
            for (int64_t i = 0; i < weight.count; i++)
                ((mo_real *)t->weight[j]->data)[i] = (mo_real)weight.real[i];
        } else
            mo_graph_loss_scale(t->g, loss, weight.real[0]);
        loss++;
        golden_array_free(&weight);
    }
}

static void compare_output(const golden *file, const char *path, const mo_tensor *y, double tolerance)
{
    golden_array want = golden_read(file, path);
    check_count(path, mo_tensor_count(y), &want);
    if (y->dtype == MO_F64) compare(path, NULL, y->data, &want, tolerance);
    if (y->dtype == MO_REAL) compare(path, y->data, NULL, &want, tolerance);
    if (y->dtype == MO_I32)
        for (int64_t i = 0; i < want.count; i++)
            if (!want.ints || ((const int32_t *)y->data)[i] != want.ints[i])
                fail_msg("%s[%lld] is %d, reference %g", path, (long long)i, ((const int32_t *)y->data)[i],
                         want.real[i]);
    golden_array_free(&want);
}

void golden_check(const golden *file, const char *group, const op_case *c, double tolerance)
{
    char path[256];
    op_graph t;
    golden_array arrays[OP_CASE_INPUTS] = {{0}};
    op_case filled = with_inputs(file, group, c, arrays);
    if (sizeof(mo_real) == sizeof(double)) tolerance = fmin(tolerance, 1e-11);
    op_graph_open(&t, &filled, (op_mode){.readable = true});
    read_weights(file, group, &t);
    mo_graph_forward(t.g, &t.run);
    mo_graph_backward(t.g, &t.run);
    for (int j = 0; j < t.n_out; j++) {
        snprintf(path, sizeof path, "%s/out/%d", group, j);
        compare_output(file, path, t.out[j], tolerance);
    }
    for (int i = 0; i < t.n_in; i++) {
        if (!filled.in[i].grad) continue;
        snprintf(path, sizeof path, "%s/grad/%s", group, filled.in[i].name);
        golden_array want = golden_read(file, path);
        check_count(path, mo_tensor_count(t.in[i]), &want);
        golden_compare(path, op_graph_grad(&t, i), &want, tolerance);
        golden_array_free(&want);
    }
    op_graph_close(&t);
    for (int i = 0; i < OP_CASE_INPUTS; i++) golden_array_free(&arrays[i]);
}
