/* lock_file.c -- a file that says which process has something. */
#include "base/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

/* Whether the descriptor is still of the file of that name: who had the lock before may have removed it. */
static bool still_there(const char *path, int file)
{
    struct stat named, held;
    return stat(path, &named) == 0 && fstat(file, &held) == 0 && named.st_ino == held.st_ino &&
           named.st_dev == held.st_dev;
}

/* One try. *lock: the descriptor, -1 where there are no locks; *busy: another has it. */
static mo_status try_lock(const char *path, int *lock, bool *busy)
{
    for (;;) {
        int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (file < 0) return mo__file_error(path, "open");
        bool locked = flock(file, LOCK_EX | LOCK_NB) == 0;
        *busy = !locked && errno == EWOULDBLOCK;
        if (locked && still_there(path, file)) {
            *lock = file;
            return MO_OK;
        }
        close(file);
        if (!locked) return MO_OK;
    }
}

/* What is not written is no harm: the lock is not the text. */
static void sign(int file)
{
    char host[65] = "", when[32] = "", text[160];
    time_t now = time(NULL);
    struct tm local;
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    if (localtime_r(&now, &local)) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    int size = snprintf(text, sizeof text, "process %ld on %s since %s\n", (long)getpid(), host, when);
    if (ftruncate(file, 0) == 0 && pwrite(file, text, (size_t)size, 0) != size) (void)ftruncate(file, 0);
}

enum { SIGNATURE = 160 };

static void read_signature(const char *path, char text[SIGNATURE])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, text, SIGNATURE - 1) : 0;
    if (file >= 0) close(file);
    text[size > 0 ? size : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

static mo_status held_by_another(const char *path)
{
    char text[SIGNATURE];
    read_signature(path, text);
    return mo_error(MO_E_EXISTS, "%s", *text ? text : "another process");
}

mo_status mo__lock_file_take(const char *path, double patience, int *lock)
{
    const struct timespec nap = {.tv_nsec = 50000000};
    double begin = mo_clock();
    bool busy = false;
    *lock = -1;
    for (;;) {
        MO_TRY(try_lock(path, lock, &busy));
        if (!busy) break;
        if (mo_clock() - begin >= patience) return held_by_another(path);
        nanosleep(&nap, NULL);
    }
    if (*lock >= 0) sign(*lock);
    return MO_OK;
}

void mo__lock_file_release(const char *path, int lock)
{
    if (lock < 0) return;
    unlink(path);
    close(lock);
}

/* With a shared lock: two that ask at a time do not take each other for the holder, and NFS grants no other
 * to a file that is open for reading. */
bool mo__lock_file_held(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    bool held = flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(file);
    return held;
}

pid_t mo__lock_file_holder(const char *path)
{
    char text[SIGNATURE], host[65] = "", there[65] = "";
    long pid = 0;
    read_signature(path, text);
    bool said = sscanf(text, "process %ld on %64s since", &pid, there) == 2 && pid > 0;
    if (!said || gethostname(host, sizeof host - 1) != 0 || !mo__lock_file_held(path)) return 0;
    return strcmp(host, there) == 0 ? (pid_t)pid : -1;
}
