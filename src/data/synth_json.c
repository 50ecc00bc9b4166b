/* synth_json.c -- records of three kinds, each with its own fields in their own order. Logins follow from
 * names, countries from cities, sums from prices, extremes from readings. */
#include "synth.h"

#include <ctype.h>

MO__WORDS(kinds, "{\"kind\": \"user\", ", "{\"kind\": \"sale\", ", "{\"kind\": \"node\", ");
MO__WORDS(first_names, "Ann", "Bob", "Cho", "Dan", "Eli", "Fay", "Gil", "Hui", "Ian", "Jon", "Kay", "Lea",
          "Mei", "Noa", "Ola", "Pia", "Quy", "Ron", "Sid", "Tia", "Ute", "Val", "Wes", "Xia", "Yan", "Zed");
MO__WORDS(last_names, "Abel", "Birk", "Cruz", "Dahl", "Egan", "Funk", "Gray", "Holt", "Ivey", "Jung", "Koch",
          "Lind", "Moss", "Nunn", "Ochs", "Pohl", "Quon", "Rusk", "Shaw", "Tran", "Udo", "Voss", "Wolf",
          "Yoon", "Zhao", "Bell");
MO__WORDS(cities, "Oslo", "Rome", "Lima", "Cairo", "Paris", "Kyoto", "Delhi", "Quito", "Bonn", "Graz",
          "Minsk", "Hanoi", "Accra", "Doha", "Porto", "Turku");
static const char *const COUNTRY[] = {"Norway", "Italy",   "Peru",     "Egypt",   "France",  "Japan",
                                      "India",  "Ecuador", "Germany",  "Austria", "Belarus", "Vietnam",
                                      "Ghana",  "Qatar",   "Portugal", "Finland"};
MO__WORDS(likes, "tea", "jazz", "chess", "golf", "yoga", "film", "opera", "wine", "art", "maps", "judo",
          "bees", "kites", "rugby", "dogs", "rock");
MO__WORDS(more, ", \"", "]}\n");
MO__WORDS(booleans, "true", "false");
MO__WORDS(letters, "K", "T", "B", "R", "M", "X", "A", "Q", "H", "Z", "C", "E");
MO__WORDS(sale_more, ", {\"sku\": \"", "], ");
static const char *const READING_MORE[] = {", ", "], "};
enum { FEWEST_READINGS = 10, MOST_READINGS = 50 };

/* {"kind": "user", "id": 4821, "name": "Ann Holt", "login": "aholt21", ... "likes": ["tea", "golf"]} */
static void write_user(mo__synth *s)
{
    mo__synth_say(s, "\"id\": ");
    int64_t id = mo__synth_number(s, 1000, 9999, ", \"name\": \"");
    int first = mo__synth_pick(s, &first_names);
    mo__synth_say(s, " ");
    const char *last = last_names.text[mo__synth_pick(s, &last_names)];
    mo__synth_say(
        s, "\", \"login\": \"%c%c%s%02d\", \"age\": ", tolower((unsigned char)first_names.text[first][0]),
        tolower((unsigned char)last[0]), last + 1, (int)(id % 100));
    int64_t age = mo__synth_number(s, 9, 98, ", \"adult\": ");
    mo__synth_say(s, "%s, \"city\": \"", age >= 18 ? "true" : "false");
    int city = mo__synth_pick(s, &cities);
    mo__synth_say(s, "\", \"country\": \"%s\", \"tel\": \"", COUNTRY[city]);
    mo__synth_number(s, 100, 999, "-");
    mo__synth_number(s, 1000, 9999, "-");
    mo__synth_number(s, 1000, 9999, "\", \"likes\": [\"");
    uint64_t taken = 0;
    for (int n = 0, next = 0; next == 0; n++) {
        taken |= UINT64_C(1) << mo__synth_pick_other(s, &likes, taken);
        mo__synth_say(s, "\"");
        next = mo__synth_pick_other(s, &more, n == 3 ? 1 : 0);
    }
}

/* {"kind": "sale", "no": 48213, "day": 14, "items": [{"sku": "KT7", "qty": 3, "price": 25, "sum": 75}], ...}
 */
static void write_sale(mo__synth *s)
{
    int64_t total = 0;
    mo__synth_say(s, "\"no\": ");
    mo__synth_number(s, 10000, 99999, ", \"day\": ");
    mo__synth_number(s, 1, 30, ", \"items\": [{\"sku\": \"");
    for (int n = 0, next = 0; next == 0; n++) {
        for (int i = 0; i < 3; i++) mo__synth_pick(s, &letters);
        mo__synth_number(s, 100, 999, "\", \"qty\": ");
        int64_t quantity = mo__synth_number(s, 1, 5, ", \"price\": ");
        int64_t price = mo__synth_number(s, 1, 50, ", \"sum\": ");
        total += quantity * price;
        mo__synth_say(s, "%lld}", (long long)(quantity * price));
        next = mo__synth_pick_other(s, &sale_more, n == 3 ? 1 : 0);
    }
    mo__synth_say(s, "\"total\": %lld, \"paid\": ", (long long)total);
    mo__synth_pick(s, &booleans);
    mo__synth_say(s, "}\n");
}

/* The next reading is within 3 of the last. */
static int next_reading(mo__synth *s, int last)
{
    static const uint8_t WEIGHT[] = {1, 2, 4, 3, 4, 2, 1};
    char text[7][4];
    const char *entries[7];
    uint8_t weight[7];
    for (int i = 0; i < 7; i++) {
        int value = last + i - 3;
        bool fits = value >= 10 && value <= 99;
        weight[i] = fits ? WEIGHT[i] : 0;
        snprintf(text[i], sizeof text[i], "%d", fits ? value : 0);
        entries[i] = text[i];
    }
    return last + mo__synth_draw(s, entries, weight, 7) - 3;
}

/* {"kind": "node", "id": "KX214", "at": 512, "temp": [21, 22, 24], "min": 21, "max": 24, "n": 3} */
static void write_node(mo__synth *s)
{
    mo__synth_say(s, "\"id\": \"");
    for (int i = 0; i < 2; i++) mo__synth_pick(s, &letters);
    mo__synth_number(s, 100, 999, "\", \"at\": ");
    mo__synth_number(s, 10000, 99999, ", \"temp\": [");
    int value = (int)mo__synth_number(s, 10, 79, ", "), low = value, high = value, n = 1, end = 0;
    for (; end == 0; n++) {
        value = next_reading(s, value);
        low = value < low ? value : low;
        high = value > high ? value : high;
        const uint8_t weight[] = {n + 1 < MOST_READINGS ? 9 : 0, n + 1 >= FEWEST_READINGS ? 1 : 0};
        end = mo__synth_draw(s, READING_MORE, weight, 2);
    }
    mo__synth_say(s, "\"min\": %d, \"max\": %d, \"n\": %d}\n", low, high, n);
}

void mo__synth_json(mo__synth *s)
{
    switch (mo__synth_pick(s, &kinds)) {
    case 0:
        write_user(s);
        break;
    case 1:
        write_sale(s);
        break;
    case 2:
        write_node(s);
        break;
    }
}
