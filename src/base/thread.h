/* thread.h -- a thread of the library's own. */
#ifndef MOIRA_BASE_THREAD_H
#define MOIRA_BASE_THREAD_H

#include <pthread.h>

/* Runs work(user) on a thread that takes no signals: they are for the program's own threads. 0, or the errno
 * of pthread_create. */
int mo__thread_start(pthread_t *thread, void *(*work)(void *), void *user);

#endif
