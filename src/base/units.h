/* units.h -- numbers as people read them. Each returns its text by value: printf("%s", mo__count(n).text). */
#ifndef MOIRA_BASE_UNITS_H
#define MOIRA_BASE_UNITS_H

#include <stdint.h>

typedef struct mo__shown_number {
    char text[48];
} mo__shown_number;

mo__shown_number mo__count(int64_t value);                     /* 1,115,394 */
mo__shown_number mo__counted(int64_t value, const char *noun); /* 1 token, 2,000 tokens */
mo__shown_number mo__bytes(double bytes);                      /* 212.4 MiB */
mo__shown_number mo__short(double value);             /* 3.74 M: three digits and a power of a thousand */
mo__shown_number mo__duration(double seconds);        /* 0.42 s, 12.3 s, 4:05, 1:02:03 */
mo__shown_number mo__fixed(double value, int digits); /* "-" if it is not a number */

#endif
