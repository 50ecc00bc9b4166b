/* memory_limit.c -- how much memory the process may still take, and has taken (Linux: proc and cgroups). */
#include <moira/base.h>

#include <inttypes.h>
#include <string.h>

/* The number after `key` (at the start of a line; "" is the file's first number). False if there is none,
 * as for the word "max" in a cgroup without a limit. */
static bool read_number(const char *path, const char *key, uint64_t *value)
{
    FILE *file = fopen(path, "re");
    if (!file) return false;
    char line[256];
    size_t length = strlen(key);
    bool found = false;
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, key, length) == 0 && sscanf(line + length, "%" SCNu64, value) == 1;
    fclose(file);
    return found;
}

typedef struct cgroup_files {
    const char *root, *limit, *used, *reclaimable_key;
} cgroup_files;

static const cgroup_files CGROUP_V2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};
static const cgroup_files CGROUP_V1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                       "memory.usage_in_bytes", "total_inactive_file "};

/* limit - used + page cache that can be dropped; UINT64_MAX where the group sets no limit. */
static uint64_t group_available(const cgroup_files *files, const char *group)
{
    char path[4608];
    uint64_t limit, used, reclaimable = 0;
    snprintf(path, sizeof path, "%s%s/%s", files->root, group, files->limit);
    if (!read_number(path, "", &limit)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s%s/%s", files->root, group, files->used);
    if (!read_number(path, "", &used)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s%s/memory.stat", files->root, group);
    read_number(path, files->reclaimable_key, &reclaimable);
    used -= reclaimable < used ? reclaimable : used;
    return limit > used ? limit - used : 0;
}

/* The tightest of a group and its ancestors, up to the root of what is mounted. Modifies `group`. */
static uint64_t groups_available(const cgroup_files *files, char *group)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t available = group_available(files, group);
        if (available < least) least = available;
        char *slash = strrchr(group, '/');
        if (!slash) return least;
        *slash = '\0';
    }
}

/* /proc/self/cgroup has lines id:controllers:path; version 2 is "0::path". */
static uint64_t cgroup_available(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return UINT64_MAX;
    char line[4096];
    uint64_t least = UINT64_MAX;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        bool unified = strncmp(line, "0:", 2) == 0 && controllers[1] == '\0';
        if (!unified && !strstr(controllers, "memory")) continue;
        uint64_t available = groups_available(unified ? &CGROUP_V2 : &CGROUP_V1, group);
        if (available < least) least = available;
    }
    fclose(file);
    return least;
}

uint64_t mo_memory_available(void)
{
    uint64_t kilobytes;
    uint64_t group = cgroup_available();
    if (!read_number("/proc/meminfo", "MemAvailable:", &kilobytes)) return group == UINT64_MAX ? 0 : group;
    uint64_t machine = kilobytes * 1024;
    return machine < group ? machine : group;
}

/* VmHWM rather than ru_maxrss, which still counts what the process was before exec. */
uint64_t mo_memory_peak_rss(void)
{
    uint64_t kilobytes;
    return read_number("/proc/self/status", "VmHWM:", &kilobytes) ? kilobytes * 1024 : 0;
}
