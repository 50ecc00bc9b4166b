/* sql.c -- the door to SQLite. */
#include "lab/sql.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

enum { WAIT_MS = 60000 };

/* ---- what went wrong ---- */

mo_status mo__sql_error(const mo__sql *sql, int code)
{
    int system = sql->db ? sqlite3_system_errno(sql->db) : 0;
    const char *said = sql->db ? sqlite3_errmsg(sql->db) : sqlite3_errstr(code);
    const char *reason = system ? strerror(system) : said;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return mo_error(MO_E_MEMORY, "%s: there is not enough memory for it", sql->path);
    case SQLITE_NOTADB:
        return mo_error(MO_E_FORMAT, "%s: is no results file of an experiment: it is no SQLite database",
                        sql->path);
    case SQLITE_CORRUPT:
        return mo_error(MO_E_CORRUPT, "%s: is damaged: %s", sql->path, said);
    case SQLITE_ERROR: /* of our own statements: tables or columns are not there */
        return mo_error(MO_E_CORRUPT, "%s: is not as moira made it: %s", sql->path, said);
    case SQLITE_CONSTRAINT:
        return mo_error(MO_E_INTERNAL, "%s: cannot hold this: %s", sql->path, said);
    case SQLITE_FULL:
        return mo_error(MO_E_IO, "%s: the disk is full; what was recorded before is kept", sql->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return mo_error(MO_E_IO, "%s: another process has been writing to it for %d seconds", sql->path,
                        WAIT_MS / 1000);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return mo_error(MO_E_IO, "%s: cannot be written: %s", sql->path, said);
    default:
        return mo_error(MO_E_IO, "%s: cannot be read or written: %s", sql->path, reason);
    }
}

static mo_status checked(const mo__sql *sql, int code)
{
    return code == SQLITE_OK ? MO_OK : mo__sql_error(sql, code);
}

/* ---- connections ---- */

/* A path that SQLite takes for nothing but a path (":memory:", "file:x"). */
static char *plain_path(const char *path)
{
    return *path == '/' ? mo_strdup(path) : mo_strprintf("./%s", path);
}

/* "file:...?immutable=1" of a path. */
static char *immutable_uri(const char *path)
{
    static const char tail[] = "?immutable=1";
    char *uri = mo_malloc(strlen("file:") + 3 * strlen(path) + sizeof tail), *at = uri;
    if (!uri) return NULL;
    at += sprintf(at, "file:");
    for (; *path; path++)
        at += sprintf(at, strchr("%?#", *path) ? "%%%02x" : "%c", (unsigned)(unsigned char)*path);
    memcpy(at, tail, sizeof tail);
    return uri;
}

/* A file of somebody else is data: nothing in it is run. */
static mo_status set_up(mo__sql *sql, mo__sql_mode mode)
{
    sqlite3_extended_result_codes(sql->db, 1);
    sqlite3_busy_timeout(sql->db, WAIT_MS);
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    MO_TRY(
        mo__sql_run(sql, "PRAGMA trusted_schema = 0; PRAGMA cell_size_check = 1; PRAGMA foreign_keys = 1"));
    if (mode == MO__SQL_MAKE) return mo__sql_run(sql, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = 0");
    return mo__sql_run(sql, mode == MO__SQL_WRITE ? "PRAGMA synchronous = FULL" : "PRAGMA query_only = 1");
}

static mo_status open_name(const char *name, mo__sql_mode mode, int more, mo__sql *out)
{
    /* A reader may have to undo or finish what a kill has left, so it opens like a writer. */
    int flags = SQLITE_OPEN_READWRITE | (mode == MO__SQL_MAKE ? SQLITE_OPEN_CREATE : 0) | more;
    int code = sqlite3_open_v2(name, &out->db, flags, NULL);
    mo_status status = checked(out, code);
    return status == MO_OK ? set_up(out, mode) : status;
}

/* A file that was left whole, in a folder where nothing may be written: SQLite then cannot make what a reader
 * and writers would share, so it has to be told that there are no writers. */
static mo_status reopen_alone(const char *path, mo__sql *out)
{
    char *wal = mo_strprintf("%s-wal", path), *uri = immutable_uri(path);
    struct stat info;
    mo_status status = wal && uri ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK && stat(wal, &info) == 0 && info.st_size > 0) {
        status =
            mo_error(MO_E_IO,
                     "%s: cannot be read: some of it is still in %s, and to bring the two together their "
                     "folder has to be writable",
                     path, wal);
    } else if (status == MO_OK) {
        sqlite3_finalize(out->statement);
        sqlite3_close(out->db);
        out->statement = NULL;
        out->db = NULL;
        status = open_name(uri, MO__SQL_READ, SQLITE_OPEN_URI, out);
    }
    mo_free(wal);
    mo_free(uri);
    return status;
}

