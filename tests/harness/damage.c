/* damage.c -- cutting and flipping. */
#include "damage.h"

#include <dirent.h>
#include <string.h>

#include "harness.h"

/* Every byte of the stamp's text and of the file's end; of the zeros behind the text, and of HDF5's first
 * bytes, every few; of the rest a sample. */
enum { STAMP = 128, HEAD = 600, STEP = 8, STRIDE = 97 };

static size_t next_place(size_t at, size_t size)
{
    if (at < STAMP || at + STRIDE >= size) return at + 1;
    return at + (at < HEAD ? STEP : STRIDE);
}

static void expect_refused(const char *path, const char *bytes, size_t size, damage_open_fn open,
                           const char *what, size_t at)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    mo_error_clear();
    mo_status status = open(path);
    if ((status == MO_E_CORRUPT || status == MO_E_FORMAT) && mo_last_error()[0]) return;
    fail_msg("%s at byte %zu: '%s' (%s)", what, at, mo_status_name(status), mo_last_error());
}

static void damage(const char *path, damage_open_fn open, bool cut)
{
    char *bytes, copy[4096];
    size_t size;
    snprintf(copy, sizeof copy, "%s.damaged", path);
    MO_CHECK_OK(mo_read_file(path, SIZE_MAX, &bytes, &size));
    for (size_t at = 0; at < size; at = next_place(at, size)) {
        if (cut) {
            expect_refused(copy, bytes, at, open, "cut", at);
            continue;
        }
        bytes[at] = (char)(bytes[at] ^ 0x41);
        expect_refused(copy, bytes, size, open, "flipped", at);
        bytes[at] = (char)(bytes[at] ^ 0x41);
    }
    mo_free(bytes);
    assert_int_equal(remove(copy), 0);
}

void damage_truncate(const char *path, damage_open_fn open)
{
    damage(path, open, true);
}

void damage_flip(const char *path, damage_open_fn open)
{
    damage(path, open, false);
}

int damage_count_files(const char *dir)
{
    DIR *folder = opendir(dir);
    assert_non_null(folder);
    int n = 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(folder);
    return n;
}
