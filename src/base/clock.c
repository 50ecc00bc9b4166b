/* clock.c -- seconds that only go forward. */
#include <moira/base.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double mo_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Field 22 of /proc/self/stat (proc(5)), in ticks since the machine was booted; exec does not change it. The
 * name, field 2, may have blanks and brackets. */
double mo_process_seconds(void)
{
    char text[1024];
    unsigned long long ticks;
    struct timespec now;
    FILE *file = fopen("/proc/self/stat", "re");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[size] = '\0';
    const char *rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) != 1)
        return 0;
    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    return seconds - (double)ticks / (double)sysconf(_SC_CLK_TCK);
}
