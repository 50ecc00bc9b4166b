/* test_crc32c.c -- the examples of RFC 3720, B.4. */
#include "harness/harness.h"

#include <string.h>

#include "base/crc32c.h"

static void the_examples_of_the_rfc(void **state)
{
    (void)state;
    unsigned char bytes[48] = {0};
    assert_int_equal(mo__crc32c(bytes, 32), 0x8A9136AA);
    memset(bytes, 0xFF, 32);
    assert_int_equal(mo__crc32c(bytes, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
    assert_int_equal(mo__crc32c(bytes, 32), 0x46DD794E);
    for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(mo__crc32c(bytes, 32), 0x113FDB5C);
    static const unsigned char read_command[48] = {
        0x01, 0xC0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0};
    assert_int_equal(mo__crc32c(read_command, 48), 0xD9963A56);
    assert_int_equal(mo__crc32c(bytes, 0), 0);
    assert_int_equal(mo__crc32c("123456789", 9), 0xE3069283); /* the customary check value */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_examples_of_the_rfc)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
