/* axis.h -- an axis of a plot: in which unit its numbers are short, where its tics are, as gnuplot is told.
 */
#ifndef MOIRA_LAB_AXIS_H
#define MOIRA_LAB_AXIS_H

#include "config/buffer.h"

typedef struct mo__axis {
    char letter; /* 'x' or 'y' */
    const char *label;
    bool logarithmic; /* asked for; what has values that are not above 0 becomes linear */
    double low, high; /* of the values, extended by mo__axis_see; low > high: none yet */
    double unit;      /* a number on the axis is so much: 1, 1000, a million .. */
} mo__axis;

mo__axis mo__axis_begin(char letter, const char *label, bool logarithmic);
/* Not for values that are no finite numbers. */
void mo__axis_see(mo__axis *axis, double value);
/* Once all was seen: the unit, and whether it can be logarithmic. Values go into a script divided by the
 * unit. */
void mo__axis_settle(mo__axis *axis);
/* Label, tics, and range: tight, all that was seen and nothing else; else from tic to tic. */
void mo__axis_write(const mo__axis *axis, bool tight, mo__buffer *script);
/* Characters of a name as far as it is written. */
int mo__axis_name_width(const char *name);
int mo__axis_names_width(const char *const *names, int count); /* of the longest */
/* How wide a letter is, in pixels, about; how many there is room for at the foot of a plot of 460 pixels. */
#define MO__LETTER 8.4
enum { MO__LETTERS_ACROSS = 46 };
/* Pixels that such names at the foot of a plot need beyond a line: where they do not fit side by side in so
 * many letters they lean. */
int mo__axis_names_room(const char *const *names, int count, int letters);
/* Names at 0, 1, ... count - 1, with room of a half on either side; of y the first is the highest, and
 * `letters` is not used. */
void mo__axis_write_names(char letter, const char *label, const char *const *names, int count, int letters,
                          mo__buffer *script);

#endif
