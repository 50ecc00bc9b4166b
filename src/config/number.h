/* number.h -- decimal numbers, read strictly. */
#ifndef MOIRA_CONFIG_NUMBER_H
#define MOIRA_CONFIG_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

typedef enum mo__number {
    MO__NUMBER_OK,
    MO__NUMBER_NOT,          /* not a number, or for a whole number not a whole one */
    MO__NUMBER_LEADING_ZERO, /* 010 is 8 to YAML 1.1 and 10 to YAML 1.2 */
    MO__NUMBER_TOO_LARGE,
    MO__NUMBER_TOO_SMALL /* not zero, but nearer to zero than any double */
} mo__number;

/* [+-] digits [. digits] [e [+-] digits], exactly: 1000, 1e3 and 1.5e3 are whole, 1.5 is not. */
mo__number mo__number_whole(const char *text, bool *negative, uint64_t *magnitude);
/* The same grammar, also .5 and 3. ; finite only. */
mo__number mo__number_real(const char *text, double *value);

#endif
