/* threads.c -- the size of OpenMP teams. */
#include <moira/base.h>

#include <omp.h>

int mo_cores(void)
{
    return omp_get_num_procs();
}

void mo_threads_set(int count)
{
    omp_set_dynamic(0);
    omp_set_num_threads(count > 0 ? count : mo_cores());
}

int mo_threads(void)
{
    return omp_get_max_threads();
}