mo_status mo__sql_open(const char *path, mo__sql_mode mode, mo__sql *out)
{
    *out = (mo__sql){.path = mo_strdup(path)};
    char *name = plain_path(path);
    int64_t tables;
    mo_status status = out->path && name ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK && mode != MO__SQL_MAKE && mo_path_is_dir(path))
        status = mo_error(MO_E_FORMAT, "%s: is a folder, not a results file", path);
    if (status == MO_OK && mode != MO__SQL_MAKE && !mo_path_exists(path))
        status = mo_error(MO_E_NOT_FOUND, "%s: no such file", path);
    if (status == MO_OK) status = open_name(name, mode, 0, out);
    if (status == MO_OK && mode == MO__SQL_READ) {
        status = mo__sql_number(out, "SELECT count(*) FROM sqlite_schema", &tables);
        int code = sqlite3_errcode(out->db) & 0xff;
        if (status == MO_E_IO && (code == SQLITE_CANTOPEN || code == SQLITE_READONLY))
            status = reopen_alone(name, out);
    }
    mo_free(name);
    if (status != MO_OK) mo__sql_close(out);
    return status;
}

void mo__sql_close(mo__sql *sql)
{
    sqlite3_finalize(sql->statement);
    sqlite3_close(sql->db);
    mo_free(sql->path);
    *sql = (mo__sql){0};
}

/* ---- statements ---- */

mo_status mo__sql_run(mo__sql *sql, const char *text)
{
    return checked(sql, sqlite3_exec(sql->db, text, NULL, NULL, NULL));
}

mo_status mo__sql_prepare(mo__sql *sql, const char *text)
{
    sqlite3_finalize(sql->statement);
    sql->statement = NULL;
    return checked(sql, sqlite3_prepare_v2(sql->db, text, -1, &sql->statement, NULL));
}

static int bind_one(sqlite3_stmt *statement, int place, char kind, va_list *values)
{
    if (kind == 'i') return sqlite3_bind_int64(statement, place, va_arg(*values, int64_t));
    if (kind == 't')
        return sqlite3_bind_text(statement, place, va_arg(*values, const char *), -1, SQLITE_TRANSIENT);
    MO_ASSERT(kind == 'r');
    return sqlite3_bind_double(statement, place, va_arg(*values, double)); /* makes NULL of NaN itself */
}

mo_status mo__sql_bind(mo__sql *sql, const char *kinds, ...)
{
    va_list values;
    int code = SQLITE_OK;
    MO_ASSERT(sqlite3_bind_parameter_count(sql->statement) == (int)strlen(kinds));
    va_start(values, kinds);
    for (int i = 0; code == SQLITE_OK && kinds[i]; i++)
        code = bind_one(sql->statement, i + 1, kinds[i], &values);
    va_end(values);
    return checked(sql, code);
}

mo_status mo__sql_step(mo__sql *sql, bool *row)
{
    int code = sqlite3_step(sql->statement);
    *row = code == SQLITE_ROW;
    if (*row) return MO_OK;
    mo_status status = code == SQLITE_DONE ? MO_OK : mo__sql_error(sql, code);
    sqlite3_reset(sql->statement);
    return status;
}

mo_status mo__sql_finish(mo__sql *sql)
{
    bool row;
    do MO_TRY(mo__sql_step(sql, &row));
    while (row);
    return MO_OK;
}

mo_status mo__sql_number(mo__sql *sql, const char *text, int64_t *out)
{
    bool row;
    MO_TRY(mo__sql_prepare(sql, text));
    MO_TRY(mo__sql_step(sql, &row));
    *out = row ? mo__sql_whole(sql, 0) : 0;
    return mo__sql_finish(sql);
}

/* ---- columns ---- */

mo_status mo__sql_text(mo__sql *sql, int column, bool may_lack, char **out)
{
    const unsigned char *text = sqlite3_column_text(sql->statement, column);
    *out = NULL;
    if (!text && may_lack && sqlite3_column_type(sql->statement, column) == SQLITE_NULL) return MO_OK;
    if (!text)
        return mo_error(MO_E_CORRUPT, "%s: is damaged: %s is not there", sql->path,
                        sqlite3_column_name(sql->statement, column));
    *out = mo_strdup((const char *)text);
    return *out ? MO_OK : MO_E_MEMORY;
}

double mo__sql_real(const mo__sql *sql, int column)
{
    bool lacks = sqlite3_column_type(sql->statement, column) == SQLITE_NULL;
    return lacks ? (double)NAN : sqlite3_column_double(sql->statement, column);
}

int64_t mo__sql_whole(const mo__sql *sql, int column)
{
    return sqlite3_column_int64(sql->statement, column);
}

/* ---- transactions ---- */

mo_status mo__sql_begin(mo__sql *sql)
{
    return mo__sql_run(sql, "BEGIN IMMEDIATE");
}

mo_status mo__sql_end(mo__sql *sql, mo_status status)
{
    sqlite3_finalize(sql->statement);
    sql->statement = NULL;
    if (status == MO_OK) status = mo__sql_run(sql, "COMMIT");
    /* Some failures have undone it already; then there is nothing to roll back, which is said to nobody. */
    if (status != MO_OK) sqlite3_exec(sql->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}
