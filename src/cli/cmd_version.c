/* cmd_version.c -- moira version: what this program is and what it runs on. */
#include <string.h>

#include <moira/tensor.h>

#include "commands.h"

static void print_processor(void)
{
    char line[256], *name = NULL;
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && !name && fgets(line, sizeof line, file))
        if (strncmp(line, "model name", 10) == 0) name = strchr(line, ':');
    if (file) fclose(file);
    if (name) name[strcspn(name, "\n")] = '\0';
    printf("processor  %s, %d cores\n", name ? name + 2 : "unknown", mo_cores());
}

static mo_status run(const void *options, const mo__words *words)
{
    (void)options;
    (void)words;
    printf("moira %s (commit %s, %s build)\n", MO_VERSION_STRING, MO_COMMIT, MO_FLAVOUR);
    /* The version is told even where nothing could be computed. */
    printf("BLAS       %s\n", mo_blas_init() == MO_OK ? mo_blas_describe() : mo_last_error());
    print_processor();
    printf("computes   in %s, with %s\n", mo_dtype_name(MO_REAL), mo_instructions());
    return MO_OK;
}

const mo__command mo__cmd_version = {
    .name = "version",
    .summary = "version, commit, BLAS, processor",
    .synopsis = "",
    .text = "Prints what a report of a problem or of a speed should say. `moira --version` is the same.\n",
    .example = "  moira version\n",
    .run = run,
};
