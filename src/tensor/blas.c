/* blas.c -- OpenBLAS, opened at run time.
 *
 * Opening it ourselves rather than linking it settles two things: the OpenMP variant is taken wherever the
 * system's alternatives point (the pthread one collapses inside a parallel region, the serial one gives wrong
 * results under concurrent calls); and the kernel can be chosen before it looks at the processor. OpenBLAS
 * 0.3.21 takes its AVX2 kernels on processors that it does not know by name: on Zen 5 its AVX-512 ones
 * (SKYLAKEX) give 390 GFLOP/s on two cores against 219.
 *
 * The OpenMP variant goes multi-threaded, and gives other bits, when it is called outside an active parallel
 * region while OpenMP would give it more than one thread; openblas_set_num_threads does not keep it from
 * that. So a call outside a region is made with OpenMP set to one thread.
 */
#ifndef MO_BLAS_REFERENCE

#include <dlfcn.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>

#include "tensor/blas.h"

#if defined(__x86_64__)
#define DEBIAN_TRIPLET "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define DEBIAN_TRIPLET "aarch64-linux-gnu"
#else
#define DEBIAN_TRIPLET "unknown"
#endif

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112, PARALLEL_OPENMP = 2 };

typedef void gemm_fn(int order, int trans_a, int trans_b, int M, int N, int K, mo_real alpha,
                     const mo_real *A, int lda, const mo_real *B, int ldb, mo_real beta, mo_real *C, int ldc);

static gemm_fn *blas_gemm;
static char description[160] = "no BLAS";
static mo_status init_status = MO_E_INTERNAL;
static char init_message[512];
static pthread_once_t init_once = PTHREAD_ONCE_INIT;

static void *open_library(void)
{
    static const char *const names[] = {"/usr/lib/" DEBIAN_TRIPLET "/openblas-openmp/libopenblas.so.0",
                                        "libopenblaso.so.0", "libopenblas.so.0"};
    const char *chosen = getenv("MOIRA_OPENBLAS");
    if (chosen && *chosen) return dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

static bool wants_avx512_kernels(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}

/* ISO C has no cast from void * to a function pointer; POSIX promises the representation. */
#define RESOLVE(pointer, library, symbol) (*(void **)(&(pointer)) = dlsym((library), (symbol)))

static void describe(const char *config, const char *core)
{
    int major = 0, minor = 0, patch = 0;
    sscanf(config, "OpenBLAS %d.%d.%d", &major, &minor, &patch);
    snprintf(description, sizeof description, "OpenBLAS %d.%d.%d (openmp), kernel %s", major, minor, patch,
             core);
}

/* A kernel that the environment names is passed over: it may be a slower one than the processor can. */
static void *open_with_best_kernel(void)
{
    static const char name[] = "OPENBLAS_CORETYPE";
    char *wanted = getenv(name) ? mo_strdup(getenv(name)) : NULL;
    if (wants_avx512_kernels())
        setenv(name, "SKYLAKEX", 1);
    else
        unsetenv(name);
    void *library = open_library();
    if (wanted)
        setenv(name, wanted, 1);
    else
        unsetenv(name);
    mo_free(wanted);
    return library;
}

static mo_status load(void)
{
    void *library = open_with_best_kernel();
    if (!library)
        return mo_error(MO_E_UNSUPPORTED, "OpenBLAS cannot be opened (%s); install libopenblas0-openmp",
                        dlerror());
    int (*parallel)(void) = NULL;
    char *(*core)(void) = NULL, *(*config)(void) = NULL;
    RESOLVE(parallel, library, "openblas_get_parallel");
    RESOLVE(core, library, "openblas_get_corename");
    RESOLVE(config, library, "openblas_get_config");
    RESOLVE(blas_gemm, library, sizeof(mo_real) == sizeof(float) ? "cblas_sgemm" : "cblas_dgemm");
    if (!parallel || !core || !config || !blas_gemm)
        return mo_error(MO_E_UNSUPPORTED, "the OpenBLAS found lacks a function that Moira needs");
    if (parallel() != PARALLEL_OPENMP)
        return mo_error(
            MO_E_UNSUPPORTED,
            "the OpenBLAS found is not the OpenMP variant (openblas_get_parallel() is %d, not %d); "
            "install libopenblas0-openmp",
            parallel(), PARALLEL_OPENMP);
    describe(config(), core());
    return MO_OK;
}

static void init(void)
{
    init_status = load();
    snprintf(init_message, sizeof init_message, "%s", mo_last_error());
}

mo_status mo_blas_init(void)
{
    pthread_once(&init_once, init);
    return init_status == MO_OK ? MO_OK : mo_error(init_status, "%s", init_message);
}

const char *mo_blas_describe(void)
{
    return description;
}

void mo__blas_gemm(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha,
                   const mo_real *A, int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C,
                   int64_t ldc)
{
    int team = omp_in_parallel() ? 1 : omp_get_max_threads();
    if (team > 1) omp_set_num_threads(1);
    blas_gemm(ROW_MAJOR, trans_a ? TRANS : NO_TRANS, trans_b ? TRANS : NO_TRANS, (int)M, (int)N, (int)K,
              alpha, A, (int)lda, B, (int)ldb, beta, C, (int)ldc);
    if (team > 1) omp_set_num_threads(team);
}

#endif
