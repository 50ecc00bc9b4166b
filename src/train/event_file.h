/* event_file.h -- the file under TensorBoard events: TFRecord framing, appending, and what a resume cuts off.
 *
 * A record is, little-endian (the format is that of tensorflow/core/lib/io/record_writer.cc):
 *     uint64 length; uint32 masked CRC-32C of the length's 8 bytes; length bytes; uint32 masked CRC-32C of
 * them where masked(c) = (c rotated right by 15 bits) + 0xa282ead8. */
#ifndef MOIRA_TRAIN_EVENT_FILE_H
#define MOIRA_TRAIN_EVENT_FILE_H

#include "train/events.pb-c.h"
#include "moira/base.h"

typedef struct mo__event_file {
    int descriptor; /* -1: not open */
    char *path;     /* owned */
} mo__event_file;

/* Opens or makes the file, and cuts it at the first record that is torn, or of a step past `step`; at the
 * start if step is -1, for then a run begins. *empty: nothing is left. MO_E_FORMAT, with the file as it was,
 * if it is something else than an event file. */
mo_status mo__event_file_open(const char *path, int64_t step, bool *empty, mo__event_file *out);
/* One record, in one write; sets the event's wall_time. */
mo_status mo__event_file_append(mo__event_file *f, MoTb__Event *event);
mo_status mo__event_file_close(mo__event_file *f);

#endif
