/* events.h -- reads a TensorBoard event file without the library's help: framing, checksums and messages are
 * decoded anew, and whatever is not as the format says fails the test. */
#ifndef MOIRA_TESTS_EVENTS_H
#define MOIRA_TESTS_EVENTS_H

#include <stddef.h>
#include <stdint.h>

/* The records as lines, in their order. Owned by malloc.
 *     0 version brain.Event:2
 *     5 scalar loss/train 4.5                           %.9g, as many digits as a float has
 *     5 histogram routing/layer_0/load -0.5:0.5:0.25 0.5:1.5:0.75
 *     5 text samples ...                                to the next line that begins with a step
 * Wall times must not run backwards. ends[n], if not NULL, is where record n ends; *count how many there are.
 */
char *events_list(const char *path, size_t *ends, size_t room, size_t *count);

#endif
