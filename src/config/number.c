/* number.c -- decimal numbers, read strictly: no hexadecimal, no infinity, no underscores, no spaces. */
#include "number.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

/* value = 0.d1 d2 d3 ... * 10^point, over the digits d of `digits` with the '.' left out. */
typedef struct decimal {
    bool negative, fraction_or_exponent, nonzero;
    const char *digits, *end; /* may hold one '.' */
    int64_t point;
} decimal;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool read_decimal(const char *text, decimal *d)
{
    *d = (decimal){.negative = *text == '-'};
    if (*text == '-' || *text == '+') text++;
    int64_t whole = 0, fraction = 0;
    for (d->digits = text; is_digit(*text); text++, whole++) d->nonzero |= *text != '0';
    if (*text == '.') {
        d->fraction_or_exponent = true;
        for (text++; is_digit(*text); text++, fraction++) d->nonzero |= *text != '0';
    }
    if (whole + fraction == 0) return false;
    d->end = text;
    d->point = whole;
    if (*text == 'e' || *text == 'E') {
        d->fraction_or_exponent = true;
        bool down = *++text == '-';
        if (*text == '-' || *text == '+') text++;
        if (!is_digit(*text)) return false;
        int64_t exponent = 0;
        for (; is_digit(*text); text++)
            if (exponent < 1000000000) exponent = 10 * exponent + (*text - '0');
        d->point += down ? -exponent : exponent;
    }
    return *text == '\0';
}

/* value * 10 + digit, or false when it does not fit. */
static bool push_digit(uint64_t *value, unsigned digit)
{
    return !__builtin_mul_overflow(*value, (uint64_t)10, value) &&
           !__builtin_add_overflow(*value, (uint64_t)digit, value);
}

mo__number mo__number_whole(const char *text, bool *negative, uint64_t *magnitude)
{
    decimal d;
    if (!read_decimal(text, &d)) return MO__NUMBER_NOT;
    if (!d.fraction_or_exponent && d.end - d.digits > 1 && d.digits[0] == '0') return MO__NUMBER_LEADING_ZERO;
    *negative = d.negative && d.nonzero;
    *magnitude = 0;
    if (!d.nonzero) return MO__NUMBER_OK;
    int64_t places = d.point; /* digits still to come before the decimal point */
    bool fits = true;
    for (const char *c = d.digits; c < d.end; c++) {
        if (*c == '.') continue;
        if (places-- > 0) {
            fits = fits && push_digit(magnitude, (unsigned)(*c - '0'));
        } else if (*c != '0') {
            return MO__NUMBER_NOT;
        }
    }
    for (; fits && places > 0; places--) fits = push_digit(magnitude, 0);
    return fits ? MO__NUMBER_OK : MO__NUMBER_TOO_LARGE;
}

mo__number mo__number_real(const char *text, double *value)
{
    decimal d;
    if (!read_decimal(text, &d)) return MO__NUMBER_NOT;
    char *end;
    *value = strtod(text, &end);
    if (*end != '\0') return MO__NUMBER_NOT;
    if (!isfinite(*value)) return MO__NUMBER_TOO_LARGE;
    return d.nonzero && *value == 0 ? MO__NUMBER_TOO_SMALL : MO__NUMBER_OK;
}
