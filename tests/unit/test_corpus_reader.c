/* test_corpus_reader.c -- files to records: whole documents whatever the blocks they are read in, gzip,
 * lines. */
#include <string.h>
#include <zlib.h>

#include "data/corpus_ahead.h"
#include "data/corpus_cut.h"
#include "data/corpus_stream.h"
#include "harness/harness.h"

static int make_folder(void **state)
{
    *state = temp_make();
    return 0;
}

static int remove_folder(void **state)
{
    temp_remove(*state);
    return 0;
}

/* ---- what a reader gives, put together ---- */

typedef struct {
    char *text; /* documents, each followed by a NUL */
    size_t size;
    int64_t documents, records, last_line, batches;
    int64_t invalid;
    size_t largest; /* bytes that a batch took */
} content;

static void add(content *c, const void *bytes, size_t size)
{
    c->text = mo_realloc(c->text, c->size + size + 1);
    memcpy(c->text + c->size, bytes, size);
    c->size += size;
}

static void take(content *c, const mo__records *b)
{
    bool open = c->size > 0 && c->text[c->size - 1] != '\0';
    for (int64_t i = 0; i < b->count; i++) {
        const mo__record *r = &b->at[i];
        assert_true(r->begins == !open);
        add(c, b->bytes + r->at, r->size);
        c->invalid += mo_utf8_invalid(b->bytes + r->at, r->size);
        if (r->ends) add(c, "", 1);
        open = !r->ends;
        c->documents += r->ends;
        c->last_line = r->line;
        c->records++;
    }
    c->batches++;
    if (b->used > c->largest) c->largest = b->used;
}

static mo_status read_files(const mo__corpus_file *files, int64_t n, const char *separator, content *c)
{
    mo__reader_plan plan = {.files = files, .n_files = n, .separator = separator};
    mo__reader *reader;
    mo__ahead *ahead;
    const mo__records *batch = NULL;
    *c = (content){0};
    MO_CHECK_OK(mo__reader_open(&plan, &reader));
    MO_CHECK_OK(mo__ahead_start(reader, &ahead));
    mo_status status = MO_OK;
    while (status == MO_OK && !(batch && batch->last)) {
        status = mo__ahead_next(ahead, &batch);
        if (status == MO_OK) take(c, batch);
    }
    mo__ahead_stop(ahead);
    mo__reader_close(reader);
    return status;
}

static mo_status read_path(const char *path, const char *separator, content *c)
{
    mo__corpus_file file;
    *c = (content){0};
    MO_TRY(mo__corpus_file_look(path, MO_CORPUS_AUTO, &file));
    mo_status status = read_files(&file, 1, separator, c);
    mo_free(file.path);
    return status;
}

static void expect(const char *path, const char *separator, const char *documents, size_t size)
{
    content c;
    MO_CHECK_OK(read_path(path, separator, &c));
    assert_int_equal(c.size, size);
    assert_memory_equal(c.text, documents, size);
    mo_free(c.text);
}
#define EXPECT(path, separator, documents) expect(path, separator, documents, sizeof(documents) - 1)

static const char *write_bytes(const char *dir, const char *name, const void *bytes, size_t size)
{
    const char *path = temp_path(dir, name);
    MO_CHECK_OK(mo_write_file(path, bytes, size));
    return path;
}
#define WRITE(name, bytes) write_bytes(*state, name, bytes, sizeof(bytes) - 1)

/* ---- texts ---- */

