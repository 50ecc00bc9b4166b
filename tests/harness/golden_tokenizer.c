#include "harness/golden_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/golden.h"
#include "harness/harness.h"

golden_items golden_items_read(const char *path)
{
    return golden_items_read_from("tokenizer", path);
}

golden_items golden_items_read_from(const char *name, const char *path)
{
    char ends_path[128];
    snprintf(ends_path, sizeof ends_path, "%s_ends", path);
    golden *file = golden_open(name);
    golden_array values = golden_read(file, path), ends = golden_read(file, ends_path);
    golden_close(file);
    bool text = strstr(path, "ids") == NULL;
    golden_items items = {.count = ends.count};
    items.ends = calloc((size_t)ends.count + 1, sizeof *items.ends);
    items.bytes = text ? calloc((size_t)values.count + 1, 1) : NULL;
    items.ids = text ? NULL : calloc((size_t)values.count + 1, sizeof *items.ids);
    assert_true(items.ends && (items.bytes || items.ids));
    for (int64_t i = 0; i < ends.count; i++) items.ends[i] = ends.ints[i];
    for (int64_t i = 0; i < values.count; i++) {
        if (text)
            items.bytes[i] = (char)values.ints[i];
        else
            items.ids[i] = values.ints[i];
    }
    golden_array_free(&values);
    golden_array_free(&ends);
    return items;
}

void golden_items_free(golden_items *items)
{
    free(items->ends);
    free(items->bytes);
    free(items->ids);
    *items = (golden_items){0};
}

char *golden_model(const char *name, size_t *size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/model", name);
    golden_items model = golden_items_read(path);
    *size = (size_t)model.ends[0];
    free(model.ends);
    return model.bytes;
}

mo_tokenizer *golden_tokenizer(const char *name)
{
    size_t size;
    mo_tokenizer *t;
    char *model = golden_model(name, &size);
    MO_CHECK_OK(mo_tokenizer_restore("sentencepiece", model, size, &t));
    free(model);
    return t;
}

double golden_tokenizer_attribute(const char *name, const char *attribute)
{
    golden *file = golden_open("tokenizer");
    double value = golden_attribute(file, name, attribute);
    golden_close(file);
    return value;
}
