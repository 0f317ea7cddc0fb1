/*
 * The twins of the Rust probes: the same functions over statics of their own, named c_MODEL_LOOKUP.
 */
#include "lookups.h"

/* Where Linux keeps the array with 4-level tables; the Rust probe has the same. */
#define VMEMMAP ((struct page *)UINT64_C(0xffffea0000000000))

extern struct section c_flat[NR_SECTIONS];
extern struct section *c_roots[NR_ROOTS];
extern struct page *c_array;

struct section c_flat[NR_SECTIONS];
struct section *c_roots[NR_ROOTS];
struct page *c_array;

#define PROBE(result, name, parameter)     \
    result name(parameter);                \
    __attribute__((noinline)) result name(parameter)

/* classic-sparse */

PROBE(struct page *, c_classic_unchecked, uint64_t pfn)
{
    return word_page(section_word(flat_section_unchecked(c_flat, pfn)), pfn);
}

PROBE(struct page *, c_classic_checked, uint64_t pfn)
{
    return section_page(flat_section(c_flat, pfn), pfn);
}

PROBE(struct page *, c_classic_online, uint64_t pfn)
{
    return section_online_page(flat_section(c_flat, pfn), pfn);
}

PROBE(bool, c_classic_valid, uint64_t pfn)
{
    return section_valid(flat_section(c_flat, pfn), pfn);
}

PROBE(uint64_t, c_classic_pfn_of, const struct page *page)
{
    return word_pfn(section_word(&c_flat[page_section(page)]), page);
}

/* sparse-extreme */

PROBE(struct page *, c_extreme_unchecked, uint64_t pfn)
{
    return word_page(section_word(rooted_section_unchecked(c_roots, pfn)), pfn);
}

PROBE(struct page *, c_extreme_checked, uint64_t pfn)
{
    return section_page(rooted_section(c_roots, pfn), pfn);
}

PROBE(struct page *, c_extreme_online, uint64_t pfn)
{
    return section_online_page(rooted_section(c_roots, pfn), pfn);
}

PROBE(bool, c_extreme_valid, uint64_t pfn)
{
    return section_valid(rooted_section(c_roots, pfn), pfn);
}

PROBE(uint64_t, c_extreme_pfn_of, const struct page *page)
{
    return word_pfn(section_word(rooted_section_unchecked(c_roots, page_section(page) << PFN_SECTION_SHIFT)), page);
}

/* vmemmap over the two-level table: its array lies at a constant place, or at one that is found out while booting */

#define ARRAY_PROBES(model, array)                                                          \
    PROBE(struct page *, c_##model##_unchecked, uint64_t pfn)                               \
    {                                                                                       \
        return array + pfn;                                                                 \
    }                                                                                       \
    PROBE(struct page *, c_##model##_checked, uint64_t pfn)                                 \
    {                                                                                       \
        return section_valid(rooted_section(c_roots, pfn), pfn) ? array + pfn : NULL;       \
    }                                                                                       \
    PROBE(struct page *, c_##model##_online, uint64_t pfn)                                  \
    {                                                                                       \
        return section_online(rooted_section(c_roots, pfn), pfn) ? array + pfn : NULL;      \
    }                                                                                       \
    PROBE(bool, c_##model##_valid, uint64_t pfn)                                            \
    {                                                                                       \
        return section_valid(rooted_section(c_roots, pfn), pfn);                            \
    }                                                                                       \
    PROBE(uint64_t, c_##model##_pfn_of, const struct page *page)                            \
    {                                                                                       \
        return (uint64_t)(page - array);                                                    \
    }

ARRAY_PROBES(vmemmap, VMEMMAP)
ARRAY_PROBES(placed, c_array)
