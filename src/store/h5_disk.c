/* h5_disk.c -- an HDF5 file driver over pread and pwrite that never fails a write. */
#include "h5_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct mo__disk {
    H5FD_t base; /* must be first: HDF5 knows no more of this */
    int fd;      /* -1 while closed */
    haddr_t eoa, eof;
    int error; /* errno of the first failure, 0 for none */
};

typedef struct {
    mo__disk *disk;
} driver_info;

static void note(mo__disk *disk, int error)
{
    if (!disk->error) disk->error = error;
}

static H5FD_t *disk_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    (void)most;
    const driver_info *info = H5Pget_driver_info(access);
    if (!info) return NULL;
    mo__disk *disk = info->disk;
    int fd = open(name, O_RDWR | O_CLOEXEC | (flags & H5F_ACC_TRUNC ? O_TRUNC : 0));
    if (fd < 0) return NULL;
    off_t end = lseek(fd, 0, SEEK_END);
    disk->base = (H5FD_t){0};
    disk->fd = fd;
    disk->eoa = 0;
    disk->eof = end > 0 ? (haddr_t)end : 0;
    return &disk->base;
}

static mo__disk *from(H5FD_t *file)
{
    return (mo__disk *)(void *)file;
}

static herr_t disk_close(H5FD_t *file)
{
    mo__disk *disk = from(file);
    if (close(disk->fd) != 0) note(disk, errno);
    disk->fd = -1;
    return 0;
}

static herr_t disk_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t disk_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const mo__disk *)(const void *)file)->eoa;
}

static herr_t disk_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    from(file)->eoa = address;
    return 0;
}

static haddr_t disk_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const mo__disk *)(const void *)file)->eof;
}

static herr_t disk_handle(H5FD_t *file, hid_t access, void **handle)
{
    (void)access;
    *handle = file;
    return 0;
}

/* What was never written reads as zero. */
static herr_t disk_read(H5FD_t *file, H5FD_mem_t type, hid_t list, haddr_t address, size_t size, void *buffer)
{
    (void)type, (void)list;
    mo__disk *disk = from(file);
    char *to = buffer;
    while (size > 0) {
        ssize_t got = pread(disk->fd, to, size, (off_t)address);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) note(disk, errno);
        if (got <= 0) break;
        to += got;
        address += (haddr_t)got;
        size -= (size_t)got;
    }
    memset(to, 0, size);
    return 0;
}

static herr_t disk_write(H5FD_t *file, H5FD_mem_t type, hid_t list, haddr_t address, size_t size,
                         const void *buffer)
{
    (void)type, (void)list;
    mo__disk *disk = from(file);
    const char *bytes = buffer;
    while (size > 0 && !disk->error) {
        ssize_t wrote = pwrite(disk->fd, bytes, size, (off_t)address);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) {
            note(disk, wrote < 0 ? errno : ENOSPC);
            break;
        }
        bytes += wrote;
        address += (haddr_t)wrote;
        size -= (size_t)wrote;
    }
    address += size;
    if (address > disk->eof) disk->eof = address;
    return 0;
}

static herr_t disk_truncate(H5FD_t *file, hid_t list, hbool_t closing)
{
    (void)list, (void)closing;
    mo__disk *disk = from(file);
    if (disk->eoa != disk->eof && !disk->error && ftruncate(disk->fd, (off_t)disk->eoa) != 0)
        note(disk, errno);
    disk->eof = disk->eoa;
    return 0;
}

static const H5FD_class_t DRIVER = {
    .name = "moira",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(driver_info),
    .open = disk_open,
    .close = disk_close,
    .query = disk_query,
    .get_eoa = disk_get_eoa,
    .set_eoa = disk_set_eoa,
    .get_eof = disk_get_eof,
    .get_handle = disk_handle,
    .read = disk_read,
    .write = disk_write,
    .truncate = disk_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

mo_status mo__disk_create(mo__disk **out)
{
    *out = mo_calloc(1, sizeof **out);
    return *out ? MO_OK : MO_E_MEMORY;
}

void mo__disk_free(mo__disk *disk)
{
    mo_free(disk);
}

/* The driver stays registered for good: HDF5 1.10 reads the driver's table after giving up the file's
 * reference to it, so the last reference must not be a file's. */
mo_status mo__disk_use(mo__disk *disk, hid_t access)
{
    static hid_t driver = H5I_INVALID_HID;
    driver_info info = {disk};
    if (driver < 0 || H5Iis_valid(driver) <= 0) driver = H5FDregister(&DRIVER);
    if (driver < 0 || H5Pset_driver(access, driver, &info) < 0)
        return mo__h5_error(MO_E_MEMORY, "HDF5: cannot set up writing");
    return MO_OK;
}

mo__disk *mo__disk_of(hid_t file)
{
    void *handle = NULL;
    return H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) < 0 ? NULL : handle;
}

mo_status mo__disk_status(const mo__disk *disk)
{
    return disk->error ? mo_error(MO_E_IO, "cannot write (%s)", strerror(disk->error)) : MO_OK;
}
