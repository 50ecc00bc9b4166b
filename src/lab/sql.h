/* sql.h -- SQLite with our statuses: connections, statements with bound values, transactions.
 *
 * No text that is not ours is ever part of a statement: values are bound. While a connection is open nothing
 * else in this process may open and close its file: that would drop its locks. */
#ifndef MOIRA_LAB_SQL_H
#define MOIRA_LAB_SQL_H

#include <sqlite3.h>

#include "moira/base.h"

typedef struct mo__sql {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *statement; /* the one that is being run */
} mo__sql;

typedef enum mo__sql_mode { MO__SQL_MAKE, MO__SQL_WRITE, MO__SQL_READ } mo__sql_mode;

/* MAKE: the file need not be there. READ works where nothing may be written, too. On failure nothing is left
 * to close. */
mo_status mo__sql_open(const char *path, mo__sql_mode mode, mo__sql *out);
void mo__sql_close(mo__sql *sql);

/* The status for SQLite's code, with the path and what is known in the message. */
mo_status mo__sql_error(const mo__sql *sql, int code);

/* Statements without values. */
mo_status mo__sql_run(mo__sql *sql, const char *text);
/* One number that a statement without values gives. */
mo_status mo__sql_number(mo__sql *sql, const char *text, int64_t *out);

/* Makes `text` the statement that is run; any other is done with. */
mo_status mo__sql_prepare(mo__sql *sql, const char *text);
/* Binds ?1, ?2, ... and begins the statement. kinds has a letter for each: i int64_t, t const char * (NULL is
 * NULL), r double (NaN is NULL). */
mo_status mo__sql_bind(mo__sql *sql, const char *kinds, ...);
/* The next row, or *row false: there is none, and the statement may be bound again. */
mo_status mo__sql_step(mo__sql *sql, bool *row);
/* A statement that gives no rows, to its end. */
mo_status mo__sql_finish(mo__sql *sql);

/* Columns of the row, from 0. A text is owned by the caller; NULL stays NULL, which is a failure
 * (MO_E_CORRUPT) unless `may_lack`. */
mo_status mo__sql_text(mo__sql *sql, int column, bool may_lack, char **out);
double mo__sql_real(const mo__sql *sql, int column); /* NULL is NaN */
int64_t mo__sql_whole(const mo__sql *sql, int column);

/* For writing. What is between begin and end is kept if `status` is MO_OK, else undone; returns the first
 * thing that went wrong. */
mo_status mo__sql_begin(mo__sql *sql);
mo_status mo__sql_end(mo__sql *sql, mo_status status);

#endif
