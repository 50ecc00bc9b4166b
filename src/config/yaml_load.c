/* yaml_load.c -- text into a tree; what is refused of YAML is found from its events, before there is a tree.
 */
#include "yaml_tree.h"

#include <string.h>

enum { MOST_NODES = 4096, MOST_DEPTH = 8 };

typedef struct check {
    const char *origin, *text;
    size_t size;
    int nodes, depth, documents;
} check;

static mo_status no_memory(const char *origin)
{
    return mo_error(MO_E_MEMORY, "%s%sthere is no memory to parse it", origin ? origin : "",
                    origin ? ": " : "");
}

static mo_status at_line(const check *c, int line, mo_status status)
{
    return mo__at(c->origin, line, NULL, status);
}

/* Whether the line's indentation holds a tab. */
static bool is_tab_indented(const check *c, int line)
{
    const char *p = c->text, *end = c->text + c->size;
    for (int i = 1; i < line; i++) {
        const char *feed = memchr(p, '\n', (size_t)(end - p));
        if (!feed) return false;
        p = feed + 1;
    }
    while (p < end && *p == ' ') p++;
    return p < end && *p == '\t';
}

static int line_at_offset(const check *c, size_t offset)
{
    int line = 1;
    for (size_t i = 0; i < offset && i < c->size; i++) line += c->text[i] == '\n';
    return line;
}

static mo_status refuse_syntax(const check *c, const yaml_parser_t *parser)
{
    const char *problem = parser->problem ? parser->problem : "unknown problem";
    if (parser->error == YAML_MEMORY_ERROR) return no_memory(c->origin);
    if (parser->error == YAML_READER_ERROR)
        return at_line(c, line_at_offset(c, parser->problem_offset),
                       mo_error(MO_E_CONFIG, "is not text in UTF-8: %s", problem));
    int line = (int)parser->problem_mark.line + 1;
    if (is_tab_indented(c, line))
        return at_line(c, line, mo_error(MO_E_CONFIG, "a tab indents this line; YAML takes spaces only"));
    int column = (int)parser->problem_mark.column + 1;
    int start = (int)parser->context_mark.line + 1;
    const char *context = parser->context ? parser->context : "";
    const char *comma = *context ? ", " : "";
    mo_status status = MO_E_CONFIG;
    if (*context && start != line)
        mo_error(status, "not valid YAML at column %d: %s, %s from line %d on", column, problem, context,
                 start);
    else
        mo_error(status, "not valid YAML at column %d: %s%s%s", column, problem, comma, context);
    return at_line(c, line, status);
}

static mo_status check_node(check *c, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        return mo_error(MO_E_CONFIG,
                        "anchors (&%s) are not supported; write the value out where it is needed",
                        mo__show((const char *)anchor).text);
    if (tag)
        return mo_error(MO_E_CONFIG, "tags (%s) are not supported; leave the tag out",
                        mo__show((const char *)tag).text);
    if (++c->nodes > MOST_NODES)
        return mo_error(MO_E_CONFIG, "more than %d names and values; a config has a few hundred", MOST_NODES);
    return MO_OK;
}

static mo_status enter(check *c)
{
    if (++c->depth <= MOST_DEPTH) return MO_OK;
    return mo_error(MO_E_CONFIG, "nested deeper than %d levels; a config has sections of keys", MOST_DEPTH);
}

static mo_status check_event(check *c, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++c->documents == 1) return MO_OK;
        return mo_error(MO_E_CONFIG, "a second document starts here; a config is one");
    case YAML_ALIAS_EVENT:
        return mo_error(MO_E_CONFIG,
                        "aliases (*%s) are not supported; write the value out, or quote it if it is text",
                        mo__show((const char *)event->data.alias.anchor).text);
    case YAML_SCALAR_EVENT:
        return check_node(c, event->data.scalar.anchor, event->data.scalar.tag);
    case YAML_SEQUENCE_START_EVENT:
        MO_TRY(enter(c));
        return check_node(c, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        MO_TRY(enter(c));
        return check_node(c, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        c->depth--;
        return MO_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return MO_OK;
}

static mo_status check_stream(check *c, yaml_parser_t *parser)
{
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) return refuse_syntax(c, parser);
        ended = event.type == YAML_STREAM_END_EVENT;
        mo_status status = check_event(c, &event);
        if (status != MO_OK) at_line(c, (int)event.start_mark.line + 1, status);
        yaml_event_delete(&event);
        if (status != MO_OK) return status;
    }
    return MO_OK;
}

static mo_status start(yaml_parser_t *parser, const char *text, size_t size, const char *origin)
{
    if (!yaml_parser_initialize(parser)) return no_memory(origin);
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, size);
    return MO_OK;
}

static mo_status check_text(const char *text, size_t size, const char *origin)
{
    check c = {.origin = origin, .text = text, .size = size};
    yaml_parser_t parser;
    MO_TRY(start(&parser, text, size, origin));
    mo_status status = check_stream(&c, &parser);
    yaml_parser_delete(&parser);
    return status;
}

mo_status mo__yaml_load(const char *text, size_t size, const char *origin, mo__tree *out)
{
    static const char mark[] = "\xEF\xBB\xBF";
    size_t skip = size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    yaml_parser_t parser;
    out->origin = origin;
    MO_TRY(check_text(text + skip, size - skip, origin));
    MO_TRY(start(&parser, text + skip, size - skip, origin));
    /* The text was found good, so only memory can be missing. */
    mo_status status = yaml_parser_load(&parser, &out->document) ? MO_OK : no_memory(origin);
    yaml_parser_delete(&parser);
    return status;
}
