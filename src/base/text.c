/* text.c -- bounded formatting, "did you mean", globs. */
#include "text.h"

#include <moira/base.h>

#include <string.h>

void mo__format(char *out, const char *format, va_list arguments)
{
    int length = vsnprintf(out, MO__MESSAGE_SIZE, format, arguments);
    if (length < 0) {
        out[0] = '\0';
    } else if (length >= MO__MESSAGE_SIZE) {
        memcpy(out + MO__MESSAGE_SIZE - 4, "...", 4);
    }
}

enum { LONGEST_WORD = 128 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Damerau-Levenshtein distance, adjacent transpositions, no substring edited twice (Damerau 1964):
 *   d_ij = min(d_i-1,j + 1, d_i,j-1 + 1, d_i-1,j-1 + [a_i != b_j], d_i-2,j-2 + 1 if a_i a_i-1 = b_j-1 b_j)
 * Three rolling rows; both words shorter than LONGEST_WORD. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][LONGEST_WORD + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++) above[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < row[j]) row[j] = before[j - 2] + 1;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_length];
}

/* A name is near when at most a third of the longer word (rounded up) is edited, and less than all of the
 * shorter one. The first of equally near names wins. */
const char *mo_nearest_name(const char *word, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t least = LONGEST_WORD;
    size_t length = strlen(word);
    if (length >= LONGEST_WORD) return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t name_length = strlen(names[i]);
        if (name_length >= LONGEST_WORD) continue;
        size_t longer = length > name_length ? length : name_length;
        size_t shorter = length < name_length ? length : name_length;
        size_t distance = edit_distance(word, length, names[i], name_length);
        if (distance <= (longer + 2) / 3 && distance < shorter && distance < least) {
            least = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

/* On a mismatch only the last star needs to take one more character: time is O(pattern * text). */
bool mo_glob_match(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}
