"""Router noise, dropout masks, jitter and random choices, again: Philox 4x32-10 (Salmon et al. 2011) and Box-Muller, packed as src/base/rng.c says."""

import math

ROUTER_NOISE, DROPOUT, JITTER, HASH, CHOICE = 2, 6, 9, 10, 11  # MO_RNG_...
LOW = 0xFFFFFFFF


def philox(key, counter):
    k, c = list(key), list(counter)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & LOW, (a >> 32) ^ c[3] ^ k[1], a & LOW]
        k = [(k[0] + 0x9E3779B9) & LOW, (k[1] + 0xBB67AE85) & LOW]
    return c


# The all-zero vector that Random123 publishes.
assert philox([0, 0], [0, 0, 0, 0]) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def unit(top, bottom):
    return ((top << 32 | bottom) >> 11) * 2.0**-53


def words(seed, purpose, step, layer, index):
    """mo_rng_bits(seed, purpose, step, layer, index), for index and step below 2^48, layer below 2^24."""
    place = [index & LOW, index >> 32 | step >> 32 << 16, step & LOW, layer | purpose << 24]
    return philox([seed & LOW, seed >> 32], place)


def normal(seed, step, layer, index):
    """mo_rng_normal(seed, MO_RNG_NOISE, step, layer, index)."""
    b = words(seed, ROUTER_NOISE, step, layer, index)
    return math.sqrt(-2 * math.log(1 - unit(b[0], b[1]))) * math.cos(2 * math.pi * unit(b[2], b[3]))