static void texts_are_cut_at_separators(void **state)
{
    EXPECT(WRITE("plain", "a<x>\nb<x>c\n"), NULL, "a<x>\nb<x>c\n\0");
    EXPECT(WRITE("a", "a\n<x>\nb<x>c\n"), "<x>", "a\n\0b\0c\n\0");
    EXPECT(WRITE("crlf", "a<x>\r\nb<x>\rc"), "<x>", "a\0b\0\rc\0");
    /* What is behind a last separator is a document only if it has text; two in a row have none between. */
    EXPECT(WRITE("last", "a<x>\n"), "<x>", "a\0");
    EXPECT(WRITE("twice", "<x><x>\n<x>a"), "<x>", "\0\0\0a\0");
    EXPECT(WRITE("none", "a"), "<x>", "a\0");
    EXPECT(WRITE("empty", ""), "<x>", "\0");
    EXPECT(WRITE("empty", ""), NULL, "\0");
    EXPECT(WRITE("half", "a<x"), "<x>", "a<x\0");
    EXPECT(WRITE("mark", "\xEF\xBB\xBF"
                         "a\xEF\xBB\xBF"),
           NULL, "a\xEF\xBB\xBF\0");
    EXPECT(WRITE("only mark", "\xEF\xBB\xBF"), NULL, "\0");
}

/* Separators and characters of several bytes on and around the ends of pieces and blocks. */
static void long_texts_are_whole(void **state)
{
    enum { SIZE = 44 * MO__CORPUS_PIECE };
    static const char SEPARATOR[] = "<|end|>", LETTERS[] = "aé€😀";
    const size_t width = sizeof LETTERS - 1, end = sizeof SEPARATOR - 1;
    char *text = mo_malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) text[i] = LETTERS[i % width];
    for (int i = 0; i < 40; i++) {
        size_t at = (size_t)(1 + i / 5) * MO__CORPUS_PIECE - (size_t)(i % 5) * 3 + (size_t)i / 8;
        memcpy(text + at, SEPARATOR, end);
    }
    text[3 * MO__CORPUS_PIECE - 100] = (char)0xFF;
    const char *path = write_bytes(*state, "long", text, SIZE);
    content whole, parts;
    MO_CHECK_OK(read_path(path, NULL, &whole));
    assert_int_equal(whole.size, SIZE + 1);
    assert_memory_equal(whole.text, text, SIZE);
    assert_true(whole.records >= 44 && whole.batches > 2 && whole.largest < 3 * MO__CORPUS_BATCH);
    assert_int_equal(whole.invalid, mo_utf8_invalid(text, SIZE));

    MO_CHECK_OK(read_path(path, SEPARATOR, &parts));
    char *wanted = mo_malloc(SIZE + 1), *to = wanted;
    for (const char *from = text, *next; from; from = next ? next + end : NULL) {
        next = memmem(from, (size_t)(text + SIZE - from), SEPARATOR, end);
        size_t size = (size_t)((next ? next : text + SIZE) - from);
        memcpy(to, from, size);
        to += size;
        *to++ = '\0';
    }
    assert_int_equal(parts.size, to - wanted);
    assert_memory_equal(parts.text, wanted, parts.size);
    mo_free(wanted);
    mo_free(whole.text);
    mo_free(parts.text);
    mo_free(text);
}

static void characters_are_not_torn(void **state)
{
    (void)state;
    static const char text[] = "ab\xF0\x9F\x98\x80z";
    const size_t cuts[] = {0, 1, 2, 2, 2, 2, 6, 7};
    for (size_t i = 1; i < sizeof text - 1; i++) assert_int_equal(mo__corpus_character(text, i), cuts[i]);
    static const char stray[] = "a\x80\x80\x80\x80\x80\x80z";
    for (size_t i = 5; i < 7; i++) assert_int_equal(mo__corpus_character(stray, i), i);
    /* Counted piece by piece, bytes that are not UTF-8 are as many as counted at once. */
    static const char mixed[] =
        "\xE2\x82\x82\xE2\x82z\xF0\x9F\x98\x80\x80\xF0\x9F\xC3\xA9\xC3\xED\xA0\x80z\xF0\x9F\x98";
    for (size_t i = 1; i < sizeof mixed - 1; i++) {
        size_t cut = mo__corpus_character(mixed, i);
        assert_true(cut <= i && cut + 3 >= i);
        assert_int_equal(mo_utf8_invalid(mixed, cut) + mo_utf8_invalid(mixed + cut, sizeof mixed - 1 - cut),
                         mo_utf8_invalid(mixed, sizeof mixed - 1));
    }
}

/* ---- lines ---- */

