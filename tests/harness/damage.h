/* damage.h -- files of ours, cut short and with bytes flipped: all must be refused, none may crash. */
#ifndef MOIRA_TESTS_DAMAGE_H
#define MOIRA_TESTS_DAMAGE_H

#include <moira/base.h>

/* Opens, and closes if that went well. */
typedef mo_status (*damage_open_fn)(const char *path);

/* A copy of `path` beside it is cut to every length up to 128, every 8th up to 600, every 97th, and each of
 * the last 97: every open must say MO_E_CORRUPT or MO_E_FORMAT. */
void damage_truncate(const char *path, damage_open_fn open);
/* The same with one byte flipped, at the same places. */
void damage_flip(const char *path, damage_open_fn open);
/* Entries of a folder: tests that nothing is left behind. */
int damage_count_files(const char *dir);

#endif
