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

/* A table of sections: the section of a frame without and with checks, and the section of a descriptor. */

#define TABLE_PROBES(model, unchecked, checked, of_page)         \
    PROBE(struct page *, c_##model##_unchecked, uint64_t pfn)    \
    {                                                            \
        return word_page(section_word(unchecked), pfn);          \
    }                                                            \
    PROBE(struct page *, c_##model##_checked, uint64_t pfn)      \
    {                                                            \
        return section_page(checked, pfn);                       \
    }                                                            \
    PROBE(struct page *, c_##model##_online, uint64_t pfn)       \
    {                                                            \
        return section_online_page(checked, pfn);                \
    }                                                            \
    PROBE(bool, c_##model##_valid, uint64_t pfn)                 \
    {                                                            \
        return section_valid(checked, pfn);                      \
    }                                                            \
    PROBE(uint64_t, c_##model##_pfn_of, const struct page *page) \
    {                                                            \
        return word_pfn(section_word(of_page), page);            \
    }

TABLE_PROBES(classic, flat_section_unchecked(c_flat, pfn), flat_section(c_flat, pfn), &c_flat[page_section(page)])
TABLE_PROBES(extreme, rooted_section_unchecked(c_roots, pfn), rooted_section(c_roots, pfn),
             rooted_section_unchecked(c_roots, page_section(page) << PFN_SECTION_SHIFT))

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
