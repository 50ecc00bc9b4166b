/* apportion.c -- who gets which place of a stream, by nested two-way splits.
 *
 * A split gives its light child, whose share of the two weights is r <= 1/2, the places q with
 *     A(q + 1) > A(q),   A(q) = floor(q r + 1/2),
 * evenly spread as Bresenham spreads the steps of a line; A(q) is also how many it had before, so q has the
 * index A(q) in the light child's stream or q - A(q) in the heavy child's. r is in 64-bit fixed point and the
 * product in 128 bits: exact for every q.
 *
 * The tree is Huffman's (1952): the two lightest are joined first. A split rounds by at most 1/2, and of what
 * was rounded at a node v a source of weight w gets the part w / W_v below it, so that a source is off its
 * exact share of any number of places by at most
 *     1/2 sum_v w / W_v,   v on the way from the source up to the root's child.
 * In Huffman's tree W of a grandparent is at least W_parent + W_v (its other child is no lighter than v), so
 * the terms fall at least like 1/1, 1/1, 1/2, 1/3, 1/5 ...: less than 1 for up to three sources, less
 * than 1.7 for any number, and 1/2 for two. */
#include "apportion.h"

/* The lightest node that has no parent yet, but not `other`. */
static int lightest(const mo__apportion_node *nodes, int count, int other)
{
    int found = -1;
    for (int i = 0; i < count; i++)
        if (nodes[i].parent < 0 && i != other && (found < 0 || nodes[i].weight < nodes[found].weight))
            found = i;
    return found;
}

mo_status mo__apportion_create(const double *weights, int count, mo__apportion *out)
{
    int total = 2 * count - 1;
    *out = (mo__apportion){.count = count, .nodes = mo_calloc((size_t)total, sizeof *out->nodes)};
    if (!out->nodes) return MO_E_MEMORY;
    for (int i = 0; i < total; i++) {
        mo__apportion_node *node = &out->nodes[i];
        *node = (mo__apportion_node){.parent = -1, .light = -1, .heavy = -1};
        if (i < count) {
            node->weight = weights[i];
            continue;
        }
        node->light = lightest(out->nodes, i, -1);
        node->heavy = lightest(out->nodes, i, node->light);
        double light = out->nodes[node->light].weight, heavy = out->nodes[node->heavy].weight;
        node->weight = light + heavy;
        node->ratio = (uint64_t)(light / node->weight * 0x1p64);
        out->nodes[node->light].parent = out->nodes[node->heavy].parent = i;
    }
    return MO_OK;
}

void mo__apportion_free(mo__apportion *a)
{
    mo_free(a->nodes);
    *a = (mo__apportion){0};
}

/* A(q): how many of a node's first q places its light child has. */
static int64_t light_places(const mo__apportion_node *node, int64_t q)
{
    unsigned __int128 half = (unsigned __int128)1 << 63;
    return (int64_t)(((unsigned __int128)(uint64_t)q * node->ratio + half) >> 64);
}

int mo__apportion_at(const mo__apportion *a, int64_t place, int64_t *before)
{
    int at = 2 * a->count - 2;
    while (at >= a->count) {
        const mo__apportion_node *node = &a->nodes[at];
        int64_t light = light_places(node, place);
        bool is_light = light_places(node, place + 1) > light;
        at = is_light ? node->light : node->heavy;
        place = is_light ? light : place - light;
    }
    *before = place;
    return at;
}

int64_t mo__apportion_count(const mo__apportion *a, int source, int64_t places)
{
    int parent = a->nodes[source].parent;
    if (parent < 0) return places;
    int64_t q = mo__apportion_count(a, parent, places), light = light_places(&a->nodes[parent], q);
    return a->nodes[parent].light == source ? light : q - light;
}
