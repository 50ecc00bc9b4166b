/* units.c -- thousands, binary multiples, clock times. */
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

mo__shown_number mo__count(int64_t value)
{
    mo__shown_number shown;
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    size_t length = strlen(digits), at = 0;
    for (size_t i = 0; i < length; i++) {
        shown.text[at++] = digits[i];
        size_t left = length - 1 - i;
        if (left && left % 3 == 0 && digits[i] != '-') shown.text[at++] = ',';
    }
    shown.text[at] = '\0';
    return shown;
}

mo__shown_number mo__counted(int64_t value, const char *noun)
{
    mo__shown_number shown;
    snprintf(shown.text, sizeof shown.text, "%.30s %.15s%s", mo__count(value).text, noun,
             value == 1 ? "" : "s");
    return shown;
}

mo__shown_number mo__bytes(double bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    mo__shown_number shown;
    size_t unit = 0;
    while (bytes >= 1023.95 && unit + 1 < sizeof units / sizeof *units) {
        bytes /= 1024;
        unit++;
    }
    snprintf(shown.text, sizeof shown.text, "%.*f %s", unit ? 1 : 0, bytes, units[unit]);
    return shown;
}

mo__shown_number mo__short(double value)
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P"};
    mo__shown_number shown;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    int digits = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(shown.text, sizeof shown.text, "%.*f%s", value == floor(value) && !unit ? 0 : digits, value,
             units[unit]);
    return shown;
}

mo__shown_number mo__duration(double seconds)
{
    mo__shown_number shown;
    if (!(seconds >= 0 && seconds < 1e15)) return (mo__shown_number){"-"};
    if (seconds < 59.95) {
        snprintf(shown.text, sizeof shown.text, "%.*f s", seconds < 9.995 ? 2 : 1, seconds);
        return shown;
    }
    long long whole = llround(seconds), hours = whole / 3600;
    int minutes = (int)(whole / 60 % 60), rest = (int)(whole % 60);
    if (hours)
        snprintf(shown.text, sizeof shown.text, "%lld:%02d:%02d", hours, minutes, rest);
    else
        snprintf(shown.text, sizeof shown.text, "%d:%02d", minutes, rest);
    return shown;
}

mo__shown_number mo__fixed(double value, int digits)
{
    mo__shown_number shown;
    if (isnan(value)) return (mo__shown_number){"-"};
    snprintf(shown.text, sizeof shown.text, "%.*f", digits, value);
    return shown;
}
