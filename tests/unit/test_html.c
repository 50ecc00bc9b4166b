/* test_html.c -- pages: what is escaped, how tables are put together, CSV, what becomes of memory that runs
 * out. */
#include "harness/harness.h"

#include <math.h>
#include <string.h>

#include "lab/plot.h"

static void expect(mo__html *h, const char *wanted)
{
    char *text;
    MO_CHECK_OK(mo__html_finish(h, MO_OK, &text));
    assert_string_equal(text, wanted);
    mo_free(text);
}

static void everything_is_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"a < b && c > \"d\" 'e'", "a &lt; b &amp;&amp; c &gt; &quot;d&quot; &#39;e&#39;"},
        {"</script><img src=x onerror=alert(1)>", "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"},
        {"&amp;", "&amp;amp;"},
        {"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
        {"a\xFF"
         "b\xC3",
         "a\xEF\xBF\xBD"
         "b\xEF\xBF\xBD"},
        {"\x01\x1B[31m\x7F\r\n\t", "\xEF\xBF\xBD\xEF\xBF\xBD[31m\xEF\xBF\xBD\xEF\xBF\xBD\n\t"},
        {"\xC2\x85\xEF\xBF\xBE\xEF\xB7\x90", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mo__html h = {0};
        mo__html_text(&h, "%s", cases[i].text);
        expect(&h, cases[i].wanted);
    }
}

/* Longer than the room on the stack that most texts have enough of. */
static void long_texts_are_whole(void **state)
{
    (void)state;
    char text[1001], wanted[4001];
    memset(text, '<', 1000);
    text[1000] = '\0';
    for (int i = 0; i < 1000; i++) memcpy(wanted + 4 * (size_t)i, "&lt;", 5);
    mo__html h = {0};
    mo__html_text(&h, "%s", text);
    expect(&h, wanted);
}

static void tables_have_their_columns(void **state)
{
    (void)state;
    mo__html h = {0};
    mo__html_table_begin(&h, "A & B", "<Name|>Loss, nats");
    mo__html_column(&h, true, "x < y");
    mo__html_cell(&h, "%s", "<v1>");
    mo__html_cell(&h, "%.2f", 1.5);
    mo__html_cell(&h, "%d", 3);
    mo__html_row(&h, "best");
    mo__html_cell(&h, "%s", "v2");
    mo__html_table_end(&h);
    expect(&h, "<div class=\"table\"><table>\n<caption>A &amp; B</caption>\n<thead><tr><th>Name</th>\n"
               "<th class=\"n\">Loss, nats</th>\n<th class=\"n\">x &lt; y</th>\n</tr></thead>\n<tbody>\n"
               "<tr><td>&lt;v1&gt;</td><td class=\"n\">1.50</td><td class=\"n\">3</td></tr>\n"
               "<tr class=\"best\"><td>v2</td><td class=\"n\"></td><td class=\"n\"></td></tr>\n"
               "</tbody></table></div>\n");
    mo__html_table_begin(&h, NULL, "=In one line|<some_long_key");
    mo__html_cell(&h, "%s", "a b");
    mo__html_cell(&h, "%s", "c_d");
    mo__html_table_end(&h);
    expect(&h, "<div class=\"table\"><table>\n<thead><tr><th>In one line</th>\n"
               "<th>some_<wbr>long_<wbr>key</th>\n</tr></thead>\n<tbody>\n"
               "<tr><td class=\"k\">a b</td><td>c_d</td></tr>\n</tbody></table></div>\n");
    mo__html_table_begin(&h, NULL, "<Nothing");
    mo__html_table_end(&h);
    expect(&h, "<div class=\"table\"><table>\n<thead><tr><th>Nothing</th>\n</tr></thead>\n<tbody>\n"
               "</tbody></table></div>\n");
}

static void csv_is_quoted_where_it_must(void **state)
{
    (void)state;
    mo__csv csv = {0};
    char *text;
    mo__csv_text(&csv, "plain");
    mo__csv_text(&csv, "a,b");
    mo__csv_text(&csv, "say \"hi\"");
    mo__csv_text(&csv, "two\nlines");
    mo__csv_text(&csv, "");
    mo__csv_end_row(&csv);
    mo__csv_number(&csv, 0.1);
    mo__csv_number(&csv, (double)NAN);
    mo__csv_number(&csv, 1.0 / 3);
    mo__csv_number(&csv, 3e15);
    mo__csv_number(&csv, 1228800);
    mo__csv_whole(&csv, INT64_C(9007199254740993));
    mo__csv_end_row(&csv);
    MO_CHECK_OK(mo__buffer_finish(&csv.out, MO_OK, &text));
    assert_string_equal(text, "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\n"
                              "0.1,,0.3333333333333333,3e+15,1228800,9007199254740993\n");
    mo_free(text);
}

static mo_status small_page(void)
{
    mo__html h = {0};
    char *text = NULL;
    mo__html_page_begin(&h, "A title");
    mo__html_section_begin(&h, "A section");
    for (int i = 0; i < 40; i++)
        mo__html_paragraph(&h, "note", "%s %0300d", "A text longer than what fits on the stack:", i);
    mo__html_section_end(&h);
    mo__html_page_end(&h);
    mo_status status = mo__html_finish(&h, MO_OK, &text);
    mo_free(text);
    return status;
}

static void memory_may_run_out(void **state)
{
    (void)state;
    int64_t failed, before = mo__alloc_live();
    MO_CHECK_EACH_ALLOCATION(failed, small_page());
    assert_true(failed > 40);
    assert_int_equal(mo__alloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_escaped),     cmocka_unit_test(long_texts_are_whole),
        cmocka_unit_test(tables_have_their_columns), cmocka_unit_test(csv_is_quoted_where_it_must),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
