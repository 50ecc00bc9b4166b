/* lock_file.h -- a file that says which process has something: a run's folder, an experiment's.
 *
 * The lock is the system's (flock) and goes with the process, however that ends; the file's text is for
 * people. A program that inherits the descriptor has the lock too, until the last of them has ended. */
#ifndef MOIRA_BASE_LOCK_FILE_H
#define MOIRA_BASE_LOCK_FILE_H

#include <sys/types.h>

#include <moira/base.h>

/* *lock is a descriptor, closed on exec; -1 with MO_OK: the file system has no locks, and nothing is held.
 * Waits `patience` seconds for who has it: a process that was just killed takes a moment to go. MO_E_EXISTS:
 * another has it, and the message is no more than who that is ("process 71 on mill since 2026-11-22
 * 20:41:03"). MO_E_IO. */
mo_status mo__lock_file_take(const char *path, double patience, int *lock);
/* Removes the file and gives the lock back. -1 does nothing. */
void mo__lock_file_release(const char *path, int lock);
/* Whether a process has it now. */
bool mo__lock_file_held(const char *path);
/* The process that has it now, by what the file says; -1: one of another machine; 0: none, or one that has
 * not said yet. */
pid_t mo__lock_file_holder(const char *path);

#endif