static void lines_are_records(void **state)
{
    EXPECT(WRITE("a.jsonl", "{}\n\n \t\r\n[1]\r\nx"), NULL, "{}\0[1]\r\0x\0");
    EXPECT(WRITE("empty.jsonl", ""), NULL, "");
    EXPECT(WRITE("blank.jsonl", "\n\n"), NULL, "");
    content c;
    MO_CHECK_OK(read_path(temp_path(*state, "a.jsonl"), NULL, &c));
    assert_int_equal(c.last_line, 5);
    assert_int_equal(c.documents, 3);
    mo_free(c.text);
}

static void long_lines_are_whole(void **state)
{
    enum { LONG = 5 * MO__CORPUS_BATCH + 17, BLANK = 2 * MO__CORPUS_BATCH };
    char *text = mo_malloc(LONG + BLANK + 10);
    memset(text, 'x', LONG);
    text[LONG] = '\n';
    memset(text + LONG + 1, '\n', BLANK);
    memcpy(text + LONG + 1 + BLANK, "y\nz", 3);
    const char *path = write_bytes(*state, "a.ndjson", text, LONG + BLANK + 4);
    content c;
    MO_CHECK_OK(read_path(path, NULL, &c));
    assert_int_equal(c.documents, 3);
    assert_int_equal(c.last_line, BLANK + 3);
    assert_int_equal(c.size, LONG + 5);
    assert_true(c.text[LONG - 1] == 'x' && c.text[LONG] == 0 && c.text[LONG + 1] == 'y' &&
                c.text[LONG + 3] == 'z');
    mo_free(c.text);
    mo_free(text);
}

static void files_follow_each_other(void **state)
{
    mo__corpus_file files[3];
    content c;
    WRITE("1.txt", "one\ntwo\n");
    WRITE("2.jsonl", "{1}\n{2}");
    WRITE("3.txt", "three");
    static const char *const names[] = {"1.txt", "2.jsonl", "3.txt"};
    for (int i = 0; i < 3; i++)
        MO_CHECK_OK(mo__corpus_file_look(temp_path(*state, names[i]), MO_CORPUS_AUTO, &files[i]));
    MO_CHECK_OK(read_files(files, 3, NULL, &c));
    assert_int_equal(c.size, 23);
    assert_memory_equal(c.text, "one\ntwo\n\0{1}\0{2}\0three\0", 23);
    mo_free(c.text);
    for (int i = 0; i < 3; i++) mo_free(files[i].path);
}

/* ---- gzip ---- */

static size_t pack(const void *bytes, size_t size, unsigned char *out, size_t room)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)bytes, .avail_in = (uInt)size};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static void gzip_is_unpacked(void **state)
{
    enum { SIZE = 3 * MO__CORPUS_PIECE, ROOM = 2 * SIZE };
    char *text = mo_malloc(SIZE);
    unsigned char *packed = mo_malloc(ROOM);
    for (size_t i = 0; i < SIZE; i++) text[i] = (char)('a' + (i * i / 7) % 26);
    /* Several members, one of them of nothing, zeros behind the last. */
    size_t cuts[] = {0, 5, 5, MO__CORPUS_PIECE, SIZE}, size = 0;
    for (int i = 0; i < 4; i++)
        size += pack(text + cuts[i], cuts[i + 1] - cuts[i], packed + size, ROOM - size);
    memset(packed + size, 0, 1000);
    content c;
    MO_CHECK_OK(read_path(write_bytes(*state, "any name", packed, size + 1000), NULL, &c));
    assert_int_equal(c.size, SIZE + 1);
    assert_memory_equal(c.text, text, SIZE);
    mo_free(c.text);
    /* What stands behind it and is no member, is not passed over. */
    packed[size + 1000] = 'x';
    MO_CHECK_STATUS(read_path(write_bytes(*state, "behind", packed, size + 1001), NULL, &c), MO_E_CORRUPT);
    MO_CHECK_MESSAGE("behind: what begins at byte");
    mo_free(c.text);
    mo_free(packed);
    mo_free(text);
}

