/* threads.c -- the size of OpenMP teams, and threads beside them. */
#include <moira/base.h>

#include <omp.h>
#include <signal.h>

#include "thread.h"

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

int mo__thread_start(pthread_t *thread, void *(*work)(void *), void *user)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, work, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