static void broken_gzip_is_refused(void **state)
{
    char text[5000], place[128];
    unsigned char packed[6000];
    content c;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i * i % 23);
    size_t size = pack(text, sizeof text, packed, sizeof packed);
    for (size_t cut = 2; cut < size; cut += cut < 40 || cut + 20 > size ? 1 : 37) {
        MO_CHECK_STATUS(read_path(write_bytes(*state, "cut", packed, cut), NULL, &c), MO_E_CORRUPT);
        snprintf(place, sizeof place, "cut: is cut short: its gzip data end in the middle, at byte %zu", cut);
        MO_CHECK_MESSAGE(place);
        mo_free(c.text);
    }
    packed[size - 6] ^= 1; /* of the checksum */
    MO_CHECK_STATUS(read_path(write_bytes(*state, "bad", packed, size), NULL, &c), MO_E_CORRUPT);
    MO_CHECK_MESSAGE("bad: its gzip data are damaged at or before byte");
    mo_free(c.text);
}

/* ---- what is no text ---- */

static void other_files_are_refused(void **state)
{
    static const struct {
        const char *bytes, *message;
    } files[] = {{"MOIRA TOKENS 1\n", "is a token file of Moira"},
                 {"MOIRA CHECKPOINT 1\n", "is a checkpoint of Moira"},
                 {"\x89HDF\r\n\x1a\n", "is an HDF5 file"},
                 {"PK\x03\x04..", "is a zip archive"},
                 {"\xff\xfe"
                  "a",
                  "iconv -f UTF-16 -t UTF-8"}};
    mo__corpus_file file;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = write_bytes(*state, "f", files[i].bytes, strlen(files[i].bytes));
        mo_error_clear();
        MO_CHECK_STATUS(mo__corpus_file_look(path, MO_CORPUS_AUTO, &file), MO_E_FORMAT);
        MO_CHECK_MESSAGE(files[i].message);
    }
    MO_CHECK_STATUS(mo__corpus_file_look(*state, MO_CORPUS_AUTO, &file), MO_E_FORMAT);
    content c;
    MO_CHECK_STATUS(read_path(WRITE("nul", "\xEF\xBB\xBF"
                                           "ab\0c"),
                              NULL, &c),
                    MO_E_FORMAT);
    MO_CHECK_MESSAGE("nul: byte 5 is NUL");
    mo_free(c.text);
}

static void memory_may_fail_anywhere(void **state)
{
    enum { SIZE = 2 * MO__CORPUS_PIECE };
    char *text = mo_malloc(SIZE);
    unsigned char *packed = mo_malloc(SIZE);
    memset(text, 'a', SIZE);
    size_t size = pack(text, SIZE, packed, SIZE);
    mo__corpus_file file;
    MO_CHECK_OK(mo__corpus_file_look(write_bytes(*state, "a.gz", packed, size), MO_CORPUS_AUTO, &file));
    mo_free(packed);
    mo_free(text);
    int64_t live = mo__alloc_live(), failed;
    for (failed = 0;; failed++) {
        mo__reader_plan plan = {.files = &file, .n_files = 1};
        mo__reader *reader;
        mo__records batch = {0};
        mo__alloc_fail_after(failed);
        mo_status status = mo__reader_open(&plan, &reader);
        while (status == MO_OK && !batch.last) status = mo__reader_next(reader, &batch);
        mo__alloc_fail_after(-1);
        mo__records_free(&batch);
        mo__reader_close(reader);
        assert_int_equal(mo__alloc_live(), live);
        if (status == MO_OK) break;
        assert_int_equal(status, MO_E_MEMORY);
    }
    assert_true(failed > 5);
    mo_free(file.path);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(texts_are_cut_at_separators),
        WITH_FOLDER(long_texts_are_whole),
        cmocka_unit_test(characters_are_not_torn),
        WITH_FOLDER(lines_are_records),
        WITH_FOLDER(long_lines_are_whole),
        WITH_FOLDER(files_follow_each_other),
        WITH_FOLDER(gzip_is_unpacked),
        WITH_FOLDER(broken_gzip_is_refused),
        WITH_FOLDER(other_files_are_refused),
        WITH_FOLDER(memory_may_fail_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
